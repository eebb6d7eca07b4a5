"""The tenants that the running code works for. Apart from `tenancy`, which knows models: the database's driver asks it too."""

from contextvars import ContextVar
from uuid import UUID


class Everyone:
    def __contains__(self, tenant_id: object) -> bool:
        return True


EVERYONE = Everyone()
Scope = frozenset[UUID] | Everyone
current: ContextVar[Scope | None] = ContextVar("tenant_scope", default=None)


def as_setting(scope: Scope | None) -> str:
    """As the server is told it, for its row-level security."""
    if scope is None:
        return ""
    return "*" if isinstance(scope, Everyone) else "{" + ",".join(map(str, scope)) + "}"
