from typing import ClassVar

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """The list of calls that wait for a person, of which there are few among millions."""

    atomic = False

    dependencies: ClassVar = [("activities", "0005_newest_of_all")]
    operations: ClassVar = [
        AddIndexConcurrently(
            "call",
            models.Index(fields=["tenant", "-created_at"], condition=~models.Q(review=""), name="call_with_review"),
        ),
    ]
