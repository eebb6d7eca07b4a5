"""The plain values that providers hand upward and take: no model, no vendor's words, always the raw payload beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

SHORTEST_SECRET = 8
SECRET_WORDS = ("secret", "password", "key", "token")
"""Parts of a credential whose name holds one of these are never shown; a client id or a user name may be."""

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
    moved_to: tuple[str, str] | None = None
    """(object type, id) of the record that it lives on in, after a merge or a conversion."""


@dataclass(frozen=True, slots=True)
class ChangePage:
    """A page of changed records and the cursor to keep once all of them are applied."""

    records: Sequence[RemoteRecord]
    cursor: Cursor
    total: int | None = None
    """How many records the whole feed will hold, if the CRM says so; for progress only."""
    last: bool = False
    """Nothing comes after it: a pass that runs out of time here is finished, and not to be gone on with."""


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


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one write of a batch: an id, or the error that says what to do."""

    key: str
    id: str = ""
    url: str = ""
    created: bool = False
    error: Exception | None = None
    warnings: tuple[str, ...] = ()
    """What was written, but not as it was asked for: sentences, such as of a field that the CRM does not have any more."""


@dataclass(frozen=True, slots=True)
class RecordWrite:
    """One record on its way into a CRM. An empty `record_id` creates it.

    `values` are nested as the CRM has them, the way the mapping's outbound side makes them; what is not named stays as it is,
    None clears. `key` is our own id of the record and makes a creation repeatable. `first_attempt_at` is set when an earlier try
    may have been written. `unmodified_since` writes only if the CRM's record has not changed since, where the CRM can promise
    that; a record that has changed is answered with Stale.

    A creation of what the CRM has already, by an address, a number, a unique value or a rule of its own, writes nothing: the
    answer has that record's id and the error AlreadyThere.
    """

    key: str
    values: Mapping[str, Any]
    record_id: str = ""
    first_attempt_at: datetime | None = None
    unmodified_since: datetime | None = None
    seen: Mapping[str, Any] = field(default_factory=dict)
    """The record's fields that `values` was made from, where it holds whole lists. An entry that was seen and is not in `values`
    was taken away by us; one that was not seen was added by somebody since, and stays."""


Ticket = dict[str, Any]
"""What it takes to find a bulk job again, in another process and days later: JSON, opaque to everybody but its provider."""


@dataclass(frozen=True, slots=True)
class Description:
    """The fields of an object type; `fields` is None when they have not changed since `stamp` was given out."""

    fields: Sequence[FieldSpec] | None
    stamp: str = ""
    """To be shown at the next request; empty when the CRM knows no such thing."""


@dataclass(frozen=True, slots=True)
class CrmUser:
    """Somebody who works in the CRM and may own records."""

    id: str
    email: str
    name: str = ""
    active: bool = True


class Severity(StrEnum):
    BLOCKING = "blocking"
    """Something people rely on does not work."""
    WARNING = "warning"
    """It works, but not for all records or fields."""
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a permission check found: what is wrong with what, and what the CRM's administrator has to click."""

    code: str
    """Stable word: missing_scope, object_hidden, not_creatable, field_hidden, field_missing, …"""
    subject: str
    """The scope, object or field."""
    message: str
    remedy: str
    severity: Severity = Severity.WARNING


class Change(StrEnum):
    """What an event says happened. `RESYNC` names no record: the object has to be read again from the last good moment."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"
    RESTORED = "restored"
    MERGED = "merged"
    ERASED = "erased"
    """Deleted for privacy: our copy goes too."""
    RESYNC = "resync"


@dataclass(frozen=True, slots=True)
class RemoteEvent:
    """Something a CRM told by webhook or stream. Most carry no values worth trusting: the records are fetched again."""

    dedupe_key: str
    """The same delivery again, or another delivery of the same event, has the same key. At most 200 characters."""
    change: Change
    object_type: str
    record_ids: tuple[str, ...] = ()
    occurred_at: datetime | None = None
    account_id: str = ""
    """The CRM's account, where deliveries of several come to one address."""
    changed: tuple[str, ...] = ()
    """Field paths that changed, in the words of the mapping, where the event names them."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """The changed values by those paths, where the event carries them."""
    moved_to: str = ""
    """Id of the surviving record of a merge."""
    ours: bool = False
    """Carries the mark that our own writes leave. Never a reason to skip values that differ from what we sent."""
    raw: Any = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook request as it came. `url` is the address that the vendor was given, not what a proxy made of it."""

    method: str
    url: str
    headers: Mapping[str, str]
    """Keys in lower case."""
    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Trust:
    """What a delivery's signature is checked against. Empty for an address that serves a whole app."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    account_id: str = ""
    webhook_secret: str = field(default="", repr=False)
    """The connection's own; see `Connection`."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a vendor wants to hear once a delivery is stored."""

    body: bytes = b""
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class StreamPage:
    """Events of one channel, and the position to go on from once they are stored.

    `missed` says that events before these are lost for good: the object has to be read again from the last good moment. A page
    may hold no event at all and only tell that the stream is alive (`channel` empty then).
    """

    channel: str = ""
    events: Sequence[RemoteEvent] = ()
    position: Any = None
    missed: bool = False


@dataclass(frozen=True, slots=True)
class OAuthApp:
    """The app that a person gives their consent to: the tenant's own, or this installation's."""

    client_id: str
    client_secret: str = field(default="", repr=False)
    login_url: str = ""
    """The log-in host, where the CRM has several."""
    own: bool = False
    """Whether it is the tenant's own, to be kept with the credential."""


@dataclass(frozen=True, slots=True)
class Consent:
    """One trip of a person to the CRM's consent page and back."""

    app: OAuthApp
    redirect_uri: str
    state: str = field(repr=False)
    verifier: str = field(default="", repr=False)
    """PKCE: 43 to 128 characters of the unreserved set, never shown to the browser."""


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
    """`limit` requests in any `seconds`. `bucket` names what is counted together: of one connection, or of all when `shared`."""

    bucket: str
    limit: int
    seconds: float
    shared: bool = False


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
    scopes: tuple[str, ...] = ()
    """What the person consented to, where the CRM says so."""

    def hidden_texts(self) -> list[str]:
        """Every text that must never be shown. Short ones are left out: they would blank words of a sentence."""
        kept = (value for name, value in self.secrets.items() if any(word in name for word in SECRET_WORDS))
        texts = (self.access_token, self.refresh_token, *kept)
        return [text for text in texts if len(text) >= SHORTEST_SECRET]


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
    webhook_secret: str = field(default="", repr=False)
    """A secret of this connection alone, always the same, for services that prove themselves with a secret that we choose."""
