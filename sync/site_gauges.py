"""What the whole site holds and how it is doing, in numbers for the operator's metrics: by provider, never by tenant.

A handful of statements whatever the number of tenants, each over an index that holds only what is open. Long piles are counted no
further than `MOST`: a queue of so many is alarming enough, and a scrape must not be what slows it down.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection as database
from django.db import transaction

from integrations import tenancy
from integrations.registry import PROVIDERS, provider_class
from integrations.transport.limits import GAUGE_SECONDS
from sync.alerting.conditions import WORKER_SILENT_AFTER

MOST = 10_000
RECENT_EVENTS = 1000
TOKEN_ENDS_WITHIN = 300
"""Seconds. A token is renewed when it is needed and about to end; one that ends anyway belongs to nobody at work."""
KEY_ENDS_WITHIN = 14 * 24 * 3600
PATIENCE = "5s"

_JOBS = """
WITH open AS (
    (SELECT connection_id, state, kind, lane, cause, not_before FROM sync_jobs WHERE state = 'ready'
     ORDER BY not_before LIMIT %(most)s)
    UNION ALL
    (SELECT connection_id, state, kind, lane, cause, not_before FROM sync_jobs WHERE state = 'leased' LIMIT %(most)s)
    UNION ALL
    (SELECT connection_id, state, kind, lane, cause, not_before FROM sync_jobs WHERE state = 'dead' LIMIT %(most)s)
), grouped AS (
    SELECT open.state, open.kind, open.lane, open.cause, c.provider, count(*) AS jobs,
        min(open.not_before) FILTER (WHERE open.state = 'ready' AND open.not_before <= now()) AS due
    FROM open JOIN crm_credentials c ON c.id = open.connection_id
    GROUP BY open.state, open.kind, open.lane, open.cause, c.provider
), ended AS (
    SELECT kind, state FROM sync_jobs
    WHERE finished_at > now() - interval '1 hour' ORDER BY finished_at DESC LIMIT %(most)s
)
SELECT 'jobs', ARRAY[state, kind, lane::text], sum(jobs)::float FROM grouped GROUP BY state, kind, lane
UNION ALL
SELECT 'oldest', ARRAY[lane::text], extract(epoch FROM now() - min(due))::float
FROM grouped WHERE due IS NOT NULL GROUP BY lane
UNION ALL
SELECT 'dead', ARRAY[provider, cause], sum(jobs)::float FROM grouped WHERE state = 'dead' GROUP BY provider, cause
UNION ALL
SELECT 'ended', ARRAY[kind, state], count(*)::float FROM ended GROUP BY kind, state
"""
_CONNECTIONS = """
WITH used AS (
    SELECT c.provider, one.statuses, one.milliseconds FROM crm_credentials c
    JOIN api_usage one ON one.connection_id = c.id AND one.hour = date_trunc('hour', now())
)
SELECT 'connections', ARRAY[provider, status], count(*)::float FROM crm_credentials GROUP BY provider, status
UNION ALL
SELECT 'breakers', ARRAY[c.provider], count(*)::float
FROM circuit_breakers b JOIN crm_credentials c ON c.id = b.connection_id WHERE b.opened_at IS NOT NULL GROUP BY c.provider
UNION ALL
SELECT 'tokens', ARRAY[provider], count(*)::float FROM crm_credentials
WHERE status = 'connected' AND token_expires_at < now() + %(token)s * interval '1 s' GROUP BY provider
UNION ALL
SELECT 'keys', ARRAY[]::text[], count(*)::float FROM api_keys
WHERE revoked_at IS NULL AND expires_at BETWEEN now() AND now() + %(key)s * interval '1 s'
UNION ALL
SELECT 'requests', ARRAY[used.provider, answered.key], sum(answered.value::int)::float
FROM used CROSS JOIN LATERAL jsonb_each_text(used.statuses) answered GROUP BY used.provider, answered.key
UNION ALL
SELECT 'requests_seconds', ARRAY[provider], sum(milliseconds)::float / 1000 FROM used GROUP BY provider
"""
_LIMITS = """
WITH known AS (
    SELECT * FROM json_to_recordset(%(limits)s::json) AS one (provider text, bucket text, quota float, seconds float)
), held AS (
    SELECT c.provider, w.stamps, w.remaining, w.blocked_until,
        coalesce(w.quota, (c.settings -> 'rate_limits' -> known.bucket ->> 0)::float, known.quota) AS quota,
        coalesce(w.seconds, (c.settings -> 'rate_limits' -> known.bucket ->> 1)::float, known.seconds) AS seconds
    FROM rate_windows w JOIN crm_credentials c ON c.id = w.connection_id
    LEFT JOIN known ON known.provider = c.provider AND known.bucket = split_part(w.key, ':', 2)
), use AS (
    SELECT provider, seconds > %(gauge)s AS of_day, CASE WHEN seconds > %(gauge)s THEN (quota - remaining) / quota
        ELSE (cardinality(stamps) - width_bucket(extract(epoch FROM now())::float - seconds, stamps)) / quota END AS used
    FROM held
    WHERE quota > 0 AND seconds > 0 AND (CASE WHEN seconds > %(gauge)s THEN remaining IS NOT NULL
        ELSE stamps[cardinality(stamps)] > extract(epoch FROM now()) - seconds END)
)
SELECT 'limits', ARRAY[provider, CASE WHEN of_day THEN 'day' ELSE 'window' END], least(1, greatest(0, max(used)))
FROM use GROUP BY provider, of_day
UNION ALL
SELECT 'blocked', ARRAY[provider], count(*)::float FROM held WHERE blocked_until > extract(epoch FROM now()) GROUP BY provider
"""
_ARRIVING = """
WITH backlog AS (
    (SELECT connection_id, 'received' AS state FROM inbox_events WHERE state = 'received' LIMIT %(most)s)
    UNION ALL
    (SELECT connection_id, 'failed' FROM inbox_events WHERE state = 'failed' LIMIT %(most)s)
), newest AS (
    SELECT connection_id, source, received_at, occurred_at FROM inbox_events ORDER BY id DESC LIMIT %(recent)s
)
SELECT 'inbox', ARRAY[c.provider, backlog.state], count(*)::float
FROM backlog JOIN crm_credentials c ON c.id = backlog.connection_id GROUP BY c.provider, backlog.state
UNION ALL
SELECT 'arrival', ARRAY[c.provider, newest.source],
    greatest(0, max(extract(epoch FROM newest.received_at - newest.occurred_at)))::float
