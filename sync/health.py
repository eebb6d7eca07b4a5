"""How each connection is doing, in numbers and in a sentence with the next step. Age counts: silence is a failure too."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Avg, Count, F, Max, Q
from django.db.models.fields.json import KT
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from integrations.models import CircuitBreaker, CrmConnection
from integrations.transport.limits import DAILY_BUDGET
from sync import budgets
from sync.budgets import Day, Gauge
from sync.inbox import KIND as FETCH
from sync.models import FeedCursor, InboxEvent, SyncJob, SyncRecord
from sync.replaying import KIND as REPLAY

STALE_AFTER = timedelta(minutes=30)
DAY = timedelta(hours=24)
WORKS_EVENTS = (FETCH, REPLAY)


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that goes wrong quietly and has to be mended by a person: a sentence, and where to do it as a button."""

    words: str
    button: str
    url: str


Adviser = Callable[[Sequence[CrmConnection]], Mapping[UUID, Sequence[Notice]]]
ADVISERS: list[Adviser] = []
"""Apps above add theirs when they are ready: for working connections, what they know by connection, in few queries or none."""


@dataclass(frozen=True, slots=True)
class Card:
    """One connection's health. Rates are percent, latency milliseconds from a job's creation to its end."""

    connection: CrmConnection
    last_sync_at: datetime | None
    records_synced_last_24h: int
    jobs_done_last_24h: int
    error_rate_last_24h: float
    pending_records: int
    faulty_records: int
    """Linked, but at least one field could not be taken over."""
    queue_depth: int
    dead_letters: int
    dead_fetches: int
    """Those of them that work events of the inbox."""
    failed_events: int
    stream_problem: str
    avg_sync_latency_ms: int | None
    consecutive_failures: int
    circuit_breaker_state: str
    api_calls_last_24h: int
    quota: str
    day: Day
    notices: Sequence[Notice] = ()

    @property
    def tenant_id(self) -> UUID:
        return self.connection.tenant_id

    @property
    def provider(self) -> str:
        return self.connection.provider

    @property
    def status(self) -> str:
        return self.connection.status

    @property
    def level(self) -> str:
        """good, warning or bad: the colour of the card."""
        return self.verdict[0]

    @property
    def headline(self) -> str:
        return self.verdict[1]

    @property
    def verdict(self) -> tuple[str, str]:
        if self.connection.status == CrmConnection.Status.NEEDS_RECONNECTING:
            return "bad", _("Needs reconnecting: %(reason)s") % {"reason": self.connection.status_reason}
        if self.connection.status != CrmConnection.Status.CONNECTED:
            return "warning", self.connection.get_status_display()
        if self.circuit_breaker_state != "closed":
            return "bad", _("The CRM keeps failing; we ask again every minute")
        if self.dead_letters:
            words = self._needs_help
            return "bad", f"{words}. {stopped(self.day)}" if self.day.stopped_by else words
        if self.day.stopped_by:
            return "warning", stopped(self.day)
        return self._reading

    @property
    def _reading(self) -> tuple[str, str]:
        """The verdict on a connection that nothing holds up."""
        if self.last_sync_at is None:
            return "warning", _("Connected, nothing read yet")
        if timezone.now() - self.last_sync_at > STALE_AFTER:
            return "bad", _("Nothing was read for a while: are the workers running?")
        if self.stream_problem:
            return "warning", _("The stream of changes broke off and is tried again by itself: %(problem)s") % {
                "problem": self.stream_problem
            }
        if self.faulty_records:
            return "warning", ngettext(
                "In sync, but %(count)d record has a value that does not fit",
                "In sync, but %(count)d records have a value that does not fit",
                self.faulty_records,
            ) % {"count": self.faulty_records}
        if self.notices:
            return "warning", self.notices[0].words
        return "good", _("Everything is in sync") if not self.queue_depth else _("Working")

    @property
    def only_events_failed(self) -> bool:
        """All that needs help stands in the inbox."""
        return bool(self.failed_events) and self.dead_letters == self.dead_fetches

    @property
    def _needs_help(self) -> str:
        if self.only_events_failed:
            return ngettext(
                "%(count)d event of the CRM could not be worked",
                "%(count)d events of the CRM could not be worked",
                self.failed_events,
            ) % {"count": self.failed_events}
        return ngettext(
            "%(count)d piece of work needs help", "%(count)d pieces of work need help", self.dead_letters
        ) % {"count": self.dead_letters}


