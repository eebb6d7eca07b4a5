"""One at a time sets a connection's account up: two at once would both find a field missing, and both create it.

The CRM is asked meanwhile, so the lock can't belong to the caller's transactions. It has one of its own, on a connection of its
own, which holds no row and no snapshot: that also works behind a pooler that shares sessions. A process that dies lets go of it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import connection as database
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.translation import gettext as _

from integrations import errors

LONGEST_WAIT = 60.0
LOOK_EVERY = 0.1


@contextmanager
def alone(connection_id: UUID, longest_wait: float = LONGEST_WAIT) -> Iterator[None]:
    """Waits until nobody else sets this connection up. Raises Retry when that takes too long."""
    deadline = time.monotonic() + longest_wait
    holder = database.copy()
    try:
        holder.set_autocommit(False)
        while not _takes(holder, f"prepare:{connection_id}"):
            if time.monotonic() > deadline:
                raise errors.Retry(
                    _(
                        "Somebody else is setting this connection up at the moment. It is stored; test it again in a minute."
                    )
                )
            time.sleep(LOOK_EVERY)
        yield
    finally:
        holder.close()


def _takes(holder: BaseDatabaseWrapper, key: str) -> bool:
    with holder.cursor() as sql:
        sql.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 2))", [key])
        return bool(sql.fetchone()[0])
