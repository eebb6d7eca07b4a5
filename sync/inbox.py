"""What CRMs told, stored before anybody is told that we have it: once per event, with the job that works it.

Events, their jobs and the count of what was new are one statement, so a delivery costs one commit. A job that is waiting
already will do for several deliveries; but a worker may have claimed it a moment before our events became visible, so whoever
added no job of their own looks again after the commit.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection as database
from django.db import transaction

from integrations import tenancy
from integrations.records import RemoteEvent
from sync import queue
from sync.models import InboxEvent, Lane, SyncJob
from sync.values import storable

KIND = "fetch"
WEBHOOK, STREAM, FOLLOWED = "webhook", "stream", "followed"
FORGOTTEN_AFTER = timedelta(minutes=1)
LONGEST_KEY = 200
LONGEST_NAME = 100
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
JSON_COLUMNS = ("record_ids", "changed", "values")


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event for one connection. `body` is what to show of how it came; empty: the event's own raw form."""

    tenant_id: UUID
    connection_id: UUID
    event: RemoteEvent
    body: bytes = b""


_STORE = """
WITH arrived AS (
    SELECT * FROM unnest(
        %(tenant_id)s::uuid[], %(connection_id)s::uuid[], %(dedupe_key)s::text[], %(object_type)s::text[],
        %(record_ids)s::text[], %(change)s::text[], %(changed)s::text[], %(values)s::text[], %(moved_to)s::text[],
        %(ours)s::boolean[], %(occurred_at)s::timestamptz[], %(body)s::bytea[]
    ) AS one (
        tenant_id, connection_id, dedupe_key, object_type, record_ids, change, changed, vals, moved_to, ours, occurred_at, body
    )
), stored AS (
    INSERT INTO inbox_events (
        tenant_id, connection_id, source, dedupe_key, object_type, record_ids, change, changed, "values", moved_to, ours,
        occurred_at, body, headers, signature_ok, state, error, note
    )
    SELECT tenant_id, connection_id, %(source)s, dedupe_key, object_type, record_ids::jsonb, change, changed::jsonb,
        vals::jsonb, moved_to, ours, occurred_at, body, %(headers)s::jsonb, true, 'received', '', ''
    FROM arrived
    ON CONFLICT (connection_id, dedupe_key) DO NOTHING
    RETURNING tenant_id, connection_id, object_type
), wanted AS (
    SELECT tenant_id, connection_id, object_type, count(*) AS events FROM stored GROUP BY 1, 2, 3
), jobs AS (
    INSERT INTO sync_jobs (tenant_id, connection_id, kind, key, payload, lane, state, attempts, cause, error, error_detail)
    SELECT tenant_id, connection_id, %(kind)s, object_type, '{}'::jsonb, %(lane)s, 'ready', 0, '', '', ''
    FROM wanted ORDER BY connection_id, object_type
    ON CONFLICT DO NOTHING
    RETURNING connection_id, key
)
SELECT wanted.tenant_id, wanted.connection_id, object_type, events, jobs.key IS NOT NULL
FROM wanted LEFT JOIN jobs ON jobs.connection_id = wanted.connection_id AND jobs.key = wanted.object_type
"""


def store(arrivals: Sequence[Arrival], source: str, headers: Mapping[str, str] | None = None) -> int:
    """Stores what is new of these events, in the caller's transaction if there is one, and wakes the workers after it.

    Returns how many were new.
    """
    if not arrivals:
        return 0
    # Always in the same order: two deliveries of the same events must not wait for each other in a circle.
    rows = sorted((_row(one) for one in arrivals), key=lambda row: (row["connection_id"], row["at"], row["dedupe_key"]))
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0] if name != "at"}
    common = {"source": source, "headers": _json(dict(headers or {})), "kind": KIND, "lane": int(Lane.WEBHOOKS)}
    with database.cursor() as cursor:
        cursor.execute(_STORE, columns | common)
        found = cursor.fetchall()
    joined = [(tenant_id, connection_id, key) for tenant_id, connection_id, key, _count, added in found if not added]
    transaction.on_commit(partial(_tell_workers, {row[1] for row in found}, joined))
    return sum(row[3] for row in found)


def _tell_workers(connection_ids: set[UUID], joined: Sequence[tuple[UUID, UUID, str]]) -> None:
    if joined:
        _enqueue(joined)
    for connection_id in connection_ids - {row[1] for row in joined}:
        queue.wake(connection_id)


def _enqueue(wanted: Iterable[tuple[UUID, UUID, str]]) -> None:
    """Tenant, connection and object type of each job."""
    with tenancy.everyone(), transaction.atomic():
        queue.enqueue(
            SyncJob(tenant_id=tenant_id, connection_id=connection_id, kind=KIND, key=key, lane=Lane.WEBHOOKS)
            for tenant_id, connection_id, key in wanted
        )


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
        found = cursor.fetchall()
    _enqueue(found)
    return len(found)


def ask_for_work(connection_id: UUID, object_type: str) -> None:
    """Makes a job if events are waiting that a job which stays behind has not got to."""
    rows = InboxEvent.objects.filter(connection_id=connection_id, object_type=object_type, state="received")
    found = rows.values_list("tenant_id", flat=True).first()
    if found:
        _enqueue([(found, connection_id, object_type)])


def waiting(connection_id: UUID, object_type: str, limit: int, *, again: bool = False) -> list[InboxEvent]:
    """The oldest events to be worked; with `again` also those that failed."""
    states = ["received", "failed"] if again else ["received"]
    rows = InboxEvent.objects.filter(connection_id=connection_id, object_type=object_type, state__in=states)
    return list(rows.defer("body", "headers", "values").order_by("pk")[:limit])


def _row(arrival: Arrival) -> dict[str, Any]:
    event: Any = storable_event(arrival.event)
    return {
        "tenant_id": arrival.tenant_id,
        "connection_id": arrival.connection_id,
        "dedupe_key": event["dedupe_key"],
        "object_type": event["object_type"],
        **{name: _json(event[name]) for name in JSON_COLUMNS},
        "change": str(arrival.event.change),
        "moved_to": event["moved_to"],
        "ours": arrival.event.ours,
        "occurred_at": arrival.event.occurred_at,
        "body": arrival.body or _raw(arrival.event.raw),
        "at": arrival.event.occurred_at or LONG_AGO,
    }


def storable_event(event: RemoteEvent) -> dict[str, Any]:
    """The event's words and values as PostgreSQL can hold them."""
    found: dict[str, Any] = storable(
        {
            "dedupe_key": _short_key(event.dedupe_key),
            "object_type": event.object_type[:LONGEST_NAME],
            "record_ids": [str(one) for one in event.record_ids],
            "changed": list(event.changed),
            "values": dict(event.values),
            "moved_to": str(event.moved_to)[:LONGEST_NAME],
        }
    )
    return found


def _short_key(key: str) -> str:
    return key if len(key) <= LONGEST_KEY else hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def _json(value: Any) -> str:
    """Numbers that JSON has no words for spoil the whole: the records are read afresh anyway."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)
    except ValueError:
        return json.dumps(type(value)())


def _raw(raw: Any) -> bytes:
    if isinstance(raw, bytes):
        return raw
    return b"" if raw is None else json.dumps(storable(raw), ensure_ascii=False, default=str).encode()
