"""Which strategy decides a conflict: the mapping row's own, the tenant's override for the field, or the tenant's default."""

from collections.abc import Callable
from uuid import UUID

from mapping.models import ConflictPolicy, FieldMapping, Strategy


def strategies_of(tenant_id: UUID, provider: str) -> Callable[[str], str]:
    """A function from dialer field to strategy, read from the database once."""
    policy: ConflictPolicy | None = ConflictPolicy.objects.filter(tenant_id=tenant_id).first()
    default = policy.default if policy else Strategy.CRM_WINS.value
    chosen: dict[str, str] = dict(policy.overrides) if policy else {}
    rows = FieldMapping.objects.filter(tenant_id=tenant_id, crm_provider=provider, dialer_entity="contact")
    chosen.update(rows.exclude(strategy="").values_list("dialer_field", "strategy"))
    return lambda field: chosen.get(field, default)
