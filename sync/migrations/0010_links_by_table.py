from django.db import migrations, models

NEW = """
CREATE UNIQUE INDEX CONCURRENTLY one_link_for_each_local_row
ON crm_sync_records (connection_id, crm_object_type, local_record_id, local_table) WHERE local_record_id IS NOT NULL
"""
OLD = """
CREATE UNIQUE INDEX CONCURRENTLY one_link_per_local_record
ON crm_sync_records (connection_id, crm_object_type, local_record_id) WHERE local_record_id IS NOT NULL
"""


class Migration(migrations.Migration):
    """A call and what has to be done after it are one row here, and both may be tasks in a CRM."""

    atomic = False

    dependencies = [("sync", "0009_failed_events")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveConstraint("syncrecord", "one_link_per_local_record"),
                migrations.AddConstraint(
                    "syncrecord",
                    models.UniqueConstraint(
                        fields=["connection", "crm_object_type", "local_record_id", "local_table"],
                        condition=models.Q(local_record_id__isnull=False),
                        name="one_link_for_each_local_row",
                    ),
                ),
            ],
            database_operations=[
                # What an earlier try left half built would stand in the way.
                migrations.RunSQL(
                    "DROP INDEX CONCURRENTLY IF EXISTS one_link_for_each_local_row", migrations.RunSQL.noop
                ),
                migrations.RunSQL(NEW, "DROP INDEX CONCURRENTLY one_link_for_each_local_row"),
                migrations.RunSQL("DROP INDEX CONCURRENTLY IF EXISTS one_link_per_local_record", OLD),
            ],
        ),
    ]
