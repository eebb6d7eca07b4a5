"""The audit log: one list for a tenant, for support of all, with a file to take away."""

import csv
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.urls import NoReverseMatch, path
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations import audit, tenancy
from integrations.admin_base import ReadOnlyAdmin, RecentValues, TenantScopedAdmin, any_of, only_tenant_id, sees_several
from integrations.admin_html import NOTHING, ago_column, link, page_url
from integrations.models import AuditEntry

WORDS = {
    audit.ADDED: gettext_lazy("Added"),
    audit.CHANGED: gettext_lazy("Changed"),
    audit.DELETED: gettext_lazy("Deleted"),
    audit.LOGGED_IN: gettext_lazy("Logged in"),
    audit.LOGGED_OUT: gettext_lazy("Logged out"),
    audit.LOGIN_FAILED: gettext_lazy("Log-in failed"),
    audit.SLOWED_DOWN: gettext_lazy("Log-in slowed down"),
    audit.INVITED: gettext_lazy("Invited"),
    audit.JOINED: gettext_lazy("Joined"),
    audit.WITHDRAWN: gettext_lazy("Invitation withdrawn"),
    audit.RESENT: gettext_lazy("Invitation sent again"),
    audit.ROLE_CHANGED: gettext_lazy("Role changed"),
    audit.LET_BACK: gettext_lazy("Let back in"),
    audit.SUSPENDED: gettext_lazy("Suspended"),
    audit.REMOVED: gettext_lazy("Removed"),
    audit.KEY_ROTATED: gettext_lazy("Key rotated"),
    audit.EXPORTED: gettext_lazy("Exported"),
    audit.PASSWORD_RESET: gettext_lazy("Password reset"),
    audit.PERSON_ERASED: gettext_lazy("Person erased"),
}
COLUMNS = ("at", "tenant", "who", "action", "kind", "object_id", "about", "details", "address")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
MOST_EXPORTED = 100_000


class Action(RecentValues):
    title = gettext_lazy("what")
    parameter_name = "action"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, str(WORDS.get(value, value))) for value, _text in super().lookups(request, model_admin)]


class Kind(RecentValues):
    title = gettext_lazy("kind of object")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, _kind(value)) for value, _text in super().lookups(request, model_admin)]


class AuditEntryAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    nothing_yet = gettext_lazy("Nothing was noted yet.")
    list_display = (
        ago_column("at", gettext_lazy("when")),
        "who_words",
        "action_words",
        "object_link",
        "details",
        "address",
    )
    list_filter = (("at", admin.DateFieldListFilter), Action, Kind)
    search_fields = ("who__istartswith",)
    search_help_text = gettext_lazy("Beginning of the person's name, or the object's whole id")
    ordering = ("-id",)
    fields = ("at", "who_words", "action_words", "object_link", "details", "address")
    list_before_template = "admin/audit_links.html"

    def get_urls(self) -> list[Any]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_export"
        return [path("export/", self.admin_site.admin_view(self.export), name=name), *super().get_urls()]

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> tuple[Any, bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        found, distinct = super().get_search_results(request, queryset, term)
        return found | queryset.filter(any_of(self.model, ("object_id",), term)), distinct

    # --- columns -------------------------------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("who"), ordering="who")
    def who_words(self, row: AuditEntry) -> str:
        return row.who or _("nobody known")

    @admin.display(description=gettext_lazy("what"), ordering="action")
    def action_words(self, row: AuditEntry) -> str:
        return str(WORDS.get(row.action, row.action))

    @admin.display(description=gettext_lazy("object"), ordering="object_id")
    def object_link(self, row: AuditEntry) -> str:
        if not row.kind:
            return NOTHING
        words = f"{_kind(row.kind)}: {row.about or row.object_id}"
        try:
            model = apps.get_model(row.kind)
            return link(page_url(model(pk=row.object_id)), words)
        except (LookupError, ValueError, NoReverseMatch):
            return words

    # --- the file ------------------------------------------------------------------------------------------------

    def export(self, request: HttpRequest) -> StreamingHttpResponse:
        """What the list shows with its filters, newest first, as CSV."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = self.get_changelist_instance(request).get_queryset(request)[:MOST_EXPORTED]
        audit.note(request, audit.EXPORTED, details=str(self.opts.verbose_name), tenant_id=only_tenant_id())
        stamp = timezone.localdate().isoformat()
        answer = StreamingHttpResponse(
            _lines(rows, tenancy.current_scope(), several=sees_several()), content_type="text/csv; charset=utf-8"
        )
        answer["Content-Disposition"] = f'attachment; filename="audit-{stamp}.csv"'
        return answer


def safe_cell(value: object) -> str:
    """Text that a spreadsheet takes for text: what begins like a formula gets an apostrophe in front."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


class _Echo:
    def write(self, line: str) -> str:
        return line


def _lines(rows: QuerySet[Any], scope: tenancy.Scope | None, *, several: bool) -> Iterator[str]:
    """The file's lines. The answer is sent after the request's own scope has ended, so it brings the scope along."""
    writer, columns = csv.writer(_Echo()), [name for name in COLUMNS if several or name != "tenant"]
    yield writer.writerow(columns)
    with tenancy.entered(scope):
        for row in rows.select_related("tenant").iterator(chunk_size=1000):
            cells = {**{name: getattr(row, name) for name in columns}, "at": row.at.isoformat()}
            yield writer.writerow([safe_cell(cells[name]) for name in columns])


def _kind(label: str) -> str:
    try:
        return str(apps.get_model(label)._meta.verbose_name).capitalize()
    except LookupError:
        return label
