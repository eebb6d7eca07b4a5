"""What is known of a page on its way in: where it comes from, and for each record what was found and what was decided."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from integrations.models import CrmConnection
from integrations.records.remote import RemoteRecord
from mapping.compiled import Mapped, MappingSession
from mapping.rows import CLEAR
from sync import link_states, values
from sync.matching import Match
from sync.merge import DO_NOT_CALL, Decision, When, may_replace, same
from sync.models import Contact, Lane, SyncRecord, SyncRun


@dataclass(frozen=True)
class Source:
    """What all pages of one writer have in common."""

    connection: CrmConnection
    run: SyncRun | None
    session: MappingSession
    object_type: str
    mapping_version: int | None
    strategy: Callable[[str], str]
    pushes_back: bool
    has_siblings: bool
    """The tenant keeps contacts in other CRMs, too."""

    @property
    def fills_only(self) -> bool:
        """A back-fill of some fields: it brings nobody in."""
        return bool(self.run and self.run.fields_only)

    @property
    def lane(self) -> Lane:
        return Lane.BACKFILL if self.run else Lane.EDITS

    @cached_property
    def crm_name(self) -> str:
        name: str = self.connection.get_provider_display()
        return name

    @cached_property
    def outbound(self) -> frozenset[str]:
        return frozenset(self.session.mapping.dialer_fields("outbound"))

    def is_ahead(self, work: "Work") -> bool:
        """Whether our side holds something that the CRM has to get."""
        rules = self.session.mapping.blank_rules
        return any(
            one.field in self.outbound
            and not one.is_open
            and one.field not in work.quarantined
            and not same(one.value, one.agreed)
            and may_replace(rules.get(one.field, CLEAR), one.value, one.agreed)
            for one in work.decisions
        )


@dataclass(slots=True)
class Work:
    """One record of a page."""

    record: RemoteRecord
    mapped: Mapped
    link: SyncRecord | None = None
    contact: Contact | None = None
    match: Match | None = None
    is_new: bool = False
    decisions: list[Decision] = field(default_factory=list)
    taken: dict[str, Any] | None = None
    """What we hold of somebody of whom neither side knew anything; then there are no decisions."""
    quarantined: Collection[str] = ()
    ours_at: When = None
    theirs_at: When = None
    theirs: dict[str, Any] = field(init=False)
    """The record's values in the dialer's terms, as the database can hold them."""

    def __post_init__(self) -> None:
        self.theirs = values.storable(self.mapped.values)

    @property
    def is_first(self) -> bool:
        """Neither side knew anything of this person."""
        return self.is_new and self.link is None

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
        return self.link is not None and not self.link.metadata.keys().isdisjoint(link_states.MARKS)

    @property
    def changed(self) -> bool:
        return any(one.changed or (one.conflict and not one.is_open) for one in self.decisions)

    @property
    def agreed(self) -> dict[str, Any]:
        """What both sides hold for agreed from now on."""
        return self.theirs if self.taken is not None else {one.field: one.agreed for one in self.decisions}

    @property
    def held(self) -> dict[str, Any]:
        """What we hold afterwards in the fields that they mention."""
        return {one.field: one.value for one in self.decisions} if self.taken is None else self.taken

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


def works_of(session: MappingSession, records: Sequence[RemoteRecord]) -> list[Work]:
    """The records of a page that are there, each once: as it came last. Touches no database."""
    newest = {record.id: record for record in records if not record.deleted and not record.moved_to}
    return [Work(record, session.inbound(record.fields)) for record in newest.values()]
