"""Counts what each connection did, hour by hour, into `connection_hours`: the health page and its charts read only that.

The running hour is counted afresh every minute, the one before it a few minutes longer, and what passed while nobody counted is
made up for, so that a count that comes late, twice or never changes nothing but the delay. Jobs and links are found by the time of
their end; what waits and how much of a quota is used are looked at, not counted, so an hour without a look has no row and shows as
not measured.
"""

from datetime import datetime, timedelta

from django.db import connection as database
from django.db import transaction
from django.utils import timezone

from integrations import tenancy
from sync import queue
from sync.models import ConnectionHour, Lane

HOUR = timedelta(hours=1)
LATE = timedelta(minutes=5)
"""A transaction that began in one hour may end in the next."""
MADE_UP_FOR = timedelta(days=7)
KEPT = timedelta(days=400)
MOST_COUNTED = 100_000
"""Waiting jobs of one connection: more are shown as so many."""
COUNTING = 71_270_001
"""The advisory lock of whoever counts."""

_COLLECT = """
WITH hours AS (
    SELECT generate_series(%(since)s::timestamptz, %(running)s::timestamptz, interval '1 hour') AS hour
), ended AS (
    SELECT connection_id, date_trunc('hour', finished_at, 'UTC') AS hour,
        count(*) FILTER (WHERE state = 'done') AS done,
        count(*) FILTER (WHERE state = 'dead' AND cause <> %(for_good)s) AS dead,
        sum(ms) FILTER (WHERE timed) AS latency_ms, count(*) FILTER (WHERE timed) AS latency_count,
        max(ms) FILTER (WHERE timed) AS latency_max_ms
    FROM (
        SELECT connection_id, finished_at, state, cause, state = 'done' AND lane < %(backfill)s AS timed,
            greatest(0, extract(epoch FROM finished_at - coalesce(replayed_at, created_at)) * 1000)::bigint AS ms
        FROM sync_jobs WHERE finished_at >= %(since)s
    ) job GROUP BY 1, 2
), linked AS (
    SELECT connection_id, date_trunc('hour', last_synced_at, 'UTC') AS hour, count(*) AS synced
    FROM crm_sync_records WHERE last_synced_at >= %(since)s AND connection_id IS NOT NULL GROUP BY 1, 2
), leased AS (
    SELECT connection_id, count(*) AS jobs FROM sync_jobs WHERE state = 'leased' GROUP BY 1
), seen AS (
    SELECT c.id AS connection_id,
        coalesce(leased.jobs, 0) + (
            SELECT count(*) FROM (
                SELECT 1 FROM sync_jobs WHERE connection_id = c.id AND state = 'ready' LIMIT %(most)s
            ) waiting
        ) AS queue,
        (
            SELECT max(least(100, greatest(0, (w.quota - w.remaining)::bigint * 100 / w.quota))) FROM rate_windows w
            WHERE w.connection_id = c.id AND w.quota > 0 AND w.remaining IS NOT NULL AND w.seen_at >= %(running)s
        ) AS quota_percent
    FROM crm_credentials c LEFT JOIN leased ON leased.connection_id = c.id
    WHERE c.status <> 'disconnected'
)
INSERT INTO connection_hours AS held (
    tenant_id, connection_id, hour, synced, done, dead, latency_ms, latency_count, latency_max_ms,
    queue, queue_max, requests, failures, throttled, quota_percent, sampled_at
)
SELECT c.tenant_id, c.id, hours.hour, coalesce(linked.synced, 0), coalesce(ended.done, 0), coalesce(ended.dead, 0),
    coalesce(ended.latency_ms, 0), coalesce(ended.latency_count, 0), coalesce(ended.latency_max_ms, 0),
    coalesce(seen.queue, 0), coalesce(seen.queue, 0),
    coalesce(used.calls, 0), coalesce(used.failures, 0), coalesce(used.throttled, 0), seen.quota_percent, %(now)s
FROM crm_credentials c
CROSS JOIN hours
LEFT JOIN ended ON ended.connection_id = c.id AND ended.hour = hours.hour
LEFT JOIN linked ON linked.connection_id = c.id AND linked.hour = hours.hour
LEFT JOIN api_usage used ON used.connection_id = c.id AND used.hour = hours.hour
LEFT JOIN seen ON seen.connection_id = c.id AND hours.hour = %(running)s
WHERE seen.connection_id IS NOT NULL
    OR ended.connection_id IS NOT NULL OR linked.connection_id IS NOT NULL OR used.connection_id IS NOT NULL
ORDER BY c.id, hours.hour
ON CONFLICT (connection_id, hour) DO UPDATE SET
    synced = greatest(held.synced, excluded.synced),
    done = greatest(held.done, excluded.done), dead = excluded.dead,
    latency_ms = excluded.latency_ms, latency_count = excluded.latency_count, latency_max_ms = excluded.latency_max_ms,
    queue = CASE WHEN held.hour = %(running)s THEN excluded.queue ELSE held.queue END,
    queue_max = greatest(held.queue_max, excluded.queue_max),
    requests = excluded.requests, failures = excluded.failures, throttled = excluded.throttled,
    quota_percent = greatest(held.quota_percent, excluded.quota_percent),
    sampled_at = excluded.sampled_at
"""
"""A record that is synced again moves on to the later hour, and must not be taken from the earlier one: hence `greatest`."""


def collect(now: datetime | None = None) -> int:
    """Brings the hours up to date for all connections. Returns how many rows it wrote; 0 also when somebody else is at it."""
    moment = now or timezone.now()
    running = moment.replace(minute=0, second=0, microsecond=0)
    with tenancy.everyone(), transaction.atomic(), database.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [COUNTING])
        if not cursor.fetchone()[0]:
            return 0
        terms: dict[str, datetime | int | str] = {
            "since": min(running, _since(moment)), "running": running, "now": moment, "most": MOST_COUNTED,
            "backfill": int(Lane.BACKFILL), "for_good": queue.FOR_GOOD,
        }  # fmt: skip
        cursor.execute(_COLLECT, terms)
        return int(cursor.rowcount)


def _since(now: datetime) -> datetime:
    """From the last hour that was looked at on, a little of its end included."""
    last: datetime | None = ConnectionHour.objects.order_by("-hour").values_list("sampled_at", flat=True).first()
    start = max(last, now - MADE_UP_FOR) if last else now - MADE_UP_FOR
    return (min(start, now) - LATE).replace(minute=0, second=0, microsecond=0)


def forget(now: datetime | None = None) -> int:
    """Deletes hours that nobody compares with any more. Returns how many."""
    with tenancy.everyone():
        return int(ConnectionHour.objects.filter(hour__lt=(now or timezone.now()) - KEPT).delete()[0])
