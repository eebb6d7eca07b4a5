from django.db import migrations

TABLE = """
CREATE TABLE listed_records (
    run_id bigint NOT NULL,
    record_id text NOT NULL,
    modified_at timestamptz NOT NULL,
    wanted boolean NOT NULL,
    PRIMARY KEY (run_id, record_id)
)
"""


class Migration(migrations.Migration):
    """What a reconciliation in progress has seen of the CRM. Nothing but its own statements reads it, so it has no model,
    and no foreign key that would stand in the way of emptying the tables that have one.
    """

    dependencies = [("sync", "0006_matching_indexes")]

    operations = [migrations.RunSQL(TABLE, "DROP TABLE listed_records")]
