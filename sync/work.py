"""Works jobs: claim a batch of one connection, do it, write down what became of it; for a while, then let others go.

Workers `serve` whoever's turn it is (see `sync.lanes`); a command works the one connection that it was asked for.

What an error means for a job is decided here and nowhere else: slow down, try later, look it up first, stop the connection,
or lay it aside for a person.
"""

import logging
import random
import time
from collections import Counter
from dataclasses import replace
from uuid import UUID

from django.conf import settings
from django.db import reset_queries, transaction
from django_q.tasks import async_task

from integrations import errors, exchanges, tenancy, tracing
from integrations.crm import open_crm
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.registry import provider_class
from integrations.transport import retry
from integrations.transport.client import WORKER, CrmApi, Patience
from sync import lanes, queue
from sync.bulk import upsert
from sync.causes.common import code_of
from sync.handlers import HURRIED, Result, handler_of
from sync.models import Lane, SyncJob, SyncRecord
from sync.queue import Claim, Outcome

log = logging.getLogger("dialbridge.work")
steps = logging.getLogger("dialbridge.jobs")

SLICE_SECONDS = 10.0
"""How long one task may keep a worker before other tasks, such as the clock's, get their turn."""
MOST_TRACED = 50
STANDSTILL_PAUSE = 900.0
"""Seconds until an account that lets nobody in is tried again."""
LOCKED_PAUSE = 0.2
"""Seconds until another look at a line in which all connections are locked, by a renewal of their tokens for instance."""
LINK_FIELDS = [
    "connection", "local_record_id", "local_table", "sync_status", "last_synced_at", "metadata", "url", "updated_at",
]  # fmt: skip


def serve(*, seconds: float = SLICE_SECONDS, patience: Patience = WORKER) -> Counter[str]:
    """Takes turns for about `seconds`, or until one of the connections has nothing left to do. Returns outcomes by state."""
    done: Counter[str] = Counter()
    started = time.monotonic()
    opened: Opened = {}
    last: UUID | None = None
    with tenancy.everyone():
        while time.monotonic() - started < seconds:
            connection_id = lanes.next_turn() or last
            if connection_id is not None:
                if not _take_turn(connection_id, patience, opened, done):
                    return done
                last = connection_id
            elif lanes.anybody_waits():
                time.sleep(LOCKED_PAUSE)
            else:
                return done
    async_task(queue.WORK_TASK)
    return done


def _take_turn(connection_id: UUID, patience: Patience, opened: "Opened", done: Counter[str]) -> bool:
    """One batch. False when the connection has no more to do now."""
    connection = CrmConnection.objects.select_related("tenant").get(pk=connection_id)
    if connection.status != CrmConnection.Status.CONNECTED:
        return False
    with tenancy.scope(connection.tenant_id):
        first = queue.next_in_line(connection_id)
        outcomes = _one_batch(connection, *first, patience, opened) if first else []
        done.update(outcome.state for outcome in outcomes)
        if not outcomes or any(map(_ends_the_slice, outcomes)):
            return False
        if queue.next_in_line(connection_id) is None:
            return False
        lanes.stay_in_line(connection_id)
        return True


def work(connection_id: UUID, *, seconds: float = SLICE_SECONDS, patience: Patience = WORKER) -> Counter[str]:
    """Does this connection's due jobs for about `seconds`; what is left is woken again. Returns outcomes by state."""
    done: Counter[str] = Counter()
    with tenancy.everyone():
        connection = CrmConnection.objects.select_related("tenant").filter(pk=connection_id).first()
    if connection is None:
        return done
    with tenancy.scope(connection.tenant_id):
        queue.answer_wake_up(connection_id)
        started = time.monotonic()
        opened: Opened = {}
        while time.monotonic() - started < seconds:
            connection.refresh_from_db(fields=["status"])
            first = queue.next_in_line(connection_id) if connection.is_usable else None
            if first is None:
                return done
            kind, lane = first
            outcomes = _one_batch(connection, kind, lane, patience, opened)
            done.update(outcome.state for outcome in outcomes)
            if not outcomes or any(map(_ends_the_slice, outcomes)):
                return done
            if lane >= Lane.BACKFILL:
                break  # a slice of a long load is long enough: whoever waits for a worker goes first
    queue.wake(connection_id)
    return done


Opened = dict[tuple[UUID, str, int], tuple[CrmProvider, CrmApi]]
"""By connection, kind and lane: what a client has read of the CRM's schema serves all batches of a slice."""


def _one_batch(connection: CrmConnection, kind: str, lane: int, patience: Patience, opened: Opened) -> list[Outcome]:
    """A batch has the share of the quotas of its first job's lane. What must not wait travels by itself, past the breaker."""
    handler = handler_of(kind)
    urgent = lane == Lane.DO_NOT_CALL
    size = handler.batch_size(provider_class(connection.provider))
    claimed = queue.claim(connection.pk, kind, size, last_lane=lane if urgent else Lane.BACKFILL)
    if not claimed.jobs:
        return []
    with tracing.about(**_trace(connection, claimed)):
        outcomes = _do(connection, claimed, lane, patience, opened)
        steps.info("%s jobs of kind %s: %s", len(outcomes), kind, dict(Counter(one.state for one in outcomes)))
    return outcomes


