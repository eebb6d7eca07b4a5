from typing import ClassVar

from django.db import migrations, models
from django.db.models.deletion import CASCADE


class Migration(migrations.Migration):
    """As the one before, for the inbox."""

    atomic = False

    dependencies: ClassVar = [("sync", "0021_lighter_rows")]
    operations: ClassVar = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
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
                    models.ForeignKey(
                        on_delete=CASCADE, related_name="events", to="integrations.crmconnection", db_index=False
                    ),
                ),
            ],
            database_operations=[
                migrations.RunSQL(one, migrations.RunSQL.noop)
                for one in (
                    "DROP INDEX CONCURRENTLY IF EXISTS inbox_events_tenant_id_780570db",
                    "DROP INDEX CONCURRENTLY IF EXISTS inbox_events_connection_id_3e24c86b",
                    "ALTER TABLE inbox_events DROP CONSTRAINT IF EXISTS inbox_events_tenant_id_780570db_fk_tenants_id",
                )
            ],
        ),
    ]
