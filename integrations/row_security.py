"""Row-level security: in the web process a statement in the wrong tenant finds nothing, also one that was written by hand.

The web takes on a role that does not own the tables (`DATABASE_ROLE`). Every table with tenants' rows has a policy that shows that
role, and whoever else is not the owner, only the rows of the tenants it was told (`dialbridge.tenants`, see `config/postgresql`);
told nothing, it sees nothing. Workers, commands and migrations own the tables: no policy applies to them.

`protect` runs after every `migrate`. It finds the tables in the catalogue, so that a new one is protected before the role may so
much as read it. It is a second wall against our own mistakes, and none against a stranger who can run statements: those could tell
the server what they like. People, their sessions, and the task queue belong to no tenant and have no policy.
"""

import logging
import time
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import DatabaseError, OperationalError, connections, transaction

log = logging.getLogger("dialbridge.row_security")

WEB_ROLE = "dialbridge_web"
POLICY = "of_the_tenants_in_scope"
LOCK_SECONDS, TRIES = 3, 10

_SHOWN = "CASE WHEN (SELECT dialbridge_everyone()) THEN true ELSE {} END"
"""A CASE, as the planner takes it for half of the rows: for `… OR …` it would expect next to none, and choose bad plans."""
_OWN = _SHOWN.format('"{}" = ANY ((SELECT dialbridge_tenants())::uuid[])')
_THROUGH = _SHOWN.format('EXISTS (SELECT 1 FROM "{}" parent WHERE parent.id = "{}"."{}")')
_PARENTS = {"connection_id": "crm_credentials", "run_id": "sync_runs"}
"""Where a row that names no tenant belongs: to that of its connection or its run, which has a policy of its own."""

ALL = ("SELECT", "INSERT", "UPDATE", "DELETE")
GRANTED: dict[str, Sequence[str]] = {"django_migrations": ("SELECT",), "audit_entries": ("SELECT", "INSERT")}
"""What the role may do with a table, where that is not everything that the ORM does."""

_TABLES = """
SELECT rel.relname, rel.relrowsecurity AND EXISTS (SELECT FROM pg_policy WHERE polrelid = rel.oid AND polname = %s),
    array(SELECT attname::text FROM pg_attribute WHERE attrelid = rel.oid AND attnum > 0 AND NOT attisdropped)
FROM pg_class rel WHERE rel.relnamespace = current_schema()::regnamespace AND rel.relkind IN ('r', 'p') ORDER BY 1
"""
_REACHABLE = "SELECT count(*) > 0 AND bool_and(pg_has_role(oid, %s)) FROM pg_roles WHERE rolname = %s"
_UNGRANTED = """
SELECT rel.relname, given.right FROM pg_class rel CROSS JOIN unnest(%s::text[]) AS given ("right")
WHERE rel.relnamespace = current_schema()::regnamespace AND rel.relkind IN ('r', 'p', 'v')
  AND NOT has_table_privilege(%s, rel.oid, given.right)
"""


def condition(table: str, columns: Sequence[str]) -> str | None:
    """Which rows of a table are shown; None when they belong to no tenant."""
    if table == "tenants":
        return _OWN.format("id")
    if "tenant_id" in columns:
        return _OWN.format("tenant_id")
    through = next((column for column in _PARENTS if column in columns), None)
    return through and _THROUGH.format(_PARENTS[through], table, through)


def role() -> str:
    return settings.DATABASE_ROLE or WEB_ROLE


def protect(sender: Any, using: str = "default", **_: Any) -> None:
    """Runs after each app's migrations; acts once, after the last app."""
    from django.apps import apps

    if sender.name != [config for config in apps.get_app_configs() if config.models_module][-1].name:
        return
    database = connections[using]
    with database.cursor() as cursor:
        cursor.execute("SELECT to_regprocedure('dialbridge_tenants()') IS NOT NULL")
        if cursor.fetchone()[0]:  # the migrations are not being taken back
            _add_policies(database)
            _let_in(database)


def _add_policies(database: Any) -> None:
    with database.cursor() as cursor:
        cursor.execute(_TABLES, [POLICY])
        found = cursor.fetchall()
    for table, protected, columns in found:
        shown = condition(table, columns)
        if shown and not protected:
            _add_policy(database, table, shown)


def _add_policy(database: Any, table: str, shown: str) -> None:
    """Needs the table for itself for an instant; in a live system it asks again rather than have everybody queue behind it."""
    for tries in range(TRIES, 0, -1):
        try:
            with transaction.atomic(using=database.alias), database.cursor() as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
                cursor.execute(f'DROP POLICY IF EXISTS {POLICY} ON "{table}"')
                cursor.execute(f'CREATE POLICY {POLICY} ON "{table}" USING ({shown}) WITH CHECK ({shown})')
                cursor.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY')
            return
        except OperationalError:
            if tries == 1:
                raise
            time.sleep(1)


def _let_in(database: Any) -> None:
    """Makes the role if that is allowed, and grants it what the web needs."""
    name = role()
    if not _reachable(database, name) and not _made(database, name):
        log.warning("%s", problem(name))
    with database.cursor() as cursor:
        cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [name])
        if cursor.fetchone() is None:
            return
        cursor.execute(_UNGRANTED, [list(ALL), name])
        for table, right in cursor.fetchall():
            if right in GRANTED.get(table, ALL):
                cursor.execute(f'GRANT {right} ON "{table}" TO "{name}"')
        cursor.execute("SELECT quote_ident(current_schema())")
        schema = cursor.fetchone()[0]
        cursor.execute(f'GRANT USAGE ON SCHEMA {schema} TO "{name}"')
        cursor.execute(f'GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO "{name}"')


def _made(database: Any, name: str) -> bool:
    """Somebody else may make it at the same moment, on another database of the server: then it is there as well."""
    for statement in (f'CREATE ROLE "{name}" NOLOGIN NOBYPASSRLS', f'GRANT "{name}" TO CURRENT_USER'):
        if _reachable(database, name):
            break
        try:
            with transaction.atomic(using=database.alias), database.cursor() as cursor:
                cursor.execute(statement)
        except DatabaseError as error:
            log.info("%s was refused: %s", statement, error)
    return _reachable(database, name)


def _reachable(database: Any, name: str) -> bool:
    """Whether this user may take the role on."""
    with database.cursor() as cursor:
        right = "SET" if database.pg_version >= 160000 else "MEMBER"
        cursor.execute(_REACHABLE, [right, name])
        return bool(cursor.fetchone()[0])


def problem(name: str) -> str:
    """Why the web can't take this role on and what to do; empty when it can."""
    database: Any = connections["default"]
    if _reachable(database, name):
        return ""
    return (
        f"The database has no role {name} that this user may take on, so the web can't run behind row-level security. "
        f'Have an administrator of the database run: CREATE ROLE "{name}" NOLOGIN; '
        f'GRANT "{name}" TO "{database.settings_dict["USER"]}"; and then run manage.py migrate once more.'
    )
