"""What waits and what is wrong with each connection at this moment: one query, which counts no further than anybody reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection as database

from sync.budgets import LONGEST_DAY, Counted, Gauge
from sync.inbox import KIND as FETCH
from sync.replaying import KIND as REPLAY

MOST_COUNTED = 10_000
A_MOMENT = timedelta(minutes=2)
WORKS_EVENTS = (FETCH, REPLAY)

_READ = """
WITH leased AS (
    SELECT connection_id, count(*) AS jobs FROM sync_jobs WHERE state = 'leased' GROUP BY 1
)
SELECT c.id, coalesce(leased.jobs, 0) + waiting.jobs, dead.jobs, dead.fetches, failed.events, links.pending, links.faulty,
    reading.at, reading.problem, coalesce(first.error, ''),
    (SELECT json_agg(json_build_array(hour, calls)) FROM api_usage WHERE connection_id = c.id AND hour >= %(day)s),
    (
        SELECT json_agg(json_build_array(quota, remaining, seconds, seen_at)) FROM rate_windows
        WHERE connection_id = c.id AND quota > 0 AND remaining IS NOT NULL
    )
FROM crm_credentials c
LEFT JOIN leased ON leased.connection_id = c.id
CROSS JOIN LATERAL (
    SELECT count(*) AS jobs FROM (
        SELECT 1 FROM sync_jobs WHERE connection_id = c.id AND state = 'ready' LIMIT %(most)s
    ) one
) waiting
CROSS JOIN LATERAL (
    SELECT count(*) AS jobs, count(*) FILTER (WHERE kind = ANY(%(works_events)s)) AS fetches FROM (
        SELECT kind FROM sync_jobs WHERE connection_id = c.id AND state = 'dead' LIMIT %(most)s
    ) one
) dead
CROSS JOIN LATERAL (
    SELECT count(*) AS events FROM (
        SELECT 1 FROM inbox_events WHERE connection_id = c.id AND state = 'failed' AND dead.fetches > 0 LIMIT %(most)s
    ) one
) failed
CROSS JOIN LATERAL (
    SELECT count(*) AS pending, count(*) FILTER (WHERE sync_status = 'error' AND local_table = 'contacts') AS faulty FROM (
        SELECT sync_status, local_table FROM crm_sync_records
        WHERE tenant_id = c.tenant_id AND connection_id = c.id AND sync_status IN ('pending', 'error') LIMIT %(most)s
    ) one
) links
CROSS JOIN LATERAL (
    SELECT max(complete_at) AS at, max(value ->> 'problem') FILTER (WHERE feed = 'stream') AS problem
    FROM feed_cursors WHERE connection_id = c.id
) reading
LEFT JOIN LATERAL (
    SELECT cause, error, not_before FROM sync_jobs WHERE connection_id = c.id AND state = 'ready' ORDER BY lane, id LIMIT 1
) first ON first.cause <> '' AND first.error <> '' AND first.not_before > now() + %(longer)s
WHERE c.id = ANY(%(ids)s)
"""


@dataclass(frozen=True, slots=True)
class Gauges:
    """Counts end at MOST_COUNTED."""

    queued: int = 0
    dead: int = 0
    dead_fetches: int = 0
    failed_events: int = 0
    """Events fail together with a job, so only connections with such a dead job are looked at."""
    pending: int = 0
    faulty: int = 0
    read_at: datetime | None = None
    stream_problem: str | None = None
    held_up: str = ""
    """What its first piece of work waits for, and for longer than a moment: whatever stops a whole account stops that one."""
    usage: Sequence[Counted] = ()
    quotas: Sequence[Gauge] = ()


def read(ids: Sequence[UUID], now: datetime) -> dict[UUID, Gauges]:
    """Of connections that the caller found in the current scope."""
    if not ids:
        return {}
    with database.cursor() as cursor:
        terms: dict[str, Any] = {
            "ids": list(ids),
            "most": MOST_COUNTED,
            "works_events": list(WORKS_EVENTS),
            "day": now - LONGEST_DAY,
            "longer": A_MOMENT,
        }
        cursor.execute(_READ, terms)
        rows: list[Any] = cursor.fetchall()
    return {row[0]: Gauges(*(*row[1:-2], _usage(row[-2]), _quotas(row[-1]))) for row in rows}


def _usage(told: Sequence[Any] | None) -> list[Counted]:
    return [(datetime.fromisoformat(hour), calls, {}) for hour, calls in told or ()]


def _quotas(told: Sequence[Any] | None) -> list[Gauge]:
    return [
        Gauge(quota, remaining, seconds, datetime.fromisoformat(seen_at) if seen_at else None)
        for quota, remaining, seconds, seen_at in told or ()
    ]
