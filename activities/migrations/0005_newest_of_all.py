from typing import ClassVar

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """Support's list of all tenants' calls begins with the newest."""

    atomic = False

    dependencies: ClassVar = [("activities", "0004_newest_call")]
    operations: ClassVar = [
        AddIndexConcurrently("call", models.Index(fields=["-created_at", "-id"], name="call_newest_of_all")),
    ]
