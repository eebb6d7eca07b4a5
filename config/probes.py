"""Two questions an operator's machinery asks: is the process alive, and can it do its work."""

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse

from sync.alerting import watching

_migrated = False


def alive(_request: HttpRequest) -> JsonResponse:
    """200 as long as the process answers at all: a dead database is no reason to restart it."""
    return JsonResponse({"status": "ok"})


def ready(_request: HttpRequest) -> JsonResponse:
    """200 when the database answers and has every migration; 503 with the reason otherwise."""
    try:
        problem = _database_problem()
    except DatabaseError:
        problem = "The database does not answer."
    if problem:
        return JsonResponse({"status": "unavailable", "problem": problem}, status=503)
    if settings.WATCH_FROM_WEB:
        watching.look_if_nobody_works()
    return JsonResponse({"status": "ok"})


def _database_problem() -> str:
    global _migrated  # noqa: PLW0603 - migrations are looked at until they are complete, then no more
    if _migrated:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return ""
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return "Migrations are missing. Run manage.py migrate."
    _migrated = True
    return ""
