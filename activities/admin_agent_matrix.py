"""The editor of agents: who each agent of the dialer is in each CRM, with suggestions, and reading the CRMs' users again."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from activities import agent_matrix, agents
from activities.admin_disposition_matrix import calls_words
from activities.advice import refresh_tenants
from activities.agent_matrix import NOBODY, Agent, Place, Said, Table
from activities.matrix import connections_of
from activities.models import AgentOverride, CrmAgent
from integrations.admin_base import Question, sees_several
from integrations.admin_html import page_url
from integrations.admin_tenant_pages import OfOneTenant, scripts
from integrations.models import CrmConnection, Tenant
from sync.models import SyncJob

VIEW, ADD = "activities.view_agentoverride", "activities.add_agentoverride"
STATES: Mapping[str, tuple[Any, str]] = {
    "found": (gettext_lazy("By e-mail"), "good"),
    "chosen": (gettext_lazy("By hand"), "info"),
    "nobody": (gettext_lazy("Nobody, on purpose"), "muted"),
    "left": (gettext_lazy("Has left"), "bad"),
    "missing": (gettext_lazy("Nobody found"), "bad"),
}


class AgentMatrix(OfOneTenant):
    """Mixed in before the page of agents."""

    def get_urls(self) -> list[URLPattern]:
        own = [self.tenant_page("report", self.report_page, VIEW), self.tenant_page("read", self.read_again, ADD)]
        return [*own, *super().get_urls()]

    def report_page(self, request: HttpRequest, tenant: Tenant) -> HttpResponse:
        connections = connections_of([tenant.pk])
        table = agent_matrix.table_of(connections)
        if request.GET.get("part"):
            return self.shown(request, "admin/dispositions_reading.html", "", **_read(tenant, connections, table))
        if request.method != "POST":
            return self._report(request, tenant, connections, table)
        if not request.user.has_perm(ADD):
            raise PermissionDenied
        whole = request.POST.get("do") == "accept_all"
        said = agent_matrix.accept_all(table) if whole else agent_matrix.read(table, _texts(request))
        if said.problems or request.POST.get("do") == "preview":
            return self._report(request, tenant, connections, table, said, _texts(request))
        agent_matrix.store(said)
        refresh_tenants([tenant.pk])
        self._tell(request, said)
        return redirect(_address(tenant, **({"show": "all"} if _shows_all(request) else {})))

    def _tell(self, request: HttpRequest, said: Said) -> None:
        if not said.changes:
            self.message_user(request, _("Nothing was changed."), messages.INFO)
            return
        words = ngettext("Saved: %(count)d agent.", "Saved: %(count)d agents.", said.changes) % {"count": said.changes}
        self.message_user(request, f"{words} {_('Their calls from now on have this owner.')}", messages.SUCCESS)

    def read_again(self, request: HttpRequest, tenant: Tenant) -> HttpResponse:
        if not request.user.has_perm(ADD):
            raise PermissionDenied
        question = Question(
            title=_("Read the CRMs' users again?"),
            lines=[_("We ask each connected CRM who works there, in the background. It happens by itself every day.")],
            button=_("Read now"),
        )
        page = self.ask(request, None, question)
        if page:
            return page
        working = CrmConnection.objects.filter(tenant=tenant, status=CrmConnection.Status.CONNECTED)
        agents.enqueue(working.defer("access_token", "refresh_token", "secrets"))
        self.message_user(request, _("They are being read. This page shows when it is done."))
        return redirect(_address(tenant))

    # --- showing --------------------------------------------------------------------------------------------------

    def _report(
        self,
        request: HttpRequest,
        tenant: Tenant,
        connections: Sequence[CrmConnection],
        table: Table,
        said: Said | None = None,
        data: Mapping[str, str] | None = None,
    ) -> HttpResponse:
        said, data = said or Said(), data or {}
        whole = _shows_all(request) or not table.missing
        shown = [one for one in table.agents if whole or one.is_missing or _has_problem(one, said)]
        return self.shown(
            request,
            "admin/dispositions_agents.html",
            _("Agents in the CRMs"),
            may_change=request.user.has_perm(ADD),
            connected=bool(connections),
            crms=[_crm(one, table) for one in table.connections],
            rows=[_row(one, said, data) for one in shown],
            missing=_missing_words(table),
            suggestions=len(table.suggestions),
            whole=whole,
            all_url=_address(tenant, show="all"),
            missing_url=_address(tenant) if table.missing and whole else "",
            count=len(table.agents),
            hidden=table.hidden,
            **_read(tenant, connections, table),
            read_url=_address(tenant, "read"),
            connections_url=page_url(CrmConnection, "changelist"),
            overrides_url=page_url(AgentOverride, "changelist"),
            users_url=page_url(CrmAgent, "changelist"),
            nobody=NOBODY,
            page_scripts=scripts("editing", "live"),
        )


def _texts(request: HttpRequest) -> dict[str, str]:
    return {name: str(value) for name, value in request.POST.items()}


def _shows_all(request: HttpRequest) -> bool:
    return request.GET.get("show") == "all"


def _address(tenant: Tenant, page: str = "report", **more: object) -> str:
    return page_url(AgentOverride, page, **{**({"tenant": tenant.pk} if sees_several() else {}), **more})


def _read(tenant: Tenant, connections: Sequence[CrmConnection], table: Table) -> dict[str, Any]:
    """How far the CRMs' users are read."""
    read = {one.pk for one in table.connections}
    unread = [one.get_provider_display() for one in connections if one.pk not in read]
    return {"reading": _reading(tenant), "unread": unread}


def _reading(tenant: Tenant) -> bool:
    """Whether the users of any of the tenant's CRMs are about to be read, or are being."""
    waiting = SyncJob.objects.filter(
        tenant=tenant, kind=agents.KIND, state__in=[SyncJob.State.READY, SyncJob.State.LEASED]
    )
    return bool(waiting.exists())


def _crm(connection: CrmConnection, table: Table) -> dict[str, Any]:
    users = table.users.get(connection.pk, [])
    return {
        "pk": connection.pk,
        "label": connection.get_provider_display(),
        "users": [agent_matrix.label_of(one) for one in users[: agent_matrix.MOST_USERS]],
    }


def _row(agent: Agent, said: Said, data: Mapping[str, str]) -> dict[str, Any]:
    return {
        "email": agent.email,
        "calls": calls_words(agent.calls),
        "places": [_place(one, said, data) for one in agent.places],
    }


def _place(place: Place, said: Said, data: Mapping[str, str]) -> dict[str, Any]:
    words, level = STATES[place.state]
    return {
        "name": place.name,
        "crm": place.connection.get_provider_display(),
        "list": place.connection.pk,
        "words": words,
        "level": level,
        "user": str(place.user) if place.user else "",
        "said": place.said,
        "value": data.get(place.name, place.said),
        "problem": said.problems.get(place.name, ""),
        "suggested": str(place.suggested) if place.suggested else "",
        "choose": agent_matrix.label_of(place.suggested) if place.suggested else "",
    }


def _has_problem(agent: Agent, said: Said) -> bool:
    return any(one.name in said.problems for one in agent.places)


def _missing_words(table: Table) -> str:
    if not table.missing:
        return ""
    people = ngettext(
        "%(count)s agent has no user in some CRM.", "%(count)s agents have no user in some CRM.", table.missing
    ) % {"count": f"{table.missing:,}"}
    calls = ngettext(
        "%(count)s call of the last 90 days has no owner there.",
        "%(count)s calls of the last 90 days have no owner there.",
        table.unowned,
    ) % {"count": f"{table.unowned:,}"}
    return f"{people} {calls}"
