"""The form of one disposition's map: the CRM's choices as lists, and a table of what it has besides."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from activities import matrix
from activities.matrix import Discovered
from activities.models import DispositionMap
from integrations.admin_forms import TenantForm
from integrations.admin_pairs import PairsField
from integrations.registry import PROVIDERS, provider_class, provider_label
from mapping.models import CrmField


class DispositionForm(TenantForm):
    identity = ("tenant", "crm_provider", "disposition")
    picks: ClassVar[Mapping[str, str]] = {}
    """Form field → the CRM's field whose choices it offers."""
    known: ClassVar[Discovered] = Discovered()
    values = PairsField(
        (gettext_lazy("Field of the CRM"), gettext_lazy("Value")),
        label=gettext_lazy("CRM values"),
        help_text=gettext_lazy("The CRM's own fields of a call."),
    )

    class Meta:
        model = DispositionMap
        fields = "__all__"
        help_texts = {
            "disposition": gettext_lazy("As the dialer writes it; capitals don't matter."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "values" not in self.fields:
            return
        held, values = self._held(), cast("PairsField", self.fields["values"])
        values.held = held
        values.suggest(self._fields_of_a_call())
        if not self.picks:
            return
        values.required = False
        values.label = _("Other values")
        self.initial["values"] = {path: value for path, value in held.items() if path not in self.picks.values()}
        for name, path in self.picks.items():
            current, field = str(held.get(path) or ""), cast("forms.ChoiceField", self.fields[name])
            chosen = self._choice(path, current)
            field.choices = [("", _("– nothing is said –")), *_more_choices(current, chosen), *self.known.choices[path]]
            self.initial[name] = chosen or current

    def _fields_of_a_call(self) -> list[tuple[str, str]]:
        """What the CRM was found to have, for suggestions."""
        row, provider = self.instance, self.instance.crm_provider or str(self.data.get("crm_provider") or "")
        if provider not in PROVIDERS or not (owner := row.tenant_id or self.owner_id):
            return []
        found = CrmField.objects.filter(
            tenant_id=owner, connection__provider=provider, object_type=provider_class(provider).call_type,
            missing_since=None, writable=True,
        )  # fmt: skip
        return list(found.exclude(path__in=self.picks.values()).order_by("label").values_list("path", "label"))

    def clean_values(self) -> dict[str, Any]:
        values: dict[str, Any] = self.cleaned_data["values"]
        nested = [name for name, value in values.items() if isinstance(value, dict | list)]
        if nested:
            raise forms.ValidationError(_("%(names)s: write one value for each field.") % {"names": ", ".join(nested)})
        return values

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        provider = data.get("crm_provider") or self.instance.crm_provider
        if self.picks and not data.get("values") and not self.picks.keys() & self.data.keys():
            # The CRM was chosen just now: its choices are on the page that comes back.
            self.add_error("values", _("Choose how it is written in this CRM."))
        elif provider and "values" in data:
            data["values"] = {**data["values"], **self._picked(data)}
            self._check(data, provider)
        return data

    def _check(self, data: Mapping[str, Any], provider: str) -> None:
        values = data["values"]  # which an error takes out of the data
        owner = data["tenant"].pk if data.get("tenant") else self.instance.tenant_id
        unknown = unknown_fields(owner, provider, values) if owner else []
        if unknown:
            names, crm = ", ".join(unknown), provider_label(provider)
            self.add_error(
                "values", _("%(crm)s has no such field of a call: %(names)s.") % {"crm": crm, "names": names}
            )
        shown = {path: name for name, path in self.picks.items()}
        for lost in matrix.lost_values(provider_class(provider), values, self.known):
            if lost.offered:
                facts = {"value": lost.value, "field": lost.field, "offered": ", ".join(lost.offered)}
                text = _("The CRM has no “%(value)s” in %(field)s. It offers: %(offered)s.") % facts
                self.add_error(shown.get(lost.field, "values"), text)

    def _picked(self, data: Mapping[str, Any]) -> dict[str, str]:
        """A word that means what was chosen stays as it was written."""
        held = self._held()
        picked = {path: str(data[name]) for name, path in self.picks.items() if data.get(name)}
        return {
            path: held[path] if path in held and self._choice(path, str(held[path])) == value else value
            for path, value in picked.items()
        }

    def _held(self) -> dict[str, Any]:
        values = self.instance.values if not self.instance._state.adding else self.initial.get("values")
        return dict(values) if isinstance(values, dict) else {}

    def _choice(self, path: str, value: str) -> str | None:
        provider = self.instance.crm_provider or self.initial.get("crm_provider") or self.data.get("crm_provider")
        if not value or provider not in PROVIDERS:
            return None
        return provider_class(provider).call_choice(path, value, self.known.choices[path])


def _more_choices(current: str, chosen: str | None) -> list[tuple[str, str]]:
    """The present value, where it is no choice of the CRM."""
    if not current or chosen:
        return []
    words = _("%(value)s (stays text)") if chosen == "" else _("%(value)s (the CRM has it no more)")
    return [(current, words % {"value": current})]


def unknown_fields(tenant_id: Any, provider: str, values: Mapping[str, Any]) -> list[str]:
    """Fields that the CRM was not found to have. Before anything was discovered all are taken."""
    crm = provider_class(provider)
    discovered = CrmField.objects.filter(
        tenant_id=tenant_id, connection__provider=provider, object_type=crm.call_type, missing_since=None
    )
    known = set(discovered.values_list("path", flat=True))
    usual = {field for outcome in crm.default_dispositions.values() for field in outcome}
    return sorted(values.keys() - known - usual) if known else []
