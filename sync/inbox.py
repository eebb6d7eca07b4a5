"""What CRMs told, stored before anybody is told that we have it: once per event, with the job that works it.

Events, their jobs and the count of what was new are one statement, so a delivery costs one commit. A job that is waiting
already will do for several deliveries; but a worker may have claimed it a moment before our events became visible, so whoever
added no job of their own looks again after the commit.
"""

import base64
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection as database
from django.db import transaction
from django.db.models import QuerySet
from django_q.tasks import async_task

from integrations import prepared
from integrations.models import Tenant
from integrations.records.events import RemoteEvent
from sync import queue
from sync.models import InboxEvent, Lane, SyncJob
from sync.values import is_storable, json_text, storable

log = logging.getLogger("dialbridge.inbox")

KIND = "fetch"
WEBHOOK, STREAM, FOLLOWED = "webhook", "stream", "followed"
FORGOTTEN_AFTER = timedelta(minutes=1)
LONGEST_KEY = 200
LONGEST_NAME = 100
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event for one connection. `body` and `headers` are what to show of how it came; no body: the event's own raw form."""

    tenant_id: UUID
    connection_id: UUID
    event: RemoteEvent
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job that has to be there. `joined`: a waiting one was found, and may have been claimed meanwhile."""

    tenant_id: UUID
    connection_id: UUID
    object_type: str
    joined: bool = True


_STORE = """
WITH arrived AS (
    SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS one (
        tenant_id uuid, connection_id uuid, dedupe_key text, object_type text, record_ids jsonb, change text, changed jsonb,
        vals jsonb, moved_to text, ours boolean, occurred_at timestamptz, body text,
        headers jsonb
    )
), stored AS (
    INSERT INTO inbox_events (
        tenant_id, connection_id, source, dedupe_key, object_type, record_ids, change, changed, "values", moved_to, ours,
        occurred_at, body, headers, signature_ok, state, error, note
    )
    SELECT tenant_id, connection_id, %(source)s::text, dedupe_key, object_type, record_ids, change, changed, vals, moved_to, ours,
        occurred_at, decode(body, 'base64'), headers, true, 'received', '', ''
    FROM arrived
    ON CONFLICT (connection_id, dedupe_key) DO NOTHING
    RETURNING tenant_id, connection_id, object_type
), wanted AS (
    SELECT tenant_id, connection_id, object_type, count(*) AS events FROM stored GROUP BY 1, 2, 3
), jobs AS (
    INSERT INTO sync_jobs (tenant_id, connection_id, kind, key, payload, lane, state, attempts, cause, error, error_detail)
    SELECT tenant_id, connection_id, 'fetch', object_type, '{}'::jsonb, %(lane)s::smallint, 'ready', 0, '', '', ''
    FROM wanted ORDER BY connection_id, object_type
    ON CONFLICT DO NOTHING
    RETURNING connection_id, key
)
SELECT wanted.tenant_id, wanted.connection_id, object_type, events, jobs.key IS NOT NULL
FROM wanted LEFT JOIN jobs ON jobs.connection_id = wanted.connection_id AND jobs.key = wanted.object_type
"""


def store(arrivals: Sequence[Arrival], source: str) -> int:
    """Stores what is new of these events, in the caller's transaction if there is one, and wakes the workers after it.

    Returns how many were new.
    """
    if not arrivals:
        return 0
    # Always in the same order: two deliveries of the same events must not wait for each other in a circle.
    ordered = sorted(
        arrivals, key=lambda one: (one.connection_id, one.event.occurred_at or LONG_AGO, one.event.dedupe_key)
    )
    terms: dict[str, Any] = {
        "rows": _as_json([_row(one) for one in ordered]),
        "source": source,
        "lane": int(Lane.WEBHOOKS),
    }
    found = prepared.rows(_STORE, terms)
    wanted = [
        Wanted(tenant_id, connection_id, key, joined=not added) for tenant_id, connection_id, key, _, added in found
    ]
    if wanted:
        transaction.on_commit(partial(_tell_soon, wanted))
    return sum(row[3] for row in found)


_TELL = """
WITH wanted AS (
    SELECT * FROM unnest(%(tenants)s::uuid[], %(connections)s::uuid[], %(types)s::text[], %(joined)s::boolean[])
        AS one (tenant_id, connection_id, object_type, joined)
), again AS (
    INSERT INTO sync_jobs (tenant_id, connection_id, kind, key, payload, lane, state, attempts, cause, error, error_detail)
    SELECT tenant_id, connection_id, 'fetch', object_type, '{}'::jsonb, %(lane)s::smallint, 'ready', 0, '', '', ''
    FROM wanted WHERE joined ORDER BY connection_id, object_type
    ON CONFLICT DO NOTHING
    RETURNING connection_id
), woken AS (
    UPDATE crm_credentials SET wake_requested_at = now()
    WHERE id IN (SELECT connection_id FROM wanted) AND (wake_requested_at IS NULL OR wake_requested_at < now() - %(lost)s::interval)
    RETURNING id
)
SELECT id, true FROM woken UNION ALL SELECT connection_id, false FROM again
"""


def _tell_soon(wanted: Sequence[Wanted]) -> None:
    """The events are stored: whoever sent them must not hear of a broker, of any make, that can't be told. The sweep finds them."""
    try:
        _tell_workers(wanted)
    except Exception as error:
        log.warning("Stored events will be worked later, for nobody could be woken", exc_info=error)


