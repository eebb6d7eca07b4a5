"""The job table: what has to be done, by whom it is being done, and what became of it.

Claiming counts the attempt and commits before any work starts, so a job that kills its worker is counted like any other. A
lease that runs out puts its jobs back. Waking a worker is a hint and may be lost or doubled; `wake_due` finds what was missed.
"""

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import connection as database
from django.db import models, transaction
from django.db.models.functions import Now
from django.dispatch import Signal
from django.utils import timezone
from django_q.tasks import async_task

from integrations import prepared, tenancy
from integrations.models import CrmConnection
from integrations.tenancy import refuse_other_tenant
from sync.bulk import upsert
from sync.causes import noting
from sync.causes.common import ACCOUNT_REPLACED
from sync.models import Lane, SyncJob

WORK_TASK = "sync.tasks.work"
LOST_WAKE_UP = timedelta(seconds=30)
"""A wake-up that nobody answered for so long counts as lost, if nobody else was served meanwhile either."""


FOR_GOOD = ACCOUNT_REPLACED
"""Cause of dead jobs that must never be tried again: their account is gone, and their ids mean others in the new one."""


jobs_ended = Signal()
"""Sent in the transaction that writes down that `jobs` are done or dead."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Jobs of one kind that this process may work on until the lease runs out."""

    token: uuid.UUID
    claimed_at: datetime
    jobs: Sequence[SyncJob]

    def tried_before(self, job: SyncJob) -> datetime | None:
        """When an earlier attempt that may have reached the CRM began; None for a job that certainly has not."""
        first = job.first_attempt_at
        return first if first is not None and first < self.claimed_at else None


@dataclass(slots=True)
class Outcome:
    """What became of one job of a claim."""

    job: SyncJob
    state: str
    wait: float = 0.0
    """Seconds until the next try, when `state` is ready."""
    counts: bool = True
    """Whether this was an attempt; being told to slow down is not."""
    maybe_written: bool = False
    cause: str = ""
    error: str = ""
    detail: str = ""
    code: str = ""
    fields: Sequence[str] = ()
    """The vendor's error code and the fields at fault, where they are known apart from the text."""
    payload: dict[str, Any] | None = field(default=None)


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be added, without the cost of a model's row: each posted call makes several."""

    tenant_id: uuid.UUID
    connection_id: uuid.UUID
    kind: str
    key: str
    lane: int
    local_record_id: uuid.UUID | None = None
    payload: dict[str, Any] = field(default_factory=dict)
    run_id: int | None = None
    not_before: datetime | None = None


_ENQUEUE = """
WITH given AS MATERIALIZED (
    SELECT nextval(pg_get_serial_sequence('sync_jobs', 'id')) AS id, one.* FROM json_to_recordset(%s::json) AS one (
        tenant_id uuid, connection_id uuid, kind text, key text, local_record_id uuid, payload jsonb, lane smallint,
        run_id bigint, not_before timestamptz
    )
)
INSERT INTO sync_jobs AS waiting (
    id, tenant_id, connection_id, kind, key, local_record_id, payload, lane, run_id, not_before,
    state, attempts, cause, error, error_detail
)
SELECT
    id, tenant_id, connection_id, kind, key, local_record_id, payload, lane, run_id,
    coalesce(not_before, statement_timestamp()), 'ready', 0, '', '', ''
FROM given
ORDER BY connection_id, kind, key
ON CONFLICT (connection_id, kind, key) WHERE state = 'ready' DO UPDATE SET
    lane = least(waiting.lane, excluded.lane),
    run_id = coalesce(waiting.run_id, excluded.run_id),
    not_before = CASE
        WHEN excluded.lane = %s OR (waiting.attempts = 0 AND waiting.cause = '')
        THEN least(waiting.not_before, excluded.not_before) ELSE waiting.not_before END
"""
"""Writing the twin holds it: else a worker could take it, read what we have not committed yet as it was before, and be done. All
lock in the same order, so that nobody waits in a circle; the place in line is that in which the jobs were given."""


def enqueue(jobs: Iterable[SyncJob | NewJob]) -> None:
    """Adds jobs in the caller's transaction and wakes their connections once it commits. The rows given are not filled in.

    A job whose twin (same connection, kind and key) is already waiting is left out: the twin will do. It moves to the better
    lane and the earlier time of the two; only a "do not call" ends the pause after a failure.
    """
    rows: dict[tuple[uuid.UUID, str, str], SyncJob | NewJob] = {}
    for row in sorted(jobs, key=lambda one: one.lane):
        rows.setdefault((row.connection_id, row.kind, row.key), row)
    if not rows:
        return
    prepared.run(_ENQUEUE, [json.dumps([_given(row) for row in rows.values()], default=str), int(Lane.DO_NOT_CALL)])
    for connection_id in {row.connection_id for row in rows.values()}:
        transaction.on_commit(partial(wake, connection_id))


