"""Forms of the mapping pages: they suggest what the CRM was found to have, and say each problem at its field."""

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy

from integrations.admin_forms import DatalistInput, TenantForm
from integrations.admin_pairs import PairsField
from integrations.registry import PROVIDERS, provider_class
from mapping.admin_details import OptionsInput, PartField, PlacesInput, RulesInput
from mapping.compiled import CompiledMapping, MappingError, Problem
from mapping.editor_catalog import names_of
from mapping.fields import DIALER_FIELDS
from mapping.models import ConflictPolicy, CrmField, FieldMapping, Strategy
from mapping.publishing import ENTITY, engine_row

PLACES = {
    "field": "dialer_field",
    "path": "crm_field",
    "direction": "sync_direction",
    "transform": "transform_rule",
    "options": "custom_transform",
    "validations": "validations",
}
"""Which form field a problem of the engine belongs to."""


class FieldMappingForm(TenantForm):
    identity = ("tenant", "crm_provider", "dialer_entity", "dialer_field")
    custom_transform = PartField(label=gettext_lazy("Transform options"), required=False, widget=OptionsInput)
    validations = PartField(
        label=gettext_lazy("Checks before a value is taken over"), required=False, widget=RulesInput
    )
    object_overrides = PartField(label=gettext_lazy("On other objects"), required=False, widget=PlacesInput)

    class Meta:
        model = FieldMapping
        fields = "__all__"
        help_texts = {
            "dialer_field": gettext_lazy("One of the dialer's fields, or custom. and a name of your own."),
            "strategy": gettext_lazy("Empty: as the conflict policy says."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        suggestions = {
            "dialer_field": [(key, field.label) for key, field in DIALER_FIELDS[ENTITY].items()],
            "crm_object": _object_suggestions(self._provider()),
            "crm_field": _field_suggestions(self._discovered()),
        }
        for name in suggestions.keys() & self.fields.keys():
            self.fields[name].widget = DatalistInput(suggestions[name])
        self._fill_parts()

    def _fill_parts(self) -> None:
        """What is held, and what the row's CRM has, for the fields of several values."""
        for name in ("custom_transform", "validations", "object_overrides"):
            if name in self.fields:
                self.fields[name].widget.held = getattr(self.instance, name)
        provider = self._provider() or str(self.data.get("crm_provider") or "")
        if provider in PROVIDERS and "object_overrides" in self.fields:
            places = self.fields["object_overrides"].widget
            kind = provider_class(provider)
            places.own = str(self.data.get("crm_object") or self.instance.crm_object or kind.mapping_object)
            places.crm_objects = tuple(kind.person_types)
        if "custom_transform" in self.fields and not self.instance._state.adding:
            self.fields["custom_transform"].widget.crm_field = self._crm_field()

    def _crm_field(self) -> CrmField | None:
        row = self.instance
        named = self._discovered().filter(object_type=row.crm_object, path__in=list(names_of(row.crm_field)))
        return named.select_related(None).only("path", "label", "options").first()

    def _provider(self) -> str:
        return self.instance.crm_provider or str(self.initial.get("crm_provider") or "")

    def _discovered(self) -> "QuerySet[CrmField]":
        fields = CrmField.objects.filter(missing_since=None).order_by("connection__provider", "label")
        if self._provider():
            fields = fields.filter(connection__provider=self._provider())
        # Whoever sees several tenants gets suggestions once it is clear for which.
        owner = self.instance.tenant_id or self.owner_id
        found: QuerySet[CrmField] = fields.filter(tenant_id=owner) if owner else fields.none()
        return found.select_related("connection").only("path", "label", "kind", "object_type", "connection__provider")

    def clean_custom_transform(self) -> dict[str, Any] | None:
        return self.cleaned_data["custom_transform"] or None

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if set(self.errors) - {NON_FIELD_ERRORS} or not self.instance.tenant_id:
            return
        problems = problems_with(self.instance, self.other_rows())
        if problems:
            # The model's own check said the same in one sentence; here each problem stands at its field.
            self.errors.pop(NON_FIELD_ERRORS, None)
        for problem in problems:
            own = problem.field == self.instance.dialer_field
            place = PLACES.get(problem.rule) if own else None
            text = problem.message if own else f"{problem.field}: {problem.message}"
            self.add_error(place if place in self.fields else None, text)

    def other_rows(self) -> Iterable[FieldMapping]:
        """Those that are published together with this one."""
        row = self.instance
        active = FieldMapping.objects.filter(
            tenant_id=row.tenant_id, crm_provider=row.crm_provider, dialer_entity=ENTITY, is_active=True
        )
        return active.exclude(pk=row.pk)


def problems_with(row: FieldMapping, others: Iterable[FieldMapping]) -> list[Problem]:
    """What would keep the tenant's mapping from being published if this row were saved; each problem once."""
    rows = [engine_row(one) for one in (*others, *([row] if row.is_active else []))]
    problems: dict[Problem, None] = {}
    for object_type in provider_class(row.crm_provider).person_types:
        try:
            CompiledMapping.compile(rows, object_type=object_type)
        except MappingError as error:
            problems.update(dict.fromkeys(error.problems))
    return list(problems)


def _object_suggestions(provider: str) -> list[tuple[str, str]]:
    chosen = [provider] if provider in PROVIDERS else list(PROVIDERS)
    return [(kind, PROVIDERS[slug][0]) for slug in chosen for kind in provider_class(slug).person_types]


def _field_suggestions(fields: Iterable[CrmField]) -> list[tuple[str, str]]:
    """A field that several objects have is suggested once."""
    seen: dict[str, list[CrmField]] = {}
    for field in fields:
        seen.setdefault(field.path, []).append(field)
    return [(path, _what_it_is(found)) for path, found in seen.items()]


def _what_it_is(fields: list[CrmField]) -> str:
    connection: Any = fields[0].connection
    objects = ", ".join(dict.fromkeys(field.object_type for field in fields))
    return f"{fields[0].label} · {fields[0].kind} · {connection.get_provider_display()} {objects}"


class ConflictPolicyForm(TenantForm):
    overrides = PairsField(
        (gettext_lazy("Dialer field"), gettext_lazy("Rule")),
        label=gettext_lazy("Exceptions by field"),
        suggestions=[(key, field.label) for key, field in DIALER_FIELDS[ENTITY].items()],
        choices=Strategy.choices,
        required=False,
    )

    class Meta:
        model = ConflictPolicy
        fields = "__all__"
