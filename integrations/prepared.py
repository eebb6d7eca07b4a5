"""Statements that come with every request or claim: the server plans each once for a connection, instead of every time.

The ORM's own statements carry their values as text and can't be kept so. Whoever puts a pooler between us and the server that
doesn't know prepared statements sets DATABASE_PREPARED to false; then these statements go the usual way.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.postgresql.base import ServerBindingCursor


@contextmanager
def cursor() -> Iterator[Any]:
    """A cursor like the usual one. Values are bound by the server, so a statement has to cast what it compares."""
    wrapper: Any = connections[DEFAULT_DB_ALIAS]
    wrapper.ensure_connection()
    with wrapper.wrap_database_errors:
        bound = cast("Any", ServerBindingCursor)(wrapper.connection)
    with wrapper._prepare_cursor(bound) as sql:  # noqa: SLF001 - how Django itself wraps a cursor
        yield sql
