"""Who may see which tenant's rows: decided once, here, for every query.

Each tenant-owned model filters by the current scope when its SQL is built. Without a scope the query is refused, so a
forgotten `with scope(...)` is an error and never somebody else's data. Three kinds of scope exist: some tenants
(`scope`), all of them (`everyone`, for support staff, schedules and commands) and none, the default.

Behind it stands row-level security, for the statements of the web that don't come from a model: see `integrations/row_security.py`.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from uuid import UUID

from django.core.exceptions import FullResultSet
from django.db import models
from django.db.models.sql.compiler import SQLCompiler

from integrations.scopes import EVERYONE, Everyone, Scope, current

__all__ = [
    "EVERYONE", "InScope", "OwnIdManager", "Scope", "ScopeRequired", "ScopedManager", "ScopedQuerySet", "TenantOwned",
    "current_scope", "entered", "everyone", "narrow", "refuse_other_tenant", "scope", "traced",
]  # fmt: skip


class ScopeRequired(RuntimeError):
    """A tenant's rows were asked for by code that had not said for which tenant it works."""


def current_scope() -> Scope | None:
    return current.get()


@contextmanager
def entered(scope_: Scope | None) -> Iterator[None]:
    token = current.set(scope_)
    try:
        yield
    finally:
        current.reset(token)


def narrow(scope_: Scope) -> None:
    """Changes the scope in force, for code that learns the tenant midway; the surrounding `entered` undoes it."""
    current.set(scope_)


def scope(*tenant_ids: UUID) -> Any:
    """`with scope(tenant.id): …` limits everything inside to these tenants."""
    return entered(frozenset(tenant_ids))


def everyone() -> Any:
    """`with everyone(): …` for work across tenants: schedules, commands, support."""
    return entered(EVERYONE)


def traced() -> dict[str, object]:
    """For the log: whose work it is, where it is that of one tenant."""
    allowed = current_scope()
    return {"tenant": str(next(iter(allowed)))} if isinstance(allowed, frozenset) and len(allowed) == 1 else {}


class InScope(models.Func):
    """`tenant column IN the current scope`, looked up when the SQL is built, so that a lazy queryset can't escape."""

    output_field = models.BooleanField()

    def as_sql(self, compiler: SQLCompiler, connection: Any, **_: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        allowed = current_scope()
        if allowed is None:
            raise ScopeRequired("This query reads tenants' rows. Wrap it in tenancy.scope(tenant_id) or everyone().")
        if isinstance(allowed, Everyone):
            raise FullResultSet
        column, params = compiler.compile(self.source_expressions[0])
        if len(allowed) == 1:
            return f"{column} = %s", [*params, *allowed]
        return f"{column} = ANY(%s)", [*params, list(allowed)]


_Row = TypeVar("_Row", bound=models.Model)


class ScopedQuerySet(models.QuerySet[_Row]):
    def bulk_create(self, objs: Iterable[_Row], *args: Any, **kwargs: Any) -> list[_Row]:
        rows = list(objs)
        for row in rows:
            refuse_other_tenant(row)
        return super().bulk_create(rows, *args, **kwargs)


class ScopedManager(models.Manager[_Row]):
    tenant_column = "tenant_id"

    def get_queryset(self) -> ScopedQuerySet[_Row]:
        return ScopedQuerySet[_Row](self.model, using=self._db).filter(InScope(models.F(self.tenant_column)))


class OwnIdManager(ScopedManager[_Row]):
    """For the tenant table itself."""

    tenant_column = "id"


def refuse_other_tenant(row: Any) -> None:
    """Raises ScopeRequired when the row belongs to a tenant outside the current scope."""
    allowed = current_scope()
    tenant_id = getattr(row, "tenant_id", None)
    if allowed is None or (tenant_id is not None and tenant_id not in allowed):
        what = row._meta.verbose_name if isinstance(row, models.Model) else "row"
        raise ScopeRequired(f"A {what} of another tenant can't be written in this scope.")


class TenantOwned(models.Model):
    """Base of every model that belongs to one tenant."""

    tenant = models.ForeignKey("integrations.Tenant", on_delete=models.CASCADE, related_name="+")

    objects: ScopedManager[Any] = ScopedManager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        refuse_other_tenant(self)
        super().save(*args, **kwargs)
