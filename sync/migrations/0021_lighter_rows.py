from typing import Any, ClassVar

from django.db import migrations, models
from django.db.models.deletion import CASCADE


def of_tenant(**more: Any) -> Any:
    return models.ForeignKey(on_delete=CASCADE, related_name="+", to="integrations.tenant", **more)


class Migration(migrations.Migration):
    """Indexes that others begin with, and checks of the tenant where another check implies it, are no longer kept for each row."""

    dependencies: ClassVar = [("sync", "0020_search_by_both_names")]
    operations: ClassVar = [
        migrations.AlterField("contact", "tenant", of_tenant(db_index=False)),
        migrations.AlterField("syncrecord", "tenant", of_tenant(db_index=False)),
        migrations.AlterField("fieldchange", "tenant", of_tenant(db_constraint=False)),
        migrations.AlterField("recordsnapshot", "tenant", of_tenant(db_index=False, db_constraint=False)),
        migrations.AlterField(
            "fieldchange",
            "contact",
            models.ForeignKey(on_delete=CASCADE, related_name="history", to="sync.contact", db_index=False),
        ),
    ]
