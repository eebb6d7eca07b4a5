"""One pass over an object type of a connection: from the cursor, or from the start.

A back-fill is such a pass with a cursor of its own: it reads all records again, for some fields only, and moves nothing else.
A paused run stops after the page at hand; the cursor stands where it goes on.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from django.utils import timezone

from integrations.crm import open_crm
from integrations.errors import CrmError, Throttled
from integrations.models import CrmConnection
from integrations.transport.client import Patience
from mapping.compiled import CompiledMapping
from mapping.publishing import compiled
from sync.inbound import PageWriter
from sync.lanes import patience_for
from sync.models import FeedCursor, Lane, SyncRun
from sync.reading import Reading

Progress = Callable[[SyncRun], object]


@dataclass(frozen=True, slots=True)
class Pulled:
    run: SyncRun
    finished: bool
    """False: time or quota was up. The cursor stands where the next slice goes on."""
    wait: float = 0.0
    """Seconds until the quota allows it."""
    why: CrmError | None = None
    """What to wait for."""


def feed_of(object_type: str, run: SyncRun | None = None) -> str:
    """The feed whose cursor a run moves: a back-fill has its own."""
    if run is not None and run.kind == SyncRun.Kind.BACKFILL:
        return f"backfill:{run.pk}"
    return f"poll:{object_type}"


def only(mapping: CompiledMapping, fields: Collection[str]) -> CompiledMapping:
    """The rows of these dialer fields alone."""
    return replace(mapping, rows=tuple(row for row in mapping.rows if row.field.key in fields))


def is_paused(run: SyncRun) -> bool:
    """Whether somebody paused it meanwhile."""
    if SyncRun.objects.filter(pk=run.pk, status=SyncRun.Status.PAUSED).exists():
        run.status = SyncRun.Status.PAUSED
    return bool(run.status == SyncRun.Status.PAUSED)


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
    """Reads and applies pages until the feed's end, or for about `seconds`. What is read is kept page by page, small ones together.

    However short the time, a slice takes a page and knows when it was the last, so slices come to an end. `full` starts over.
    `run` goes on with an earlier slice's run. A used-up quota ends the slice; any other error of the CRM is noted on the run and
    raised. What was applied by then stays.
    """
    feed = feed_of(object_type, run)
    cursor = FeedCursor.objects.filter(connection=connection, feed=feed).first()
    held = (cursor.value or None) if cursor else None
    mapping = compiled(connection, object_type)
    engine = only(mapping.engine, run.fields_only) if run and run.fields_only else mapping.engine
    provider, api = open_crm(connection, patience_for(Lane.BACKFILL, patience))
    is_first = full or cursor is None or cursor.complete_at is None
    run = run or _begin(connection, object_type, mapping.version, is_first=is_first)
    calls_before = run.api_calls
    reading = Reading(provider.changes(object_type, None if full else held, engine.crm_fields), api, engine, seconds)
    try:
        with engine.session() as session, reading.pages() as pages:
            writer = PageWriter(connection, run, session, mapping_version=mapping.version)
            for read in pages:
                run.api_calls = calls_before + read.calls
                writer.apply(read.page, feed, held, read.works)
                held = read.page.cursor
                if progress:
                    progress(run)
                if is_paused(run):
                    return Pulled(run, finished=False)
        if not reading.finished:
            return Pulled(run, finished=False)
    except Throttled as error:
        run.api_calls = calls_before + api.calls
        run.save(update_fields=["api_calls"])
        return Pulled(run, finished=False, wait=error.after or 1.0, why=error)
    except CrmError as error:
        run.api_calls = calls_before + api.calls
        _finish(run, error)
        raise
    run.api_calls = calls_before + api.calls
    FeedCursor.objects.filter(connection=connection, feed=feed).update(complete_at=timezone.now())
    return Pulled(_finish(run), finished=True)


def _begin(connection: CrmConnection, object_type: str, version: int, *, is_first: bool) -> SyncRun:
    run: SyncRun = SyncRun.objects.create(
        tenant_id=connection.tenant_id,
        connection=connection,
        kind=SyncRun.Kind.INITIAL if is_first else SyncRun.Kind.CATCH_UP,
        object_type=object_type,
        mapping_version=version,
    )
    return run


def _finish(run: SyncRun, error: CrmError | None = None) -> SyncRun:
    run.status = SyncRun.Status.FAILED if error else SyncRun.Status.DONE
    run.error = error.message if error else ""
    run.finished_at = timezone.now()
    run.save()
    return run
