"""Who each of the dialer's agents is in each CRM, as one table that can be edited, and storing what was said of it.

An agent is found by e-mail address unless somebody says otherwise; what is said is a row of its own, and saying nothing again
takes it away.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from activities import agents
from activities.models import AgentOverride, CrmAgent
from integrations.models import CrmConnection

MOST_AGENTS = 200
MOST_USERS = 2_000
"""Users of a CRM that a list offers; others are found by typing their whole address or id."""
NOBODY = "-"
"""What is typed for: this agent has no user there."""


@dataclass(slots=True)
class Place:
    """One agent in one CRM."""

    name: str
    """Of the form's field."""
    connection: CrmConnection
    user: CrmAgent | None = None
    by_hand: AgentOverride | None = None
    suggested: CrmAgent | None = None

    @property
    def state(self) -> str:
        """found, chosen, left, nobody or missing."""
        if self.by_hand is None:
            return "found" if self.user else "missing"
        if not self.by_hand.crm_user_id:
            return "nobody"
        return "chosen" if self.user and self.user.is_active else "left"

    @property
    def said(self) -> str:
        """What was said by hand, as the form writes it; empty: nothing."""
        if self.by_hand is None:
            return ""
        if not self.by_hand.crm_user_id:
            return NOBODY
        return label_of(self.user) if self.user else self.by_hand.crm_user_id


@dataclass(slots=True)
class Agent:
    """One line of the table."""

    email: str
    calls: int
    places: list[Place] = field(default_factory=list)

    @property
    def is_missing(self) -> bool:
        return any(one.state in ("missing", "left") for one in self.places)


@dataclass(slots=True)
class Table:
    connections: list[CrmConnection]
    agents: list[Agent]
    users: dict[UUID, list[CrmAgent]]
    """Of each connection whose users were read: the active ones."""
    hidden: int = 0
    """Agents beyond the longest list."""

    @property
    def suggestions(self) -> list[Place]:
        return [one for agent in self.agents for one in agent.places if one.suggested]

    @property
    def missing(self) -> int:
        return sum(agent.is_missing for agent in self.agents)

    @property
    def unowned(self) -> int:
        """Calls of the last 90 days that lack an owner in some CRM."""
        return sum(agent.calls for agent in self.agents if agent.is_missing)


def table_of(connections: Sequence[CrmConnection]) -> Table:
    """Of one tenant's connections, agents with most calls first. Three queries."""
    known = list(CrmAgent.objects.filter(connection__in=connections).order_by("name", "pk"))
    said = {
        (one.connection_id, one.agent_email): one for one in AgentOverride.objects.filter(connection__in=connections)
    }
    counts: Counter[str] = Counter()
    for found in agents.calls_by_agent({one.tenant_id for one in connections}).values():
        counts.update(found)
    counts.update(dict.fromkeys({email for _connection, email in said} - counts.keys(), 0))
    read = {one.connection_id for one in known}
    shown = sorted(counts, key=lambda email: (-counts[email], email))
    users: dict[UUID, list[CrmAgent]] = defaultdict(list)
    for user in known:
        if user.is_active:
            users[user.connection_id].append(user)
    placer = _Placer(known, said, users)
    rows = [
        Agent(email, counts[email], [placer.place(at, email, one) for one in connections if one.pk in read])
        for at, email in enumerate(shown[:MOST_AGENTS])
    ]
    return Table([one for one in connections if one.pk in read], rows, dict(users), max(0, len(shown) - MOST_AGENTS))


class _Placer:
    """Finds who somebody is."""

    def __init__(
        self,
        known: Iterable[CrmAgent],
        said: Mapping[tuple[UUID, str], AgentOverride],
        users: Mapping[UUID, Sequence[CrmAgent]],
    ) -> None:
        self.said = said
        self.users = users
        self.by_id = {(one.connection_id, one.crm_user_id): one for one in known}
        self.by_email = {(one.connection_id, one.email): one for one in known if one.is_active and one.email}

    def place(self, at: int, email: str, connection: CrmConnection) -> Place:
        found = Place(f"agent:{at}:{connection.pk}", connection, by_hand=self.said.get((connection.pk, email)))
        if found.by_hand is None:
            found.user = self.by_email.get((connection.pk, email))
        else:
            found.user = self.by_id.get((connection.pk, found.by_hand.crm_user_id))
        if found.state in ("missing", "left"):
            found.suggested = agents.suggested(email, self.users.get(connection.pk, ()))
        return found


def label_of(user: CrmAgent) -> str:
    """As a list offers it; no two users of a CRM have the same address."""
    return f"{user.name} ({user.email})" if user.name and user.email else str(user)


# --- what was said --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Said:
    """Changes by place: the user, None for nobody; and places of which nothing is said any more."""

    users: list[tuple[Agent, Place, CrmAgent | None]] = field(default_factory=list)
    forgotten: list[Place] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def changes(self) -> int:
        return len(self.users) + len(self.forgotten)


def read(table: Table, data: Mapping[str, str]) -> Said:
    """Compares a form with what is stored. Whom a text means is found by the list's words, an address, an id or a whole name."""
    said = Said()
    meant = {pk: _by_words(users) for pk, users in table.users.items()}
    for agent in table.agents:
        for place in agent.places:
            text = " ".join(data.get(place.name, place.said).split())
            if text == place.said:
                continue
            if data.get(f"was:{place.name}", place.said) != place.said:
                said.problems[place.name] = _("Somebody else has said meanwhile who this is. Look at it again.")
            elif not text:
                said.forgotten.append(place)
            elif text == NOBODY:
                said.users.append((agent, place, None))
            else:
                user = meant.get(place.connection.pk, {}).get(text.casefold())
                if user is None:
                    said.problems[place.name] = _("No active user of this CRM is called so. Choose one of the list.")
                else:
                    said.users.append((agent, place, user))
    return said


def accept_all(table: Table) -> Said:
    """What accepting every suggestion says."""
    said = Said()
    said.users = [(agent, one, one.suggested) for agent in table.agents for one in agent.places if one.suggested]
    return said


def _by_words(users: Iterable[CrmAgent]) -> dict[str, CrmAgent]:
    """A name that two users have means nobody."""
    found: dict[str, CrmAgent] = {}
    names: Counter[str] = Counter()
    for one in users:
        names[one.name.casefold()] += 1
        for text in (label_of(one), one.email, one.crm_user_id):
            if text:
                found[text.casefold()] = one
    for one in users:
        if one.name and names[one.name.casefold()] == 1:
            found.setdefault(one.name.casefold(), one)
    return found


def store(said: Said) -> None:
    """In two statements."""
    rows = [
        AgentOverride(
            tenant_id=place.connection.tenant_id,
            connection=place.connection,
            agent_email=agent.email,
            crm_user_id=user.crm_user_id if user else "",
        )
        for agent, place, user in said.users
    ]
    with transaction.atomic():
        AgentOverride.objects.filter(pk__in=[one.by_hand.pk for one in said.forgotten if one.by_hand]).delete()
        AgentOverride.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["connection", "agent_email"],
            update_fields=["crm_user_id", "updated_at"],
        )
