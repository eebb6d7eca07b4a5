"""Admin pages of the sync: runs, links, jobs, stored events, cursors, conflicts and changes. All of it is history: read-only."""

import json
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from integrations.admin_base import (
    AdminPage,
    Question,
    ReadOnlyAdmin,
    RecentValues,
    TenantScopedAdmin,
    any_of,
    page_action,
)
from integrations.admin_html import (
    NOTHING,
    ago_column,
    badge_column,
    code,
    code_column,
    outward,
    page_link,
    page_url,
    plain,
    progress,
)
from integrations.models import CrmConnection
from sync import queue
from sync.admin_connections import RUN_STATUS, ConnectionAdmin, done
from sync.admin_contacts import CONTACTS, RECORD_STATUS, with_crm_id
from sync.models import Conflict, Contact, FeedCursor, FieldChange, InboxEvent, SyncJob, SyncRecord, SyncRun, WorkerBeat

JOB_LEVELS = {"ready": "warning", "leased": "info", "done": "good", "dead": "bad"}
EVENT_LEVELS = {"received": "warning", "worked": "good", "failed": "bad"}
CONFLICT_LEVELS = {"open": "bad", "decided": "good"}
JOB_STATE = badge_column("state", gettext_lazy("state"), JOB_LEVELS)
EVENT_STATE = badge_column("state", gettext_lazy("state"), EVENT_LEVELS)
CONFLICT_STATUS = badge_column("status", gettext_lazy("status"), CONFLICT_LEVELS)
BY_CONNECTION = ("connection", AutocompleteSelectFilter)
SECRET_HEADERS = ("auth", "cookie", "key", "secret", "signature", "token")

RECORD_MODELS: dict[str, type[Any]] = {CONTACTS: Contact}
"""Our table → its model, for links from sync records and jobs to the record itself. Apps above add theirs."""
JOB_TABLES: dict[str, str] = {}
"""Kind of job → table of its record."""

admin.site.register(CrmConnection, ConnectionAdmin)


def _record_link(table: str, record_id: object) -> str:
    """The admin page of one of our records, or its id when there is none."""
    model = RECORD_MODELS.get(table)
    if not model or not record_id:
        return str(record_id or NOTHING)
    return page_link(model(pk=record_id), f"{capfirst(model._meta.verbose_name)} {str(record_id)[:8]}…")


@admin.register(SyncRun)
class SyncRunAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    list_display = (
        "what",
        "connection",
        RUN_STATUS,
        "bar",
        "created",
        "updated",
        "unchanged",
        "skipped",
        "errored",
        ago_column("started_at", gettext_lazy("started")),
    )
    list_filter = ("status", "kind", BY_CONNECTION)
    list_select_related = ("connection",)
    ordering = ("-started_at", "-pk")
    fields: ClassVar[Any] = (
        "connection", "kind", "object_type", RUN_STATUS, "bar", "created", "updated", "unchanged", "skipped", "conflicts",
        "errored", "api_calls", "mapping_version", "error", "started_at", "finished_at",
    )  # fmt: skip

    @admin.display(description=gettext_lazy("run"))
    def what(self, row: SyncRun) -> str:
        return str(row)

    @admin.display(description=gettext_lazy("progress"))
    def bar(self, row: SyncRun) -> str:
        return progress(done(row), row.expected, _("Records done"))


@admin.register(SyncRecord)
class SyncRecordAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    list_display = (
        "crm_record_id",
        "crm_provider",
        "crm_object_type",
        RECORD_STATUS,
        "sync_direction",
        ago_column("last_synced_at", gettext_lazy("last synced")),
        "short_problem",
    )
    list_filter = ("sync_status", "crm_provider", "sync_direction", BY_CONNECTION)
    exact_search = ("local_record_id",)
    search_help_text = gettext_lazy("Whole CRM id, or our id")
    # In the order of their index: sorting by time would read the whole table.
    ordering = ("tenant_id", "crm_provider", "crm_object_type", "crm_record_id", "pk")
    agreed = staticmethod(code_column("base", gettext_lazy("agreed values")))
    notes = staticmethod(code_column("metadata", gettext_lazy("kept with it")))
    fields: ClassVar[Any] = (
        "connection", "crm_provider", "crm_object_type", "in_crm", "our_record", "sync_direction", RECORD_STATUS,
        "error_message", "retry_count", "last_synced_at", "last_crm_modified_at", "last_local_modified_at", "agreed", "notes",
        "created_at", "updated_at",
    )  # fmt: skip

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        return (
            queryset.filter(with_crm_id(term) | any_of(SyncRecord, self.exact_search, term)) if term else queryset
        ), False

    @admin.display(description=gettext_lazy("in the CRM"))
    def in_crm(self, row: SyncRecord) -> str:
        return outward(row.url, row.crm_record_id)

    @admin.display(description=gettext_lazy("our record"))
    def our_record(self, row: SyncRecord) -> str:
        return _record_link(row.local_table, row.local_record_id)

    @admin.display(description=gettext_lazy("problem"))
    def short_problem(self, row: SyncRecord) -> str:
        return (row.error_message or NOTHING)[:120]


