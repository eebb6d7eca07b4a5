from django.db import migrations

FUNCTION = """
CREATE OR REPLACE FUNCTION dialbridge_mark_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.change_xid := pg_current_xact_id()::text::bigint;
    RETURN NEW;
END $$
"""
TRIGGER = """
CREATE TRIGGER contacts_mark_change BEFORE INSERT OR UPDATE ON contacts
FOR EACH ROW EXECUTE FUNCTION dialbridge_mark_change()
"""


class Migration(migrations.Migration):
    """Each contact carries the number of the transaction that changed it last, which the change feed is ordered by."""

    dependencies = [("sync", "0001_initial")]

    operations = [
        migrations.RunSQL(FUNCTION, "DROP FUNCTION IF EXISTS dialbridge_mark_change() CASCADE"),
        migrations.RunSQL(TRIGGER, "DROP TRIGGER IF EXISTS contacts_mark_change ON contacts"),
    ]
