"""Admin pages of the mapping: the rows that people edit, the versions made from them, and what each CRM has.

Saving or deleting rows publishes a new version in the same transaction; a mapping that can't be published isn't saved.
"""

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from integrations.admin_base import Panel, Question, ReadOnlyAdmin, TenantScopedAdmin, page_action
from integrations.admin_html import NOTHING, ago_column, badge, bullets, code_column, plain, yes_column
from integrations.models import CrmConnection
from mapping.admin_forms import ConflictPolicyForm, FieldMappingForm
from mapping.compiled import MappingError
from mapping.fields import DIALER_FIELDS
from mapping.models import ConflictPolicy, CrmField, CrmObject, FieldMapping, MappingVersion, SchemaChange
from mapping.publishing import ENTITY, publish, restore

REHEARSE = "admin:sync_rehearsal_add"
"""The page on which a rehearsal begins. It belongs to the app above."""
MAY_REHEARSE = "sync.add_rehearsal"
WORDS = (
    yes_column("writable", gettext_lazy("writable")),
    yes_column("custom", gettext_lazy("custom")),
    yes_column("required", gettext_lazy("required")),
)
LOOKED_AT = ago_column("checked_at", gettext_lazy("last looked at"))
READ_AT = ago_column("read_at", gettext_lazy("last read in full"))
LONGEST_CHOICES = 8
DIRECTIONS = dict(FieldMapping.Direction.choices)


