"""The first page: how each connection is doing, with its next step, and the newest runs and calls. A fixed number of queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Case, CharField, Count, Exists, OuterRef, Q, QuerySet, Value, When
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from activities.models import Call
from activities.targets import KIND
from config import dashboard_parts
from integrations.admin_base import SECRET_COLUMNS, sees_several
from integrations.admin_connecting import again
from integrations.admin_connections import CHANGE
from integrations.admin_html import ago, badge, page_url
from integrations.models import CrmConnection
from sync.admin.connections import RUN_STATUS, done
from sync.admin.numbers import chosen_span, span_links
from sync.alerting.words import failures_url
from sync.health import Card, cards
from sync.listening import streaming_providers
from sync.models import Alert, InboxEvent, SyncJob, SyncRecord, SyncRun, WorkerBeat

MOST_CARDS = 20
NEWEST = 8
WORKER_SILENT_AFTER = timedelta(minutes=1)
URGENCY = ("bad", "warning", "good")
CARD_ICONS = {"good": "check_circle", "warning": "warning", "bad": "error"}
STATE_ICONS = {
    "connected": "link",
    "needs_reconnecting": "link_off",
    "paused": "pause_circle",
    "disconnected": "link_off",
}


@dataclass(frozen=True, slots=True)
class Step:
    """A button: what to do next."""

    words: str
    url: str
    urgent: bool = False


def fill(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Adds what the first page shows to the theme's context; only what the person may see."""
    may, span = request.user.has_perm, chosen_span(request)
    shown = []
    if may("integrations.view_crmconnection"):
        shown = cards(span, MOST_CARDS)
    among = _all_there_are() if len(shown) == MOST_CARDS else None
    if shown and among is None and not any(card.dead_letters for card in shown):
        request.dead_jobs = 0  # type: ignore[attr-defined]
    shown.sort(key=lambda card: URGENCY.index(card.level))
    open_alerts, more_alerts = dashboard_parts.alerts(request) if may("sync.view_alert") else ([], 0)
    context.update(
        {
            "alerts": open_alerts,
            "more_alerts": more_alerts,
            "alerts_url": page_url(Alert, "changelist", open=1),
            "cards": [_card(card, may(CHANGE)) for card in shown],
            "more_cards": (among["all"] if among else len(shown)) - len(shown),
            "spans": span_links(span),
            "legend": dashboard_parts.LEGEND,
            "connections_url": page_url(CrmConnection, "changelist"),
            "connect_url": page_url(CrmConnection, "add") if may(CHANGE) else "",
            "runs": _runs() if shown and may("sync.view_syncrun") else [],
            "runs_url": page_url(SyncRun, "changelist"),
            "calls": _calls() if shown and may("activities.view_call") else [],
            "calls_url": page_url(Call, "changelist"),
            "causes": dashboard_parts.causes(request, shown),
            "causes_url": failures_url(),
            "machines": _machines(among["streaming"] if among else _streaming(shown))
            if may("sync.view_workerbeat")
            else [],
            "waiting": dashboard_parts.waiting(request),
            "sees_several": sees_several(),
        }
    )
    return context


def dead_jobs(request: HttpRequest) -> str:
    """The number in the side menu, without what is silenced; the first page knows already where there is none."""
    counted = getattr(request, "dead_jobs", None)
    if counted is None:
        counted = dashboard_parts.needing_help().order_by()[: dashboard_parts.MOST_WAITING].count()
        request.dead_jobs = counted  # type: ignore[attr-defined]
    return "999+" if counted > 999 else str(counted or "")


def _all_there_are() -> dict[str, int]:
    """How many connections there are beside those that are shown, and how many of all want a listener."""
    wants = Q(status=CrmConnection.Status.CONNECTED, provider__in=streaming_providers())
    found: dict[str, int] = CrmConnection.objects.order_by().aggregate(
        all=Count("pk"), streaming=Count("pk", filter=wants)
    )
    return found


def _streaming(shown: Sequence[Card]) -> int:
    streaming = set(streaming_providers())
    return sum(1 for card in shown if card.connection.is_usable and card.provider in streaming)


# --- cards --------------------------------------------------------------------------------------------------------------


def _card(card: Card, may_change: bool) -> dict[str, Any]:
    row = card.connection
    return {
        "level": card.level,
        "icon": CARD_ICONS[card.level],
        "headline": card.headline,
        "tenant": row.tenant,
        "crm": row.get_provider_display(),
        "account": row.account_name or row.account_id,
        "state": row.get_status_display(),
        "state_icon": STATE_ICONS[row.status],
        "url": page_url(row),
        "numbers_url": page_url(row, "numbers"),
        "facts": dashboard_parts.facts(card),
        "step": next_step(card, may_change),
    }


def next_step(card: Card, may_change: bool) -> Step:
    """What helps this connection most. Whoever may not change it can still look."""
    row, begun = card.connection, _to_begin(card) if may_change else None
    if begun is not None:
        return begun
    if card.only_events_failed:
        failures = page_url(InboxEvent, "changelist", state__exact="failed", connection__id__exact=row.pk)
        return Step(_("See which events"), failures, urgent=True)
    if card.dead_letters:
        failures = page_url(SyncJob, "changelist", state__exact="dead", connection__id__exact=row.pk)
        return Step(_("See what failed"), failures, urgent=True)
    if may_change and card.circuit_breaker_state != "closed":
        return Step(_("Test connection"), _action_url(row, "test"), urgent=True)
    if may_change and card.stream_problem and card.level == "warning":
        return Step(_("Test connection"), _action_url(row, "test"), urgent=True)
    if card.faulty_records and card.level == "warning":
        faulty = page_url(SyncRecord, "changelist", sync_status__exact="error", connection__id__exact=row.pk)
        return Step(_("See which"), faulty)
    if card.notices and card.headline == card.notices[0].words:
        return Step(card.notices[0].button, card.notices[0].url, urgent=True)
    if may_change and card.level != "good":
        return Step(_("Sync now"), _action_url(row, "sync_now"), urgent=True)
    return Step(_("Open"), page_url(row))


