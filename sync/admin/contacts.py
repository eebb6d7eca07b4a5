"""The contact's page and the list of contacts. The topmost app registers it, with what it adds to the page."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminTextInputWidget

from integrations.admin_base import Panel, TenantScopedAdmin
from integrations.admin_html import NOTHING, ago_column, badge, badge_column, told_column
from sync import editing, presence, stories
from sync.admin.contact_form import EDITABLE, SEEN, ContactForm
from sync.admin.records import (
    contents,
    doubts_panel,
    history_panel,
    jobs_panel,
    people_panel,
    requests_panel,
    state_of,
    survivor_of,
)
from sync.admin.records_pages import RecordPages
from sync.admin.stories import values_panel
from sync.models import Contact
from sync.records_search import CONTACTS, matching

__all__ = ["CONTACTS", "RECORD_STATUS", "ContactAdmin"]
RECORD_LEVELS = {"synced": "good", "pending": "warning", "error": "bad", "conflict": "bad"}
LONGEST_HISTORY = 30
RECORD_STATUS = badge_column("sync_status", gettext_lazy("status"), RECORD_LEVELS)


class DeletedFilter(admin.SimpleListFilter):
    title = gettext_lazy("presence")
    parameter_name = "presence"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("here", _("Not deleted")), ("deleted", _("Deleted in the CRM"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "here":
            return queryset.filter(deleted_at=None)
        return queryset.exclude(deleted_at=None) if self.value() == "deleted" else queryset


class ContactAdmin(RecordPages, TenantScopedAdmin):
    """What our side may change is changed here as anywhere else: with its history, and on to the CRMs."""

    nothing_yet = gettext_lazy("No contact has arrived yet. Connect a CRM, or have the dialer post contacts.")

    form = ContactForm
    formfield_overrides = {models.TextField: {"widget": UnfoldAdminTextInputWidget}}
    list_display = (
        "name", "company", "phone", "email", "lead_status", "do_not_call_badge",
        ago_column("last_called_at", gettext_lazy("last called")), ago_column("updated_at", gettext_lazy("changed")),
    )  # fmt: skip
    list_filter = ("do_not_call", DeletedFilter)
    search_fields = ("email",)
    search_help_text = gettext_lazy("Name, whole e-mail, phone, CRM id, or our id")
    change_form_outer_before_template = "admin/record_head.html"
    # As in the index by name, tenants first, so that support's list of all tenants comes sorted from it, too.
    ordering = ("tenant_id", "last_name", "first_name", "pk")
    fieldsets = (
        (None, {"fields": (("first_name", "last_name"), ("company", "title"), ("phone", "mobile_phone"), "email")}),
        (
            gettext_lazy("Dialing"),
            {
                "fields": (
                    ("do_not_call", "lead_status"),
                    ("owner_email", "ai_score"),
                    ("call_count", "last_called_at"),
                    "last_disposition",
                )
            },
        ),
        (
            gettext_lazy("Record"),
            {"fields": ("custom_fields", ("created_at", "updated_at"), ("version", "deleted_at"))},
        ),
    )
    custom_fields = staticmethod(told_column("custom", gettext_lazy("custom fields")))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.deleted_at is None)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        shown = [name for name in flatten_fieldsets(self.fieldsets) if name not in EDITABLE]
        return [*super().get_readonly_fields(request, obj), *shown]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        (title, first), *others = super().get_fieldsets(request, obj)
        hidden = [SEEN] if obj is not None and self.has_change_permission(request, obj) else []
        return [(title, {**first, "fields": [*first["fields"], *hidden]}), *others]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        author = editing.Author("person", request.user.get_username())
        try:
            editing.edit(obj.pk, form.edits(), author, expected_version=form.cleaned_data[SEEN])
        except editing.VersionMismatch as error:
            self.message_user(request, f"{error} {_('Nothing was saved.')}", messages.ERROR)

    @admin.display(description=gettext_lazy("name"), ordering="last_name")
    def name(self, row: Contact) -> str:
        return str(row)

    @admin.display(description=gettext_lazy("do not call"), ordering="do_not_call")
    def do_not_call_badge(self, row: Contact) -> str:
        return badge(_("Do not call"), "bad") if row.do_not_call else NOTHING

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return (queryset.filter(matching(search_term.strip())) if search_term.strip() else queryset), False

    # --- the page ----------------------------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("tenant")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.found(request, object_id)
        facts = presence.read(row, self.other_rows(row))
        panels = self.sections(facts)
        context = {
            "panels": panels,
            "contents": contents(panels),
            "state": state_of(row, facts),
            "survivor": survivor_of(row),
            "may_sync": self.has_change_permission(request, row),
            **(extra_context or {}),
        }
        return super().change_view(request, object_id, form_url, context)

    def other_rows(self, row: Contact) -> list[UUID]:
        """Our rows that the page shows with the contact."""
        return []

    def sections(self, facts: presence.Facts) -> list[Panel]:
        """The tables below the form. The topmost app adds the calls."""
        row = facts.contact
        latest, newest = stories.read(row, LONGEST_HISTORY)
        return [
            values_panel(row, latest),
            history_panel(row, newest),
            jobs_panel(facts),
            doubts_panel(facts),
            people_panel(row),
            requests_panel(facts),
        ]
