import django.contrib.postgres.indexes
import django.contrib.postgres.search
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """Names of several words are found by each of them."""

    atomic = False

    dependencies = [("sync", "0013_undoing")]

    operations = [
        AddIndexConcurrently(
            "contact",
            django.contrib.postgres.indexes.GinIndex(
                django.contrib.postgres.search.SearchVector("first_name", "last_name", config="simple"),
                condition=models.Q(last_name__contains=" ")
                | models.Q(last_name__contains="-")
                | models.Q(first_name__contains=" ")
                | models.Q(first_name__contains="-"),
                name="contact_words_of_names",
            ),
        ),
    ]
