"""A CRM in memory: people, a feed of changes, events, and whatever may happen while somebody talks to it.

Everything that a person sets by hand is kept in `said`, so that a check can ask what became of it. `plan` holds what happens at
the next call of a kind: an error that is raised there, somebody else's edit, a second worker, the death of the caller.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from integrations import errors
from integrations.records.events import Change, RemoteEvent
from integrations.records.remote import RecordWrite, RemoteRecord, Written

KIND = "people"
FIELDS = ("first_name", "last_name", "company", "title", "email", "dnc")
PAGE = 3
OVERLAP = 2
"""So many changes that were read before come again with the next pass."""


class WorkerDied(BaseException):
    """The process ends here. No handler for errors sees it."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a CRM behaves."""

    tombstones: bool = True
    """Shows what was deleted or merged away, as such; else it is only missing."""
    keyed: bool = True
    """Knows our id of a record that we made."""
    tells_values: bool = True
    """Events carry the changed values."""


@dataclass(slots=True)
class Person:
    id: str
    fields: dict[str, Any]
    modified: datetime
    number: int
    """Of the last change."""
    deleted: bool = False
    moved_to: str = ""

    @property
    def alive(self) -> bool:
        return not self.deleted and not self.moved_to


@dataclass(frozen=True, slots=True)
class Said:
    """A value that somebody in the CRM gave to a field, when, and how long the history of our side was by then."""

    record_id: str
    field: str
    value: Any
    at: datetime
    mark: int
    number: int
    """Of the record's change."""
    amid: bool
    """While a program was talking to the CRM."""
    before: Any = None


