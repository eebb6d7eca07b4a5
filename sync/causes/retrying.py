"""What people do about a cause: try one job again, try all, or dismiss them. Each asking is kept, with who and why.

Trying all again goes on in the background where it takes longer than a moment: an open `FailureAction` says how far it has come,
so whoever goes on with it, and however often one is interrupted, no job is taken twice. Jobs that fail again belong to the same
batch and stay out of it.
"""

import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Max, Q, QuerySet
from django.utils import timezone
from django_q.tasks import async_task

from integrations import tenancy
from sync import dead_letters, inbox, queue
from sync.causes.counting import alive
from sync.models import FailureAction, FailureCause, InboxEvent, SyncJob

TASK = "sync.tasks.go_on_replaying"
PATIENCE = 1.5
"""Seconds for which the person who asked waits for the page."""
AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class Progress:
    """Of a batch, in the current scope. `asked`: jobs that went back to work so far."""

    what: str
    by: str
    at: datetime
    asked: int
    waiting: int
    done: int
    failed: int
    events: int
    left: int
    problem: str
    """What one of those that failed again died of."""
    handed_over: bool

    @property
    def finished(self) -> bool:
        return self.handed_over and not self.waiting


def dead_of(fingerprint: str) -> QuerySet[SyncJob]:
    """The dead jobs of a cause in the current scope that may be tried again."""
    return dead_letters.dead(fingerprint=fingerprint).exclude(cause=queue.FOR_GOOD)


def failed_events_of(fingerprint: str) -> QuerySet[InboxEvent]:
    rows: QuerySet[InboxEvent] = InboxEvent.objects.filter(state=InboxEvent.State.FAILED, fingerprint=fingerprint)
    return rows


def tenants_of(fingerprint: str) -> list[UUID]:
    """Those in the current scope for whom something of the cause needs help, who met it last first."""
    rows = FailureCause.objects.filter(fingerprint=fingerprint).filter(alive())
    return list(rows.order_by("-last_seen", "pk").values_list("tenant_id", flat=True))


def try_one(fingerprint: str, by: str, about: str = "") -> UUID | None:
    """Puts the newest dead job of the cause back to work. None when there is none."""
    with transaction.atomic():
        found = (dead_of(fingerprint).filter(tenant_id=one).order_by("-pk").first() for one in tenants_of(fingerprint))
        job = next((one for one in found if one is not None), None)
        if job is None:
            return None
        moved = _replay([job.pk], batch := uuid.uuid4())
        FailureAction.objects.create(
            tenant_id=job.tenant_id, batch=batch, fingerprint=fingerprint, what=FailureAction.What.TRY, about=about, by=by,
            after=job.pk, jobs=moved, left=1 - moved, finished_at=timezone.now(),
        )  # fmt: skip
    return batch


def replay_all(fingerprint: str, by: str, about: str = "") -> UUID:
    """Begins to put everything back to work that died of this in the current scope; goes on in the background if need be."""
    batch = _open(fingerprint, FailureAction.What.REPLAY, by, about)
    if go_on(FailureAction.objects.filter(batch=batch), seconds=PATIENCE):
        transaction.on_commit(lambda: async_task(TASK))
    return batch


def dismiss(fingerprint: str, by: str, reason: str, about: str = "") -> UUID:
    """Lays aside for good, in the current scope, what died of this. The records stay as they are, here and in the CRM."""
    batch = _open(fingerprint, FailureAction.What.DISMISS, by, about, reason)
    if go_on(FailureAction.objects.filter(batch=batch), seconds=PATIENCE):
        transaction.on_commit(lambda: async_task(TASK))
    return batch


def dismiss_one(job: SyncJob, by: str, reason: str, about: str = "") -> None:
    with transaction.atomic():
        batch = uuid.uuid4()
        count = _dismissed_jobs(SyncJob.objects.filter(pk=job.pk, state=SyncJob.State.DEAD), batch)
        FailureAction.objects.create(
            tenant_id=job.tenant_id, batch=batch, fingerprint=job.fingerprint, what=FailureAction.What.DISMISS, about=about,
            reason=reason, by=by, after=job.pk, jobs=count, finished_at=timezone.now(),
        )  # fmt: skip


