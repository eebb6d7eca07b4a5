"""Tables about calls: for a call's own page, and for the page of the contact who was called."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils.html import format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from activities import effects
from activities.dispositions import plain
from activities.forgetting import SIDES
from activities.models import Call, DispositionEffect
from activities.notes import clock
from integrations.admin_base import Panel
from integrations.admin_exchanges import exchanges_panel
from integrations.admin_html import NOTHING, ago, badge, outward, page_link, page_url
from integrations.registry import provider_label
from sync.models import Contact, SyncJob

LATEST_CALLS = 20
STATE_LEVELS = {"pending": "warning", "sending": "info", "logged": "good", "failed": "bad", "cancelled": "muted"}
STATE_WORDS = {
    "pending": gettext_lazy("waiting"),
    "sending": gettext_lazy("being sent"),
    "logged": gettext_lazy("logged"),
    "failed": gettext_lazy("failed"),
    "cancelled": gettext_lazy("cancelled"),
}
SIDE_WORDS = {
    "meeting": gettext_lazy("Meeting"),
    "follow_up": gettext_lazy("Follow-up"),
    "note": gettext_lazy("Note with the summary"),
}


def state_badge(state: dict[str, Any]) -> str:
    words = f"{provider_label(state['provider'])}: {STATE_WORDS[state['status']]}"
    return badge(outward(state["url"], words), STATE_LEVELS[state["status"]])


def places_panel(call: Call, states: Sequence[dict[str, Any]]) -> Panel:
    """A line for the call in each CRM, and one for each meeting, follow-up and note that belongs to it."""
    rows = []
    for state in states:
        crm = provider_label(state["provider"])
        rows.append(_place_row(crm, _("Call"), state))
        rows += [_place_row(crm, words, state[side]) for side, words in SIDE_WORDS.items() if side in state]
    headers = [_("CRM"), _("What"), _("State"), _("Activity in the CRM"), _("Attempts"), _("Problem")]
    jobs = (page_url(SyncJob, "changelist", q=call.pk), _("Its jobs"))
    empty = _("No CRM has to be told of this call.")
    return Panel(_("What became of it in each CRM"), headers, rows, empty, jobs)


def _place_row(crm: str, what: object, state: dict[str, Any]) -> list[object]:
    return [
        crm,
        what,
        badge(STATE_WORDS[state["status"]], STATE_LEVELS[state["status"]]),
        outward(state["url"], state["crm_record_id"]) if state["crm_record_id"] else NOTHING,
        state["attempts"],
        state["error"] or NOTHING,
    ]


def effects_panel(call: Call) -> Panel:
    """What the call's disposition brings about, by the rules of today."""
    known = effects.of_tenant(call.tenant_id) if call.disposition else {}
    effect = known.get(plain(call.disposition))
    rows = [[what, value] for what, value in _brought_about(effect)] if effect else []
    empty = (
        _("Its disposition is logged, and brings about nothing else.")
        if call.disposition
        else _("It has no disposition.")
    )
    more = (page_url(DispositionEffect, "changelist"), _("All effects"))
    return Panel(_("What its disposition brings about"), [_("Effect"), _("Which")], rows, empty, more)


def _brought_about(effect: DispositionEffect) -> list[tuple[object, object]]:
    days = effect.follow_up_days
    found = (
        (effect.do_not_call, _("Do not call"), _("The contact is never dialled again.")),
        (effect.lead_status, _("Lead status"), effect.lead_status),
        (days is not None, _("Follow-up"), _("A task after %(days)s days") % {"days": days}),
        (effect.books_meeting, _("Meeting"), _("The meeting that comes with the call is booked in the CRM.")),
    )
    return [(what, value) for applies, what, value in found if applies]


def requests_panel(call: Call, states: Sequence[dict[str, Any]]) -> Panel:
    """What was said to the CRMs about the call, its meeting, its follow-up and its note."""
    keys = [f"{call.pk}{side}" for side in SIDES]
    sides = [one for state in states for one in (state, *(state.get(side) for side in SIDE_WORDS)) if one]
    return exchanges_panel(keys, [*keys, *(one["crm_record_id"] for one in sides if one["crm_record_id"])])


def newest_calls(contact: Contact) -> QuerySet[Call]:
    found: QuerySet[Call] = Call.objects.filter(contact=contact).order_by("-started_at")[:LATEST_CALLS]
    return found


def calls_panel(calls: Sequence[Call], states: Mapping[UUID, Sequence[dict[str, Any]]]) -> Panel:
    """The calls of a contact, each with what became of it."""
    rows = [
        [
            page_link(call, call.disposition or _("(no disposition)")),
            ago(call.started_at),
            call.get_direction_display(),
            clock(call.duration_seconds),
            format_html_join(" ", "{}", ((state_badge(state),) for state in states[call.pk])) or NOTHING,
        ]
        for call in calls
    ]
    headers = [_("Call"), _("Started"), _("Direction"), _("Length"), _("In the CRMs")]
    return Panel(_("Calls"), headers, rows, _("Nobody has called this contact yet."))
