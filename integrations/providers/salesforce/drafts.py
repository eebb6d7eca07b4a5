"""A record on its way into Salesforce, and what we know of it by now."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from integrations.records.remote import RecordWrite


@dataclass(slots=True)
class Draft:
    write: RecordWrite
    object_type: str
    id: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    """As they are sent."""
    left_out: set[str] = field(default_factory=set)
    """Fields that Salesforce would not take."""
    missing: Sequence[str] = ()
    """Fields of `write` that the object does not have."""
    mended: set[str] = field(default_factory=set)

    @property
    def is_conditional(self) -> bool:
        """Only of the record that was named: the moment says nothing of one that it moved to."""
        return bool(self.write.unmodified_since and self.id and self.id == self.write.record_id)

    def mend(self, what: str) -> bool:
        """Whether this mend has not been tried yet."""
        fresh = what not in self.mended
        self.mended.add(what)
        return fresh

    def becomes(self, object_type: str, record_id: str, why: str) -> bool:
        """Goes on at another record. Whether it did not do so before."""
        self.object_type, self.id = object_type, record_id
        self.left_out.clear()
        return self.mend(why)


Failure = tuple[Draft, dict[str, Any]]
"""A draft and the error that its record got: {"statusCode", "message", "fields"}."""


def one_of_each(drafts: Iterable[Draft]) -> tuple[list[Draft], list[Draft]]:
    """Drafts of different records, which may go together, and the rest: a record may stand in a request only once."""
    now: list[Draft] = []
    later: list[Draft] = []
    seen: set[str] = set()
    for draft in drafts:
        target = draft.id or draft.write.key
        (later if target in seen else now).append(draft)
        seen.add(target)
    return now, later


def by_type(drafts: Sequence[Draft]) -> dict[str, list[Draft]]:
    found: dict[str, list[Draft]] = {}
    for draft in drafts:
        found.setdefault(draft.object_type, []).append(draft)
    return found
