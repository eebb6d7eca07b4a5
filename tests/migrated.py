"""A database with every migration applied, made once: each process's test database begins as a copy of it.

Its name holds a sum of the migrations and of the SQL that they take from elsewhere, so that changed ones make a new one; what it
still lacks, migrating the copy adds.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.management import call_command
from django.db import connection

PREFIX = "dialbridge_migrated_"
LOCK = 7_230_041
"""Names the lock under which one process makes it and the others wait."""


def ensure() -> str:
    """Its name. Takes as long as all migrations do where it isn't there yet."""
    name = PREFIX + _sum_of_migrations()
    with connection._nodb_cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        cursor.execute("SELECT datname, datistemplate FROM pg_database WHERE starts_with(datname, %s)", [PREFIX])
        made = dict(cursor.fetchall())
        if not made.get(name):
            for other in made:
                _drop(cursor, other)
            cursor.execute(f'CREATE DATABASE "{name}"')
            with connected_to(name):
                call_command("migrate", verbosity=0, interactive=False)
            # Only a whole one is a template; what a killed process left is made again.
            cursor.execute(f'ALTER DATABASE "{name}" IS_TEMPLATE true')
    return name


def _drop(cursor: Any, name: str) -> None:
    cursor.execute(f'ALTER DATABASE "{name}" IS_TEMPLATE false')
    cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def connected_to(name: str) -> Iterator[None]:
    before = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = name
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["NAME"] = before


def _sum_of_migrations() -> str:
    roots = [Path(app.path) for app in apps.get_app_configs()]
    files = sorted(file for root in roots for pattern in ("migrations/*.py", "*/sql.py") for file in root.glob(pattern))
    found = hashlib.sha256()
    for file in files:
        found.update(f"{file.parent.parent.name}/{file.name}".encode() + file.read_bytes())
    return found.hexdigest()[:16]
