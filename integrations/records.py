"""The plain values that providers hand upward and take: no model, no vendor's words, always the raw payload beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

Cursor = dict[str, Any]
"""How far a feed was read: JSON, opaque to everybody but the provider that made it."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who a credential belongs to on the CRM's side."""

    external_id: str
    name: str
    user: str = ""
    url: str = ""
    warnings: tuple[str, ...] = ()
    """Sentences about rights that will make the sync incomplete, each with what to click."""


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field as the CRM describes it for the connected user. `path` is what a mapping row stores as the CRM field."""

    path: str
    label: str
    kind: str
    """string, text, email, phone, integer, number, boolean, date, datetime, picklist, multipicklist, user, reference, list.

    `user` is a link to one of the CRM's users; the provider shows it, and takes it, as that user's e-mail address.
    """
    writable: bool = True
    custom: bool = False
    required: bool = False
    max_length: int | None = None
    options: tuple[tuple[str, str], ...] = ()
    """(value to send, label to show) of a picklist"""


@dataclass(frozen=True, slots=True)
class RemoteRecord:
    """One person as the CRM holds it. `fields` is shaped so that mapping paths read it directly."""

    object_type: str
    id: str
    fields: Mapping[str, Any]
    modified_at: datetime
    url: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict)
    """The service's own answer, untouched."""
    deleted: bool = False
    inactive: bool = False
    """Kept, but not to be dialled (a trash stage, for instance)."""


@dataclass(frozen=True, slots=True)
class ChangePage:
    """A page of changed records and the cursor to keep once all of them are applied."""

    records: Sequence[RemoteRecord]
    cursor: Cursor
    total: int | None = None
    """How many records the whole feed will hold, if the CRM says so; for progress only."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """`missing` are ids that exist no more or are hidden from this credential."""

    records: Sequence[RemoteRecord]
    missing: Sequence[str] = ()


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


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one write of a batch: an id, or the error that says what to do."""

    key: str
    id: str = ""
    url: str = ""
    created: bool = False
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class MappingDefault:
    """A row of a provider's default field mapping. `overrides` gives the path on other object types, None for "not there"."""

    dialer_field: str
    crm_field: str
    direction: str
    transform: str = "none"
    options: Mapping[str, Any] = field(default_factory=dict)
    required: bool = False
    overrides: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`limit` requests in any `seconds`. `bucket` names what is counted together."""

    bucket: str
    limit: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RateHint:
    """What an answer's headers say of a bucket. None: not said."""

    bucket: str
    limit: int | None = None
    seconds: float | None = None
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class Credential:
    """What a connection signs its requests with, decrypted. Never log it: `repr` hides every part."""

    auth: str = field(repr=False)
    access_token: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    instance_url: str = field(default="", repr=False)
    expires_at: datetime | None = field(default=None, repr=False)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Whatever else the kind of credential needs: client id and secret, user name, private key."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What a provider may know of the connection that it serves: nothing secret, nothing of our database."""

    id: str
    tenant_id: str
    account_id: str = ""
    instance_url: str = ""
    region: str = "US"
    timezone: str = "UTC"
    settings: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What `prepare()` found out about the account, kept between runs."""
