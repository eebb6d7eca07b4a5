"""The versions of the mappings: what each had, and the way back to one."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.admin_base import Panel, Question, ReadOnlyAdmin, TenantScopedAdmin, page_action
from integrations.admin_html import NOTHING, badge
from mapping.admin_rehearsing import MAY_REHEARSE, rehearsal_of
from mapping.admin_rows import tell_refusal
from mapping.compiled import MappingError
from mapping.editor_diff import in_words
from mapping.editor_rows import canonical
from mapping.models import FieldMapping, MappingVersion
from mapping.publishing import restore

UNDO = "admin:sync_undo_add"
"""The page on which undoing begins. It belongs to the app above."""
DIRECTIONS = dict(FieldMapping.Direction.choices)


class MappingVersionAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    nothing_yet = gettext_lazy("No mapping was published yet. The first one comes with a connection.")
    list_display = ("number", "crm_provider", "in_force", "note", "created_by", "created_at")
    list_filter = ("crm_provider",)
    list_select_related = ("created_by",)
    ordering = ("-created_at", "-pk")
    fields = ("crm_provider", "number", "in_force", "note", "created_by", "created_at")
    actions_detail = ("rehearse_version", "restore_version", "undo_version")

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
        if row is None:
            return []
        return [one for one in offered if (row.number > 1 if one.path == "undo_version" else row.is_old)]

    @page_action(gettext_lazy("Undo this version"), icon="undo", permission="sync.add_undo")
    def undo_version(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """With all that was written by it. First it is worked out what that would do."""
        row = self.found(request, object_id)
        return redirect(f"{reverse(UNDO)}?{urlencode({'version': row.pk})}")

    @page_action(gettext_lazy("Rehearse this version"), icon="science", permission=MAY_REHEARSE)
    def rehearse_version(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        return redirect(rehearsal_of(row.tenant_id, row.crm_provider, version=row.pk))

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
            tell_refusal(self, request, error)
            return redirect(request.path)
        self.log_change(request, created, f"Restored from version {row.number}.")
        return self.answer(request, created, _("%(version)s is in force now.") % {"version": created})


def _cells(row: dict[str, Any]) -> list[object]:
    row = canonical(row)
    transform, options = in_words("transform", row), in_words("options", row)
    return [
        row.get("dialer_field"),
        DIRECTIONS.get(row.get("direction", ""), NOTHING),
        row.get("crm_field"),
        row.get("crm_object"),
        NOTHING if row["transform"] == "none" else f"{transform}: {options}" if options else transform,
        _("yes") if row.get("required") else _("no"),
        in_words("validations", row) or NOTHING,
    ]
