"""Statements that come with every request or claim: the server plans each once for a connection, instead of every time.

The ORM's own statements carry their values as text and can't be kept so. Whoever puts a pooler between us and the server that
doesn't know prepared statements sets DATABASE_PREPARED to false; then these statements go the usual way.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, cast

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.backends.postgresql.base import ServerBindingCursor
from psycopg import Pipeline


@contextmanager
def cursor() -> Iterator[Any]:
    """A cursor like the usual one. Values are bound by the server, so a statement has to cast what it compares."""
    wrapper: Any = connections[DEFAULT_DB_ALIAS]
    with _cursor(wrapper) as sql:
        yield sql


def run(statement: str, params: Any) -> None:
    """A statement without an answer; inside `sent_together` nobody waits for its end."""
    with _cursor(connections[DEFAULT_DB_ALIAS]) as sql:
        sql.execute(statement, params)


def rows(statement: str, params: Any) -> Sequence[tuple[Any, ...]]:
    with _cursor(connections[DEFAULT_DB_ALIAS]) as sql:
        sql.execute(statement, params)
        found: Sequence[tuple[Any, ...]] = sql.fetchall()
        return found


def alone(statement: str, params: Any) -> tuple[Any, ...]:
    """The row of a statement that is a transaction by itself: inside a longer one its locks would hold up every other process."""
    wrapper = connections[DEFAULT_DB_ALIAS]
    # Only there Django has to be asked whether that is a test's: by itself the statement needs no BEGIN and no COMMIT.
    with transaction.atomic(durable=True) if wrapper.in_atomic_block else nullcontext(), _cursor(wrapper) as sql:
        sql.execute(statement, params)
        found: tuple[Any, ...] = sql.fetchone()
        return found


def _cursor(wrapper: Any) -> Any:
    wrapper.ensure_connection()
    with wrapper.wrap_database_errors:
        bound = cast("Any", ServerBindingCursor)(wrapper.connection)
    return wrapper._prepare_cursor(bound)  # noqa: SLF001 - how Django itself wraps a cursor


@contextmanager
def sent_together() -> Iterator[None]:
    """Statements inside are sent one after the other without waiting for each: one way to the server and back for all of them.

    What one of them raises is raised by whichever asks for an answer next, at the latest at the end. COPY is not possible inside.
    """
    wrapper: Any = connections[DEFAULT_DB_ALIAS]
    wrapper.ensure_connection()
    if not Pipeline.is_supported():
        yield
        return
    if wrapper.is_watched:
        wrapper.tell_scope()
    with wrapper.wrap_database_errors, wrapper.connection.pipeline():
        yield
