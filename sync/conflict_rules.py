"""The rule that deciding all conflicts about a field makes: who decides from now on as a person has decided, and the way back."""

from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from mapping.models import ConflictPolicy, FieldMapping, Strategy
from mapping.publishing import ENTITY, publish
from sync.models import Conflict, ConflictDecision

RuleIn = ConflictDecision.RuleIn


@dataclass(frozen=True, slots=True)
class Made:
    """Where a rule stands now, and what stood there before."""

    place: str
    before: str
    after: str


def make(conflict: Conflict, rule: Strategy, by: str, user_id: int | None) -> Made:
    """In the field's mapping row, as a new version. Without such a row it is the tenant's rule for the field."""
    tenant_id, provider, field = conflict.tenant_id, conflict.record.crm_provider, conflict.field
    with transaction.atomic():
        before = _of_row(tenant_id, provider, field)
        if before is not None:
            note = f"{field}: {rule.label}, as {by} decided"
            _set_in_mapping(tenant_id, provider, field, rule.value, note, user_id)
            return Made(RuleIn.MAPPING, before, rule.value)
        return Made(RuleIn.POLICY, _set_in_policy(tenant_id, field, rule.value), rule.value)


def restore(decision: ConflictDecision, by: str, user_id: int | None) -> bool:
    """Puts back what stood there before the decision. False: the decision made no rule, or somebody has changed it since.

    Raises MappingError when the mapping's rows can't be published for another reason.
    """
    if not _stands(decision):
        return False
    tenant_id, field, before = decision.tenant_id, decision.field, decision.rule_before
    with transaction.atomic():
        if decision.rule_in == RuleIn.MAPPING:
            note = f"{field}: back to the rule before, as {by} took the decision back"
            _set_in_mapping(tenant_id, decision.connection.provider, field, before, note, user_id)
        else:
            _set_in_policy(tenant_id, field, before)
    return True


def _stands(decision: ConflictDecision) -> bool:
    """Whether the rule that the decision made is still the field's, and another one was before."""
    if not decision.rule_in or decision.rule_before == decision.rule_after:
        return False
    if decision.rule_in == RuleIn.MAPPING:
        return _of_row(decision.tenant_id, decision.connection.provider, decision.field) == decision.rule_after
    policy = ConflictPolicy.objects.filter(tenant_id=decision.tenant_id).first()
    return policy is not None and policy.overrides.get(decision.field) == decision.rule_after


def _of_row(tenant_id: UUID, provider: str, field: str) -> str | None:
    """The own strategy of the field's mapping row; None without such a row."""
    rows = FieldMapping.objects.filter(
        tenant_id=tenant_id, crm_provider=provider, dialer_entity=ENTITY, dialer_field=field
    )
    found: str | None = rows.values_list("strategy", flat=True).first()
    return found


def _set_in_mapping(tenant_id: UUID, provider: str, field: str, rule: str, note: str, user_id: int | None) -> None:
    rows = FieldMapping.objects.filter(
        tenant_id=tenant_id, crm_provider=provider, dialer_entity=ENTITY, dialer_field=field
    )
    rows.update(strategy=rule, updated_at=timezone.now())
    publish(tenant_id, provider, note=note[:300], user_id=user_id)


def _set_in_policy(tenant_id: UUID, field: str, rule: str) -> str:
    """An empty rule takes the field's exception away. Returns the one before."""
    policy, _created = ConflictPolicy.objects.select_for_update().get_or_create(tenant_id=tenant_id)
    before = str(policy.overrides.get(field, ""))
    others = {name: strategy for name, strategy in policy.overrides.items() if name != field}
    policy.overrides = {**others, **({field: rule} if rule else {})}
    policy.save()
    return before
