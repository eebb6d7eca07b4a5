"""What fails now, as one pile for each cause over all tenants of the current scope, in a fixed number of quick statements.

Dead jobs are counted by an index, each cause of a tenant no further than a limit, so that the page of a hundred thousand
failures opens like that of ten.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection as database
from django.db.models import F, OuterRef, Q
from django.utils import timezone

from integrations.models import Tenant
from sync.causes.common import ACCOUNT_REPLACED
from sync.looking_up import is_there
from sync.models import FailureCause, InboxEvent, SyncJob

COUNTED = 10_000
"""Of a cause of a tenant; more is shown as "more than"."""
MOST_ROWS = 500
HOURS = 24
_COUNTS = """
SELECT known.id,
    (SELECT count(*) FROM (
        SELECT 1 FROM sync_jobs job
        WHERE job.state = 'dead' AND job.tenant_id = known.tenant_id AND job.fingerprint = known.fingerprint LIMIT %(limit)s
    ) found),
    (SELECT count(*) FROM (
        SELECT 1 FROM inbox_events event
        WHERE event.state = 'failed' AND event.tenant_id = known.tenant_id AND event.fingerprint = known.fingerprint
        LIMIT %(limit)s
    ) found),
    (SELECT array_agg(ARRAY[(extract(epoch FROM %(hour)s - past.hour) / 3600)::int, past.failures])
        FROM failure_hours past
        WHERE past.tenant_id = known.tenant_id AND past.fingerprint = known.fingerprint
          AND past.hour > %(hour)s - make_interval(hours => %(hours)s) AND past.hour <= %(hour)s)
FROM failure_causes known WHERE known.id = ANY(%(ids)s)
"""
_Counted = tuple[int, int, tuple[tuple[int, int], ...]]


@dataclass(frozen=True, slots=True)
class Share:
    """What a tenant has of a cause."""

    cause: FailureCause
    tenant: Tenant
    is_snoozed: bool
    jobs: int
    events: int
    hours: tuple[tuple[int, int], ...] = ()
    """(hours ago, failures) of the last day."""

    @property
    def count(self) -> int:
        """Failed pieces of work; the job that works events is not counted beside them."""
        return self.events or self.jobs


@dataclass(frozen=True, slots=True)
class Pile:
    """All that fails of one cause in the current scope."""

    cause: FailureCause
    shares: list[Share]

    @property
    def trend(self) -> list[int]:
        """Failures within each of the last 24 hours, the newest last."""
        found = [0] * HOURS
        for share in self.shares:
            for ago, failures in share.hours:
                found[HOURS - 1 - ago] += failures
        return found

    @property
    def count(self) -> int:
        return sum(one.count for one in self.shares)

    @property
    def jobs(self) -> int:
        return sum(one.jobs for one in self.shares)

    @property
    def events(self) -> int:
        return sum(one.events for one in self.shares)

    @property
    def is_more(self) -> bool:
        """Whether there are more than counted."""
        return any(max(one.jobs, one.events) >= COUNTED for one in self.shares)

    @property
    def first_seen(self) -> datetime:
        return min(one.cause.first_seen for one in self.shares)

    @property
    def last_seen(self) -> datetime:
        return max(one.cause.last_seen for one in self.shares)

    @property
    def is_snoozed(self) -> bool:
        """Whether it is silenced for all whom it concerns."""
        return all(one.is_snoozed for one in self.shares)

    @property
    def for_good(self) -> bool:
        return self.cause.cause == ACCOUNT_REPLACED


def alive() -> Q:
    """Causes that something needs help for."""
    same = {"tenant_id": OuterRef("tenant_id"), "fingerprint": OuterRef("fingerprint")}
    jobs, events = SyncJob.objects.filter(state="dead", **same), InboxEvent.objects.filter(state="failed", **same)
    return is_there(jobs) | is_there(events)


def silent(now: datetime | None = None) -> Q:
    """Causes that are silenced now."""
    return Q(snoozed_until__gt=now or timezone.now()) | Q(snoozed_above__gte=F("total"))


def piles(fingerprint: str = "") -> list[Pile]:
    """The causes of the current scope that something needs help for, the largest pile first."""
    rows = FailureCause.objects.filter(alive()).annotate(is_silent=silent()).select_related("tenant")
    rows = rows.order_by("-last_seen", "pk")
    if fingerprint:
        rows = rows.filter(fingerprint=fingerprint)
    found = list(rows[:MOST_ROWS])
    counts = _counts([row.pk for row in found])
    shares: dict[str, list[Share]] = defaultdict(list)
    for row in found:
        shares[row.fingerprint].append(Share(row, row.tenant, bool(row.is_silent), *counts[row.pk]))
    made = [Pile(own[0].cause, sorted(own, key=lambda one: -one.count)) for own in shares.values()]
    return sorted(made, key=lambda one: (one.for_good, -one.count))


def known(fingerprint: str) -> FailureCause | None:
    """A cause that somebody in the current scope has met, whether or not anything is left of it."""
    found: FailureCause | None = FailureCause.objects.filter(fingerprint=fingerprint).order_by("-last_seen").first()
    return found


def _counts(ids: Sequence[int]) -> dict[int, _Counted]:
    """Jobs, events, and failures by hour."""
    if not ids:
        return {}
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    terms: dict[str, Any] = {"ids": list(ids), "limit": COUNTED, "hour": hour, "hours": HOURS}
    with database.cursor() as cursor:
        cursor.execute(_COUNTS, terms)
        found = cursor.fetchall()
    return {pk: (jobs, events, tuple((ago, count) for ago, count in past or ())) for pk, jobs, events, past in found}
