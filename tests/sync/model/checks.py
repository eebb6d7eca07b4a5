"""What must be true of both sides, whatever happened: of every change at once, and of everything when all is at rest."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from mapping.models import Blank
from mapping.publishing import compiled
from sync import link_states, values
from sync.merge import DO_NOT_CALL, same
from sync.models import Conflict, Contact, FieldChange, MatchReview, Quarantine, SyncRecord
from tests.sync.model.crm import KIND, Person, Said
from tests.sync.model.provider import TEXTS

if TYPE_CHECKING:
    from tests.sync.model.machine import Side

MAPPED = (*TEXTS, "email", DO_NOT_CALL)
MERGED = {"merged", "unmerged"}
"""The rules by which two contacts became one, or two again."""
OURS = {"dnc": DO_NOT_CALL}
"""What a field of the CRM is called here, where it is called otherwise."""


def length_of_history() -> int:
    return FieldChange.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


# --- always -------------------------------------------------------------------------------------------------------------


def loosened(sides: Sequence["Side"], seen: int) -> int:
    """Whoever may be called again because a CRM said so: it said so after our side last said "don't"."""
    rows = list(FieldChange.objects.filter(pk__gt=seen).order_by("pk"))
    crms = {side.row.pk: side.crm for side in sides}
    for row in rows:
        if row.field == DO_NOT_CALL and row.source == "crm" and row.old and not row.new:
            ours = FieldChange.objects.filter(contact=row.contact_id, pk__lt=row.pk).exclude(source="crm")
            said = ours.filter(field=DO_NOT_CALL, new=True).order_by("-pk").first()
            links = SyncRecord.objects.filter(connection=row.connection_id, local_record_id=row.contact_id)
            ids = {link.crm_record_id for link in links}
            words = [one for one in crms[row.connection_id].said if one.record_id in ids and one.field == "dnc"]
            later = [one for one in words if not one.value and (said is None or one.at > said.at)]
            assert later, "an older word took a do-not-call back"
    return rows[-1].pk if rows else seen


@dataclass(frozen=True, slots=True)
class Pair:
    """A link that is alive, and what it links."""

    link: SyncRecord
    person: Person
    contact: Contact


# --- at rest ------------------------------------------------------------------------------------------------------------


def at_rest(sides: Sequence["Side"], blanks: Mapping[str, str]) -> None:
    contacts = {one.pk: one for one in Contact.objects.all()}
    history: dict[UUID, list[FieldChange]] = defaultdict(list)
    for row in FieldChange.objects.order_by("pk"):
        history[row.contact_id].append(row)
    for side in sides:
        links = SyncRecord.objects.filter(connection=side.row)
        pairs = [
            Pair(one, side.crm.people[one.crm_record_id], contacts[one.local_record_id])
            for one in links
            if one.local_record_id and not link_states.is_gone(one)
        ]
        everybody_is_here_once(side, pairs, contacts)
        both_sides_agree(side, pairs, blanks)
        what_they_said_is_accounted_for(side, pairs, history, blanks)
    what_we_said_is_accounted_for(contacts, history)
    for contact in contacts.values():
        the_history_has_no_gap(contact, history[contact.pk])


def everybody_is_here_once(side: "Side", pairs: Sequence[Pair], contacts: Mapping[UUID, Contact]) -> None:
    linked = [one.person.id for one in pairs]
    assert sorted(linked) == sorted(one.id for one in side.crm.alive()), "a record without a contact, or the reverse"
    assert len({one.contact.pk for one in pairs}) == len(pairs), "two records for one contact"
    assert not [one for one in pairs if one.contact.deleted_at], "a record of a deleted contact"
    for ids in side.crm.made.values():
        assert len([one for one in ids if side.crm.people[one].alive]) <= 1, "a contact was made twice in the CRM"
    unlinked = _never_linked(side, contacts.values())
    assert not unlinked, f"{unlinked} never reached the CRM"


def _never_linked(side: "Side", contacts: Iterable[Contact]) -> list[Contact]:
    """Contacts that were made here and never had a record there, nor wait for somebody to say whether they are another one."""
    known = set(SyncRecord.objects.filter(connection=side.row).values_list("local_record_id", flat=True))
    known |= {UUID(one) for one in _signposts(side)}
    known |= set(MatchReview.objects.filter(status="open").values_list("contact_id", flat=True))
    made_here = set(FieldChange.objects.filter(field="*", source="api").values_list("contact_id", flat=True))
    return [one for one in contacts if one.pk in made_here and one.pk not in known and not one.deleted_at]


def _signposts(side: "Side") -> list[str]:
    links = SyncRecord.objects.filter(connection=side.row)
    return [link.metadata["contact"] for link in links if link.metadata.get("contact")]


def both_sides_agree(side: "Side", pairs: Sequence[Pair], blanks: Mapping[str, str]) -> None:
    held = {(one.record_id, one.field) for one in Conflict.objects.filter(status="open")}
    held |= {(one.record_id, one.field) for one in Quarantine.objects.filter(released_at=None)}
    with compiled(side.row, KIND).engine.session() as session:
        for pair in pairs:
            link, person, ours = pair.link, pair.person, values.read(pair.contact, MAPPED)
            theirs = session.inbound(dict.fromkeys(_names(), None) | person.fields).values
            for name in MAPPED:
                if (link.pk, name) in held and name != DO_NOT_CALL:
                    continue
                rule = blanks.get(name, Blank.CLEAR)
                assert _agree(rule, ours[name], theirs.get(name)), (
                    f"{name} of {person.id} ({rule}): {ours[name]!r} here, {theirs.get(name)!r} there, base {link.base.get(name)!r}"
                )


def _names() -> list[str]:
    return [*TEXTS, "email", "dnc"]


def _agree(rule: str, ours: Any, theirs: Any) -> bool:
    if same(ours, theirs):
        return True
    if rule == Blank.FILL:
        return bool(theirs)
    return rule == Blank.IGNORE and not (ours and theirs)


def what_they_said_is_accounted_for(
    side: "Side",
    pairs: Sequence[Pair],
    history: Mapping[UUID, Sequence[FieldChange]],
    blanks: Mapping[str, str],
) -> None:
    """Each value that somebody in the CRM ever set is there, was replaced there, or stands in our history or in a conflict."""
    for pair in pairs:
        link, person, rows = pair.link, pair.person, history[pair.contact.pk]
        decided = list(Conflict.objects.filter(record=link))
        last = {one.field: one for one in side.crm.said if one.record_id == person.id}
        for said in last.values():
            name = OURS.get(said.field, said.field)
            if same(person.fields.get(said.field), said.value) or said in side.crm.unseen:
                continue
            if not said.value and not _clears(said, name, blanks, rows):
                continue
            told = [value for row in rows if row.pk > said.mark for value in _of(row, name)]
            told += [value for one in decided if one.field == name for value in (one.theirs, one.base, one.value)]
            assert any(same(one, said.value) for one in told), (
                f"{said.value!r}, said of {said.field} of {person.id} in the CRM, is lost; now {person.fields.get(said.field)!r}"
            )


def _clears(said: Said, name: str, blanks: Mapping[str, str], rows: Iterable[FieldChange]) -> bool:
    """Whether a blank says anything: it does of a value that both sides knew, where a blank is not ignored."""
    known = [value for row in rows if row.pk <= said.mark for value in _of(row, name)]
    return blanks.get(name, Blank.CLEAR) == Blank.CLEAR and any(same(one, said.before) for one in known)


def what_we_said_is_accounted_for(
    contacts: Mapping[UUID, Contact], history: Mapping[UUID, Sequence[FieldChange]]
) -> None:
    """Each value that somebody set here is there, was replaced here, or is named by whatever replaced it."""
    for contact in contacts.values():
        last: dict[str, FieldChange] = {}
        for row in history[contact.pk]:
            if row.source in {"api", "person"} and row.field in MAPPED:
                last[row.field] = row
        now = values.read(contact, MAPPED)
        for name, row in last.items():
            if same(now[name], row.new):
                continue
            later = [one for one in history[contact.pk] if one.pk > row.pk and one.field == name]
            assert any(same(row.new, one.old) or same(row.new, one.lost) for one in later), (
                f"{row.new!r}, said of {name} here, is lost; now {now[name]!r}"
            )


def _of(row: FieldChange, name: str) -> list[Any]:
    if row.field == "*":
        return [(row.new or {}).get(name)]
    return [row.old, row.new, row.lost] if row.field == name else []


def _told(rows: Iterable[FieldChange], name: str) -> list[str]:
    """The story of one field, for whoever reads a failure."""
    return [
        f"{one.source} {one.rule} {one.old!r} → {(one.new or {}).get(name) if one.field == '*' else one.new!r} lost {one.lost!r}"
        for one in rows
        if one.field in {"*", name}
    ]


def the_history_has_no_gap(contact: Contact, rows: Sequence[FieldChange]) -> None:
    """Each change of a field begins with what the one before it ended with, and the last one with what is there now."""
    joined = max((row.pk for row in rows if row.rule in MERGED), default=0)  # two people's rows until then
    rows = [row for row in rows if row.pk > joined]
    held: dict[str, Any] = {}
    for row in rows:
        if joined:
            held.setdefault(row.field, row.old)
        if row.field == "*":
            held |= row.new or {}
        elif row.field in MAPPED:
            assert same(row.old, held.get(row.field)), (
                f"{row.field} was {held.get(row.field)!r} and changed from {row.old!r}: {_told(rows, row.field)}"
            )
            held[row.field] = row.new
    now = values.read(contact, MAPPED)
    for name in MAPPED if not joined else held.keys() & set(MAPPED):
        assert same(now[name], held.get(name)), f"{name} is {now[name]!r} and was {held.get(name)!r} at last"
