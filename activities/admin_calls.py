"""The pages of calls: what became of each in every CRM, what it brought about, who listened, and logging it again."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.html import format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from activities.admin_call_panels import effects_panel, places_panel, requests_panel, state_badge
from activities.admin_recordings import plays_panel, recording_link
from activities.admin_reviews import BUTTONS, DecidesReviews, NeedsPersonFilter
from activities.admin_stages import stages_panel
from activities.models import Call
from activities.notes import clock
from activities.states import SHOWN, TABLES, sync_states
from integrations.admin_base import Panel, Question, ReadOnlyAdmin, TenantScopedAdmin, any_of, page_action
from integrations.admin_html import NOTHING, ago_column, badge, bullets, page_url, plain, prose, spaced
from mapping.fields import field_name
from sync.admin.jobs import replay
from sync.models import SyncJob
from sync.records_search import phone_candidates, regions


class CallAdmin(DecidesReviews, ReadOnlyAdmin, TenantScopedAdmin):
    nothing_fits = gettext_lazy("No call fits. Where you came for calls that need a person: none does.")
    nothing_yet = gettext_lazy(
        "The dialer has posted no call yet. “API keys” says how it signs in, and the API's own page what to send."
    )
    list_display = (
        "what", "contact", "phone", "talk_time", "in_crms", "review_badge",
        ago_column("started_at", gettext_lazy("started")),
    )  # fmt: skip
    list_filter = (NeedsPersonFilter, "direction", "crm_provider")
    list_select_related = ("contact",)
    search_fields = ("external_id",)
    search_help_text = gettext_lazy("Dialer's whole id, our id, or phone")
    ordering = ("-created_at", "-pk")
    actions = ("log_again_selected",)
    actions_detail = ("log_again", *BUTTONS)
    fieldsets = (
        (None, {"fields": (("contact", "in_crms"), ("phone", "review_badge"), ("crm_provider", "crm_record_id"))}),
        (
            gettext_lazy("Call"),
            {
                "fields": (
                    ("disposition", "direction"),
                    ("started_at", "talk_time"),
                    ("agent_email", "recording"),
                    ("external_id", "created_at"),
                )
            },
        ),
        (gettext_lazy("Content"), {"fields": ("notes_text", "summary_text", "points", "steps", "metrics")}),
    )

    # --- the list: what became of all its calls is read in two queries -----------------------------------------------

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changes = super().get_changelist_instance(request)
        calls = list(changes.result_list)
        states = sync_states([call.pk for call in calls])
        for call in calls:
            call.states_read = states[call.pk]
        changes.result_list = calls
        return changes

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("contact", "tenant")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        numbers = phone_candidates(term, regions())
        return queryset.filter(any_of(Call, ("external_id", "id"), term) | Q(phone__in=numbers)), False

    # --- fields ----------------------------------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("call"), ordering="disposition")
    def what(self, row: Call) -> str:
        return row.disposition or _("(no disposition)")

    @admin.display(description=gettext_lazy("length"), ordering="duration_seconds")
    def talk_time(self, row: Call) -> str:
        return clock(row.duration_seconds)

    @admin.display(description=gettext_lazy("in the CRMs"))
    def in_crms(self, row: Any) -> str:
        states = row.states_read if hasattr(row, "states_read") else sync_states([row.pk])[row.pk]
        return format_html_join(" ", "{}", ((state_badge(state),) for state in states)) or NOTHING

    @admin.display(description=gettext_lazy("needs a look"), ordering="review")
    def review_badge(self, row: Call) -> str:
        return badge(row.get_review_display(), "warning") if row.review else NOTHING

    @admin.display(description=gettext_lazy("recording"))
    def recording(self, row: Call) -> str:
        return recording_link(row)

    @admin.display(description=gettext_lazy("notes"))
    def notes_text(self, row: Call) -> str:
        return prose(row.notes)

    @admin.display(description=gettext_lazy("summary"))
    def summary_text(self, row: Call) -> str:
        return prose(row.summary)

    @admin.display(description=gettext_lazy("key points"))
    def points(self, row: Call) -> str:
        return bullets(row.key_points)

    @admin.display(description=gettext_lazy("next steps"))
    def steps(self, row: Call) -> str:
        return bullets(row.next_steps)

    @admin.display(description=gettext_lazy("metrics"))
    def metrics(self, row: Call) -> str:
        return bullets(f"{spaced(field_name(str(name)))}: {plain(value)}" for name, value in dict(row.metadata).items())

    def panels(self, request: HttpRequest, row: Any) -> Sequence[Panel]:
        row.states_read = states = sync_states([row.pk], SHOWN)[row.pk]
        return [
            places_panel(row, states),
            effects_panel(row),
            stages_panel(row),
            plays_panel(row),
            requests_panel(row, states),
        ]

    # --- logging again ---------------------------------------------------------------------------------------------

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("sync.change_syncjob")

    @admin.action(description=gettext_lazy("Log again where it failed"), permissions=["replay"])
    def log_again_selected(self, request: HttpRequest, queryset: QuerySet[Call]) -> None:
        replay(self, request, _failed_jobs(queryset.values_list("pk", flat=True)))

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        row = self.get_object(request, str(object_id))
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        if row is None:
            return []
        shown = [*self.review_buttons(request, row), *(["log_again"] if _failed_jobs([row.pk]).exists() else [])]
        return (
            [one for one in offered if one.action_name.endswith(tuple(f"_{name}" for name in shown))] if shown else []
        )

    @page_action(gettext_lazy("Log again"), icon="replay", permission="sync.change_syncjob")
    def log_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        question = Question(
            title=_("Log this call again?"),
            lines=[
                _("It is tried again in each CRM where it failed."),
                _("A CRM that has it already is looked up first, so it never stands there twice."),
            ],
            button=_("Log again"),
        )
        page = self.ask(request, row, question)
        if page:
            return page
        replay(self, request, _failed_jobs([row.pk]))
        return redirect(page_url(row))


def _failed_jobs(call_ids: Iterable[Any]) -> QuerySet[SyncJob]:
    found: QuerySet[SyncJob] = SyncJob.objects.filter(
        local_record_id__in=list(call_ids), kind__in=TABLES, state=SyncJob.State.DEAD
    )
    return found