class KindFilter(RecentValues):
    title = gettext_lazy("what")
    parameter_name = "kind"


class CauseFilter(RecentValues):
    title = gettext_lazy("cause")
    parameter_name = "cause"

    def rows(self, model_admin: Any) -> QuerySet[Any]:
        return super().rows(model_admin).filter(state=SyncJob.State.DEAD)


class SourceFilter(RecentValues):
    title = gettext_lazy("source")
    parameter_name = "source"


class RuleFilter(RecentValues):
    title = gettext_lazy("rule")
    parameter_name = "rule"


@admin.register(SyncJob)
class SyncJobAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    list_display = (
        "number",
        JOB_STATE,
        "kind",
        "about",
        "connection",
        "lane",
        "attempts",
        "cause",
        "short_problem",
        ago_column("created_at", gettext_lazy("created")),
    )
    list_filter = ("state", "lane", KindFilter, CauseFilter, BY_CONNECTION)
    list_select_related = ("connection",)
    exact_search = ("id", "local_record_id")
    search_help_text = gettext_lazy("Job number, or whole id of the record")
    ordering = ("-pk",)
    actions = ("try_again_selected",)
    actions_detail = ("try_again",)
    what_for = staticmethod(code_column("payload", gettext_lazy("with")))
    technical = staticmethod(code_column("error_detail", gettext_lazy("technical detail")))
    fields: ClassVar[Any] = (
        "connection", "kind", "about", JOB_STATE, "lane", "attempts", "cause", "error", "technical", "what_for", "run",
        "not_before", "first_attempt_at", "lease_until", "created_at", "finished_at",
    )  # fmt: skip

    @admin.display(description=gettext_lazy("number"), ordering="id")
    def number(self, row: SyncJob) -> str:
        return f"#{row.pk}"

    @admin.display(description=gettext_lazy("about"), ordering="key")
    def about(self, row: SyncJob) -> str:
        return _record_link(JOB_TABLES.get(row.kind, ""), row.local_record_id) if row.local_record_id else row.key

    @admin.display(description=gettext_lazy("problem"))
    def short_problem(self, row: SyncJob) -> str:
        return row.error[:120] or NOTHING

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("sync.change_syncjob")

    @admin.action(description=gettext_lazy("Try again"), permissions=["replay"])
    def try_again_selected(self, request: HttpRequest, queryset: QuerySet[SyncJob]) -> None:
        replay(self, request, queryset)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        row = self.get_object(request, str(object_id))
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return offered if row is not None and row.state == SyncJob.State.DEAD else []

    @page_action(gettext_lazy("Try again"), icon="replay", permission="sync.change_syncjob")
    def try_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        question = Question(
            title=_("Try %(job)s again?") % {"job": row},
            lines=[_("It goes back to the queue with fresh attempts. What the CRM already has is not written twice.")],
            button=_("Try again"),
        )
        page = self.ask(request, row, question)
        if page:
            return page
        replay(self, request, SyncJob.objects.filter(pk=row.pk))
        return redirect(page_url(row))


def replay(page: AdminPage, request: HttpRequest, jobs: QuerySet[SyncJob]) -> int:
    """Puts dead jobs back to work and says how many; says so as well when none needed it."""
    count = queue.replay(jobs)
    if count:
        text = ngettext("%(count)d job is tried again.", "%(count)d jobs are tried again.", count) % {"count": count}
        page.message_user(request, text, messages.SUCCESS)
    else:
        page.message_user(
            request, _("None of these needed help: they are done, or waiting for their turn."), messages.INFO
        )
    return count


