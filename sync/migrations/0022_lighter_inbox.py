from typing import ClassVar

from django.db import migrations, models
from django.db.models.deletion import CASCADE


class Migration(migrations.Migration):
    """As the one before, for the inbox."""

    dependencies: ClassVar = [("sync", "0021_lighter_rows")]
    operations: ClassVar = [
        migrations.AlterField(
            "inboxevent",
            "tenant",
            models.ForeignKey(
                on_delete=CASCADE, related_name="+", to="integrations.tenant", db_constraint=False, db_index=False
            ),
        ),
        migrations.AlterField(
            "inboxevent",
            "connection",
            models.ForeignKey(on_delete=CASCADE, related_name="events", to="integrations.crmconnection", db_index=False),
        ),
    ]