def progress(batch: UUID) -> Progress | None:
    """How far a batch is; None when nothing of it is in the current scope."""
    actions = list(FailureAction.objects.filter(batch=batch))
    if not actions:
        return None
    counted = SyncJob.objects.filter(batch=batch).order_by().values_list("state")
    found = list(counted.annotate(many=Count("pk"), problem=Max("error", filter=Q(state="dead"))))
    states: Counter[str] = Counter({state: count for state, count, _error in found})
    asked = sum(one.jobs for one in actions)
    return Progress(
        what=actions[0].what,
        by=actions[0].by,
        at=actions[0].asked_at,
        asked=asked,
        waiting=states["ready"] + states["leased"],
        done=states["done"],
        failed=states["dead"],
        events=sum(one.events for one in actions),
        left=sum(one.left for one in actions),
        problem=next((error for _state, _count, error in found if error), ""),
        handed_over=all(one.finished_at for one in actions),
    )


def go_on(actions: QuerySet[FailureAction] | None = None, *, seconds: float = 20.0) -> bool:
    """Goes on with what was asked for, in short transactions. True when time was up before the end."""
    until = time.monotonic() + seconds
    found = FailureAction.objects.all() if actions is None else actions
    for pk in list(found.filter(finished_at=None).order_by("pk").values_list("pk", flat=True)):
        while True:
            with transaction.atomic():
                locked = FailureAction.objects.select_for_update(skip_locked=True).filter(pk=pk, finished_at=None)
                action = locked.first()
                if action is None:
                    break
                _step(action)
            if time.monotonic() > until:
                return bool(found.filter(finished_at=None).exists())
    return False


# --- one step ---------------------------------------------------------------------------------------------------------


def _step(action: FailureAction) -> None:
    """Some thousand jobs; without any left, the events; then it is finished."""
    with tenancy.scope(action.tenant_id):
        dismissing = action.what == FailureAction.What.DISMISS
        jobs = _still_dead(action, for_good=dismissing)
        ids = list(jobs.order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
        if ids:
            rows = SyncJob.objects.filter(pk__in=ids)
            moved = _dismissed_jobs(rows, action.batch) if dismissing else _replay(ids, action.batch)
            action.after, action.jobs, action.left = ids[-1], action.jobs + moved, action.left + len(ids) - moved
        else:
            events = failed_events_of(action.fingerprint).filter(received_at__lte=action.asked_at)
            chosen = list(events.order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
            rows_of = InboxEvent.objects.filter(pk__in=chosen)
            action.events += _dismissed_events(rows_of, action) if dismissing else inbox.work_again(rows_of)
            action.finished_at = timezone.now() if len(chosen) < AT_ONCE else None
        action.save()


def _still_dead(action: FailureAction, *, for_good: bool) -> QuerySet[SyncJob]:
    rows = dead_letters.dead(fingerprint=action.fingerprint) if for_good else dead_of(action.fingerprint)
    return rows.filter(pk__gt=action.after, finished_at__lte=action.asked_at).exclude(batch=action.batch)


def _replay(ids: Sequence[int], batch: UUID) -> int:
    with transaction.atomic():
        dead_letters.replay_these(ids)
        rows = SyncJob.objects.filter(pk__in=ids)
        rows.filter(state=SyncJob.State.READY).update(batch=batch)
        return rows.exclude(state=SyncJob.State.DEAD).count()


def _dismissed_jobs(jobs: QuerySet[SyncJob], batch: UUID) -> int:
    return jobs.filter(state=SyncJob.State.DEAD).update(
        state=SyncJob.State.DISMISSED, batch=batch, finished_at=timezone.now()
    )


def _dismissed_events(events: QuerySet[InboxEvent], action: FailureAction) -> int:
    note = f"Dismissed by {action.by}: {action.reason}"
    return events.filter(state=InboxEvent.State.FAILED).update(
        state=InboxEvent.State.WORKED, worked_at=timezone.now(), note=note
    )


def _open(fingerprint: str, what: str, by: str, about: str, reason: str = "") -> UUID:
    """A row for each tenant of the current scope that has something of it."""
    batch, now = uuid.uuid4(), timezone.now()
    asked = {"batch": batch, "fingerprint": fingerprint, "what": what, "about": about, "reason": reason, "by": by}
    rows = [FailureAction(tenant_id=one, asked_at=now, **asked) for one in tenants_of(fingerprint)]
    FailureAction.objects.bulk_create(rows)
    return batch