def _trace(connection: CrmConnection, claimed: Claim) -> dict[str, object]:
    """What the log says beside every line about these jobs."""
    first = claimed.jobs[0]
    records = [str(job.local_record_id) for job in claimed.jobs[:MOST_TRACED] if job.local_record_id]
    found = {"jobs": [job.pk for job in claimed.jobs[:MOST_TRACED]], "records": records, "run": first.run_id}
    told = {name: value for name, value in found.items() if value}
    return {"connection": str(connection.pk), "provider": connection.provider, "kind": first.kind, **told}


def _do(connection: CrmConnection, claimed: Claim, lane: int, patience: Patience, opened: Opened) -> list[Outcome]:
    kind = claimed.jobs[0].kind
    handler = handler_of(kind)
    key = (connection.pk, kind, lane)
    if key not in opened:
        held_up = replace(patience, turn=0.0) if kind in HURRIED else patience
        opened[key] = open_crm(connection, lanes.patience_for(lane, held_up))
    provider, api = opened[key]
    calls_before = api.calls
    pause = unknown_pause(connection, provider)
    try:
        with exchanges.noted({job.local_record_id or f"job:{job.pk}" for job in claimed.jobs}):
            result = handler.work(provider, claimed)
    except errors.CrmError as error:
        # The batch broke off somewhere: once anything was sent, some of its jobs may be written already.
        outcomes = [judge(job, error, pause) for job in claimed.jobs]
        result = Result([replace(one, maybe_written=one.maybe_written or api.calls > calls_before) for one in outcomes])
    except Exception as error:
        log.exception("A job of kind %s failed in our own code", kind)
        result = Result([_our_fault(job, error) for job in claimed.jobs])
    try:
        _write_down(claimed, result)
    except Exception as error:
        log.exception("What became of jobs of kind %s could not be written down", kind)
        result = Result([_our_fault(job, error) for job in claimed.jobs])
        _write_down(claimed, result)
    if settings.DEBUG:
        reset_queries()  # Django notes every statement, for as long as a process works
    return list(result.outcomes)


def _write_down(claimed: Claim, result: Result) -> None:
    with transaction.atomic():
        upsert(
            SyncRecord, result.links, LINK_FIELDS, key=["tenant", "crm_provider", "crm_object_type", "crm_record_id"]
        )
        if result.after:
            result.after()
        queue.settle(claimed, result.outcomes)


def _ends_the_slice(outcome: Outcome) -> bool:
    """Told to slow down, or told that the credential is dead: nothing else of this connection would fare better now."""
    return not outcome.counts and (outcome.wait > 0 or bool(outcome.cause))


def unknown_pause(connection: CrmConnection, provider: CrmProvider) -> float:
    """Seconds before a write without an answer is looked for: the connection's own, or what its CRM may take to show it."""
    return float(connection.settings.get("unknown_outcome_pause", provider.unknown_outcome_pause))


def judge(job: SyncJob, error: errors.CrmError, unknown_pause: float = 0.0) -> Outcome:
    """What an error means for a job."""
    facts = {
        "cause": error.cause, "error": error.message, "detail": error.detail, "code": code_of(error), "fields": error.fields,
    }  # fmt: skip
    if isinstance(error, errors.Throttled):
        return Outcome(job, "ready", wait=max(error.after or 0.0, 1.0), counts=False, **facts)  # type: ignore[arg-type]
    if isinstance(error, errors.Reconnect):
        # The connection stops; its work waits until somebody connects it again. No pause, so that its order stays.
        return Outcome(job, "ready", counts=False, **facts)  # type: ignore[arg-type]
    if isinstance(error, errors.Standstill):
        # Nothing else of this connection would fare better; that it has been mended, nobody tells us but a try.
        return Outcome(job, "ready", wait=STANDSTILL_PAUSE, counts=False, **facts)  # type: ignore[arg-type]
    if isinstance(error, errors.Retry | errors.Stale):
        if retry.exhausted(job.attempts):
            return Outcome(job, "dead", maybe_written=True, **facts)  # type: ignore[arg-type]
        unknown = isinstance(error, errors.OutcomeUnknown)
        wait = retry.delay(job.attempts, after=getattr(error, "after", None), random=random.random())  # noqa: S311
        return Outcome(
            job,
            "ready",
            wait=max(wait, unknown_pause if unknown else 0.0),
            maybe_written=unknown,
            **facts,  # type: ignore[arg-type]
        )
    return Outcome(job, "dead", **facts)  # type: ignore[arg-type]


def _our_fault(job: SyncJob, error: Exception) -> Outcome:
    if not retry.exhausted(job.attempts):
        wait = retry.delay(job.attempts, random=random.random())  # noqa: S311
        return Outcome(
            job, "ready", wait=wait, maybe_written=True, cause="internal", error=_INTERNAL, detail=repr(error)[:500]
        )
    return Outcome(job, "dead", maybe_written=True, cause="internal", error=_INTERNAL, detail=repr(error)[:500])


_INTERNAL = "Something in Dialbridge itself failed. Support has been told by the log; the job can be tried again."
