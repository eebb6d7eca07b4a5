"""Dead jobs on their way back to work, many at a time: by tenant, cause and CRM, in a handful of statements.

Jobs of an account that another one has replaced stay dead whatever is asked. So does one whose twin is waiting already: the twin
does the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Count, Q, QuerySet

from sync import queue
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
    """`for_good`: left because their account was replaced. `twins`: left because the same is waiting already."""

    replayed: int = 0
    for_good: int = 0
    twins: int = 0


def dead(*, cause: str = "", provider: str = "", since: datetime | None = None) -> QuerySet[SyncJob]:
    """The dead jobs in the current scope."""
    wanted = Q(state=SyncJob.State.DEAD)
    if cause:
        wanted &= Q(cause=cause)
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
        replayed += _replay(ids)
        seen += len(ids)
        after = ids[-1]
    return Replayed(replayed, for_good, seen - replayed)


def _replay(ids: Sequence[int]) -> int:
    for attempt in range(1, TRIES + 1):
        try:
            with transaction.atomic():
                return queue.replay(SyncJob.objects.filter(pk__in=ids))
        except IntegrityError:
            if attempt == TRIES:
                raise
    return 0