FROM newest JOIN crm_credentials c ON c.id = newest.connection_id
WHERE newest.occurred_at IS NOT NULL AND newest.received_at > now() - interval '15 minutes' GROUP BY c.provider, newest.source
UNION ALL
SELECT 'streams', ARRAY[c.provider, CASE WHEN f.holder <> '' AND f.held_until > now() THEN 'held'
    WHEN f.value ? 'problem' THEN 'broken' ELSE 'nobody' END], count(*)::float
FROM feed_cursors f JOIN crm_credentials c ON c.id = f.connection_id
WHERE f.feed = 'stream' AND c.status = 'connected' GROUP BY 1, 2
UNION ALL
SELECT 'read', ARRAY[c.provider], max(extract(epoch FROM now() - reading.at))::float
FROM (SELECT connection_id, max(complete_at) AS at FROM feed_cursors GROUP BY connection_id) reading
JOIN crm_credentials c ON c.id = reading.connection_id
WHERE c.status = 'connected' AND reading.at IS NOT NULL GROUP BY c.provider
"""
_PEOPLE = """
SELECT 'beats', ARRAY[kind], count(*)::float FROM worker_beats
WHERE beaten_at > now() - %(silent)s * interval '1 s' GROUP BY kind
UNION ALL
SELECT 'conflicts', ARRAY[]::text[], (
    SELECT count(*) FROM (SELECT 1 FROM conflicts WHERE status = 'open' LIMIT %(most)s) one
)::float
UNION ALL
SELECT 'alerts', ARRAY[kind, severity], count(*)::float FROM alerts
WHERE resolved_at IS NULL AND opened_at IS NOT NULL GROUP BY kind, severity
UNION ALL
SELECT 'tenants', ARRAY[]::text[], count(*)::float FROM tenants WHERE is_active
"""
_PATIENCE = """
SELECT current_setting('statement_timeout'), set_config('statement_timeout', %s, true), set_config('jit', 'off', true)
"""
"""Compiling statements that count for an instant takes longer than counting."""
STATEMENTS = (_JOBS, _CONNECTIONS, _LIMITS, _ARRIVING, _PEOPLE)


@dataclass(frozen=True, slots=True)
class Reading:
    """One number: of what, of which part of it."""

    name: str
    labels: Sequence[str]
    value: float


def read() -> list[Reading]:
    """Everything, in one go. Raises DatabaseError when that takes longer than a scrape may."""
    terms: dict[str, Any] = {
        "most": MOST, "recent": RECENT_EVENTS, "token": TOKEN_ENDS_WITHIN, "key": KEY_ENDS_WITHIN, "gauge": GAUGE_SECONDS,
        "silent": WORKER_SILENT_AFTER.total_seconds(), "limits": json.dumps(_known_limits()),
    }  # fmt: skip
    found: list[Reading] = []
    with tenancy.everyone(), transaction.atomic(), database.cursor() as cursor:
        cursor.execute(_PATIENCE, [PATIENCE])
        before = cursor.fetchone()[0]
        for statement in STATEMENTS:
            cursor.execute(statement, terms)
            found += [Reading(name, tuple(labels), float(value)) for name, labels, value in cursor.fetchall()]
        cursor.execute(_PATIENCE, [before])
    return found


def _known_limits() -> list[dict[str, str | float]]:
    """What each CRM allows as far as we know beforehand."""
    return [
        {"provider": slug, "bucket": one.bucket, "quota": one.limit, "seconds": one.seconds}
        for slug in PROVIDERS
        for one in provider_class(slug).default_limits
    ]
