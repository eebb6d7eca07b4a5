"""Which tenants a signed-in person may see, and the two roles."""

from typing import Any

from integrations import tenancy
from integrations.models import Membership

SUPPORT = "Support"
TENANT_ADMIN = "Tenant admin"


def is_support(user: Any) -> bool:
    """Support staff and superusers see every tenant."""
    if not user.is_active:
        return False
    return user.is_superuser or any(group.name == SUPPORT for group in _groups(user))


def scope_of(user: Any) -> tenancy.Scope | None:
    """None for nobody in particular: then no tenant's rows can be read at all."""
    if not user.is_authenticated or not user.is_active:
        return None
    if is_support(user):
        return tenancy.EVERYONE
    with tenancy.everyone():
        return frozenset(
            Membership.objects.filter(user=user, tenant__is_active=True).values_list("tenant_id", flat=True)
        )


def _groups(user: Any) -> list[Any]:
    """Read once per request: the user object is made anew for each."""
    if not hasattr(user, "_groups_read"):
        user._groups_read = list(user.groups.all())  # noqa: SLF001 - our own cache on it
    return list(user._groups_read)  # noqa: SLF001
