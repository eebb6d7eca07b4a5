"""One record of a page on its way in: what is known of it and what was decided."""

from collections.abc import Collection
from dataclasses import dataclass, field

from integrations.records import RemoteRecord
from mapping.compiled import Mapped
from sync import departed
from sync.matching import Match
from sync.merge import DO_NOT_CALL, Decision, When
from sync.models import Contact, SyncRecord


@dataclass
class Work:
    record: RemoteRecord
    mapped: Mapped
    link: SyncRecord | None = None
    contact: Contact | None = None
    match: Match | None = None
    is_new: bool = False
    decisions: list[Decision] = field(default_factory=list)
    quarantined: Collection[str] = ()
    ours_at: When = None
    theirs_at: When = None

    @property
    def problem(self) -> str:
        return " ".join(f"{one.field}: {one.message}" for one in self.mapped.problems)

    @property
    def to_import(self) -> bool:
        """A record that is not to be dialled, and that we don't hold, is not brought in."""
        return not (self.record.inactive or self.record.deleted)

    @property
    def newer(self) -> bool:
        held = self.link.last_crm_modified_at if self.link else None
        return held is None or self.record.modified_at >= held

    @property
    def was_gone(self) -> bool:
        return self.link is not None and not self.link.metadata.keys().isdisjoint(departed.MARKS)

    @property
    def changed(self) -> bool:
        return any(one.changed or (one.conflict and not one.is_open) for one in self.decisions)

    @property
    def forbids_calls(self) -> bool:
        return any(one.field == DO_NOT_CALL and one.changed and bool(one.value) for one in self.decisions)

    @property
    def verdict(self) -> str:
        if self.contact is None:
            return "skipped"
        if self.is_new:
            return "created"
        return "updated" if any(one.changed for one in self.decisions) else "unchanged"
