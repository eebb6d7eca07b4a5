"""The pages of what the engine keeps for itself: links between records, cursors of feeds, signs of life. Read-only."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from integrations.admin_base import (
    AdminPage,
    ReadOnlyAdmin,
    TenantScopedAdmin,
    any_of,
)
from integrations.admin_html import (
    NOTHING,
    ago_column,
    bullets,
    outward,
    plain,
    told,
    told_column,
)
from mapping.fields import field_name
from sync.admin.contacts import RECORD_STATUS
from sync.admin.jobs import BY_CONNECTION, named_link
from sync.event_words import feed_name
from sync.models import FeedCursor, SyncRecord, WorkerBeat
from sync.records_search import with_crm_id
from sync.sent import WARNINGS


class SyncRecordAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    nothing_yet = gettext_lazy(
        "No record is linked yet. Links are made as contacts arrive from a CRM or are written to it."
    )
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
    notes = staticmethod(told_column("metadata", gettext_lazy("kept with it")))
    fields: ClassVar[Any] = (
        "connection", "crm_provider", "crm_object_type", "in_crm", "our_record", "sync_direction", RECORD_STATUS,
        "error_message", "warnings", "retry_count", "last_synced_at", "last_crm_modified_at", "last_local_modified_at", "agreed",
        "as_shown", "notes", "created_at", "updated_at",
    )  # fmt: skip
    only_if_filled = (
        "error_message", "warnings", "last_crm_modified_at", "last_local_modified_at", "agreed", "as_shown", "notes",
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
        return named_link(row.local_table, row.local_record_id)

    @admin.display(description=gettext_lazy("agreed values"))
    def agreed(self, row: SyncRecord) -> str:
        return bullets(f"{field_name(name)}: {plain(value)}" for name, value in dict(row.base).items())

    @admin.display(description=gettext_lazy("as the CRM showed it last"))
    def as_shown(self, row: SyncRecord) -> str:
        return told(row.snapshot.fields) if hasattr(row, "snapshot") else NOTHING

    @admin.display(description=gettext_lazy("problem"))
    def short_problem(self, row: SyncRecord) -> str:
        return (row.error_message or " ".join(row.metadata.get(WARNINGS, ())) or NOTHING)[:120]

    @admin.display(description=gettext_lazy("left out of the last write"))
    def warnings(self, row: SyncRecord) -> str:
        return bullets(row.metadata.get(WARNINGS, ()))


class FeedCursorAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    nothing_yet = gettext_lazy("No feed was read yet: nothing is connected, or no worker runs.")
    list_display = (
        "what",
        "connection",
        ago_column("complete_at", gettext_lazy("read to the end")),
        ago_column("moved_at", gettext_lazy("moved")),
    )
    list_filter = (BY_CONNECTION,)
    list_select_related = ("connection",)
    ordering = ("connection_id", "feed", "pk")
    fields = ("connection", "what", "position", "moved_at", "complete_at")
    only_if_filled = ("complete_at", "position")
    position = staticmethod(told_column("value", gettext_lazy("position")))

    @admin.display(description=gettext_lazy("feed"), ordering="feed")
    def what(self, row: FeedCursor) -> str:
        return feed_name(row.feed)


LIFE = ago_column("beaten_at", gettext_lazy("last sign of life"))


class WorkerBeatAdmin(ReadOnlyAdmin, AdminPage):
    list_display = ("kind", "host", "process", LIFE)
    fields: ClassVar[Any] = ("kind", "host", "process", LIFE)
    ordering = ("-beaten_at", "pk")

    @admin.display(description=gettext_lazy("process"), ordering="pid")
    def process(self, row: WorkerBeat) -> str:
        return str(row.pid)
