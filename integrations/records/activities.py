"""What is written beside a person: calls, and what was agreed or noted in them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Direction(StrEnum):
    INBOUND = "inbound"
    OUTBOUND = "outbound"


@dataclass(frozen=True, slots=True)
class CallActivity:
    """A finished call on its way into a CRM: the same for every provider.

    `key` is our call id and makes the write repeatable. `outcome` holds the CRM's own fields from the tenant's disposition
    map. `first_attempt_at` is set when an earlier try may have been written: such a call must be looked up before it is
    sent again.
    """

    key: str
    object_type: str
    record_id: str
    direction: Direction
    started_at: datetime
    duration_seconds: int
    disposition: str
    outcome: Mapping[str, Any]
    subject: str
    notes: str
    phone: str = ""
    from_number: str = ""
    recording_url: str = ""
    agent_email: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    first_attempt_at: datetime | None = None
    crm_record_id: str = ""
    """The activity's id when it is known to exist: update it in place."""
    agent_id: str = ""
    """The agent's user in this CRM, where somebody said who it is; else the e-mail decides."""
    related_to: str = ""
    """The account, deal or opportunity that the call was about."""
    keeps_text: bool = False
    """What we knew of the text was forgotten: one that the CRM holds already stays as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """Something that was agreed in a call. `key`, `first_attempt_at` and the like as with `CallActivity`."""

    key: str
    object_type: str
    record_id: str
    title: str = ""
    description: str = ""
    agent_email: str = ""
    agent_id: str = ""
    related_to: str = ""
    first_attempt_at: datetime | None = None
    crm_record_id: str = ""
    keeps_text: bool = False
    renewed: bool = False
    """It was cancelled, and holds again: what says so in the CRM is written once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting(Agreed):
    starts_at: datetime
    ends_at: datetime
    location: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp(Agreed):
    """Something that the agent has to do later for a person."""

    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Note(Agreed):
    """A text of its own beside a call: `title` is its subject, `description` its body, plain text both."""
