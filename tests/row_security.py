"""The test's own database connection in the part of the web process."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection as database

from integrations.row_security import WEB_ROLE


@contextmanager
def web_role() -> Iterator[None]:
    """Inside, the connection has the role of the web, and row-level security applies."""
    options = database.settings_dict["OPTIONS"]
    _run(f"SET ROLE {WEB_ROLE}")
    options["assume_role"] = WEB_ROLE
    try:
        yield
    finally:
        del options["assume_role"]
        _run("RESET ROLE")


def _run(sql: str) -> None:
    with database.cursor() as cursor:
        cursor.execute(sql)
