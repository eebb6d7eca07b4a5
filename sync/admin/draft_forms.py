"""Forms of a rehearsal's draft: beginning one, and editing its rows with the same checks as the mapping in force."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.admin_forms import TenantForm
from integrations.registry import provider_class
from mapping.admin_forms import ConflictPolicyForm, FieldMappingForm
from mapping.models import ConflictPolicy, FieldMapping, MappingVersion
from mapping.publishing import ENTITY, edited_row, row_json
from sync.drafts import policy_in_force
from sync.models import Rehearsal


class RehearsalForm(TenantForm):
    """Where a draft begins: from the rows in force, or from those of an earlier version."""

    version = forms.IntegerField(required=False, widget=forms.HiddenInput)
    policy_too = forms.BooleanField(
        label=gettext_lazy("With the conflict policy"),
        required=False,
        help_text=gettext_lazy(
            "The draft then has a conflict policy of its own, and is tried on all connections of the tenant."
        ),
    )

    class Meta:
        model = Rehearsal
        fields = ("connection",)
        help_texts = {"connection": gettext_lazy("Whose mapping is to be tried out. Nothing is changed by it.")}

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        connection = cleaned.get("connection")
        if connection is None:
            return cleaned
        self.instance.tenant_id = connection.tenant_id
        versions = MappingVersion.objects.filter(tenant_id=connection.tenant_id, crm_provider=connection.provider)
        chosen = cleaned.get("version")
        version = (versions.filter(pk=chosen) if chosen else versions.order_by("-number")).first()
        if version is None:
            raise forms.ValidationError(
                _("This CRM has no such mapping. Open its connection, or choose another version.")
            )
        self.instance.rows = version.rows
        if cleaned.get("policy_too"):
            self.instance.policy = policy_in_force(connection.tenant_id).as_json()
        return cleaned


class DraftRowForm(FieldMappingForm):
    """One row of the draft. Nothing of it is stored in the mapping."""

    class Meta:
        model = FieldMapping
        help_texts = FieldMappingForm.Meta.help_texts
        fields = (
            "dialer_field", "sync_direction", "crm_object", "crm_field", "transform_rule", "custom_transform", "is_required",
            "validations", "strategy", "on_blank", "object_overrides",
        )  # fmt: skip

    rehearsal: Rehearsal
    was: str = ""
    """The dialer field of the row that is edited; empty for a new one."""

    def other_rows(self) -> Iterable[FieldMapping]:
        rows = [row for row in self.rehearsal.rows if row["dialer_field"] != self.was]
        return [edited_row(self.rehearsal.tenant_id, self.rehearsal.connection.provider, row) for row in rows]

    def _get_validation_exclusions(self) -> set[str]:
        """The mapping in force has a row for the same field, of course. Doubles in the draft are found by the engine."""
        return {*super()._get_validation_exclusions(), "tenant"}

    def changed_rows(self) -> list[dict[str, Any]]:
        """The draft's rows with this one."""
        others = [row for row in self.rehearsal.rows if row["dialer_field"] != self.was]
        return sorted([*others, row_json(self.instance)], key=lambda row: str(row["dialer_field"]))


def row_of(rehearsal: Rehearsal, field: str) -> FieldMapping:
    """The draft's row for the dialer field, or a new one, in the form in which rows are edited."""
    provider = rehearsal.connection.provider
    for row in rehearsal.rows:
        if row["dialer_field"] == field:
            return edited_row(rehearsal.tenant_id, provider, row)
    return FieldMapping(
        tenant_id=rehearsal.tenant_id,
        crm_provider=provider,
        dialer_entity=ENTITY,
        crm_object=provider_class(provider).mapping_object,
    )


class DraftPolicyForm(ConflictPolicyForm):
    """The draft's conflict policy. Nothing of it is stored as the tenant's."""

    class Meta:
        model = ConflictPolicy
        fields = ("default", "overrides")

    def _get_validation_exclusions(self) -> set[str]:
        """The tenant has a policy in force, of course."""
        return {*super()._get_validation_exclusions(), "tenant"}


def policy_of(rehearsal: Rehearsal) -> ConflictPolicy:
    held = rehearsal.policy or policy_in_force(rehearsal.tenant_id).as_json()
    return ConflictPolicy(tenant_id=rehearsal.tenant_id, default=held["default"], overrides=held["overrides"])
