"""Records on their way up from a CRM, page by page, and on their way down, batch by batch. The raw payload stays beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Cursor = dict[str, Any]
"""How far a feed was read: JSON, opaque to everybody but the provider that made it."""


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


Ticket = dict[str, Any]
"""What it takes to find a bulk job again, in another process and days later: JSON, opaque to everybody but its provider."""
