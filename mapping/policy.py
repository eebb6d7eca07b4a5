"""Which strategy decides a conflict: the mapping row's own, the tenant's override for the field, or the tenant's default.

The rows are those of the mapping version in force, so that a conflict is decided by what was published and by nothing else.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import UUID

from mapping.models import ConflictPolicy, MappingVersion, Strategy


def strategies_of(tenant_id: UUID, provider: str) -> Callable[[str], str]:
    """A function from dialer field to strategy, read from the database once."""
    policy: ConflictPolicy | None = ConflictPolicy.objects.filter(tenant_id=tenant_id).first()
    newest = MappingVersion.objects.filter(tenant_id=tenant_id, crm_provider=provider).order_by("-number")
    rows = newest.values_list("rows", flat=True).first() or []
    return strategies(policy.default if policy else "", policy.overrides if policy else {}, rows)


def strategies(default: str, overrides: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> Callable[[str], str]:
    """The same from a policy's parts and the rows of a mapping version. No default: the CRM wins."""
    fallback = default or Strategy.CRM_WINS.value
    own = {row["dialer_field"]: row["strategy"] for row in rows if row.get("strategy")}
    chosen = {**overrides, **own}
    return lambda field: chosen.get(field, fallback)
