"""Django's PostgreSQL, which tells the server whose rows the running code may see, where row-level security asks for it.

That is so where the connection takes on a role (`DATABASE_ROLE`; see `integrations/row_security.py`). The server is told the scope
of `integrations/tenancy.py` right before a statement, and only if what it heard last was another one: most requests need none,
since a connection often serves the same tenant again. What was told inside a transaction that is rolled back is forgotten by the
server, so we forget it too. Of workers and commands, which own the tables, nothing is asked, and they pay nothing.
"""

from typing import Any

from django.db.backends.postgresql import base
from django.db.backends.utils import CursorWrapper
from django.db.utils import OperationalError
from psycopg import Cursor, sql
from psycopg.pq import ExecStatus, PipelineStatus, TransactionStatus

from integrations import scopes

_TELL = "SELECT set_config('dialbridge.tenants', %s, false)"
_NOTHING = object()
_NOTED = "dialbridge_scope"
"""The attribute of a connection of the driver that notes what its server was told: pools hand these connections round."""


class _Telling:
    """Mixed into a cursor: tells the scope before each statement."""

    db: Any
    cursor: Any

    def _execute(self, statement: Any, params: Any, *ignored: Any) -> Any:
        self.db.tell_scope()
        return super()._execute(statement, params, *ignored)  # type: ignore[misc]

    def _executemany(self, statement: Any, param_list: Any, *ignored: Any) -> Any:
        self.db.tell_scope()
        return super()._executemany(statement, param_list, *ignored)  # type: ignore[misc]

    def copy(self, statement: Any) -> Any:
        self.db.tell_scope()
        return self.cursor.copy(statement)


class TellingCursor(_Telling, CursorWrapper): ...


class TellingDebugCursor(_Telling, base.CursorDebugWrapper): ...


class DatabaseWrapper(base.DatabaseWrapper):
    @property
    def is_watched(self) -> bool:
        """Whether row-level security applies to this connection."""
        return bool(self.settings_dict["OPTIONS"].get("assume_role"))

    def _configure_role(self, connection: Any) -> bool:
        """Django's own asks the pool for a connection in order to write the statement, while the pool waits for it."""
        if self.is_watched:
            connection.execute(
                sql.SQL("SET ROLE {}").format(sql.Identifier(self.settings_dict["OPTIONS"]["assume_role"]))
            )
        return self.is_watched

    def make_cursor(self, cursor: Any) -> CursorWrapper:
        return TellingCursor(cursor, self) if self.is_watched else super().make_cursor(cursor)

    def make_debug_cursor(self, cursor: Any) -> Any:
        return TellingDebugCursor(cursor, self) if self.is_watched else super().make_debug_cursor(cursor)

    def tell_scope(self) -> None:
        scope, connection = scopes.current.get(), self.connection
        if getattr(connection, _NOTED, _NOTHING) == scope:
            return
        if connection.info.transaction_status == TransactionStatus.INERROR:
            return  # the server takes nothing but the end of this transaction, and forgets with it
        text = scopes.as_setting(scope)
        if connection.pgconn.pipeline_status != PipelineStatus.OFF:
            Cursor(connection).execute(_TELL, [text])  # whose answer nobody knows yet, so nothing is noted
            self._forget_told()
            return
        # Past the driver's cursors, which take three times as long.
        answer = connection.pgconn.exec_params(_TELL.replace("%s", "$1").encode(), [text.encode()])
        if answer.status != ExecStatus.TUPLES_OK:
            raise OperationalError(
                f"The database could not be told whose rows to show: {answer.error_message.decode()}"
            )
        setattr(connection, _NOTED, scope)

    def _forget_told(self) -> None:
        if self.connection is not None:
            setattr(self.connection, _NOTED, _NOTHING)

    def _rollback(self) -> None:
        try:
            super()._rollback()  # type: ignore[misc] # the stubs leave these three out
        finally:
            self._forget_told()

    def _savepoint_rollback(self, sid: str) -> None:
        try:
            super()._savepoint_rollback(sid)  # type: ignore[misc]
        finally:
            self._forget_told()

    def _close(self) -> None:
        if self.connection is not None and self.connection.info.transaction_status != TransactionStatus.IDLE:
            self._forget_told()  # a pool rolls back what was begun
        super()._close()  # type: ignore[misc]
