"""Reads what `sync.metrics` counted, for charts and for sums over the last day: one query for any number of connections."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import models
from django.db.models import Func, Max, Q, Sum, Value
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sync.models import ConnectionHour

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Span:
    """How far a chart reaches back, in how many steps of what length."""

    name: str
    words: Any
    """For a sentence, such as "24 hours"."""
    step: timedelta
    steps: int
    each: Any


SPANS = {
    "24h": Span("24h", _("24 hours"), HOUR, 24, _("each hour")),
    "7d": Span("7d", _("7 days"), 6 * HOUR, 28, _("every 6 hours")),
}


@dataclass(frozen=True, slots=True)
class Bucket:
    """One step of a chart. Counts of the step, the mean latency, and the most that was seen waiting or used."""

    at: datetime
    synced: int
    done: int
    dead: int
    latency_ms: int | None
    latency_max_ms: int
    queue_max: int
    requests: int
    failures: int
    throttled: int
    quota_percent: int | None

    @property
    def error_percent(self) -> float | None:
        return percent(self.dead, self.done + self.dead)


@dataclass(slots=True)
class Totals:
    """Of the last 24 hours."""

    synced: int = 0
    done: int = 0
    dead: int = 0
    latency: int = 0
    timed: int = 0

    @property
    def error_percent(self) -> float:
        return percent(self.dead, self.done + self.dead) or 0.0

    @property
    def latency_ms(self) -> int | None:
        return round(self.latency / self.timed) if self.timed else None


@dataclass(slots=True)
class Series:
    """Steps in their order; None where nothing was measured."""

    span: Span
    times: Sequence[datetime]
    steps: list[Bucket | None]
    last_24h: Totals = field(default_factory=Totals)


def percent(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 1) if whole else None


def times_of(span: Span, now: datetime) -> list[datetime]:
    """The beginnings of the steps. Longer steps than an hour begin at whole hours of the viewer's day."""
    here = timezone.localtime(now)
    hours = int(span.step / HOUR)
    last = here.replace(hour=here.hour - here.hour % hours, minute=0, second=0, microsecond=0) if hours > 1 else None
    newest = last.astimezone(now.tzinfo) if last else now.replace(minute=0, second=0, microsecond=0)
    return [newest - span.step * back for back in reversed(range(span.steps))]


def read(ids: Sequence[UUID], span: Span, now: datetime | None = None) -> dict[UUID, Series]:
    """By connection, also of those that were never measured."""
    moment = now or timezone.now()
    times = times_of(span, moment)
    series = {one: Series(span, times, [None] * span.steps) for one in ids}
    index = {at: number for number, at in enumerate(times)}
    for row in _rows(ids, span, times[0], moment):
        found = series[row["connection_id"]]
        totals = found.last_24h
        for name in ("synced", "done", "dead", "latency", "timed"):
            setattr(totals, name, getattr(totals, name) + (row[f"day_{name}"] or 0))
        place = index.get(row["at"])
        if place is not None:
            found.steps[place] = _bucket(row)
    return series


def _rows(ids: Sequence[UUID], span: Span, start: datetime, now: datetime) -> Any:
    step = Value(span.step, output_field=models.DurationField())
    binned = Func(step, "hour", Value(start), function="date_bin", output_field=models.DateTimeField())
    lately = Q(hour__gt=now - DAY)
    rows = ConnectionHour.objects.filter(connection__in=list(ids), hour__gte=min(start, now - DAY))
    return (
        rows.annotate(at=binned)
        .values("connection_id", "at")
        .order_by()
        .annotate(
            all_synced=Sum("synced"), all_done=Sum("done"), all_dead=Sum("dead"),
            all_latency=Sum("latency_ms"), all_timed=Sum("latency_count"), longest=Max("latency_max_ms"),
            most_waited=Max("queue_max"), all_requests=Sum("requests"), all_failures=Sum("failures"),
            all_throttled=Sum("throttled"), most_used=Max("quota_percent"),
            day_synced=Sum("synced", filter=lately), day_done=Sum("done", filter=lately),
            day_dead=Sum("dead", filter=lately), day_latency=Sum("latency_ms", filter=lately),
            day_timed=Sum("latency_count", filter=lately),
        )
    )  # fmt: skip


def _bucket(row: dict[str, Any]) -> Bucket:
    return Bucket(
        at=row["at"],
        synced=row["all_synced"],
        done=row["all_done"],
        dead=row["all_dead"],
        latency_ms=round(row["all_latency"] / row["all_timed"]) if row["all_timed"] else None,
        latency_max_ms=row["longest"],
        queue_max=row["most_waited"],
        requests=row["all_requests"],
        failures=row["all_failures"],
        throttled=row["all_throttled"],
        quota_percent=row["most_used"],
    )
