from typing import ClassVar

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """Changes that a rare rule decided, found among millions that a first load made."""

    atomic = False

    dependencies: ClassVar = [("sync", "0023_few_among_millions")]
    operations: ClassVar = [
        AddIndexConcurrently(
            "fieldchange",
            models.Index(
                fields=["tenant", "rule", "-id"], name="change_by_rule", condition=~models.Q(rule="only_one")
            ),
        ),
    ]