def cards() -> list[Card]:
    """A card for each connection in the current scope, in a fixed number of queries."""
    # Without the secrets: a lost key must not take the health page down with it.
    rows = CrmConnection.objects.defer("access_token", "refresh_token", "secrets").select_related("tenant", "breaker")
    connections = list(rows.order_by("tenant__name", "provider"))
    since = timezone.now() - DAY
    ids = [one.pk for one in connections]
    jobs = _grouped(
        SyncJob.objects.filter(connection__in=ids)
        .filter(Q(state__in=["ready", "leased", "dead"]) | Q(finished_at__gte=since))
        .values("connection_id")
        .annotate(
            queued=Count("pk", filter=Q(state__in=["ready", "leased"])),
            dead=Count("pk", filter=Q(state="dead")),
            dead_fetches=Count("pk", filter=Q(state="dead", kind__in=WORKS_EVENTS)),
            died=Count("pk", filter=Q(state="dead", finished_at__gte=since)),
            done=Count("pk", filter=Q(state="done")),
            latency=Avg(F("finished_at") - F("created_at"), filter=Q(state="done") & ~Q(kind="pull")),
        )
    )
    records = _grouped(
        SyncRecord.objects.filter(connection__in=ids)
        .filter(Q(last_synced_at__gte=since) | Q(sync_status__in=["pending", "error"]))
        .values("connection_id")
        .annotate(
            synced=Count("pk", filter=Q(last_synced_at__gte=since)),
            pending=Count("pk", filter=Q(sync_status__in=["pending", "error"])),
            faulty=Count("pk", filter=Q(sync_status="error", local_table="contacts")),
        )
    )
    read = _grouped(
        FeedCursor.objects.filter(connection__in=ids)
        .values("connection_id")
        .annotate(at=Max("complete_at"), stream=Max(KT("value__problem"), filter=Q(feed="stream")))
    )
    failed = _failed_events(pk for pk, counts in jobs.items() if counts["dead_fetches"])
    now = timezone.now()
    usage, gauges = budgets.usage_of(ids, now), budgets.gauges_of(ids)
    notices = _notices(connections)
    return [
        _card(one, jobs.get(one.pk, {}), records.get(one.pk, {}), read.get(one.pk, {}), getattr(one, "breaker", None),
              failed.get(one.pk, 0), _quota(gauges.get(one.pk, ())),
              budgets.day(one, usage.get(one.pk, ()), gauges.get(one.pk, ()), now), notices.get(one.pk, ()))
        for one in connections
    ]  # fmt: skip


def stopped(day: Day) -> str:
    """What a daily limit holds up, and until when."""
    if day.stopped_by == DAILY_BUDGET:
        facts = {"budget": f"{day.budget:,}", "zone": day.zone.key}
        return (
            _(
                "The daily budget of %(budget)s requests is used up: loading goes on at midnight (%(zone)s), or with a larger "
                "budget; calls, edits and what the CRM reports go on"
            )
            % facts
        )
    return _(
        "Most of the CRM's daily quota is used: loading goes on when it is free again; calls and “do not call” go on"
    )


def _card(
    connection: CrmConnection,
    jobs: dict[str, Any],
    records: dict[str, Any],
    read: dict[str, Any],
    breaker: CircuitBreaker | None,
    failed_events: int,
    quota: str,
    day: Day,
    notices: Sequence[Notice],
) -> Card:
    finished = jobs.get("done", 0) + jobs.get("died", 0)
    latency: timedelta | None = jobs.get("latency")
    return Card(
        connection=connection,
        last_sync_at=read.get("at"),
        records_synced_last_24h=records.get("synced", 0),
        jobs_done_last_24h=jobs.get("done", 0),
        error_rate_last_24h=round(100 * jobs.get("died", 0) / finished, 1) if finished else 0.0,
        pending_records=records.get("pending", 0),
        faulty_records=records.get("faulty", 0),
        queue_depth=jobs.get("queued", 0),
        dead_letters=jobs.get("dead", 0),
        dead_fetches=jobs.get("dead_fetches", 0),
        failed_events=failed_events,
        stream_problem=read.get("stream") or "",
        avg_sync_latency_ms=round(latency.total_seconds() * 1000) if latency is not None else None,
        consecutive_failures=breaker.failures if breaker else 0,
        circuit_breaker_state=breaker.state if breaker else "closed",
        api_calls_last_24h=day.last_24h,
        quota=quota,
        day=day,
        notices=notices,
    )


def _failed_events(connections: Iterable[UUID]) -> dict[UUID, int]:
    """Events fail together with a job, so only connections with such a dead job are looked at."""
    ids = list(connections)
    if not ids:
        return {}
    rows = InboxEvent.objects.filter(connection__in=ids, state=InboxEvent.State.FAILED).order_by()
    return dict(rows.values("connection_id").annotate(count=Count("pk")).values_list("connection_id", "count"))


def _notices(connections: Sequence[CrmConnection]) -> dict[UUID, list[Notice]]:
    working = [one for one in connections if one.status == CrmConnection.Status.CONNECTED]
    found: dict[UUID, list[Notice]] = {}
    for adviser in ADVISERS if working else ():
        for connection_id, told in adviser(working).items():
            found.setdefault(connection_id, []).extend(told)
    return found


def _grouped(rows: Any) -> dict[UUID, dict[str, Any]]:
    return {row["connection_id"]: row for row in rows}


def _quota(gauges: Iterable[Gauge]) -> str:
    """The tightest quota that the CRM's headers told of, as "used / allowed"."""
    tightest = max(gauges, key=lambda one: one.used / one.quota, default=None)
    return f"{tightest.used:,} / {tightest.quota:,}" if tightest else ""
