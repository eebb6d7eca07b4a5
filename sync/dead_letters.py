"""Dead jobs on their way back to work, many at a time: by tenant, cause and CRM, in a handful of statements.

Jobs of an account that another one has replaced stay dead whatever is asked. One whose twin is waiting ends, if the twin does all
that it would have done; a contact whose every change was refused is so tried once, and its other dead jobs are over with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Now

from sync import queue
from sync.bulk import update
from sync.models import SyncJob

AT_ONCE = 5000
TRIES = 3
"""Of a batch whose twins were added at the very same moment."""


@dataclass(frozen=True, slots=True)
class Pile:
    """Dead jobs that have the cause, the kind of CRM and the tenant in common."""

    tenant: str
    provider: str
    cause: str
    count: int

    @property
    def for_good(self) -> bool:
        return self.cause == queue.FOR_GOOD


@dataclass(frozen=True, slots=True)
class Replayed:
    """`for_good`: left because their account was replaced. `twins`: not tried because the same is waiting already."""

    replayed: int = 0
    for_good: int = 0
    twins: int = 0


def dead(
    *, cause: str = "", provider: str = "", since: datetime | None = None, fingerprint: str = ""
) -> QuerySet[SyncJob]:
    """The dead jobs in the current scope."""
    wanted = Q(state=SyncJob.State.DEAD)
    if cause:
        wanted &= Q(cause=cause)
    if fingerprint:
        wanted &= Q(fingerprint=fingerprint)
    if provider:
        wanted &= Q(connection__provider=provider)
    if since:
        wanted &= Q(finished_at__gte=since)
    rows: QuerySet[SyncJob] = SyncJob.objects.filter(wanted)
    return rows


def piles(jobs: QuerySet[SyncJob]) -> list[Pile]:
    names = ("tenant__slug", "connection__provider", "cause")
    counted = jobs.filter(state=SyncJob.State.DEAD).order_by().values(*names).annotate(count=Count("pk"))
    rows = counted.order_by("-count", *names)
    return [Pile(one["tenant__slug"], one["connection__provider"], one["cause"], one["count"]) for one in rows]


def replay(jobs: QuerySet[SyncJob]) -> Replayed:
    """Puts the dead ones among these jobs back to work, with fresh attempts, and wakes their connections."""
    rows = jobs.filter(state=SyncJob.State.DEAD)
    for_good = rows.filter(cause=queue.FOR_GOOD).count()
    rows = rows.exclude(cause=queue.FOR_GOOD).order_by("pk")
    replayed = seen = after = 0
    while ids := list(rows.filter(pk__gt=after).values_list("pk", flat=True)[:AT_ONCE]):
        replayed += replay_these(ids)
        seen += len(ids)
        after = ids[-1]
    return Replayed(replayed, for_good, seen - replayed)


def _end_for_twins(ids: Sequence[int]) -> None:
    """Ends what is left of these where a waiting twin does all of it. What they may have written already, it has to look up."""
    left = list(SyncJob.objects.filter(pk__in=ids, state=SyncJob.State.DEAD).exclude(cause=queue.FOR_GOOD))
    if not left:
        return
    waiting = SyncJob.objects.select_for_update().filter(state=SyncJob.State.READY, key__in=[row.key for row in left])
    twins = {(row.connection_id, row.kind, row.key): row for row in waiting.order_by("pk")}
    ended = []
    for row in left:
        twin = twins.get((row.connection_id, row.kind, row.key))
        if twin is not None and _does_all(twin, row):
            twin.first_attempt_at = min(filter(None, (row.first_attempt_at, twin.first_attempt_at)), default=None)
            ended.append(row.pk)
    update(SyncJob, list(twins.values()), ["first_attempt_at"])
    SyncJob.objects.filter(pk__in=ended).update(state=SyncJob.State.DONE, finished_at=Now())


def _does_all(twin: SyncJob, row: SyncJob) -> bool:
    return all(name in twin.payload and twin.payload[name] == value for name, value in row.payload.items())


def replay_these(ids: Sequence[int]) -> int:
    """Puts these back to work, in one transaction. Returns how many."""
    for attempt in range(1, TRIES + 1):
        try:
            with transaction.atomic():
                done = queue.replay(SyncJob.objects.filter(pk__in=ids))
                _end_for_twins(ids)
                return done
        except IntegrityError:
            if attempt == TRIES:
                raise
    return 0
