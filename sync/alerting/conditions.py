"""What is wrong at this moment, with every connection of every tenant, in a handful of statements whatever their number.

Waiting is judged by the age of the oldest piece of work that waits, not by what was done: where nothing gets done at all, there is
nothing else to see. A failure of one job is judged only among others (see AlertSettings.error_rate_least).
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection as database
from django.db.models import Max

from integrations import tenancy
from integrations.models import CrmConnection
from integrations.redaction import redact
from sync import budgets, queue
from sync.causes.counting import silent
from sync.models import AlertKind, AlertSettings, FailureCause, Lane, WorkerBeat
from sync.wizard_jobs import HELD

WINDOW = timedelta(hours=1)
WORKER_SILENT_AFTER = timedelta(minutes=1)
MOST_COUNTED = 100_000
URGENT_LANES = [int(lane) for lane in Lane if lane < Lane.BACKFILL]

_LOOK = """
WITH silent AS (
    {silent}
), ended AS (
    SELECT connection_id, count(*) AS ended, count(*) FILTER (WHERE state = 'dead') AS failed,
        mode() WITHIN GROUP (ORDER BY cause) FILTER (WHERE state = 'dead') AS cause
    FROM sync_jobs job WHERE finished_at > %(window)s AND cause <> %(for_good)s
        AND NOT (state = 'dead' AND (tenant_id, fingerprint) IN (SELECT tenant_id, fingerprint FROM silent))
    GROUP BY 1
), leased AS (
    SELECT connection_id, count(*) AS jobs, min(coalesce(replayed_at, created_at)) AS since
    FROM sync_jobs WHERE state = 'leased' AND lane = ANY(%(lanes)s) GROUP BY 1
)
SELECT c.id, c.tenant_id, c.status, c.status_reason, coalesce(c.status_since, c.created_at),
    b.opened_at, b.failures, b.last_error,
    coalesce(ended.ended, 0), coalesce(ended.failed, 0), ended.cause,
    coalesce(leased.jobs, 0) + waiting.jobs + arrived.events, least(leased.since, oldest.since), reading.at,
    c.metadata @> %(held)s::jsonb,
    s.error_rate_percent, s.error_rate_least, s.latency_minutes, s.queue_depth, s.stale_minutes
FROM crm_credentials c
JOIN tenants t ON t.id = c.tenant_id AND t.is_active
LEFT JOIN alert_settings s ON s.tenant_id = c.tenant_id
LEFT JOIN circuit_breakers b ON b.connection_id = c.id
LEFT JOIN ended ON ended.connection_id = c.id
LEFT JOIN leased ON leased.connection_id = c.id
CROSS JOIN LATERAL (
    SELECT count(*) AS jobs FROM (
        SELECT 1 FROM sync_jobs WHERE connection_id = c.id AND state = 'ready' AND lane = ANY(%(lanes)s) LIMIT %(most)s
    ) one
) waiting
CROSS JOIN LATERAL (
    SELECT count(*) AS events FROM (
        SELECT 1 FROM inbox_events WHERE connection_id = c.id AND state = 'received' LIMIT %(most)s
    ) one
) arrived
CROSS JOIN LATERAL (
    SELECT min(first.since) AS since FROM unnest(%(lanes)s::int[]) AS one(lane) CROSS JOIN LATERAL (
        SELECT CASE WHEN attempts = 0 AND cause = '' THEN greatest(not_before, coalesce(replayed_at, created_at))
            ELSE coalesce(replayed_at, created_at) END AS since
        FROM sync_jobs
        WHERE connection_id = c.id AND state = 'ready' AND lane = one.lane
            AND (not_before <= %(now)s OR attempts > 0 OR cause <> '')
        ORDER BY id LIMIT 1
    ) first
) oldest
CROSS JOIN LATERAL (
    SELECT greatest(max(complete_at), max(moved_at) FILTER (WHERE feed <> 'stream')) AS at
    FROM feed_cursors WHERE connection_id = c.id
) reading
WHERE c.status IN ('connected', 'needs_reconnecting')
"""
"""Jobs that are put off on purpose and were never tried are not late before their time; those that failed or were held up are. In
each lane the first in line is taken for the oldest. What failed of a silenced cause is left out. A feed that moves is being read,
however long its first load takes."""


@dataclass(frozen=True, slots=True)
class Look:
    """One connection as it is now, and its tenant's thresholds where there are some."""

    connection_id: UUID
    tenant_id: UUID
    status: str
    reason: str
    since: datetime
    breaker_opened_at: datetime | None
    breaker_failures: int | None
    breaker_error: str | None
    ended: int
    failed: int
    cause: str | None
    waiting: int
    oldest: datetime | None
    read_at: datetime | None
    is_held: bool
    """Its set-up waits for a person before the first load."""
    error_rate_percent: float | None
    error_rate_least: int | None
    latency_minutes: int | None
    queue_depth: int | None
    stale_minutes: int | None