def _tell_workers(wanted: Sequence[Wanted]) -> None:
    """What `queue.enqueue` and `queue.wake` do, in one statement: most often there is nothing to do."""
    terms: dict[str, Any] = {
        "tenants": [one.tenant_id for one in wanted],
        "connections": [one.connection_id for one in wanted],
        "types": [one.object_type for one in wanted],
        "joined": [one.joined for one in wanted],
        "lane": int(Lane.WEBHOOKS),
        "lost": queue.LOST_WAKE_UP,
    }
    for connection_id, woken in prepared.rows(_TELL, terms):
        if woken:
            async_task(queue.WORK_TASK, str(connection_id))
        else:
            queue.wake(connection_id)  # a job that was added just now is seen by the next worker only


_FORGOTTEN = """
SELECT DISTINCT tenant_id, connection_id, object_type FROM inbox_events event
WHERE state = 'received' AND received_at < now() - make_interval(secs => %s) AND NOT EXISTS (
    SELECT 1 FROM sync_jobs job
    WHERE job.connection_id = event.connection_id AND job.kind = %s AND job.key = event.object_type
      AND job.state IN ('ready', 'leased', 'dead')
)
"""


def find_forgotten() -> int:
    """Gives stored events that no job is waiting for a job. Returns how many jobs that makes."""
    with database.cursor() as cursor:
        cursor.execute(_FORGOTTEN, [FORGOTTEN_AFTER.total_seconds(), KIND])
        found = [Wanted(*row) for row in cursor.fetchall()]
    if found:
        _tell_workers(found)
    return len(found)


def ask_for_work(connection_id: UUID, object_type: str) -> None:
    """Makes a job if events are waiting that a job which stays behind has not got to."""
    rows = InboxEvent.objects.filter(connection_id=connection_id, object_type=object_type, state="received")
    found = rows.values_list("tenant_id", flat=True).first()
    if found:
        _tell_workers([Wanted(found, connection_id, object_type)])


def waiting(connection_id: UUID, object_type: str, limit: int, *, again: bool = False) -> list[InboxEvent]:
    """The oldest events to be worked; with `again` also those that failed."""
    states = ["received", "failed"] if again else ["received"]
    rows = InboxEvent.objects.filter(connection_id=connection_id, object_type=object_type, state__in=states)
    return list(rows.defer("body", "headers", "values").order_by("pk")[:limit])


def work_again(events: QuerySet[InboxEvent]) -> int:
    """Gives the failed ones among these events back to the workers. Returns how many.

    A dead job of theirs goes back to work with them, and takes along what else failed with it.
    """
    failed = events.filter(state=InboxEvent.State.FAILED)
    with transaction.atomic():
        rows = list(
            failed.select_for_update(of=("self",)).values_list("pk", "tenant_id", "connection_id", "object_type")
        )
        InboxEvent.objects.filter(pk__in=[row[0] for row in rows]).update(state=InboxEvent.State.RECEIVED, error="")
        for wanted in sorted({row[1:] for row in rows}, key=str):
            _revive(Wanted(*wanted))
    return len(rows)


def _revive(wanted: Wanted) -> None:
    dead = SyncJob.objects.filter(connection_id=wanted.connection_id, kind=KIND, key=wanted.object_type, state="dead")
    queue.replay(dead)
    transaction.on_commit(partial(_tell_soon, [wanted]))


def forget(before: datetime, state: str, at_once: int = 5000) -> int:
    """Deletes the events in this state that came before then, in short transactions, tenant by tenant. Returns how many."""
    deleted = 0
    for tenant_id in Tenant.objects.order_by().values_list("pk", flat=True):
        old = InboxEvent.objects.filter(tenant_id=tenant_id, received_at__lt=before, state=state)
        while ids := list(old.order_by().values_list("pk", flat=True)[:at_once]):
            InboxEvent.objects.filter(pk__in=ids, state=state).delete()
            deleted += len(ids)
    return deleted


def _row(arrival: Arrival) -> dict[str, Any]:
    event = arrival.event
    row: dict[str, Any] = {
        "dedupe_key": _short_key(event.dedupe_key),
        "object_type": event.object_type[:LONGEST_NAME],
        "record_ids": [str(one) for one in event.record_ids],
        "change": str(event.change),
        "changed": list(event.changed),
        "vals": dict(event.values),
        "moved_to": event.moved_to[:LONGEST_NAME],
        "headers": dict(arrival.headers),
    }
    body = base64.b64encode(arrival.body or _raw(event.raw)).decode()
    ids = {"tenant_id": arrival.tenant_id, "connection_id": arrival.connection_id}
    return {**row, **ids, "ours": event.ours, "occurred_at": event.occurred_at, "body": body}


def _as_json(rows: list[dict[str, Any]]) -> str:
    try:
        text = json.dumps(rows, ensure_ascii=False, allow_nan=False, default=str)
    except ValueError:
        # Numbers that JSON has no words for. The values are only hints: the records are read afresh.
        rows = [row if _is_finite(row["vals"]) else {**row, "vals": {}} for row in rows]
        text = json.dumps(rows, ensure_ascii=False, default=str)
    return text if is_storable(text) else json.dumps(storable(rows), ensure_ascii=False, default=str)


def _is_finite(values: Mapping[str, Any]) -> bool:
    try:
        json.dumps(values, allow_nan=False, default=str)
    except ValueError:
        return False
    return True


def _short_key(key: str) -> str:
    return key if len(key) <= LONGEST_KEY else hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def _raw(raw: Any) -> bytes:
    if isinstance(raw, bytes):
        return raw
    return b"" if raw is None else json_text(raw).encode()
