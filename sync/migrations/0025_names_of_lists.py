from typing import ClassVar

from django.db import migrations


class Migration(migrations.Migration):
    """What lists are called. Nothing changes in the database."""

    dependencies: ClassVar = [("sync", "0024_changes_by_rule")]

    operations: ClassVar = [
        migrations.AlterModelOptions(
            "inboxevent",
            {"ordering": ["-id"], "verbose_name": "inbox event", "verbose_name_plural": "inbox events"},
        ),
        migrations.AlterModelOptions(
            "undo",
            {"ordering": ["-created_at"], "verbose_name": "undo", "verbose_name_plural": "things undone"},
        ),
    ]
