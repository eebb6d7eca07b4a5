"""What each CRM was found to have, and what changed there since."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from integrations.admin_base import ReadOnlyAdmin, TenantScopedAdmin
from integrations.admin_html import NOTHING, ago_column, badge, bullets, yes_column
from mapping.editor_kinds import kind_name
from mapping.models import CrmField, SchemaChange

WORDS = (
    yes_column("writable", gettext_lazy("writable")),
    yes_column("custom", gettext_lazy("custom")),
    yes_column("required", gettext_lazy("required")),
)
LOOKED_AT = ago_column("checked_at", gettext_lazy("last looked at"))
READ_AT = ago_column("read_at", gettext_lazy("last read in full"))
LONGEST_CHOICES = 8


class CrmFieldAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    nothing_yet = gettext_lazy(
        "No CRM's fields were read yet. They are read when a CRM is connected, and then once a day."
    )
    list_display = ("label", "path", "object_type", "connection", "kind_words", *WORDS, "presence")
    list_filter = (
        ("connection", AutocompleteSelectFilter),
        "connection__provider",
        "writable",
        "custom",
        "required",
        ("missing_since", admin.EmptyFieldListFilter),
    )
    list_select_related = ("connection",)
    search_fields = ("label__icontains", "path__icontains", "object_type__iexact")
    search_help_text = gettext_lazy("Part of the label or API name")
    fields = (
        "connection", "object_type", "path", "label", "kind_words", "writable", "custom", "required", "max_length", "choices",
        "seen_at", "missing_since",
    )  # fmt: skip
    ordering = ("object_type", "label", "pk")

    @admin.display(description=gettext_lazy("type"), ordering="kind")
    def kind_words(self, row: CrmField) -> str:
        return kind_name(row.kind)

    @admin.display(description=gettext_lazy("choices"))
    def choices(self, row: CrmField) -> str:
        return bullets(label if label == value else f"{label} ({value})" for value, label in row.options)

    @admin.display(description=gettext_lazy("in the CRM"), ordering="missing_since")
    def presence(self, row: CrmField) -> str:
        return badge(_("Missing"), "bad") if row.missing_since else badge(_("Found"), "good")


class CrmObjectAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    nothing_yet = gettext_lazy(
        "No CRM's objects were read yet. They are read when a CRM is connected, and then once a day."
    )
    list_display = ("object_type", "connection", LOOKED_AT, READ_AT)
    list_filter = (("connection", AutocompleteSelectFilter), "connection__provider")
    list_select_related = ("connection",)
    search_fields = ("object_type__iexact",)
    fields = ("connection", "object_type", "checked_at", "read_at")
    ordering = ("connection", "object_type", "pk")


class BreaksFilter(admin.SimpleListFilter):
    title = gettext_lazy("mapping")
    parameter_name = "breaks"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", gettext_lazy("Breaks mapping rows")), ("no", gettext_lazy("Breaks nothing"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() is None:
            return queryset
        return queryset.filter(breaks=[]) if self.value() == "no" else queryset.exclude(breaks=[])


class SchemaChangeAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    nothing_yet = gettext_lazy(
        "No CRM has changed a field since it was connected. What is renamed, deleted or required anew stands here."
    )
    list_display = ("found_at", "connection", "object_type", "label", "change", "was", "now", "breaks_rows")
    list_filter = (("connection", AutocompleteSelectFilter), "connection__provider", "change", BreaksFilter)
    list_select_related = ("connection",)
    search_fields = ("label__icontains", "path__icontains")
    search_help_text = gettext_lazy("Part of the label or API name")
    fields = ("found_at", "connection", "object_type", "path", "label", "change", "was", "now", "breaks_rows")
    ordering = ("-pk",)

    @admin.display(description=gettext_lazy("before"))
    def was(self, row: SchemaChange) -> str:
        return change_value(row.before)

    @admin.display(description=gettext_lazy("now"))
    def now(self, row: SchemaChange) -> str:
        return change_value(row.after)

    @admin.display(description=gettext_lazy("breaks"))
    def breaks_rows(self, row: SchemaChange) -> str:
        return bullets(f"{one['dialer_field']}: {one['why']}" for one in row.breaks)


def change_value(value: Any) -> str:
    """A field's attribute in words; of a picklist its labels."""
    if isinstance(value, list):
        labels = [str(label) for _value, label in value]
        shown = ", ".join(labels[:LONGEST_CHOICES])
        return shown + (
            _(" and %(count)d more") % {"count": len(labels) - LONGEST_CHOICES} if len(labels) > LONGEST_CHOICES else ""
        )
    if isinstance(value, bool):
        return str(_("yes") if value else _("no"))
    return NOTHING if value is None else str(value)
