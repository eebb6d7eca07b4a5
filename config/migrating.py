"""While migrations run, no statement of theirs waits long for a table: everybody else would queue up behind it.

One that does not get its lock in time fails, with nothing of that migration done, and `migrate` is run again at a quieter moment.
"""

from typing import Any

from django.conf import settings
from django.db import connections


def be_brief(using: str = "default", **_: Any) -> None:
    """Receiver of `pre_migrate`."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{settings.MIGRATE_LOCK_SECONDS}s"])


def be_patient(using: str = "default", **_: Any) -> None:
    """Receiver of `post_migrate`: as the server has it."""
    with connections[using].cursor() as cursor:
        cursor.execute("RESET lock_timeout")