def _to_begin(card: Card) -> Step | None:
    """What has to be done before anything is read at all."""
    row, status = card.connection, CrmConnection.Status
    if row.status in {status.NEEDS_RECONNECTING, status.DISCONNECTED}:
        return Step(_("Connect again"), page_url(CrmConnection, "add", **again(row)), urgent=True)
    if row.status == status.PAUSED:
        return Step(_("Resume"), _action_url(row, "resume"), urgent=True)
    if card.last_sync_at is None and card.circuit_breaker_state == "closed":
        return Step(_("Continue setup"), _action_url(row, "setup"), urgent=True)
    return None


def _action_url(row: CrmConnection, name: str) -> str:
    return page_url(row, name)


# --- what happened last --------------------------------------------------------------------------------------------------


def _runs() -> list[dict[str, Any]]:
    runs = SyncRun.objects.select_related("connection", "tenant").order_by("-started_at", "-pk")
    hidden = [f"connection__{name}" for name in SECRET_COLUMNS]
    return [
        {
            "url": page_url(run),
            "what": run,
            "crm": run.connection.get_provider_display(),
            "tenant": run.tenant,
            "status": RUN_STATUS(run),
            "done": done(run),
            "expected": run.expected,
            "started": ago(run.started_at),
        }
        for run in runs.defer(*hidden)[:NEWEST]
    ]


def _calls() -> list[dict[str, Any]]:
    return [
        {
            "url": page_url(call),
            "what": call.disposition or _("(no disposition)"),
            "contact": call.contact or call.phone,
            "tenant": call.tenant,
            "state": _call_state(call.worst),
            "started": ago(call.started_at),
        }
        for call in _newest_calls()
    ]


def _newest_calls() -> "QuerySet[Any]":
    """With the worst state that a call has in any CRM, read in the same query."""
    jobs = SyncJob.objects.filter(local_record_id=OuterRef("pk"), kind=KIND).exclude(state="dismissed")
    worst = Case(
        When(Exists(jobs.filter(state="dead")), then=Value("failed")),
        When(Exists(jobs.filter(state__in=["ready", "leased"])), then=Value("waiting")),
        When(Exists(jobs), then=Value("logged")),
        default=Value("nowhere"),
        output_field=CharField(),
    )
    # Chosen first: else the states of all calls would be found out before the newest are taken.
    newest = Call.objects.order_by("-created_at", "-pk").values("pk")[:NEWEST]
    found: QuerySet[Any] = Call.objects.filter(pk__in=newest).select_related("contact", "tenant").annotate(worst=worst)
    return found.order_by("-created_at", "-pk")


def _call_state(worst: str) -> str:
    words: Mapping[str, tuple[str, str]] = {
        "failed": (_("failed"), "bad"),
        "waiting": (_("waiting"), "warning"),
        "logged": (_("logged"), "good"),
        "nowhere": (_("in no CRM"), "muted"),
    }
    return badge(*words[worst])


def _machines(streaming: int) -> list[dict[str, Any]]:
    """Whether anybody works at all, and listens where that is wanted. A sign of life is minutes old once a machine is gone."""
    beats = list(WorkerBeat.objects.order_by("-beaten_at").values_list("kind", "beaten_at")[:200])
    working = [at for kind, at in beats if kind == WorkerBeat.Kind.WORKER]
    listening = [at for kind, at in beats if kind == WorkerBeat.Kind.LISTENER]
    return [_workers(working), *_listeners(listening, streaming)]


def _listeners(beats: Sequence[datetime], wanting: int) -> list[dict[str, Any]]:
    """Only what is wrong: many sites have no CRM that streams."""
    if not wanting or any(timezone.now() - beat < WORKER_SILENT_AFTER for beat in beats):
        return []
    words = ngettext(
        "No listener is running although %(count)d connection streams its changes, which are found only every few minutes "
        "now: start manage.py listen_changes.",
        "No listener is running although %(count)d connections stream their changes, which are found only every few minutes "
        "now: start manage.py listen_changes.",
        wanting,
    )
    return [{"level": "bad", "words": words % {"count": wanting}, "seen": ago(beats[0]) if beats else ""}]


def _workers(beats: Sequence[datetime]) -> dict[str, Any]:
    alive = sum(timezone.now() - beat < WORKER_SILENT_AFTER for beat in beats)
    if alive:
        words = ngettext(
            "%(count)d worker is alive; the last sign came", "%(count)d workers are alive; the last sign came", alive
        )
        return {"level": "good", "words": words % {"count": alive}, "seen": ago(beats[0])}
    if beats:
        return {
            "level": "bad",
            "words": _("No worker has reported lately: start manage.py qcluster. The last sign came"),
            "seen": ago(beats[0]),
        }
    return {"level": "bad", "words": _("No worker has reported yet: start manage.py qcluster."), "seen": ""}
