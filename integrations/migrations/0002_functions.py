from django.db import migrations

from integrations.transport.sql import FUNCTIONS


class Migration(migrations.Migration):
    """The shared rate limiter and circuit breaker."""

    dependencies = [("integrations", "0001_initial")]

    operations = [migrations.RunSQL(sql, migrations.RunSQL.noop) for sql in FUNCTIONS]
