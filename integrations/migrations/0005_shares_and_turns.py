from django.db import migrations, models

from integrations.transport.sql import DAY_USED, TAKE_SHARE, TAKE_SLOT


class Migration(migrations.Migration):
    """Quotas have shares, requests are counted by kind of work, and connections take turns."""

    dependencies = [("integrations", "0004_reserved_quota")]

    operations = [
        migrations.AddField("crmconnection", "served_at", models.DateTimeField(editable=False, null=True)),
        migrations.AddField(
            "apiusage",
            "works",
            models.JSONField(blank=True, db_default={}, default=dict, verbose_name="for what"),
        ),
        migrations.RunSQL("CREATE SEQUENCE IF NOT EXISTS dialbridge_turns", "DROP SEQUENCE IF EXISTS dialbridge_turns"),
        *(migrations.RunSQL(sql, migrations.RunSQL.noop) for sql in (TAKE_SHARE, TAKE_SLOT, DAY_USED)),
    ]
