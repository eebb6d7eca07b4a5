"""The list of mapping rows, and one row at a time. The editor, which shows all rows of a connection, belongs to the app above.

Saving or deleting rows publishes a new version in the same transaction; a mapping that can't be published isn't saved.
"""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.admin_base import TenantScopedAdmin, page_action
from integrations.admin_html import NOTHING, yes_column
from mapping.admin_forms import FieldMappingForm
from mapping.admin_rehearsing import MAY_REHEARSE, REHEARSE, rehearsal_of
from mapping.compiled import MappingError
from mapping.editor_diff import in_words
from mapping.fields import DIALER_FIELDS
from mapping.models import FieldMapping
from mapping.publishing import ENTITY, publish, row_json

SAID = {"custom_transform": "options_said", "validations": "checks_said", "object_overrides": "places_said"}
"""Field → the same in words."""


class FieldMappingAdmin(TenantScopedAdmin):
    nothing_yet = gettext_lazy("No field is mapped yet. A connected CRM brings its usual mapping along.")
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

    @admin.display(description=gettext_lazy("transform options"))
    def options_said(self, row: FieldMapping) -> str:
        return in_words("options", row_json(row)) or NOTHING

    @admin.display(description=gettext_lazy("checks"))
    def checks_said(self, row: FieldMapping) -> str:
        return in_words("validations", row_json(row)) or NOTHING

    @admin.display(description=gettext_lazy("on other objects"))
    def places_said(self, row: FieldMapping) -> str:
        return in_words("object_overrides", row_json(row)) or NOTHING

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Whoever may only look reads in words what others have forms for."""
        own = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return own
        return [(name, {**told, "fields": [SAID.get(one, one) for one in told["fields"]]}) for name, told in own]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        own = super().get_readonly_fields(request, obj)
        return [*own, "crm_provider", *SAID.values()] if obj else own

    # --- rehearsing -----------------------------------------------------------------------------------------------

    @page_action(gettext_lazy("Rehearse changes"), icon="science", permission=MAY_REHEARSE)
    def rehearse_changes(self, request: HttpRequest) -> HttpResponse:
        return redirect(reverse(REHEARSE))

    @page_action(gettext_lazy("Rehearse changes"), icon="science", permission=MAY_REHEARSE)
    def rehearse_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        return redirect(rehearsal_of(row.tenant_id, row.crm_provider))

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
            tell_refusal(self, request, error)
            return redirect(request.get_full_path())
        return answer


def tell_refusal(page: Any, request: HttpRequest, error: MappingError) -> None:
    text = _("Nothing was saved, because this mapping can't be used. %(problems)s") % {"problems": error}
    page.message_user(request, text, messages.ERROR)