def _given(row: SyncJob | NewJob) -> dict[str, Any]:
    refuse_other_tenant(row)
    given = {name: getattr(row, name) for name in _GIVEN}
    return given | {"not_before": row.not_before if isinstance(row.not_before, datetime) else None}


_GIVEN = ("tenant_id", "connection_id", "kind", "key", "local_record_id", "payload", "lane", "run_id")


_WAKE = """
UPDATE crm_credentials SET wake_requested_at = statement_timestamp()
WHERE id = %(connection)s AND (wake_requested_at IS NULL OR (
    wake_requested_at < statement_timestamp() - %(lost)s
    AND NOT EXISTS (SELECT 1 FROM crm_credentials served WHERE served.served_at >= statement_timestamp() - %(lost)s)
))
"""
"""Every stored call and change asks this: it is `_lost` in words that nobody has to compile each time."""


def wake(connection_id: uuid.UUID) -> bool:
    """Sends a worker to this connection, unless one is on its way already."""
    terms: dict[str, Any] = {"connection": connection_id, "lost": LOST_WAKE_UP}
    with prepared.cursor() as cursor:
        cursor.execute(_WAKE, terms)
        asked = bool(cursor.rowcount)
    if asked:
        async_task(WORK_TASK, str(connection_id))
    return asked


def _lost() -> models.Q:
    """While others take their turns the line only is long: more tasks would not make it shorter."""
    lately = CrmConnection.objects.filter(served_at__gte=Now() - LOST_WAKE_UP)
    return models.Q(~models.Exists(lately), wake_requested_at__lt=Now() - LOST_WAKE_UP)


def answer_wake_up(connection_id: uuid.UUID) -> None:
    """To be called before looking for work, so that work added meanwhile asks for another wake-up."""
    CrmConnection.objects.filter(pk=connection_id).update(wake_requested_at=None)


def wake_due() -> int:
    """Wakes every connection with work that is due: what was lost, and what waited for its time. Returns how many."""
    with tenancy.everyone():
        due = (
            CrmConnection.objects.filter(status=CrmConnection.Status.CONNECTED)
            .filter(
                models.Exists(
                    SyncJob.objects.filter(connection=models.OuterRef("pk"), state="ready", not_before__lte=Now())
                )
            )
            .filter(models.Q(wake_requested_at=None) | _lost())
            .values_list("pk", flat=True)
        )
        return sum(wake(connection_id) for connection_id in list(due))


def release_expired() -> int:
    """Puts back the jobs of workers that died or hung. Returns how many."""
    with tenancy.everyone(), transaction.atomic():
        lost = list(
            SyncJob.objects.select_for_update(skip_locked=True).filter(state="leased", lease_until__lt=Now())[:1000]
        )
        for row in lost:
            row.state, row.lease_token, row.lease_until = SyncJob.State.READY, None, None
        _yield_to_twins(lost)
        upsert(SyncJob, lost, _SETTLED_FIELDS)
    return len(lost)


def _yield_to_twins(rows: Sequence[SyncJob]) -> None:
    """A row on its way back that has a newer twin waiting ends instead; the twin inherits that it may be written already."""
    again = {(row.connection_id, row.kind, row.key): row for row in rows if row.state == SyncJob.State.READY}
    twins = [
        twin
        for twin in SyncJob.objects.select_for_update().filter(
            state="ready", key__in=[row.key for row in again.values()]
        )
        if (twin.connection_id, twin.kind, twin.key) in again
    ]
    for twin in twins:
        row = again[twin.connection_id, twin.kind, twin.key]
        row.state, row.finished_at = SyncJob.State.DONE, timezone.now()
        twin.first_attempt_at = row.first_attempt_at or twin.first_attempt_at
    upsert(SyncJob, twins, ["first_attempt_at"])


_CLAIM = """
WITH next AS (
    SELECT id FROM sync_jobs
    WHERE connection_id = %(connection)s AND state = 'ready' AND kind = %(kind)s AND not_before <= clock_timestamp()
      AND lane <= %(last_lane)s
      AND key <> ALL (ARRAY(
        SELECT key FROM sync_jobs WHERE connection_id = %(connection)s AND kind = %(kind)s AND state = 'leased'
      ))
    ORDER BY lane, id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE sync_jobs SET
    state = 'leased', lease_token = %(token)s, attempts = attempts + 1,
    lease_until = clock_timestamp() + make_interval(secs => %(lease)s),
    first_attempt_at = coalesce(first_attempt_at, %(now)s)
FROM next WHERE sync_jobs.id = next.id
RETURNING sync_jobs.id
"""
"""The busy keys are gathered once. As a join they would be looked for anew for each of a flood's jobs, whenever the table was empty
when its statistics were made. For the same reason the plan isn't kept."""


