"""The parts of a mapping row that are more than one value, as fields of a form: options, checks, places on other objects.

They have the names, and are read, as in an open row of the editor (see editor_form), so what is stored is the same. What belongs to
another transform or kind of check is hidden by the style sheet and never read.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.http import QueryDict
from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from mapping.editor_details import FormField, option_field, place_fields, rule_fields, table_of
from mapping.editor_form import OF_RULE, OF_TRANSFORM, read_options, read_overrides, read_rules
from mapping.models import CrmField

SPARE = 2
"""Empty entries of a table of choices."""
OF: Mapping[str, str] = {
    name: " ".join(transform for transform, names in OF_TRANSFORM.items() if name in names)
    for names in OF_TRANSFORM.values()
    for name in names
}
"""Option → the transforms that have it."""
PART_OF: Mapping[str, str] = {
    part: " ".join(kind for kind, parts in OF_RULE.items() if part in parts)
    for parts in OF_RULE.values()
    for part in parts
}


class Part(forms.Widget):
    """`held`: what is stored now, which stays as it is written as long as the form says the same."""

    template_name: str
    held: Any = None

    def get_context(self, name: str, value: Any, attrs: Mapping[str, Any] | None) -> dict[str, Any]:
        return {"id": (attrs or {}).get("id", f"id_{name}"), "name": name}

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        context = self.get_context(name, value, attrs)
        return mark_safe(render_to_string(self.template_name, context))  # noqa: S308 - ours, and it escapes

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return False


class OptionsInput(Part):
    template_name = "admin/row_options.html"
    crm_field: CrmField | None = None
    """The CRM's field of the row, whose choices a table offers."""

    def get_context(self, name: str, value: Any, attrs: Mapping[str, Any] | None) -> dict[str, Any]:
        options = value if isinstance(value, Mapping) else {}
        table = table_of(options, self.crm_field)
        spare = [table.pairs[-1]] * (SPARE - 1)
        fields = [(option_field(name, options, one), transforms) for one, transforms in OF.items()]
        told = {"label": _("Transform options"), "table": table, "pairs": [*table.pairs, *spare], "fields": fields}
        return super().get_context(name, value, attrs) | told

    def value_from_datadict(self, data: Any, files: Any, name: str) -> dict[str, Any]:
        held = self.held if isinstance(self.held, Mapping) else {}
        transform = str(data.get("transform_rule") or "none")
        found = read_options(_sent(data), name, transform, held)
        return {} if found == {"map": {}} else found


class RulesInput(Part):
    template_name = "admin/row_rules.html"

    def get_context(self, name: str, value: Any, attrs: Mapping[str, Any] | None) -> dict[str, Any]:
        rules: Sequence[Mapping[str, Any]] = [one for one in value or () if isinstance(one, Mapping)]
        shown = [rule_fields(name, place, rule, whole=True) for place, rule in enumerate([*rules, {}])]
        lines = [[(one, PART_OF.get(one.name.rpartition("-")[2], "")) for one in fields] for fields in shown]
        told = {"label": _("Checks before a value is taken over"), "lines": lines}
        return super().get_context(name, value, attrs) | told

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[dict[str, Any]]:
        return read_rules(_sent(data), name, self.held or [])


class PlacesInput(Part):
    """Where the field lives on other objects of the CRM. `crm_objects`: those of the row's CRM; none while it isn't chosen."""

    template_name = "admin/row_places.html"
    crm_objects: Sequence[str] = ()
    own = ""

    def get_context(self, name: str, value: Any, attrs: Mapping[str, Any] | None) -> dict[str, Any]:
        overrides = value if isinstance(value, Mapping) else {}
        pairs: list[list[FormField]] = place_fields(name, overrides, self.crm_objects, self.own, "")
        return super().get_context(name, value, attrs) | {"label": _("On other objects"), "pairs": pairs}

    def value_from_datadict(self, data: Any, files: Any, name: str) -> dict[str, str | None]:
        own = str(data.get("crm_object") or self.own)
        return read_overrides(_sent(data), name, self.held or {}, own, self.crm_objects)


class PartField(forms.Field):
    """Its value is read by the widget; what it means is checked with the whole row."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool((initial or None) != (data or None))


def _sent(data: Any) -> QueryDict:
    return data if isinstance(data, QueryDict) else QueryDict()
