"""Whether this installation can do its work, each trouble in a sentence: for `/readyz`, and for `manage.py check_health`."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from integrations import tenancy
from integrations.models import CrmConnection
from sync.alerting.conditions import WORKER_SILENT_AFTER
from sync.listening import streaming_providers
from sync.models import WorkerBeat

LEAST_FREE_BYTES = 512 * 1024 * 1024
LEAST_FREE_SHARE = 0.02
"""Of the disk of the embedded database: below both it is nearly full. PostgreSQL stops when it can't write its log any more."""
ANSWERS = "The database does not answer."
_migrated = False


def database() -> Iterator[str]:
    """What is wrong with the database as this process sees it."""
    problem = _exhausted()
    if problem:
        yield problem
        return
    try:
        yield from _asked()
    except DatabaseError:
        _mend_pool()
        yield ANSWERS


def _asked() -> Iterator[str]:
    global _migrated  # noqa: PLW0603 - migrations are looked at until they are complete, then no more
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_is_in_recovery()")
        if cursor.fetchone()[0]:
            yield "The database is a replica that can only be read. Point DATABASE_URL to the primary."
    if not _migrated:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            yield "Migrations are missing. Run manage.py migrate."
        else:
            _migrated = True


def _pool() -> Any:
    """This process's pool of connections; None where it has none."""
    wrapper: Any = connection
    return wrapper.pool if connection.settings_dict["OPTIONS"].get("pool") else None


def _exhausted() -> str:
    pool = _pool()
    told = pool.get_stats() if pool is not None else {}
    used_up = told.get("pool_size", 0) >= told.get("pool_max", 1) and not told.get("pool_available")
    if used_up and told.get("requests_waiting"):
        return "All database connections of this process are in use, and requests wait for one."
    return ""


def _mend_pool() -> None:
    """Connections that broke with a restart of the database are replaced at once, not one failed request after the other."""
    pool = _pool()
    if pool is not None:
        pool.check()


def disk() -> Iterator[str]:
    """Of the embedded database; another one's disk is its operator's to watch."""
    if embedded_postgres_at_work():
        free = shutil.disk_usage(Path(settings.DATA_DIR))
        if free.free < LEAST_FREE_BYTES and free.free < free.total * LEAST_FREE_SHARE:
            yield f"The disk of the database is nearly full: {free.free // 1024**2} MB are left. Make room in {settings.DATA_DIR}."


def embedded_postgres_at_work() -> bool:
    """Whether the database is the one under DATA_DIR."""
    return bool(settings.DATABASE_KEEPER)


def workers(host: str = "") -> Iterator[str]:
    """Of this host alone if one is named."""
    beats = WorkerBeat.objects.filter(kind=WorkerBeat.Kind.WORKER)
    if not _lately(beats.filter(host=host) if host else beats):
        where = f" on {host}" if host else ""
        yield f"No worker has given a sign of life{where} within the last minute. Start manage.py qcluster, or see its log."


def listeners(host: str = "") -> Iterator[str]:
    """Only where something is there to listen to."""
    with tenancy.everyone():
        wanted = CrmConnection.objects.filter(
            status=CrmConnection.Status.CONNECTED, provider__in=streaming_providers(), tenant__is_active=True
        ).exists()
    beats = WorkerBeat.objects.filter(kind=WorkerBeat.Kind.LISTENER)
    if wanted and not _lately(beats.filter(host=host) if host else beats):
        where = f" on {host}" if host else ""
        yield f"No listener has given a sign of life{where} within the last minute. Start manage.py listen_changes."


def _lately(beats: Any) -> bool:
    return bool(beats.filter(beaten_at__gt=timezone.now() - WORKER_SILENT_AFTER).exists())


CHECKS: dict[str, Callable[..., Iterator[str]]] = {
    "database": database,
    "disk": disk,
    "workers": workers,
    "listeners": listeners,
}
"""By name; those of processes may be asked for one host alone."""
OF_WEB = ("database", "disk")
OF_HOST = ("workers", "listeners")