@dataclass(slots=True)
class Crm:
    manner: Manner
    mark: Callable[[], int]
    """How long the history of our side is now."""
    people: dict[str, Person] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    """Our id → id, of the records that we made."""
    pending: list[RemoteEvent] = field(default_factory=list)
    told: list[RemoteEvent] = field(default_factory=list)
    removed: list[RemoteEvent] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    unseen: list[Said] = field(default_factory=list)
    """Written over by somebody who could not know of it."""
    read: dict[str, int] = field(default_factory=dict)
    """Id → number of the change that a program read last."""
    made: dict[str, list[str]] = field(default_factory=dict)
    """Our id → records that were made for it."""
    amid: bool = False
    plan: dict[str, Callable[[], object]] = field(default_factory=dict)
    writes: int = 0
    refuses: int = 0
    """How many of the next records are refused."""
    last: datetime = field(default_factory=timezone.now)
    number: int = 0

    def now(self) -> datetime:
        self.last = max(self.last + timedelta(microseconds=1), timezone.now())
        return self.last

    # --- people in the CRM ----------------------------------------------------------------------------------------

    def add(self, fields: Mapping[str, Any]) -> Person:
        person = self._new(fields)
        self._say(person, fields, {})
        self._tell(Change.CREATED, person, fields)
        return person

    def edit(self, person: Person, fields: Mapping[str, Any]) -> None:
        changed = {name: value for name, value in fields.items() if person.fields.get(name) != value}
        if person.alive and changed:
            before = person.fields
            self._change(person, changed)
            self._say(person, changed, before)
            self._tell(Change.UPDATED, person, changed)

    def delete(self, person: Person) -> None:
        person.deleted = True
        self._touch(person)
        self._tell(Change.DELETED, person)
        self.removed.append(self.pending[-1])

    def undelete(self, person: Person) -> None:
        person.deleted = False
        self._touch(person)
        self.removed = [one for one in self.removed if person.id not in one.record_ids]
        self._tell(Change.RESTORED, person)

    def merge(self, winner: Person, loser: Person) -> None:
        """The winner keeps its values; not even its time of change moves."""
        loser.moved_to = winner.id
        self._touch(loser)
        self._tell(Change.MERGED, loser, moved_to=winner.id)
        self.removed.append(self.pending[-1])

    def alive(self) -> list[Person]:
        return [one for one in self.people.values() if one.alive]

    def _say(self, person: Person, fields: Mapping[str, Any], before: Mapping[str, Any]) -> None:
        mark = self.mark()
        self.said += [
            Said(person.id, name, value, person.modified, mark, person.number, self.amid, before.get(name))
            for name, value in fields.items()
        ]

    # --- programs -------------------------------------------------------------------------------------------------

    def happen(self, moment: str) -> None:
        """What was planned for this moment: once."""
        planned = self.plan.pop(moment, None)
        if planned is not None:
            self.amid = True
            try:
                planned()
            finally:
                self.amid = False

    def page(self, after: int) -> tuple[list[RemoteRecord], int, bool]:
        """Records changed after this number, the number to go on from, and whether there are more."""
        self.happen("before page")
        rows = sorted(self.people.values(), key=lambda one: one.number)
        shown = [one for one in rows if one.number > after and (one.alive or self.manner.tombstones)]
        found = shown[:PAGE]
        answer = [self._record(one) for one in found], found[-1].number if found else after, len(shown) > PAGE
        self.happen("after page")
        return answer

    def fetch(self, ids: Iterable[str]) -> tuple[list[RemoteRecord], list[str]]:
        self.happen("before fetch")
        wanted = list(ids)
        shown = [one for one in wanted if one in self.people and (self.people[one].alive or self.manner.tombstones)]
        answer = [self._record(self.people[one]) for one in shown], [one for one in wanted if one not in shown]
        self.happen("after fetch")
        return answer

    def write(self, writes: Sequence[RecordWrite]) -> list[Written]:
        self.happen("before write")
        answer = [self._write(one) for one in writes]
        self.happen("after write")
        return answer

    def _write(self, write: RecordWrite) -> Written:
        if self.refuses:
            self.refuses -= 1
            return Written(write.key, error=errors.FixData("The CRM doesn't like this record."))
        twin = None if write.record_id else self._twin(write)
        if twin is not None:
            return Written(write.key, twin.id, error=errors.AlreadyThere("The CRM", twin.id))
        found = self.people.get(write.record_id) if write.record_id else None
        if write.record_id and (found is None or not found.alive):
            return Written(write.key, error=errors.Gone("This record is not there any more."))
        self.writes += 1
        created = found is None
        person = found or self._new({})
        self.unseen += [one for one in self.said if self._overwrites_unseen(person, write, one)]
        self._change(person, write.values)
        if created:
            self.made.setdefault(write.key, []).append(person.id)
        if self.manner.keyed and not write.record_id:
            self.keys[write.key] = person.id
        self._tell(Change.CREATED if created else Change.UPDATED, person, write.values, ours=True)
        return Written(write.key, person.id, created=created)

    def _overwrites_unseen(self, person: Person, write: RecordWrite, said: Said) -> bool:
        """What no writer can know of: said between its reading and its writing."""
        same = (said.record_id, person.fields.get(said.field)) == (person.id, said.value)
        return same and said.field in write.values and said.amid and said.number > self.read.get(person.id, 0)

    def _twin(self, write: RecordWrite) -> Person | None:
        """A record that our own earlier try made, or one that the CRM takes for the same person."""
        known = self.people.get(self.keys.get(write.key, ""))
        if known is not None and known.alive:
            return known
        email = write.values.get("email")
        return next((one for one in self.alive() if email and one.fields.get("email") == email), None)

    # --- keeping --------------------------------------------------------------------------------------------------

    def _new(self, fields: Mapping[str, Any]) -> Person:
        person = Person(str(len(self.people) + 1), {}, self.now(), 0)
        self.people[person.id] = person
        self._change(person, fields)
        return person

    def _change(self, person: Person, fields: Mapping[str, Any]) -> None:
        box = {name: str(value).lower() == "true" for name, value in fields.items() if name == "dnc"}
        person.fields = {**person.fields, **fields, **box}
        self._touch(person)

    def _touch(self, person: Person) -> None:
        self.number += 1
        person.modified, person.number = self.now(), self.number

    def _record(self, person: Person) -> RemoteRecord:
        moved = (KIND, person.moved_to) if person.moved_to else None
        self.read[person.id] = person.number
        return RemoteRecord(
            KIND,
            person.id,
            dict.fromkeys(FIELDS) | person.fields,
            person.modified,
            deleted=person.deleted,
            moved_to=moved,
        )

    def _tell(
        self,
        change: Change,
        person: Person,
        fields: Mapping[str, Any] | None = None,
        *,
        moved_to: str = "",
        ours: bool = False,
    ) -> None:
        changed = tuple(fields or ())
        event = RemoteEvent(
            f"event-{len(self.pending) + len(self.told) + 1}-{self.number}",
            change,
            KIND,
            (person.id,),
            occurred_at=person.modified,
            changed=changed,
            values=dict(fields or {}) if self.manner.tells_values else {},
            moved_to=moved_to,
            ours=ours,
        )
        self.pending.append(event)
