"""The list of conflict policies, and the form that says the rule for every field. The page around it belongs to the app above."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.admin_base import TenantScopedAdmin, page_action
from integrations.admin_html import NOTHING, ago_column
from mapping.admin_forms import ConflictPolicyForm
from mapping.admin_rehearsing import MAY_REHEARSE, rehearsal_of
from mapping.fields import CUSTOM_PREFIX, DIALER_FIELDS, conflict_field_problem, field_name
from mapping.models import ConflictPolicy, FieldMapping, Strategy
from mapping.publishing import ENTITY

RULE = "rule:"
"""Before a field's name, in the form."""
DO_NOT_CALL = "do_not_call"
EXPLAINED: Mapping[str, tuple[Any, Any]] = {
    Strategy.CRM_WINS: (
        gettext_lazy("The CRM's value is taken over; the dialer's is kept in the history."),
        gettext_lazy("Dialer “Acme Ltd”, CRM “Acme Inc”: both become “Acme Inc”."),
    ),
    Strategy.DIALER_WINS: (
        gettext_lazy("The dialer's value is written to the CRM; the CRM's is kept in the history."),
        gettext_lazy("Dialer “Acme Ltd”, CRM “Acme Inc”: both become “Acme Ltd”."),
    ),
    Strategy.LAST_WRITE_WINS: (
        gettext_lazy("Whichever side changed the field later wins."),
        gettext_lazy("The dialer at 9:00, the CRM at 9:05: both become the CRM's."),
    ),
    Strategy.FIELD_LEVEL_MERGE: (
        gettext_lazy("Lists and values with parts are joined; where that can't be done, a person decides."),
        gettext_lazy(
            "Dialer adds “vip”, CRM adds “east”: both become “vip, east”. Two different texts wait for a person."
        ),
    ),
    Strategy.MANUAL: (
        gettext_lazy("Nothing is changed on either side until somebody decides on the conflict desk."),
        gettext_lazy("Dialer “Acme Ltd”, CRM “Acme Inc”: both stay, and the conflict waits."),
    ),
}
"""What each strategy does when both sides changed a field to different values, and an example."""


class PolicyForm(forms.Form):
    """The default, and one rule for each field. An empty rule is the default's."""

    default = forms.ChoiceField(choices=Strategy.choices, widget=forms.RadioSelect)
    seen = forms.CharField(required=False, widget=forms.HiddenInput)
    more_field = forms.CharField(label=gettext_lazy("Another field"), required=False, max_length=100)
    more_rule = forms.ChoiceField(
        label=gettext_lazy("Its rule"), required=False, choices=[("", gettext_lazy("– choose –")), *Strategy.choices]
    )

    def __init__(self, policy: ConflictPolicy, data: Any = None) -> None:
        super().__init__(data, initial={"default": policy.default, "seen": stamp(policy)})
        self.policy = policy
        self.names: Sequence[str] = fields_of(policy)
        for name in self.names:
            self.fields[f"{RULE}{name}"] = forms.ChoiceField(
                label=field_name(name),
                required=False,
                choices=[("", gettext_lazy("As above")), *Strategy.choices],
                initial=policy.overrides.get(name, ""),
            )

    def clean_more_field(self) -> str:
        name = str(self.cleaned_data["more_field"]).strip()
        problem = conflict_field_problem(name) if name else ""
        if problem:
            raise forms.ValidationError(problem)
        return name

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if data.get("more_field") and not data.get("more_rule"):
            self.add_error("more_rule", _("Choose the rule for this field."))
        if data.get("more_rule") and not data.get("more_field") and "more_field" not in self.errors:
            self.add_error("more_field", _("Name the field that this rule is for."))
        return data

    @property
    def overrides(self) -> dict[str, str]:
        """Of a valid form, and of what is usable in one that is not."""
        data = self.cleaned_data
        found = {name: data[f"{RULE}{name}"] for name in self.names if data.get(f"{RULE}{name}")}
        if data.get("more_field") and data.get("more_rule"):
            found[data["more_field"]] = data["more_rule"]
        return found


def stamp(policy: ConflictPolicy) -> str:
    """Which state of the policy a form was filled from."""
    return policy.updated_at.isoformat() if policy.pk else ""


def fields_of(policy: ConflictPolicy) -> list[str]:
    """Fields that can be disputed: what a CRM can set, what is mapped, and what has a rule already."""
    known = [key for key, one in DIALER_FIELDS[ENTITY].items() if not one.readonly and key != DO_NOT_CALL]
    rows = FieldMapping.objects.filter(
        tenant_id=policy.tenant_id, dialer_entity=ENTITY, dialer_field__startswith=CUSTOM_PREFIX
    )
    own = rows.order_by("dialer_field").values_list("dialer_field", flat=True).distinct()
    return list(dict.fromkeys([*known, *own, *policy.overrides]))


def policy_of(tenant_id: UUID) -> ConflictPolicy:
    """The tenant's, or the usual one, not stored yet."""
    found: ConflictPolicy | None = ConflictPolicy.objects.filter(tenant_id=tenant_id).first()
    return found or ConflictPolicy(tenant_id=tenant_id)


def save(form: PolicyForm) -> list[str] | None:
    """Stores a valid form. What changed, each as a sentence; None: somebody changed the policy since the form was opened."""
    with transaction.atomic():
        found = ConflictPolicy.objects.select_for_update().filter(tenant_id=form.policy.tenant_id).first()
        policy = found or ConflictPolicy(tenant_id=form.policy.tenant_id)
        if form.cleaned_data["seen"] != stamp(policy):
            return None
        changes = changes_between(policy, form.cleaned_data["default"], form.overrides)
        if changes or found is None:
            policy.default, policy.overrides = form.cleaned_data["default"], form.overrides
            policy.save()
    form.policy = policy
    return changes


def changes_between(policy: ConflictPolicy, default: str, overrides: Mapping[str, str]) -> list[str]:
    labels: dict[str, Any] = dict(Strategy.choices)
    told = []
    if policy.default != default:
        facts = {"before": labels[policy.default], "after": labels[default]}
        told.append(_("Unless said otherwise: %(before)s → %(after)s.") % facts)
    for name in dict.fromkeys([*policy.overrides, *overrides]):
        before, after = policy.overrides.get(name, ""), overrides.get(name, "")
        if before != after:
            facts = {
                "field": field_name(name),
                "before": labels.get(before, _("no rule of its own")),
                "after": labels.get(after, _("no rule of its own")),
            }
            told.append(_("%(field)s: %(before)s → %(after)s.") % facts)
    return told


class ConflictPolicyAdmin(TenantScopedAdmin):
    form = ConflictPolicyForm
    list_display = ("default", "exceptions", ago_column("updated_at", gettext_lazy("changed")))
    actions_detail = ("rehearse_policy",)

    @page_action(gettext_lazy("Rehearse changes"), icon="science", permission=MAY_REHEARSE)
    def rehearse_policy(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return redirect(rehearsal_of(self.found(request, object_id).tenant_id, policy=1))

    @admin.display(description=gettext_lazy("by field"))
    def exceptions(self, row: ConflictPolicy) -> str:
        labels = dict(Strategy.choices)
        told = (f"{field_name(name)}: {labels.get(rule, rule)}" for name, rule in row.overrides.items())
        return "; ".join(told) or NOTHING
