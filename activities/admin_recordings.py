"""Who listened to what: the list of plays, the panel on a call's page, and what was forgotten for its age."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from activities import recordings
from activities.models import Call, RecordingPlay, RetentionRun
from activities.recordings import Outcome
from integrations.admin_base import Panel, ReadOnlyAdmin, TenantScopedAdmin
from integrations.admin_html import NOTHING, ago, ago_column, badge, link, page_link, page_url

LEVELS = {Outcome.PLAYED: "good", Outcome.NOTHING: "muted", Outcome.FORGOTTEN: "muted", Outcome.STORAGE: "bad"}

BLOCKED = "blocked"
REFUSALS = (Outcome.NOT_SIGNED_IN, Outcome.OTHER_TENANT, Outcome.FORGED, Outcome.EXPIRED, Outcome.REVOKED)


def outcome_badge(row: RecordingPlay) -> str:
    known = row.outcome in Outcome.values
    return badge(Outcome(row.outcome).label if known else row.outcome, LEVELS.get(row.outcome, "warning"))  # type: ignore[call-overload]  # keys are texts


def recording_link(call: Call) -> str:
    """The way in through our own door, where the play is noted; never the address as it was given."""
    if call.recording_url:
        return format_html(
            '<a class="db-link" href="{}" target="_blank" rel="noopener">{}</a>',
            reverse("play_recording", args=[call.pk]),
            _("Listen"),
        )
    if call.recording_purged_at:
        return format_html("{} {}", _("forgotten"), ago(call.recording_purged_at))
    return NOTHING


def plays_panel(call: Call) -> Panel:
    plays = recordings.newest_plays([call.pk])
    rows = [
        [ago(one.at), one.get_way_display(), one.who or NOTHING, one.address or NOTHING, outcome_badge(one)]
        for one in plays
    ]
    headers = [_("When"), _("How"), _("Who"), _("Address"), _("Outcome")]
    more = (page_url(RecordingPlay, "changelist", q=call.pk), _("All plays")) if plays else None
    return Panel(_("Plays of the recording"), headers, rows, _("Nobody has asked for this recording yet."), more)


class OutcomeFilter(admin.SimpleListFilter):
    title = gettext_lazy("outcome")
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, Any]]:
        return [
            (BLOCKED, _("All refusals")),
            *((value, label) for value, label in Outcome.choices if value != Outcome.MISSING),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        wanted = REFUSALS if self.value() == BLOCKED else [self.value()]
        return queryset.filter(outcome__in=wanted) if self.value() else queryset


class RecordingPlayAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    list_display = (ago_column("at", gettext_lazy("when")), "call_link", "way", "who", "address", "outcome_column")
    list_filter = (OutcomeFilter, "way")
    list_select_related = ("call",)
    nothing_yet = gettext_lazy(
        "Nobody has asked for a recording. Who did, and who was refused and why, is listed here."
    )
    exact_search = ("call",)
    search_help_text = gettext_lazy("Our id of the call")
    ordering = ("-pk",)
    fields = ("at", "call_link", "way", "who", "address", "outcome_column")

    @admin.display(description=gettext_lazy("call"))
    def call_link(self, row: RecordingPlay) -> str:
        return page_link(row.call)

    @admin.display(description=gettext_lazy("outcome"), ordering="outcome")
    def outcome_column(self, row: RecordingPlay) -> str:
        return outcome_badge(row)


class RetentionRunAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    nothing_yet = gettext_lazy(
        "Nothing was forgotten yet: how long recordings and notes are kept is said in the call settings."
    )
    list_display = (ago_column("at", gettext_lazy("when")), "recordings", "texts", "in_crms")
    ordering = ("-pk",)
    fields = ("at", ("recordings", "texts", "in_crms"))


def runs_panel(tenant_id: Any) -> Panel:
    """The newest nights, for the page of the settings."""
    runs = RetentionRun.objects.filter(tenant_id=tenant_id).order_by("-pk")[:10]
    rows = [[link(page_url(one), ago(one.at)), one.recordings, one.texts, one.in_crms] for one in runs]
    headers = [_("When"), _("Recordings"), _("Calls whose texts went"), _("Activities to shorten in CRMs")]
    empty = _("Nothing has been looked at yet. Give a number of days above; the calls are looked at every night.")
    more = (page_url(RetentionRun, "changelist"), _("All runs")) if rows else None
    return Panel(_("What was forgotten"), headers, rows, empty, more)
