"""What goes wrong quietly with calls: they are logged, but not as somebody meant them to be.

Dispositions that are mapped to values which the CRM has no more, and calls without an owner. It is looked for every hour, whenever
a CRM's fields or users were read, and when somebody mends it; what was found is kept in the connection's metadata, so that the
health page need not look itself.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from activities import agents, matrix
from integrations import tenancy
from integrations.models import CrmConnection
from sync.health import Notice

if TYPE_CHECKING:
    from integrations.admin_base import TenantScopedAdmin as _Base
else:
    _Base = object

log = logging.getLogger("dialbridge.advice")

KEY = "calls_logged_wrongly"
"""In a connection's metadata: {"dispositions": [[disposition, field, value], …], "unowned": number of calls}."""
LATELY = timedelta(days=1)
MOST_KEPT = 20
SCHEDULES: dict[str, dict[str, Any]] = {
    "Look for calls that are logged wrongly": {"func": "activities.advice.refresh_all", "schedule_type": "H"}
}


# --- looking --------------------------------------------------------------------------------------------------------


def refresh_all() -> None:
    with tenancy.everyone():
        refresh(CrmConnection.objects.filter(tenant__is_active=True))


def refresh_tenants(tenants: Collection[UUID]) -> None:
    """To be called after maps or agents of these tenants were changed."""
    with tenancy.scope(*tenants):
        refresh(CrmConnection.objects.filter(tenant__in=list(tenants)))


def on_fields_read(instance: Any, **_kwargs: Any) -> None:
    """A CRM's fields were read and stored."""
    on_agents_read(instance.connection_id)


def on_agents_read(connection_id: UUID, **_kwargs: Any) -> None:
    """A CRM's users were read and stored."""
    refresh(CrmConnection.objects.filter(pk=connection_id))


def refresh(connections: "QuerySet[CrmConnection]") -> None:
    """Keeps what is wrong now; only connections of which that has changed are written."""
    working = connections.filter(status=CrmConnection.Status.CONNECTED)
    rows = list(working.defer("access_token", "refresh_token", "secrets"))
    broken: dict[UUID, list[list[str]]] = defaultdict(list)
    for one in matrix.broken(rows):
        broken[one.connection.pk].append([one.disposition, one.lost.field, one.lost.value])
    unowned: Counter[UUID] = Counter()
    for missing in agents.unmapped(rows, LATELY):
        unowned[missing.connection.pk] += missing.calls
    for row in rows:
        found = _facts(broken[row.pk], unowned[row.pk])
        if found != (row.metadata.get(KEY) or {}):
            if found.get("dispositions"):
                log.warning(
                    "Connection %s lacks values that dispositions are mapped to: %s", row.pk, found["dispositions"]
                )
            row.remember({KEY: found})


def _facts(dispositions: Sequence[list[str]], unowned: int) -> dict[str, Any]:
    return {
        **({"dispositions": list(dispositions[:MOST_KEPT])} if dispositions else {}),
        **({"unowned": unowned} if unowned else {}),
    }


class MendsAdvice(_Base):
    """Mixed in before pages whose rows decide how calls are logged."""

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        refresh_tenants([obj.tenant_id])

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        super().delete_model(request, obj)
        refresh_tenants([obj.tenant_id])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        tenants = set(queryset.order_by().values_list("tenant_id", flat=True))
        super().delete_queryset(request, queryset)
        refresh_tenants(tenants)


# --- telling --------------------------------------------------------------------------------------------------------


def notices(connections: Sequence[CrmConnection]) -> dict[UUID, list[Notice]]:
    """By connection: dispositions first, then owners. No query."""
    return {
        one.pk: [tell(one, kept[name]) for name, tell in TELLERS.items() if kept.get(name)]
        for one in connections
        if (kept := one.metadata.get(KEY))
    }


def _of_dispositions(connection: CrmConnection, kept: Sequence[Sequence[str]]) -> Notice:
    disposition, field, value = kept[0]
    facts = {"crm": connection.get_provider_display(), "disposition": disposition, "value": value, "field": field}
    words = _("%(crm)s has no “%(value)s” in %(field)s any more, which “%(disposition)s” is mapped to") % facts
    others = len(kept) - 1
    if others:
        words += ngettext("; and %(count)d more", "; and %(count)d more", others) % {"count": others}
    return Notice(words, _("Open the dispositions"), _address("dispositionmap_coverage", connection))


def _of_agents(connection: CrmConnection, calls: int) -> Notice:
    words = ngettext(
        "In 24 hours %(count)d call was logged without an owner",
        "In 24 hours %(count)d calls were logged without an owner",
        calls,
    ) % {"count": calls}
    return Notice(words, _("Say who the agents are"), _address("agentoverride_report", connection))


def _address(page: str, connection: CrmConnection) -> str:
    return f"{reverse(f'admin:activities_{page}')}?tenant={connection.tenant_id}"


TELLERS: Mapping[str, Callable[[CrmConnection, Any], Notice]] = {
    "dispositions": _of_dispositions,
    "unowned": _of_agents,
}