def next_in_line(connection_id: uuid.UUID) -> tuple[str, int] | None:
    """Kind and lane of the job that is first in line, lanes before age."""
    first: tuple[str, int] | None = (
        SyncJob.objects.filter(connection_id=connection_id, state="ready", not_before__lte=Now())
        .order_by("lane", "id")
        .values_list("kind", "lane")
        .first()
    )
    return first


def claim(
    connection_id: uuid.UUID, kind: str, limit: int, *, last_lane: int = Lane.BACKFILL, joins: Claim | None = None
) -> Claim:
    """Takes up to `limit` due jobs of this kind, of lanes up to `last_lane`, and counts the attempt. Commits at once.

    `joins` is a claim whose token the jobs are to share; only the new ones are given.
    """
    token = joins.token if joins else uuid.uuid4()
    with transaction.atomic(), database.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now = cursor.fetchone()[0]
        cursor.execute(
            _CLAIM,
            {
                "connection": connection_id,
                "kind": kind,
                "limit": limit,
                "last_lane": last_lane,
                "token": token,
                "lease": settings.JOB_LEASE_SECONDS,
                "now": now,
            },
        )
        ids = [row[0] for row in cursor.fetchall()]
    jobs = list(SyncJob.objects.filter(pk__in=ids).order_by("lane", "id")) if ids else []
    return Claim(token, now, jobs)


def settle(claimed: Claim, outcomes: Sequence[Outcome]) -> None:
    """Writes what became of the jobs, in the caller's transaction. A job whose lease was lost meanwhile is left alone."""
    held = {
        job.pk: job
        for job in SyncJob.objects.select_for_update().filter(
            pk__in=[outcome.job.pk for outcome in outcomes], lease_token=claimed.token
        )
    }
    now = _now() if any(outcome.wait for outcome in outcomes) else timezone.now()
    rows = [_settled(held[outcome.job.pk], outcome, claimed, now) for outcome in outcomes if outcome.job.pk in held]
    ended = [row for row in rows if row.state != SyncJob.State.READY]
    _yield_to_twins(rows)
    dead = [row for row in rows if row.state == SyncJob.State.DEAD]
    noting.mark(dead, {one.job.pk: (one.code, one.fields) for one in outcomes})
    upsert(SyncJob, rows, _SETTLED_FIELDS)
    jobs_ended.send(settle, jobs=ended)


_SETTLED_FIELDS = [
    "state", "lease_token", "lease_until", "attempts", "first_attempt_at", "not_before", "cause", "error", "error_detail",
    "finished_at", "payload", "fingerprint",
]  # fmt: skip


def _now() -> datetime:
    """By the database's clock: by this machine's a pause may end too early, and a lost answer be looked for before it is there."""
    with database.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
        return now


def _settled(row: SyncJob, outcome: Outcome, claimed: Claim, now: datetime) -> SyncJob:
    row.state = outcome.state
    row.lease_token = None
    row.lease_until = None
    row.cause, row.error, row.error_detail = outcome.cause, outcome.error, outcome.detail
    if not outcome.counts:
        row.attempts -= 1
    if not outcome.maybe_written and row.first_attempt_at is not None and row.first_attempt_at >= claimed.claimed_at:
        row.first_attempt_at = None
    if outcome.payload is not None:
        row.payload = outcome.payload
    if outcome.state == SyncJob.State.READY:
        if outcome.wait > 0:  # else it keeps its place in line
            row.not_before = now + timedelta(seconds=outcome.wait)
    else:
        row.finished_at = now
    return row


def replay(jobs: models.QuerySet[SyncJob]) -> int:
    """Puts dead jobs back to work, with fresh attempts. Returns how many."""
    rows = list(jobs.filter(state=SyncJob.State.DEAD).exclude(cause=FOR_GOOD))
    waiting = set(
        SyncJob.objects.filter(state__in=["ready", "leased"], key__in=[row.key for row in rows]).values_list(
            "connection_id", "kind", "key"
        )
    )
    chosen: dict[tuple[Any, str, str], SyncJob] = {}
    for row in rows:
        identity = (row.connection_id, row.kind, row.key)
        if identity not in waiting:
            chosen[identity] = row
    ids = [row.pk for row in chosen.values()]
    done = SyncJob.objects.filter(pk__in=ids, state=SyncJob.State.DEAD).update(
        state=SyncJob.State.READY, attempts=0, not_before=Now(), finished_at=None, replayed_at=Now()
    )
    for connection_id in {row.connection_id for row in chosen.values()}:
        transaction.on_commit(partial(wake, connection_id))
    return done
