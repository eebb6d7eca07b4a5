"""What a CRM tells by itself, by webhook or stream, and what its deliveries are checked against."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


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