@dataclass(frozen=True, slots=True)
class Found:
    kind: str
    tenant_id: UUID | None
    connection_id: UUID | None
    facts: dict[str, Any]

    @property
    def key(self) -> tuple[UUID | None, str]:
        return self.connection_id, self.kind


THRESHOLDS = ("error_rate_percent", "error_rate_least", "latency_minutes", "queue_depth", "stale_minutes")


def find(now: datetime) -> list[Found]:
    """Everything that is wrong, the site's own troubles included."""
    with tenancy.everyone():
        looks = _look(now)
        found = [one for look in looks for one in judge(look, now)]
        return [*_without_those_that_may_rest(found, now), *_workers(now)]


def _look(now: datetime) -> list[Look]:
    terms: dict[str, Any] = {
        "window": now - WINDOW, "now": now, "lanes": URGENT_LANES, "most": MOST_COUNTED, "for_good": queue.FOR_GOOD,
        "held": json.dumps({HELD: True}),
    }  # fmt: skip
    # Who is silenced is decided by the same rule as on the pages, here as part of the one statement.
    sql, values = (
        FailureCause.objects.filter(silent(now)).order_by().values("tenant_id", "fingerprint").query.sql_with_params()
    )
    named = {f"silent_{place}": value for place, value in enumerate(values)}
    statement = _LOOK.format(silent=sql % tuple(f"%({name})s" for name in named))
    with database.cursor() as cursor:
        cursor.execute(statement, terms | named)
        return [Look(*row) for row in cursor.fetchall()]


def judge(look: Look, now: datetime) -> Iterable[Found]:
    """What is wrong with one connection. Pure."""

    def found(kind: str, **facts: Any) -> Found:
        return Found(kind, look.tenant_id, look.connection_id, facts)

    if look.status == CrmConnection.Status.NEEDS_RECONNECTING:
        yield found(AlertKind.RECONNECT, reason=redact(look.reason)[:500], since=look.since.isoformat())
        return
    limits = _limits(look)
    if look.breaker_opened_at:
        error = redact(look.breaker_error or "")[:500]
        yield found(AlertKind.BREAKER, failures=look.breaker_failures or 0, error=error)
    percent = 100 * look.failed / look.ended if look.ended else 0.0
    if percent > limits["error_rate_percent"] and look.failed >= limits["error_rate_least"]:
        counted = {"failed": look.failed, "ended": look.ended, "cause": look.cause or ""}
        yield found(AlertKind.ERROR_RATE, percent=round(percent, 1), limit=limits["error_rate_percent"], **counted)
    # What piled up while the connection was paused or needed reconnecting is late from the moment it may run again.
    oldest = max(look.oldest, look.since) if look.oldest else now
    if now - oldest > timedelta(minutes=limits["latency_minutes"]):
        waits = {"oldest": oldest.isoformat(), "waiting": look.waiting}
        yield found(AlertKind.LATENCY, limit=limits["latency_minutes"], **waits)
    if look.waiting > limits["queue_depth"]:
        yield found(AlertKind.QUEUE, waiting=look.waiting, limit=limits["queue_depth"])
    read_at = max(filter(None, (look.read_at, look.since)))
    if not look.is_held and now - read_at > timedelta(minutes=limits["stale_minutes"]):
        last = look.read_at.isoformat() if look.read_at else ""
        yield found(AlertKind.STALE, read_at=last, since=read_at.isoformat(), limit=limits["stale_minutes"])


def _limits(look: Look) -> dict[str, Any]:
    defaults = {one.name: one.default for one in AlertSettings._meta.concrete_fields}
    told = {one.name: getattr(look, one.name) for one in fields(look) if one.name in THRESHOLDS}
    return {name: defaults[name] if value is None else value for name, value in told.items()}


def _without_those_that_may_rest(found: Sequence[Found], now: datetime) -> list[Found]:
    """A connection whose daily budget or quota is used up is not read until the next day, as somebody wanted it."""
    ids = [one.connection_id for one in found if one.kind == AlertKind.STALE and one.connection_id]
    if not ids:
        return list(found)
    usage, gauges = budgets.usage_of(ids, now), budgets.gauges_of(ids)
    rows = CrmConnection.objects.filter(pk__in=ids).select_related("tenant").only("settings", "tenant__timezone")
    resting = {
        row.pk for row in rows if budgets.day(row, usage.get(row.pk, ()), gauges.get(row.pk, ()), now).stopped_by
    }
    return [one for one in found if one.kind != AlertKind.STALE or one.connection_id not in resting]


def _workers(now: datetime) -> list[Found]:
    """Nobody at work anywhere. Workers that were stopped in good order take their sign of life away."""
    last = WorkerBeat.objects.filter(kind=WorkerBeat.Kind.WORKER).aggregate(last=Max("beaten_at"))["last"]
    if last is not None and now - last < WORKER_SILENT_AFTER:
        return []
    return [Found(AlertKind.WORKERS, None, None, {"last": last.isoformat() if last else ""})]
