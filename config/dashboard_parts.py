"""Parts of the first page: the open alerts, the figures of a card with their small charts, and what waits for a person."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Exists, OuterRef, QuerySet, Value, Window
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from activities.models import DialerEndpoint
from integrations.admin_base import SECRET_COLUMNS
from integrations.admin_html import ago, duration, page_url
from integrations.charts import Spark, spark
from sync.admin.alerts import next_step
from sync.admin.causes.shown import address
from sync.alerting import words
from sync.causes import words as causes_words
from sync.causes.counting import alive, silent
from sync.gauges import MOST_COUNTED
from sync.health import Card
from sync.metrics_series import Bucket
from sync.models import Alert, Conflict, FailureCause, SyncJob

MOST_ALERTS = 12
MOST_CAUSES = 5
MOST_WAITING = 1000

LEGEND = (
    (
        gettext_lazy("Last sync"),
        gettext_lazy("When the CRM's changes were last read to the end. It is asked every few minutes."),
    ),
    (
        gettext_lazy("Records in 24 h"),
        gettext_lazy("Records of people and calls that were brought up to date here or in the CRM, each once an hour."),
    ),
    (
        gettext_lazy("Errors in 24 h"),
        gettext_lazy("Of all work that ended, the part that failed for good and waits for a person."),
    ),
    (
        gettext_lazy("Latency"),
        gettext_lazy(
            "How long a call, an edit or an event took on average until the other side had it. Loads do not count."
        ),
    ),
    (gettext_lazy("Waiting"), gettext_lazy("Pieces of work that are in line or being done, loads included.")),
    (
        gettext_lazy("Quota used"),
        gettext_lazy("Of the requests that the CRM allows, as it told us last. Loads wait from 80 % on."),
    ),
    (
        gettext_lazy("Pending records"),
        gettext_lazy("Records that still have to be written, or of which a value did not fit."),
    ),
    (
        gettext_lazy("Need help"),
        gettext_lazy("Pieces of work that failed for good. They are tried again when you say so."),
    ),
    (
        gettext_lazy("Failures in a row"),
        gettext_lazy("Requests that failed one after the other. Five open the circuit breaker."),
    ),
    (
        gettext_lazy("Circuit breaker"),
        gettext_lazy(
            "Closed: requests go to the CRM. Open: the CRM keeps failing and is left alone, but for one request a minute. Half "
            "open: that one request is on its way."
        ),
    ),
)
"""What the words on the cards mean."""


# --- alerts -------------------------------------------------------------------------------------------------------------


def alerts(request: HttpRequest) -> tuple[list[dict[str, Any]], int]:
    """The open ones, the gravest first, and how many more there are. The database counts them: one query brings both."""
    order = ("severity", "-opened_at", "pk")
    gravest = Alert.objects.filter(resolved_at=None, opened_at__isnull=False).order_by(*order).values("pk")
    rows = Alert.objects.filter(pk__in=gravest[: MOST_WAITING + 1]).select_related("tenant", "connection")
    hidden = [f"connection__{name}" for name in SECRET_COLUMNS]
    found = list(rows.defer(*hidden).annotate(open=Window(Count("pk"))).order_by(*order)[:MOST_ALERTS])
    return [_alert(one, request) for one in found], max(0, found[0].open - MOST_ALERTS) if found else 0


def _alert(row: Alert, request: HttpRequest) -> dict[str, Any]:
    said = words.say(row)
    step, url = next_step(row, request)
    return {
        "level": row.severity,
        "severity": row.get_severity_display(),
        "what": said.what,
        "means": said.means,
        "help": said.help,
        "where": words.where(row),
        "tenant": row.tenant,
        "since": ago(row.opened_at),
        "taken_by": row.acknowledged_by,
        "url": page_url(row),
        "step": step,
        "step_url": url,
    }


# --- figures ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fact:
    """A figure on a card; `chart` is how it went."""

    name: str
    value: object
    chart: Spark | None = None


def facts(card: Card) -> list[Fact]:
    draw = _drawing(card)
    return [
        Fact(
            _("Records in 24 h"), f"{card.records_synced_last_24h:,}", draw(_("Records synced"), lambda one: one.synced)
        ),
        Fact(_("Errors in 24 h"), f"{card.error_rate_last_24h:g} %", draw(_("Failed for good"), lambda one: one.dead)),
        Fact(
            _("Latency"),
            duration(card.avg_sync_latency_ms),
            draw(_("Latency"), lambda one: one.latency_ms or 0, wording=duration),
        ),
        Fact(_("Waiting"), counted(card.queue_depth), draw(_("Most that waited"), lambda one: one.queue_max)),
        Fact(
            _("Quota used"),
            card.quota or "–",
            draw(_("Quota used"), lambda one: one.quota_percent, wording=lambda value: f"{value:.0f} %"),
        ),
        Fact(_("Requests in 24 h"), f"{card.api_calls_last_24h:,}", draw(_("Requests"), lambda one: one.requests)),
        Fact(_("Last sync"), ago(card.last_sync_at, _("never"))),
        Fact(_("Jobs done in 24 h"), f"{card.jobs_done_last_24h:,}"),
        Fact(_("Pending records"), counted(card.pending_records)),
        Fact(_("Need help"), counted(card.dead_letters)),
        Fact(_("Failures in a row"), f"{card.consecutive_failures:,}"),
        Fact(_("Circuit breaker"), _breaker(card.circuit_breaker_state)),
    ]


def counted(count: int) -> str:
    """A number that was counted up to a limit."""
    return f"{MOST_COUNTED:,}+" if count >= MOST_COUNTED else f"{count:,}"


def _breaker(state: str) -> str:
    return {"closed": _("closed"), "open": _("open"), "half-open": _("half open")}.get(state, state)


def _drawing(card: Card) -> Callable[..., Spark | None]:
    series = card.series

    def draw(
        name: str, value: Callable[[Bucket], float | None], wording: Callable[[float], str] = lambda one: f"{one:,.0f}"
    ) -> Spark | None:
        values = [value(one) if one is not None else None for one in series.steps]
        known = [one for one in values if one is not None]
        told = {"name": name, "span": series.span.words}
        if not known:
            return None
        told |= {"least": wording(min(known)), "most": wording(max(known)), "last": wording(known[-1])}
        return spark(_("%(name)s, %(span)s: from %(least)s to %(most)s, lately %(last)s") % told, values)

    return draw


# --- what waits for a person --------------------------------------------------------------------------------------------


def causes(request: HttpRequest, shown: Sequence[Card]) -> list[dict[str, Any]]:
    """Why work failed, the newest cause first; of several tenants each cause once."""
    if not request.user.has_perm("sync.view_syncjob") or not any(card.dead_letters for card in shown):
        return []
    newest = FailureCause.objects.filter(alive()).exclude(silent()).order_by("-last_seen", "pk").values("pk")
    rows = FailureCause.objects.filter(pk__in=newest[:MOST_WAITING])
    once = rows.order_by("fingerprint", "-last_seen", "pk").distinct("fingerprint")
    return [
        {"title": causes_words.title(row), "url": address("cause", row.fingerprint), "last": ago(row.last_seen)}
        for row in sorted(once, key=lambda row: (-row.last_seen.timestamp(), row.pk))[:MOST_CAUSES]
    ]


def needing_help() -> QuerySet[Any]:
    """Jobs that failed for good, without what is silenced."""
    same = {"tenant_id": OuterRef("tenant_id"), "fingerprint": OuterRef("fingerprint")}
    rows: QuerySet[Any] = SyncJob.objects.filter(
        ~Exists(FailureCause.objects.filter(silent(), **same)), state=SyncJob.State.DEAD
    )
    return rows


def waiting(request: HttpRequest) -> list[dict[str, str]]:
    """Sentences with a link: what only a person can decide or mend. One query, which counts for the side menu as well."""
    kinds: dict[str, tuple[str, QuerySet[Any]]] = {
        "conflicts": ("sync.view_conflict", Conflict.objects.filter(status=Conflict.Status.OPEN)),
        "deaf": ("activities.view_dialerendpoint", DialerEndpoint.objects.exclude(failing_since=None)),
    }
    asked = [
        rows.order_by().annotate(what=Value(name)).values_list("what", flat=True)[:MOST_WAITING]
        for name, (permission, rows) in kinds.items()
        if request.user.has_perm(permission)
    ]
    counts_menu = not hasattr(request, "dead_jobs") and request.user.has_perm("sync.view_syncjob")
    if counts_menu:
        dead = needing_help().order_by().annotate(what=Value("dead")).values_list("what", flat=True)
        asked.append(dead[:MOST_WAITING])
    if not asked:
        return []
    first, *others = asked
    counts = Counter(first.union(*others, all=True) if others else first)
    if counts_menu:
        request.dead_jobs = counts["dead"]  # type: ignore[attr-defined]
    return [_waiting(name, counts[name]) for name in kinds if counts[name]]


def _waiting(name: str, count: int) -> dict[str, str]:
    told = {"count": f"{count:,}" if count < MOST_WAITING else f"{MOST_WAITING:,}+"}
    if name == "conflicts":
        text = ngettext(
            "%(count)s value was changed on both sides and waits for your decision.",
            "%(count)s values were changed on both sides and wait for your decision.",
            count,
        )
        return {"level": "warning", "words": text % told, "button": _("Decide"), "url": _desk()}
    text = ngettext(
        "%(count)s webhook to the dialer fails or was switched off for failing.",
        "%(count)s webhooks to the dialer fail or were switched off for failing.",
        count,
    )
    url = page_url(DialerEndpoint, "changelist", failing_since__isempty=0)
    return {"level": "bad", "words": text % told, "button": _("See what they answer"), "url": url}


def _desk() -> str:
    try:
        return reverse("admin:sync_conflict_desk")
    except NoReverseMatch:
        return page_url(Conflict, "changelist", status__exact="open")
