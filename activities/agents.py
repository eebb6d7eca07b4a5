"""Who the dialer's agents are in each CRM: said by hand, else the active user with the agent's e-mail address.

The CRM's users are read once a day, within the hour after a CRM was connected, and on demand, and kept here, so that logging a call
asks no CRM whose it is. Users who left are kept too, as inactive: records of theirs still have a name.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Exists, OuterRef
from django.dispatch import Signal
from django.utils import timezone

from activities.models import AgentOverride, Call, CrmAgent
from integrations import errors, tenancy
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.records.connections import CrmUser
from sync import upkeep
from sync.handlers import Result
from sync.queue import Claim, Outcome

KIND = "agents"
READ_EVERY = timedelta(hours=20)
SEEN_FOR = timedelta(days=90)
"""Calls of so many days tell which agents there are."""
read = Signal()
"""Sent with `connection_id` in the transaction that keeps a CRM's users."""
SCHEDULES: dict[str, dict[str, Any]] = {
    "Read the CRMs' users": {"func": "activities.agents.enqueue_all", "schedule_type": "H"}
}
Agent = tuple[UUID, str]
"""A connection, and an agent's address in lower case."""


# --- reading the CRM's users ----------------------------------------------------------------------------------------


class ReadAgents:
    """Handler of the job that reads a connection's users. A credential that may not see them leaves them as they are."""

    def batch_size(self, provider: type[CrmProvider]) -> int:
        return 1

    def work(self, provider: CrmProvider, claimed: Claim) -> Result:
        job = claimed.jobs[0]
        try:
            users = provider.users()
        except errors.FixConfig:  # the check of permissions tells of it
            users = []
        if users:
            keep(CrmConnection.objects.get(pk=job.connection_id), users)
        return Result([Outcome(job, "done")])


def enqueue(connections: Iterable[CrmConnection]) -> None:
    """Has the users of these connections read in the background."""
    upkeep.enqueue(KIND, connections)


def enqueue_all() -> None:
    """Every hour, for working connections whose users were not read for most of a day."""
    with tenancy.everyone():
        lately = CrmAgent.objects.filter(connection=OuterRef("pk"), seen_at__gt=timezone.now() - READ_EVERY)
        working = CrmConnection.objects.filter(status=CrmConnection.Status.CONNECTED, tenant__is_active=True)
        enqueue(working.exclude(Exists(lately)))


def keep(connection: CrmConnection, users: Sequence[CrmUser]) -> None:
    """Replaces what was known of the CRM's users; those who are not among them any more are inactive."""
    now = timezone.now()
    rows = {user.id: _row(connection, user) for user in users}
    for row in rows.values():
        row.seen_at = now
    with transaction.atomic():
        CrmAgent.objects.bulk_create(
            rows.values(),
            update_conflicts=True,
            unique_fields=["connection", "crm_user_id"],
            update_fields=["email", "name", "is_active", "seen_at"],
        )
        CrmAgent.objects.filter(connection=connection, seen_at__lt=now, is_active=True).update(is_active=False)
        read.send(CrmAgent, connection_id=connection.pk)


def _row(connection: CrmConnection, user: CrmUser) -> CrmAgent:
    return CrmAgent(
        tenant_id=connection.tenant_id,
        connection=connection,
        crm_user_id=user.id,
        email=plain(user.email)[:320],
        name=user.name[:300],
        is_active=user.active,
    )


# --- whose call it was ----------------------------------------------------------------------------------------------


def plain(email: str) -> str:
    """The form in which addresses are compared."""
    return email.strip().lower()


def ids(connection_id: UUID, emails: Iterable[str]) -> dict[str, str]:
    """Agent's address, as given → id of the user in this CRM. In two queries, none without an address.

    Empty where somebody said that the agent has no user there, or the user who was chosen has left. An address that nobody has is
    left out.
    """
    asked = {email: plain(email) for email in emails if email.strip()}
    known = users_of([connection_id], set(asked.values()))
    return {
        email: known[connection_id, address] for email, address in asked.items() if (connection_id, address) in known
    }