@admin.register(InboxEvent)
class InboxEventAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    list_display = (
        "id",
        "source",
        "object_type",
        "connection",
        EVENT_STATE,
        "signature_ok",
        "record_count",
        ago_column("received_at", gettext_lazy("received")),
        "error",
    )
    list_filter = ("state", SourceFilter, BY_CONNECTION)
    list_select_related = ("connection",)
    exact_search = ("id", "dedupe_key")
    search_help_text = gettext_lazy("Number, or the sender's whole key")
    ordering = ("-pk",)
    fields: ClassVar[Any] = (
        "connection", "source", "object_type", "dedupe_key", EVENT_STATE, "signature_ok", "records", "content", "safe_headers",
        "error", "occurred_at", "received_at", "worked_at",
    )  # fmt: skip
    records = staticmethod(code_column("record_ids", gettext_lazy("records")))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("body")

    @admin.display(description=gettext_lazy("records"))
    def record_count(self, row: InboxEvent) -> int:
        return len(row.record_ids)

    @admin.display(description=gettext_lazy("body"))
    def content(self, row: InboxEvent) -> str:
        return code(_decoded(bytes(row.body)))

    @admin.display(description=gettext_lazy("headers"))
    def safe_headers(self, row: InboxEvent) -> str:
        return code({name: _safe_header(name, value) for name, value in dict(row.headers).items()})


def _decoded(body: bytes) -> Any:
    text = body.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _safe_header(name: str, value: object) -> object:
    return "[secret]" if any(word in name.lower() for word in SECRET_HEADERS) else value


@admin.register(FeedCursor)
class FeedCursorAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    list_display = (
        "feed",
        "connection",
        ago_column("complete_at", gettext_lazy("read to the end")),
        ago_column("moved_at", gettext_lazy("moved")),
    )
    list_filter = (BY_CONNECTION,)
    list_select_related = ("connection",)
    ordering = ("connection_id", "feed", "pk")
    fields = ("connection", "feed", "position", "moved_at", "complete_at")
    position = staticmethod(code_column("value", gettext_lazy("position")))


@admin.register(Conflict)
class ConflictAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    list_display = (
        "field",
        "person",
        "record",
        CONFLICT_STATUS,
        "was",
        "dialer",
        "crm",
        "strategy",
        "winner",
        ago_column("created_at", gettext_lazy("found")),
    )
    list_filter = ("status", "strategy")
    list_select_related = ("contact", "record")
    exact_search = ("contact_id",)
    search_help_text = gettext_lazy("The contact's whole id")
    ordering = ("-pk",)
    fields: ClassVar[Any] = (
        "field", "contact", "record", CONFLICT_STATUS, "was", "dialer", "ours_at", "crm", "theirs_at", "strategy", "winner",
        "created_at", "decided_at",
    )  # fmt: skip

    @admin.display(description=gettext_lazy("contact"), ordering="contact__last_name")
    def person(self, row: Conflict) -> str:
        return page_link(row.contact)

    @admin.display(description=gettext_lazy("agreed before"))
    def was(self, row: Conflict) -> str:
        return plain(row.base)

    @admin.display(description=gettext_lazy("dialer"))
    def dialer(self, row: Conflict) -> str:
        return plain(row.ours)

    @admin.display(description="CRM")
    def crm(self, row: Conflict) -> str:
        return plain(row.theirs)


@admin.register(FieldChange)
class FieldChangeAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    list_display = (
        "field",
        "person",
        "before",
        "after",
        "loser",
        "source",
        "actor",
        "rule",
        ago_column("at", gettext_lazy("when")),
    )
    list_filter = (SourceFilter, RuleFilter)
    list_select_related = ("contact",)
    exact_search = ("contact_id",)
    search_help_text = gettext_lazy("The contact's whole id")
    ordering = ("-pk",)
    fields: ClassVar[Any] = (
        "contact",
        "field",
        "before",
        "after",
        "loser",
        "source",
        "actor",
        "rule",
        "connection",
        "run",
        "mapping_version",
        "at",
    )

    @admin.display(description=gettext_lazy("contact"), ordering="contact__last_name")
    def person(self, row: FieldChange) -> str:
        return page_link(row.contact)

    @admin.display(description=gettext_lazy("before"))
    def before(self, row: FieldChange) -> str:
        return plain(row.old)

    @admin.display(description=gettext_lazy("after"))
    def after(self, row: FieldChange) -> str:
        return plain(row.new)

    @admin.display(description=gettext_lazy("value that lost"))
    def loser(self, row: FieldChange) -> str:
        return plain(row.lost)


@admin.register(WorkerBeat)
class WorkerBeatAdmin(ReadOnlyAdmin, AdminPage):
    list_display = ("id", "host", "pid", ago_column("beaten_at", gettext_lazy("last sign of life")))
    fields = ("id", "host", "pid", "beaten_at")
    ordering = ("-beaten_at", "pk")