@admin.register(FieldMapping)
class FieldMappingAdmin(TenantScopedAdmin):
    form = FieldMappingForm
    list_display = (
        "dialer_label", "crm_provider", "sync_direction", "crm_field", "transform_rule",
        yes_column("is_required", gettext_lazy("required")), "is_active", "strategy",
    )  # fmt: skip
    list_filter = ("crm_provider", "sync_direction", "is_active", "is_required")
    ordering = ("tenant__name", "crm_provider", "dialer_field", "pk")
    search_fields = ("dialer_field__istartswith", "crm_field__icontains")
    search_help_text = gettext_lazy("Dialer field, or part of the CRM field")
    fieldsets = (
        (None, {"fields": ("crm_provider", "dialer_field", "sync_direction", "crm_object", "crm_field")}),
        (gettext_lazy("Value"), {"fields": ("transform_rule", "custom_transform", "is_required", "validations")}),
        (gettext_lazy("Rules"), {"fields": ("strategy", "on_blank", "object_overrides", "is_active")}),
    )

    actions_list = ("rehearse_changes",)
    actions_detail = ("rehearse_this",)

    @admin.display(description=gettext_lazy("dialer field"), ordering="dialer_field")
    def dialer_label(self, row: FieldMapping) -> str:
        known = DIALER_FIELDS[ENTITY].get(row.dialer_field)
        return f"{known.label} ({row.dialer_field})" if known else row.dialer_field

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        own = super().get_readonly_fields(request, obj)
        return [*own, "crm_provider"] if obj else own

    # --- rehearsing -----------------------------------------------------------------------------------------------

    @page_action(gettext_lazy("Rehearse changes"), icon="science", permission=MAY_REHEARSE)
    def rehearse_changes(self, request: HttpRequest) -> HttpResponse:
        return redirect(reverse(REHEARSE))

    @page_action(gettext_lazy("Rehearse changes"), icon="science", permission=MAY_REHEARSE)
    def rehearse_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        return redirect(_rehearsal_of(row.tenant_id, row.crm_provider))

    # --- publishing -----------------------------------------------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        note = _("%(field)s changed") if change else _("%(field)s added")
        self._publish(request, [obj], note % {"field": obj.dialer_field})

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        super().delete_model(request, obj)
        self._publish(request, [obj], _("%(field)s removed") % {"field": obj.dialer_field})

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        rows = list(queryset)
        with transaction.atomic():
            super().delete_queryset(request, queryset)
            note = _("%(fields)s removed") % {"fields": ", ".join(row.dialer_field for row in rows)}
            self._publish(request, rows, note[:300])

    def _publish(self, request: HttpRequest, rows: Iterable[FieldMapping], note: str) -> None:
        touched = dict.fromkeys((row.tenant_id, row.crm_provider) for row in rows)
        versions = [publish(*owner, note=note, user_id=request.user.pk) for owner in touched]
        for version in versions:
            self.message_user(request, _("%(version)s is in force now.") % {"version": version})

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._unless_refused(request, super().changeform_view, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._unless_refused(request, super().delete_view, *args, **kwargs)

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._unless_refused(request, super().changelist_view, *args, **kwargs)

    def _unless_refused(self, request: HttpRequest, view: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        """Runs a page; when the mapping can't be published its transaction is undone and the person is told why."""
        try:
            answer: HttpResponse = view(request, *args, **kwargs)
        except MappingError as error:
            refuse(self, request, error)
            return redirect(request.get_full_path())
        return answer


@admin.register(MappingVersion)
class MappingVersionAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    list_display = ("number", "crm_provider", "in_force", "note", "created_by", "created_at")
    list_filter = ("crm_provider",)
    list_select_related = ("created_by",)
    ordering = ("-created_at", "-pk")
    fields = ("crm_provider", "number", "in_force", "note", "created_by", "created_at")
    actions_detail = ("rehearse_version", "restore_version")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        newer = MappingVersion.objects.filter(
            tenant=OuterRef("tenant"), crm_provider=OuterRef("crm_provider"), number__gt=OuterRef("number")
        )
        rows: QuerySet[Any] = super().get_queryset(request).annotate(is_old=Exists(newer))
        return rows

    @admin.display(description=gettext_lazy("state"))
    def in_force(self, row: Any) -> str:
        return badge(_("Earlier"), "muted") if row.is_old else badge(_("In force"), "good")

    def panels(self, request: HttpRequest, row: Any) -> Sequence[Panel]:
        headers = [
            _("Dialer field"),
            _("Direction"),
            _("CRM field"),
            _("Object"),
            _("Transform"),
            _("Required"),
            _("Rules"),
        ]
        return [
            Panel(_("Rows of this version"), headers, [_cells(one) for one in row.rows], _("This version has no rows."))
        ]

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        row = self.get_object(request, str(object_id))
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return offered if row is not None and row.is_old else []

    @page_action(gettext_lazy("Rehearse this version"), icon="science", permission=MAY_REHEARSE)
    def rehearse_version(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        return redirect(_rehearsal_of(row.tenant_id, row.crm_provider, version=row.pk))

    @page_action(gettext_lazy("Restore this version"), icon="restore", permission="mapping.change_fieldmapping")
    def restore_version(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        question = Question(
            title=_("Go back to %(version)s?") % {"version": row},
            lines=[
                _("The %(count)d rows of this version replace the present field mappings for this CRM.") % {"count": len(row.rows)},
                _("They are published as a new version and are in force from the next record on; nothing is lost: "
                  "the present version stays in this list."),
            ],
            button=_("Restore this version"),
        )  # fmt: skip
        page = self.ask(request, row, question)
        if page:
            return page
        try:
            created = restore(row, user_id=request.user.pk)
        except MappingError as error:
            refuse(self, request, error)
            return redirect(request.path)
        self.log_change(request, created, f"Restored from version {row.number}.")
        return self.answer(request, created, _("%(version)s is in force now.") % {"version": created})


def _rehearsal_of(tenant_id: UUID, provider: str = "", **start: object) -> str:
    """Where a rehearsal begins with the tenant's connection to this CRM, or to any, chosen already."""
    rows = CrmConnection.objects.filter(tenant_id=tenant_id).order_by("status", "provider")
    chosen = (rows.filter(provider=provider) if provider else rows).values_list("pk", flat=True).first()
    return f"{reverse(REHEARSE)}?{urlencode({**({'connection': chosen} if chosen else {}), **start})}"


def refuse(page: Any, request: HttpRequest, error: MappingError) -> None:
    text = _("Nothing was saved, because this mapping can't be used. %(problems)s") % {"problems": error}
    page.message_user(request, text, messages.ERROR)


def _cells(row: dict[str, Any]) -> list[object]:
    transform, options = row.get("transform", "none"), row.get("options")
    return [
        row.get("dialer_field"),
        DIRECTIONS.get(row.get("direction", ""), NOTHING),
        row.get("crm_field"),
        row.get("crm_object"),
        NOTHING if transform == "none" else f"{transform} {plain(options) if options else ''}".strip(),
        _("yes") if row.get("required") else _("no"),
        plain(row.get("validations") or None),
    ]


@admin.register(CrmField)
class CrmFieldAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    list_display = ("label", "path", "object_type", "connection", "kind", *WORDS, "presence")
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
        "connection", "object_type", "path", "label", "kind", "writable", "custom", "required", "max_length", "choices",
        "seen_at", "missing_since",
    )  # fmt: skip
    ordering = ("object_type", "label", "pk")
    choices = staticmethod(code_column("options", gettext_lazy("choices")))

    @admin.display(description=gettext_lazy("in the CRM"), ordering="missing_since")
    def presence(self, row: CrmField) -> str:
        return badge(_("Missing"), "bad") if row.missing_since else badge(_("Found"), "good")


@admin.register(CrmObject)
class CrmObjectAdmin(ReadOnlyAdmin, TenantScopedAdmin):
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


@admin.register(SchemaChange)
class SchemaChangeAdmin(ReadOnlyAdmin, TenantScopedAdmin):
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


@admin.register(ConflictPolicy)
class ConflictPolicyAdmin(TenantScopedAdmin):
    form = ConflictPolicyForm
    list_display = ("default", "exceptions", ago_column("updated_at", gettext_lazy("changed")))
    fields = ("default", "overrides")
    actions_detail = ("rehearse_policy",)

    @page_action(gettext_lazy("Rehearse changes"), icon="science", permission=MAY_REHEARSE)
    def rehearse_policy(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return redirect(_rehearsal_of(self.found(request, object_id).tenant_id, policy=1))

    @admin.display(description=gettext_lazy("by field"))
    def exceptions(self, row: ConflictPolicy) -> str:
        return ", ".join(f"{field}: {strategy}" for field, strategy in row.overrides.items()) or NOTHING
