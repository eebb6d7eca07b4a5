"""One pass over an object type of a connection: from the cursor, or from the start."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from django.utils import timezone

from integrations.crm import open_crm
from integrations.errors import CrmError, Throttled
from integrations.models import CrmConnection
from integrations.transport.client import Patience
from mapping.publishing import compiled
from sync.inbound import PageWriter
from sync.models import FeedCursor, SyncRun

Progress = Callable[[SyncRun], None]


@dataclass(frozen=True, slots=True)
class Pulled:
    run: SyncRun
    finished: bool
    """False: time or quota was up. The cursor stands where the next slice goes on."""
    wait: float = 0.0
    """Seconds until the quota allows it."""


def feed_of(object_type: str) -> str:
    return f"poll:{object_type}"


def pull(
    connection: CrmConnection,
    object_type: str,
    patience: Patience,
    *,
    full: bool = False,
    seconds: float | None = None,
    run: SyncRun | None = None,
    progress: Progress | None = None,
) -> Pulled:
    """Reads and applies pages until the feed's end, or for about `seconds`. Each page is kept on its own.

    `full` starts over. `run` goes on with an earlier slice's run. A used-up quota ends the slice; any other error of the CRM is
    noted on the run and raised. What was applied by then stays.
    """
    cursor = FeedCursor.objects.filter(connection=connection, feed=feed_of(object_type)).first()
    held = (cursor.value or None) if cursor else None
    mapping = compiled(connection, object_type)
    provider, api = open_crm(connection, patience)
    run = run or SyncRun.objects.create(
        tenant_id=connection.tenant_id,
        connection=connection,
        kind=SyncRun.Kind.CATCH_UP if cursor and cursor.complete_at and not full else SyncRun.Kind.INITIAL,
        object_type=object_type,
        mapping_version=mapping.version,
    )
    started, calls_before = time.monotonic(), run.api_calls
    start = None if full else held
    try:
        with mapping.engine.session() as session:
            writer = PageWriter(connection, run, session)
            for page in provider.changes(object_type, start, mapping.engine.crm_fields):
                run.api_calls = calls_before + api.calls
                writer.apply(page, feed_of(object_type), held)
                held = page.cursor
                if progress:
                    progress(run)
                if seconds is not None and time.monotonic() - started > seconds:
                    return Pulled(run, finished=False)
    except Throttled as error:
        run.api_calls = calls_before + api.calls
        run.save()
        return Pulled(run, finished=False, wait=error.after or 1.0)
    except CrmError as error:
        run.api_calls = calls_before + api.calls
        _finish(run, error)
        raise
    run.api_calls = calls_before + api.calls
    FeedCursor.objects.filter(connection=connection, feed=feed_of(object_type)).update(complete_at=timezone.now())
    return Pulled(_finish(run), finished=True)


def _finish(run: SyncRun, error: CrmError | None = None) -> SyncRun:
    run.status = SyncRun.Status.FAILED if error else SyncRun.Status.DONE
    run.error = error.message if error else ""
    run.finished_at = timezone.now()
    run.save()
    return run
