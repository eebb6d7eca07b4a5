"""The pages of disposition maps, one by one. All of them together are edited in the matrix: see admin_disposition_matrix.py."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from activities import matrix
from activities.admin_disposition_form import DispositionForm
from activities.admin_disposition_matrix import DispositionMatrix
from activities.advice import MendsAdvice
from activities.matrix import Discovered
from activities.models import DispositionMap
from integrations.admin_base import TenantScopedAdmin, only_tenant_id
from integrations.admin_forms import Select
from integrations.admin_html import NOTHING, ago_column, plain
from integrations.models import CrmConnection
from integrations.registry import PROVIDERS, provider_class

PICK = "choice_"


class DispositionMapAdmin(DispositionMatrix, MendsAdvice, TenantScopedAdmin):
    nothing_yet = gettext_lazy("No disposition is mapped yet. The defaults of a CRM come with its connection.")
    form = DispositionForm
    list_display = ("disposition", "crm_provider", "written", ago_column("updated_at", gettext_lazy("changed")))
    list_filter = ("crm_provider",)
    search_fields = ("disposition__istartswith",)
    search_help_text = gettext_lazy("Beginning of the disposition")
    ordering = ("tenant__name", "crm_provider", "disposition", "pk")

    @admin.display(description=gettext_lazy("CRM values"))
    def written(self, row: DispositionMap) -> str:
        return _written(row.values)

    # --- the form -------------------------------------------------------------------------------------------------

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        if not self._edits(request, obj):
            return ["crm_provider", "disposition", "written"]
        return ["crm_provider", "disposition", *_picks(request, obj)[0], "values"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        own = super().get_readonly_fields(request, obj)
        return [*own, "crm_provider", "written"] if obj else own

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        picks, known = _picks(request, obj) if self._edits(request, obj) else ({}, Discovered())
        fields = {name: forms.ChoiceField(label=path, required=False, widget=Select) for name, path in picks.items()}
        form = type("FormWithChoices", (DispositionForm,), {**fields, "picks": picks, "known": known})
        return super().get_form(request, obj, change=change, **{"form": form, **kwargs})

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """A map that is begun in the matrix begins with what is usual for the disposition."""
        given: dict[str, Any] = dict(super().get_changeform_initial_data(request))
        if given.get("crm_provider") in PROVIDERS and given.get("disposition"):
            given["values"] = dict(
                matrix.default_values(provider_class(given["crm_provider"]), str(given["disposition"]))
            )
        return given

    def _edits(self, request: HttpRequest, obj: Any) -> bool:
        return self.has_change_permission(request, obj) if obj else self.has_add_permission(request)


def _written(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{field}: {plain(value)}" for field, value in values.items()) or NOTHING


def _picks(request: HttpRequest, obj: DispositionMap | None) -> tuple[dict[str, str], Discovered]:
    """The selects of a map's form, and what the CRM offers; none while the CRM is not known. Read once for each page."""
    read: tuple[dict[str, str], Discovered] | None = getattr(request, "disposition_picks", None)
    if read is None:
        read = _read_picks(request, obj)
        request.disposition_picks = read  # type: ignore[attr-defined]
    return read


def _read_picks(request: HttpRequest, obj: DispositionMap | None) -> tuple[dict[str, str], Discovered]:
    said = request.POST if request.method == "POST" else request.GET
    slug = obj.crm_provider if obj else said.get("crm_provider", "")
    owner = obj.tenant_id if obj else only_tenant_id() or _uuid(said.get("tenant", ""))
    connection = (
        CrmConnection.objects.filter(tenant=owner, provider=slug).first() if owner and slug in PROVIDERS else None
    )
    if connection is None:
        return {}, Discovered()
    known = matrix.discovered([connection]).get(connection.pk, Discovered())
    usual = (path for values in provider_class(slug).default_dispositions.values() for path in values)
    paths = dict.fromkeys((*usual, *(obj.values if obj else ())))
    offered = [path for path in paths if path in known.choices]
    return {f"{PICK}{number}": path for number, path in enumerate(offered)}, known


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
