"""How each connection is doing, in numbers and in a sentence with the next step. Age counts: silence is a failure too."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Avg, Count, F, Max, Q, Sum
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from integrations.models import ApiUsage, CircuitBreaker, CrmConnection, RateWindow
from sync.models import FeedCursor, SyncJob, SyncRecord

STALE_AFTER = timedelta(minutes=30)
DAY = timedelta(hours=24)


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
    avg_sync_latency_ms: int | None
    consecutive_failures: int
    circuit_breaker_state: str
    api_calls_last_24h: int
    quota: str
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
            return "bad", ngettext(
                "%(count)d piece of work needs help", "%(count)d pieces of work need help", self.dead_letters
            ) % {"count": self.dead_letters}
        if self.last_sync_at is None:
            return "warning", _("Connected, nothing read yet")
        if timezone.now() - self.last_sync_at > STALE_AFTER:
            return "bad", _("Nothing was read for a while: are the workers running?")
        if self.faulty_records:
            return "warning", ngettext(
                "In sync, but %(count)d record has a value that does not fit",
                "In sync, but %(count)d records have a value that does not fit",
                self.faulty_records,
            ) % {"count": self.faulty_records}
        if self.notices:
            return "warning", self.notices[0].words
        return "good", _("Everything is in sync") if not self.queue_depth else _("Working")


def cards() -> list[Card]:
    """A card for each connection in the current scope, in a fixed number of queries."""
    # Without the secrets: a lost key must not take the health page down with it.
    rows = CrmConnection.objects.defer("access_token", "refresh_token", "secrets").select_related("tenant")
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
        FeedCursor.objects.filter(connection__in=ids).values("connection_id").annotate(at=Max("complete_at"))
    )
    usage = _grouped(
        ApiUsage.objects.filter(connection__in=ids, hour__gte=since)
        .values("connection_id")
        .annotate(total=Sum("calls"))
    )
    breakers = {one.connection_id: one for one in CircuitBreaker.objects.filter(connection__in=ids)}
    quotas = _quotas(ids)
    notices = _notices(connections)
    return [
        _card(one, jobs.get(one.pk, {}), records.get(one.pk, {}), read.get(one.pk, {}), usage.get(one.pk, {}),
              breakers.get(one.pk), quotas.get(one.pk, ""), notices.get(one.pk, ()))
        for one in connections
    ]  # fmt: skip


def _card(
    connection: CrmConnection,
    jobs: dict[str, Any],
    records: dict[str, Any],
    read: dict[str, Any],
    usage: dict[str, Any],
    breaker: CircuitBreaker | None,
    quota: str,
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
        avg_sync_latency_ms=round(latency.total_seconds() * 1000) if latency is not None else None,
        consecutive_failures=breaker.failures if breaker else 0,
        circuit_breaker_state=breaker.state if breaker else "closed",
        api_calls_last_24h=usage.get("total", 0),
        quota=quota,
        notices=notices,
    )


def _notices(connections: Sequence[CrmConnection]) -> dict[UUID, list[Notice]]:
    working = [one for one in connections if one.status == CrmConnection.Status.CONNECTED]
    found: dict[UUID, list[Notice]] = {}
    for adviser in ADVISERS if working else ():
        for connection_id, told in adviser(working).items():
            found.setdefault(connection_id, []).extend(told)
    return found


def _grouped(rows: Any) -> dict[UUID, dict[str, Any]]:
    return {row["connection_id"]: row for row in rows}


def _quotas(ids: list[UUID]) -> dict[UUID, str]:
    """The tightest quota that the CRM's headers told of, as "used / allowed"."""
    found: dict[UUID, tuple[float, str]] = {}
    told = RateWindow.objects.filter(connection__in=ids, quota__gt=0, remaining__isnull=False)
    rows: Any = told.values_list("connection_id", "quota", "remaining")
    for connection_id, quota, remaining in rows:
        share = (quota - remaining) / quota
        if connection_id not in found or share >= found[connection_id][0]:
            found[connection_id] = (share, f"{quota - remaining:,} / {quota:,}")
    return {key: text for key, (_share, text) in found.items()}
