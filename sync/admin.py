"""Admin pages of the sync: runs, links, jobs, stored events, cursors, conflicts and changes. All of it is history: read-only."""

import json
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.admin_base import (
    AdminPage,
    ReadOnlyAdmin,
    RecentValues,
    TenantScopedAdmin,
    any_of,
)
from integrations.admin_html import (
    NOTHING,
    ago_column,
    badge_column,
    code,
    code_column,
    outward,
    page_link,
    plain,
    progress,
)
from integrations.models import CrmConnection
from sync.admin_connections import RUN_STATUS, ConnectionAdmin, done
from sync.admin_contacts import RECORD_STATUS, with_crm_id
from sync.admin_jobs import BY_CONNECTION, SyncJobAdmin, record_link
from sync.models import Conflict, FeedCursor, FieldChange, InboxEvent, SyncJob, SyncRecord, SyncRun, WorkerBeat

EVENT_LEVELS = {"received": "warning", "worked": "good", "failed": "bad"}
CONFLICT_LEVELS = {"open": "bad", "decided": "good"}
EVENT_STATE = badge_column("state", gettext_lazy("state"), EVENT_LEVELS)
CONFLICT_STATUS = badge_column("status", gettext_lazy("status"), CONFLICT_LEVELS)
SECRET_HEADERS = ("auth", "cookie", "key", "secret", "signature", "token")

admin.site.register(CrmConnection, ConnectionAdmin)
admin.site.register(SyncJob, SyncJobAdmin)


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
        return record_link(row.local_table, row.local_record_id)

    @admin.display(description=gettext_lazy("problem"))
    def short_problem(self, row: SyncRecord) -> str:
        return (row.error_message or NOTHING)[:120]


class SourceFilter(RecentValues):
    title = gettext_lazy("source")
    parameter_name = "source"


class RuleFilter(RecentValues):
    title = gettext_lazy("rule")
    parameter_name = "rule"


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
