"""What a connection has asked of its CRM today, for what kind of work, and when its limits are reached at this pace.

Two limits hold for a day. The budget is an administrator's, in requests from midnight to midnight of the tenant's time zone; all
requests count, and when it is reached loads and comparisons stop until the next day. The CRM's own daily quota is what its
answers tell; from 80 % of it on loads and comparisons stop, later fetches and edits (see `sync.lanes.SHARES`). Calls and "do not
call" stop at neither. What stops looks again every quarter of an hour, so a raised budget needs no further help.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models.functions import Now

from integrations.models import ApiUsage, CrmConnection, RateWindow
from integrations.transport.limits import BELIEVED, DAILY_BUDGET, DAILY_QUOTA, GAUGE_SECONDS
from integrations.transport.usage import BUDGET, budget_of, day_of, zone_of
from sync import queue
from sync.lanes import SHARES
from sync.models import Lane, SyncJob

HOUR = timedelta(hours=1)
PACE_HOURS = 3
"""Over how many of the last hours, the running one included, the pace is measured."""
LONGEST_DAY = timedelta(hours=26)
"""A day of a time zone that is being set back, and a broken hour."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """A quota as the CRM told it."""

    quota: int
    remaining: int
    seconds: float | None
    seen_at: datetime | None

    @property
    def used(self) -> int:
        return self.quota - self.remaining

    @property
    def daily(self) -> bool:
        return (self.seconds or 0) > GAUGE_SECONDS


@dataclass(slots=True)
class Day:
    """One connection's day. `works` and `paces` are filled only where they were asked for."""

    now: datetime
    began: datetime
    ends: datetime
    zone: ZoneInfo
    budget: int | None = None
    gauge: Gauge | None = None
    used: int = 0
    last_24h: int = 0
    pace: float = 0.0
    """Requests an hour."""
    works: Counter[str] = field(default_factory=Counter)
    paces: dict[str, float] = field(default_factory=dict)

    @property
    def stopped_by(self) -> str:
        """Why loads and comparisons stand still: DAILY_BUDGET, DAILY_QUOTA or empty."""
        if self.budget is not None and self.used >= self.budget:
            return DAILY_BUDGET
        gauge = self.gauge
        told = gauge is not None and gauge.seen_at is not None and gauge.seen_at > self.now - BELIEVED
        if gauge and told and gauge.used * 100 >= gauge.quota * SHARES[Lane.BACKFILL].day:
            return DAILY_QUOTA
        return ""

    def runs_out(self, left: int) -> datetime | None:
        """When so many requests will be used up at this pace; None if not before the day ends."""
        if left <= 0:
            return self.now
        if not self.pace:
            return None
        moment = self.now + timedelta(hours=min(left / self.pace, 1000.0))
        return moment if moment < self.ends else None


Counted = tuple[datetime, int, Mapping[str, int]]
"""An hour of UTC, its requests, and those by kind of work."""


def day(connection: CrmConnection, counted: Iterable[Counted], gauges: Iterable[Gauge], now: datetime) -> Day:
    began, ends = day_of(connection.tenant.timezone, now)
    daily = [one for one in gauges if one.daily and one.quota > 0]
    made = Day(now, began, ends, zone_of(connection.tenant.timezone), budget_of(connection.settings))
    made.gauge = max(daily, key=lambda one: one.used / one.quota, default=None)
    running = now.replace(minute=0, second=0, microsecond=0)
    since = running - (PACE_HOURS - 1) * HOUR
    lately: Counter[str] = Counter()
    for hour, calls, works in counted:
        made.last_24h += calls if hour >= now - 24 * HOUR else 0
        if hour >= began:
            made.used += calls
            made.works.update(works)
        if hour >= since:
            made.pace += calls
            lately.update(works)
    hours = (now - since) / HOUR
    made.pace /= hours
    made.paces = {work: count / hours for work, count in lately.items()}
    return made


def usage_of(ids: list[UUID], now: datetime) -> dict[UUID, list[Counted]]:
    """What was counted lately, by connection, without the kinds of work."""
    found: dict[UUID, list[Counted]] = {}
    rows: Any = ApiUsage.objects.filter(connection__in=ids, hour__gte=now - LONGEST_DAY)
    for connection_id, hour, calls in rows.values_list("connection_id", "hour", "calls"):
        found.setdefault(connection_id, []).append((hour, calls, {}))
    return found


def gauges_of(ids: list[UUID]) -> dict[UUID, list[Gauge]]:
    """The quotas that the CRMs' answers told of, by connection."""
    found: dict[UUID, list[Gauge]] = {}
    rows: Any = RateWindow.objects.filter(connection__in=ids, quota__gt=0, remaining__isnull=False)
    for connection_id, *told in rows.values_list("connection_id", "quota", "remaining", "seconds", "seen_at"):
        found.setdefault(connection_id, []).append(Gauge(*told))
    return found


def today(connection: CrmConnection, now: datetime) -> Day:
    """One connection's day with its kinds of work."""
    rows = ApiUsage.objects.filter(connection=connection, hour__gte=now - LONGEST_DAY)
    counted: Any = rows.values_list("hour", "calls", "works")
    return day(connection, counted, gauges_of([connection.pk]).get(connection.pk, ()), now)


def set_budget(connection: CrmConnection, budget: int | None) -> None:
    """Sets or takes away the daily budget, and lets what had stopped for today look again at once."""
    with transaction.atomic():
        row = CrmConnection.objects.select_for_update(of=("self",)).only("settings").get(pk=connection.pk)
        others = {key: value for key, value in row.settings.items() if key != BUDGET}
        row.settings = others if budget is None else {**others, BUDGET: budget}
        row.save(update_fields=["settings"])
        waiting = SyncJob.objects.filter(connection=connection, state=SyncJob.State.READY, lane=Lane.BACKFILL)
        waiting.filter(not_before__gt=Now(), attempts=0).update(not_before=Now())
        transaction.on_commit(lambda: queue.wake(connection.pk))
    connection.settings = row.settings
