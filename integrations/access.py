"""Which tenants a signed-in person may see, and in which of them they may change something."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db.models import Value

from integrations import tenancy
from integrations.models import Membership, Role

SUPPORT = "Support"
TENANT_ADMIN = "Tenant admin"
VIEWER = "Viewer"


class OnlyToChange(frozenset[UUID]):
    """The tenants in which somebody may change something, who sees more of them: pages still ask which one is meant."""


def is_support(user: Any) -> bool:
    """Support staff and superusers see every tenant."""
    if not user.is_active:
        return False
    return user.is_superuser or SUPPORT in _group_names(user)


def scope_of(user: Any, *, to_change: bool = False) -> tenancy.Scope | None:
    """None for nobody in particular: then no tenant's rows can be read at all.

    `to_change` leaves out the tenants in which the person is only a viewer: what can't be found can't be changed.
    """
    if not user.is_authenticated or not user.is_active:
        return None
    if is_support(user):
        return tenancy.EVERYONE
    roles = roles_of(user)
    if to_change and Role.ADMIN in roles.values():
        mine = [pk for pk, role in roles.items() if role == Role.ADMIN]
        return OnlyToChange(mine) if len(mine) < len(roles) else frozenset(mine)
    return frozenset(roles)


def roles_of(user: Any) -> dict[UUID, str]:
    """Tenant → role, for the tenants in which the person is active. Read once per request."""
    if not hasattr(user, "_roles_read"):
        with tenancy.everyone():
            mine = Membership.objects.filter(user=user, is_active=True, tenant__is_active=True)
            user._roles_read = dict(mine.values_list("tenant_id", "role"))  # noqa: SLF001 - our own cache on it
    return dict(user._roles_read)  # noqa: SLF001


def may_change_in(user: Any, tenant_id: UUID | None) -> bool:
    """Whether the person's role in this tenant lets them change something; their groups say what."""
    return is_support(user) or tenant_id is None or roles_of(user).get(tenant_id) == Role.ADMIN


def _group_names(user: Any) -> frozenset[str]:
    """Read once per request, as the user object is made anew for each, with all that the person may: every page asks for both."""
    if not hasattr(user, "_group_names_read"):
        what = ("permissions__content_type__app_label", "permissions__codename")
        of_groups = user.groups.order_by().values_list("name", *what)
        own = user.user_permissions.order_by().values_list(Value(""), "content_type__app_label", "codename")
        rows = list(of_groups.union(own, all=True))
        user._group_names_read = frozenset(name for name, _, _ in rows if name)  # noqa: SLF001 - our own cache on it
        user._group_perm_cache = _permissions(row for row in rows if row[0])  # noqa: SLF001 - Django's cache
        user._user_perm_cache = _permissions(row for row in rows if not row[0])  # noqa: SLF001 - Django's cache
    return frozenset(user._group_names_read)  # noqa: SLF001


def _permissions(rows: Iterable[tuple[str, str, str]]) -> set[str]:
    return {f"{app}.{codename}" for _, app, codename in rows if codename}