def users_of(connection_ids: Collection[UUID], emails: Collection[str]) -> dict[Agent, str]:
    """The same for several connections; addresses in lower case."""
    if not emails:
        return {}
    chosen = AgentOverride.objects.filter(connection__in=connection_ids, agent_email__in=emails)
    overrides = {(connection, email): user for connection, email, user in chosen.values_list(*_OVERRIDE)}
    active = CrmAgent.objects.filter(connection__in=connection_ids, is_active=True)
    either = active.filter(email__in=emails) | active.filter(crm_user_id__in=list(overrides.values()))
    rows = list(either.order_by("-crm_user_id").values_list("connection_id", "email", "crm_user_id"))
    there = {(connection, user) for connection, _email, user in rows}
    by_hand = {key: user if (key[0], user) in there else "" for key, user in overrides.items()}
    return {**{(connection, email): user for connection, email, user in rows if email in emails}, **by_hand}


_OVERRIDE = ("connection_id", "agent_email", "crm_user_id")


# --- who is missing -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Unmapped:
    """An agent whose calls are logged in a CRM without an owner."""

    connection: CrmConnection
    email: str
    calls: int
    suggested: CrmAgent | None = None
    """The only active user whose name fits the address."""


def unmapped(connections: Sequence[CrmConnection], within: timedelta = SEEN_FOR) -> list[Unmapped]:
    """Agents of recent calls whom a connected CRM does not have, those with most calls first. Three queries.

    Nothing is said of a CRM whose users were never read.
    """
    agents = list(CrmAgent.objects.filter(connection__in=connections, is_active=True))
    read = {agent.connection_id for agent in agents}
    counts = calls_by_agent({one.tenant_id for one in connections if one.pk in read}, within)
    if not counts:
        return []
    emails = {email for found in counts.values() for email in found}
    by_hand = AgentOverride.objects.filter(connection__in=read, agent_email__in=emails).values_list(*_OVERRIDE)
    known = {(agent.connection_id, agent.email) for agent in agents}
    active = {(agent.connection_id, agent.crm_user_id) for agent in agents}
    for connection_id, email, user in by_hand:
        settled = not user or (connection_id, user) in active
        known = known | {(connection_id, email)} if settled else known - {(connection_id, email)}
    found = [
        Unmapped(one, email, calls, suggested(email, [agent for agent in agents if agent.connection_id == one.pk]))
        for one in connections
        if one.pk in read
        for email, calls in counts.get(one.tenant_id, {}).items()
        if (one.pk, email) not in known
    ]
    return sorted(found, key=lambda one: (-one.calls, one.email, one.connection.provider))


def calls_by_agent(tenants: Collection[UUID], within: timedelta = SEEN_FOR) -> Mapping[UUID, Counter[str]]:
    """By tenant, how many calls each agent made. One query."""
    if not tenants:
        return {}
    rows = Call.objects.filter(tenant__in=tenants, created_at__gte=timezone.now() - within).exclude(agent_email="")
    found: dict[UUID, Counter[str]] = {}
    for tenant_id, email, calls in rows.order_by().values_list("tenant_id", "agent_email").annotate(Count("pk")):
        found.setdefault(tenant_id, Counter())[plain(email)] += calls
    return found


def suggested(email: str, agents: Iterable[CrmAgent]) -> CrmAgent | None:
    """jane.doe@…, janedoe@… and jdoe@… fit Jane Doe, and so does her own address in another domain."""
    wanted = _letters(email.partition("@")[0])
    alike = [agent for agent in agents if wanted and wanted in _ways_to_write(agent.name) | _first_part(agent.email)]
    return alike[0] if len(alike) == 1 else None


def _first_part(email: str) -> set[str]:
    return {_letters(email.partition("@")[0])}


def _ways_to_write(name: str) -> set[str]:
    parts = [_letters(part) for part in name.split()]
    if len(parts) < 2:
        return set(parts) - {""}
    first, last = parts[0], parts[-1]
    return {first + last, last + first, first[:1] + last, first + last[:1], "".join(parts)}


def _letters(text: str) -> str:
    return "".join(char for char in text.casefold() if char.isalpha())
