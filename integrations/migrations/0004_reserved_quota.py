from django.db import migrations

from integrations.transport.sql import RESERVED, TAKE_RESERVED, TAKE_SLOT


class Migration(migrations.Migration):
    """A share of each quota is kept for what must not wait."""

    dependencies = [("integrations", "0003_consent_attempts")]

    operations = [migrations.RunSQL(sql, migrations.RunSQL.noop) for sql in (RESERVED, TAKE_RESERVED, TAKE_SLOT)]
