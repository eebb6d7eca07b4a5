from typing import ClassVar

from django.db import migrations, models
from django.db.models.functions import Now

OFFSET = (
    "CREATE OR REPLACE FUNCTION dialbridge_feed_offset() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT 0::bigint'"
)
MARK = """
CREATE OR REPLACE FUNCTION dialbridge_mark_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.change_xid := pg_current_xact_id()::text::bigint + {offset};
    RETURN NEW;
END $$
"""


class Migration(migrations.Migration):
    """After a restore another server counts transactions from its own beginning: an offset keeps the change feed rising."""

    dependencies: ClassVar = [("sync", "0015_row_security")]
    operations: ClassVar = [
        migrations.CreateModel(
            name="Restore",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("since", models.DateTimeField(verbose_name="state of")),
                ("restored_at", models.DateTimeField(db_default=Now(), verbose_name="restored")),
            ],
            options={
                "verbose_name": "restore",
                "verbose_name_plural": "restores",
                "db_table": "restores",
                "ordering": ["-restored_at"],
            },
        ),
        migrations.RunSQL(OFFSET, "DROP FUNCTION IF EXISTS dialbridge_feed_offset()"),
        migrations.RunSQL(MARK.format(offset="dialbridge_feed_offset()"), MARK.format(offset="0")),
    ]
