"""One at a time sets a connection's account up: two at once would both find a field missing, and both create it.

The lock belongs to the database session and is no transaction, since the CRM is asked meanwhile; a process that dies lets go of it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import connection as database
from django.utils.translation import gettext as _

from integrations import errors

LONGEST_WAIT = 60.0
LOOK_EVERY = 0.1


@contextmanager
def alone(connection_id: UUID, longest_wait: float = LONGEST_WAIT) -> Iterator[None]:
    """Waits until nobody else sets this connection up. Raises Retry when that takes too long."""
    key = f"prepare:{connection_id}"
    deadline = time.monotonic() + longest_wait
    while not _ask("pg_try_advisory_lock", key):
        if time.monotonic() > deadline:
            raise errors.Retry(
                _("Somebody else is setting this connection up at the moment. It is stored; test it again in a minute.")
            )
        time.sleep(LOOK_EVERY)
    try:
        yield
    finally:
        _ask("pg_advisory_unlock", key)


def _ask(function: str, key: str) -> bool:
    with database.cursor() as sql:
        sql.execute(f"SELECT {function}(hashtextextended(%s, 2))", [key])
        return bool(sql.fetchone()[0])
