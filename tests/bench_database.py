"""The benchmarks' own database: a copy of a migrated one, with a name that no other run has had."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

from tests import migrated

PREFIX = "bench_dialbridge_"
LOCK = 7_230_042
"""Held while benchmarks run. The server lets go of it when they end, however they do."""
BUSY = (
    "Other benchmarks run on this database server. Wait for them, or give these a server of their own: "
    "DATA_DIR=/a/folder script/bench"
)


@contextmanager
def own_database() -> Iterator[None]:
    """Connected to it, then rid of it, and of what runs that were killed have left on the server.

    Its name is new each time, so that a process which such a run left behind finds nothing to work on.
    """
    template = migrated.ensure()
    name = f"{PREFIX}{os.getpid()}"
    with connection._nodb_cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
        if not cursor.fetchone()[0]:
            raise SystemExit(BUSY)
        _drop_all(cursor)
        cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        try:
            with migrated.connected_to(name):
                yield
        finally:
            _drop_all(cursor)


def _drop_all(cursor: Any) -> None:
    cursor.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [PREFIX])
    for (name,) in cursor.fetchall():
        cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
