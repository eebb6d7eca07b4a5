from typing import Any, ClassVar

from django.db import migrations, models
from django.db.models.deletion import CASCADE


def of_tenant(**more: Any) -> Any:
    return models.ForeignKey(on_delete=CASCADE, related_name="+", to="integrations.tenant", **more)


class Migration(migrations.Migration):
    """Indexes that others begin with, and checks of the tenant where another check implies it, are no longer kept for each row.

    By hand: Django would take every foreign key away and check all rows anew.
    """

    atomic = False

    dependencies: ClassVar = [("sync", "0020_search_by_both_names")]
    operations: ClassVar = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField("contact", "tenant", of_tenant(db_index=False)),
                migrations.AlterField("syncrecord", "tenant", of_tenant(db_index=False)),
                migrations.AlterField("fieldchange", "tenant", of_tenant(db_constraint=False)),
                migrations.AlterField("recordsnapshot", "tenant", of_tenant(db_index=False, db_constraint=False)),
                migrations.AlterField(
                    "fieldchange",
                    "contact",
                    models.ForeignKey(on_delete=CASCADE, related_name="history", to="sync.contact", db_index=False),
                ),
            ],
            database_operations=[
                migrations.RunSQL(one, migrations.RunSQL.noop)
                for one in (
                    "DROP INDEX CONCURRENTLY IF EXISTS contacts_tenant_id_23e151d7",
                    "DROP INDEX CONCURRENTLY IF EXISTS crm_sync_records_tenant_id_363a74af",
                    "DROP INDEX CONCURRENTLY IF EXISTS field_changes_contact_id_6429982a",
                    "DROP INDEX CONCURRENTLY IF EXISTS record_snapshots_tenant_id_57f818c3",
                    "ALTER TABLE field_changes DROP CONSTRAINT IF EXISTS field_changes_tenant_id_a51b3c8f_fk_tenants_id",
                    "ALTER TABLE record_snapshots DROP CONSTRAINT IF EXISTS record_snapshots_tenant_id_57f818c3_fk_tenants_id",
                )
            ],
        ),
    ]
