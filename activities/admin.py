"""Admin pages of calls and dispositions, and the contact's page with its calls."""

from collections.abc import Iterable, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.html import format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from activities.models import Call, DispositionMap
from activities.notes import clock
from activities.states import sync_states
from activities.targets import KIND
from integrations.admin_base import Panel, Question, ReadOnlyAdmin, TenantScopedAdmin, any_of, page_action
from integrations.admin_forms import TenantForm, json_object
from integrations.admin_html import (
    NOTHING,
    ago,
    ago_column,
    badge,
    bullets,
    code_column,
    outward,
    page_link,
    page_url,
    plain,
    prose,
)
from integrations.models import Tenant
from integrations.registry import provider_class, provider_label
from mapping.models import CrmField
from sync.admin_contacts import ContactAdmin, phone_candidates
from sync.admin_jobs import JOB_TABLES, RECORD_MODELS, replay
from sync.models import Contact, SyncJob

RECORD_MODELS[Call._meta.db_table] = Call
JOB_TABLES[KIND] = Call._meta.db_table
LATEST_CALLS = 20
STATE_LEVELS = {"pending": "warning", "sending": "info", "logged": "good", "failed": "bad"}
STATE_WORDS = {
    "pending": gettext_lazy("waiting"),
    "sending": gettext_lazy("being sent"),
    "logged": gettext_lazy("logged"),
    "failed": gettext_lazy("failed"),
}


@admin.register(Call)
class CallAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    list_display = (
        "what", "contact", "phone", "talk_time", "in_crms", "review_badge",
        ago_column("started_at", gettext_lazy("started")),
    )  # fmt: skip
    list_filter = ("review", "direction", "crm_provider")
    list_select_related = ("contact",)
    search_fields = ("external_id",)
    search_help_text = gettext_lazy("Dialer's whole id, our id, or phone")
    ordering = ("-created_at", "-pk")
    actions = ("log_again_selected",)
    actions_detail = ("log_again",)
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
    metrics = staticmethod(code_column("metadata", gettext_lazy("metrics")))

    # --- the list: what became of all its calls is read in two queries -----------------------------------------------

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changes = super().get_changelist_instance(request)
        calls = list(changes.result_list)
        states = sync_states([call.pk for call in calls])
        for call in calls:
            call.states_read = states[call.pk]
        changes.result_list = calls
        return changes

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        numbers = phone_candidates(term, Tenant.objects.values_list("region", flat=True).distinct())
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
        return format_html_join(" ", "{}", ((_state_badge(state),) for state in states)) or NOTHING

    @admin.display(description=gettext_lazy("needs a look"), ordering="review")
    def review_badge(self, row: Call) -> str:
        return badge(row.get_review_display(), "warning") if row.review else NOTHING

    @admin.display(description=gettext_lazy("recording"))
    def recording(self, row: Call) -> str:
        return outward(row.recording_url, _("Listen")) if row.recording_url else NOTHING

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

    def panels(self, request: HttpRequest, row: Any) -> Sequence[Panel]:
        rows = [
            [
                provider_label(state["provider"]),
                badge(STATE_WORDS[state["status"]], STATE_LEVELS[state["status"]]),
                outward(state["url"], state["crm_record_id"]) if state["crm_record_id"] else NOTHING,
                state["attempts"],
                state["error"] or NOTHING,
            ]
            for state in sync_states([row.pk])[row.pk]
        ]
        headers = [_("CRM"), _("State"), _("Activity in the CRM"), _("Attempts"), _("Problem")]
        jobs = (page_url(SyncJob, "changelist", q=row.pk), _("Its jobs"))
        return [
            Panel(_("What became of it in each CRM"), headers, rows, _("No CRM has to be told of this call."), jobs)
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
        return offered if row is not None and _failed_jobs([row.pk]).exists() else []

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
        local_record_id__in=list(call_ids), kind=KIND, state=SyncJob.State.DEAD
    )
    return found


def _state_badge(state: dict[str, Any]) -> str:
    words = f"{provider_label(state['provider'])}: {STATE_WORDS[state['status']]}"
    return badge(outward(state["url"], words), STATE_LEVELS[state["status"]])


class DispositionForm(TenantForm):
    identity = ("tenant", "crm_provider", "disposition")

    class Meta:
        model = DispositionMap
        fields = "__all__"
        help_texts = {
            "values": gettext_lazy('The CRM\'s own fields of a call, for instance {"outcome": "Left Voicemail"}.'),
            "disposition": gettext_lazy("As the dialer writes it; capitals don't matter."),
        }

    def clean_values(self) -> dict[str, Any]:
        values = json_object(self.cleaned_data["values"])
        nested = [name for name, value in values.items() if isinstance(value, dict | list)]
        if nested:
            raise forms.ValidationError(_("%(names)s: write one value for each field.") % {"names": ", ".join(nested)})
        return values

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        provider = data.get("crm_provider") or self.instance.crm_provider
        owner = data["tenant"].pk if data.get("tenant") else self.instance.tenant_id
        unknown = unknown_fields(owner, provider, data.get("values") or {}) if owner and provider else []
        if unknown:
            names, crm = ", ".join(unknown), provider_label(provider)
            self.add_error(
                "values", _("%(crm)s has no such field of a call: %(names)s.") % {"crm": crm, "names": names}
            )
        return data


def unknown_fields(tenant_id: Any, provider: str, values: dict[str, Any]) -> list[str]:
    """Fields that the CRM was not found to have. Before anything was discovered all are taken."""
    crm = provider_class(provider)
    discovered = CrmField.objects.filter(
        tenant_id=tenant_id, connection__provider=provider, object_type=crm.call_type, missing_since=None
    )
    known = set(discovered.values_list("path", flat=True))
    usual = {field for outcome in crm.default_dispositions.values() for field in outcome}
    return sorted(values.keys() - known - usual) if known else []


@admin.register(DispositionMap)
class DispositionMapAdmin(TenantScopedAdmin):
    form = DispositionForm
    list_display = ("disposition", "crm_provider", "written", ago_column("updated_at", gettext_lazy("changed")))
    list_filter = ("crm_provider",)
    search_fields = ("disposition__istartswith",)
    search_help_text = gettext_lazy("Beginning of the disposition")
    ordering = ("tenant__name", "crm_provider", "disposition", "pk")
    fields = ("crm_provider", "disposition", "values")

    @admin.display(description=gettext_lazy("CRM values"))
    def written(self, row: DispositionMap) -> str:
        return ", ".join(f"{field}: {plain(value)}" for field, value in row.values.items()) or NOTHING


@admin.register(Contact)
class ContactWithCalls(ContactAdmin):
    """The contact's page, to which this app adds the calls."""

    def panels(self, request: HttpRequest, row: Any) -> Sequence[Panel]:
        records, *others = super().panels(request, row)
        return [records, _calls_of(row), *others]


def _calls_of(contact: Contact) -> Panel:
    calls = list(Call.objects.filter(contact=contact).order_by("-started_at")[:LATEST_CALLS])
    states = sync_states([call.pk for call in calls])
    rows = [
        [
            page_link(call, call.disposition or _("(no disposition)")),
            ago(call.started_at),
            call.get_direction_display(),
            clock(call.duration_seconds),
            format_html_join(" ", "{}", ((_state_badge(state),) for state in states[call.pk])) or NOTHING,
        ]
        for call in calls
    ]
    headers = [_("Call"), _("Started"), _("Direction"), _("Length"), _("In the CRMs")]
    return Panel(_("Calls"), headers, rows, _("Nobody has called this contact yet."))
