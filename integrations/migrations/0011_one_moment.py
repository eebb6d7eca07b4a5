from django.db import migrations

from integrations.transport.sql import (
    BOOKED, FREE_AT, GIVE_BACK, HELD, LEARN_LIMIT, TAKE_RESERVED, TAKE_SHARE, TAKE_SLOT, TAKE_SLOTS, WINDOW,
)

IN_ORDER = "UPDATE rate_windows SET stamps = ARRAY(SELECT s FROM unnest(stamps) s ORDER BY s) WHERE stamps <> '{}'"


class Migration(migrations.Migration):
    """A request is planned at one moment in all of its buckets; stamps stand in order."""

    dependencies = [("integrations", "0010_guess_counts")]

    operations = [
        *(
            migrations.RunSQL(sql, migrations.RunSQL.noop)
            for sql in (WINDOW, BOOKED, FREE_AT, HELD, GIVE_BACK, TAKE_SLOTS, TAKE_RESERVED, TAKE_SHARE, TAKE_SLOT, LEARN_LIMIT)
        ),
        migrations.RunSQL(IN_ORDER, migrations.RunSQL.noop),
    ]
