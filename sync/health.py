"""How each connection is doing, in numbers and in a sentence with the next step. Age counts: silence is a failure too."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from integrations.models import CircuitBreaker, CrmConnection
from integrations.transport.limits import DAILY_BUDGET
from sync import budgets, gauges, metrics_series, urgency
from sync.budgets import Day, Gauge
from sync.gauges import Gauges
from sync.metrics_series import SPANS, Series, Span

STALE_AFTER = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that goes wrong quietly and has to be mended by a person: a sentence, and where to do it as a button."""

    words: str
    button: str
    url: str
    stops_work: bool = False


Adviser = Callable[[Sequence[CrmConnection]], Mapping[UUID, Sequence[Notice]]]
ADVISERS: list[Adviser] = []
"""Apps above add theirs when they are ready: for working connections, what they know by connection, in few queries or none."""


@dataclass(frozen=True, slots=True)
class Card:
    """One connection's health. Rates are percent; latency is milliseconds from a change to its end, of what people wait for.

    What was done in the last 24 hours is as of the last minute, what waits is of this moment and counted up to a limit.
    """

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
    series: Series
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
        """The verdict on a connection of which nothing has failed."""
        stopped_by = next((notice.words for notice in self.notices if notice.stops_work), "")
        if stopped_by:
            return "bad", stopped_by
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


def cards(span: Span = SPANS["24h"], most: int | None = None) -> list[Card]:
    """A card for each connection in the current scope, in a fixed number of queries. `span` is that of the charts.

    With `most`, only those that need somebody first: counting for a thousand connections would take seconds.
    """
    # Without the secrets: a lost key must not take the health page down with it.
    rows = CrmConnection.objects.defer("access_token", "refresh_token", "secrets").select_related("tenant", "breaker")
    if most is not None:
        rows = rows.filter(pk__in=urgency.first(most))
    connections = list(rows.order_by("tenant__name", "provider"))
    ids, now = [one.pk for one in connections], timezone.now()
    seen, series = gauges.read(ids, now), metrics_series.read(ids, span, now)
    notices = _notices(connections, seen)
    return [
        _card(one, seen[one.pk], series[one.pk], budgets.day(one, seen[one.pk].usage, seen[one.pk].quotas, now),
              notices.get(one.pk, ()))
        for one in connections
    ]  # fmt: skip


def card_of(connection: CrmConnection, day: Day) -> Card:
    """One connection's card without charts, for a caller who has found it in the current scope and knows its day."""
    seen = gauges.read([connection.pk], timezone.now())
    notices = _notices([connection], seen).get(connection.pk, ())
    return _card(connection, seen[connection.pk], Series(SPANS["24h"], (), []), day, notices)


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


def _card(connection: CrmConnection, seen: Gauges, series: Series, day: Day, notices: Sequence[Notice]) -> Card:
    breaker: CircuitBreaker | None = getattr(connection, "breaker", None)
    return Card(
        connection=connection,
        last_sync_at=seen.read_at,
        records_synced_last_24h=series.last_24h.synced,
        jobs_done_last_24h=series.last_24h.done,
        error_rate_last_24h=series.last_24h.error_percent,
        pending_records=seen.pending,
        faulty_records=seen.faulty,
        queue_depth=seen.queued,
        dead_letters=seen.dead,
        dead_fetches=seen.dead_fetches,
        failed_events=seen.failed_events,
        stream_problem=seen.stream_problem or "",
        avg_sync_latency_ms=series.last_24h.latency_ms,
        consecutive_failures=breaker.failures if breaker else 0,
        circuit_breaker_state=breaker.state if breaker else "closed",
        api_calls_last_24h=day.last_24h,
        quota=_quota(seen.quotas),
        day=day,
        series=series,
        notices=notices,
    )


def _notices(connections: Sequence[CrmConnection], seen: Mapping[UUID, Gauges]) -> dict[UUID, list[Notice]]:
    working = [one for one in connections if one.status == CrmConnection.Status.CONNECTED]
    found = {one.pk: [_held_up(one, seen[one.pk].held_up)] for one in working if seen[one.pk].held_up}
    for adviser in ADVISERS if working else ():
        for connection_id, told in adviser(working).items():
            found.setdefault(connection_id, []).extend(told)
    return found


def _held_up(connection: CrmConnection, reason: str) -> Notice:
    """Said on the card, since nothing has failed and nothing goes on."""
    address = reverse("admin:integrations_crmconnection_change", args=[connection.pk])
    return Notice(
        _("Work waits: %(reason)s") % {"reason": reason}, _("Look at the connection"), address, stops_work=True
    )


def _quota(gauges: Iterable[Gauge]) -> str:
    """The tightest quota that the CRM's headers told of, as "used / allowed"."""
    tightest = max(gauges, key=lambda one: one.used / one.quota, default=None)
    return f"{tightest.used:,} / {tightest.quota:,}" if tightest else ""
