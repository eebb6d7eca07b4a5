"""Decides field by field what an undo may give back and what it has to leave. Pure: what both sides hold in, verdicts out.

A value goes back only where everybody left it alone since: our contact still holds what it was given, and no CRM that has the
field was edited. What was written over in a CRM goes back to the CRM's own old value; where our side differs from what was agreed
then, the mapping that is in force again writes ours. The base of a link becomes what both sides agreed on before, so that neither
side looks edited afterwards.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from mapping.paths import compile_path
from mapping.places import MISSING
from sync import values
from sync.merge import same
from sync.models import Contact, UndoItem
from sync.undoing.alike import alike
from sync.undoing.looking import Seen

Kind, State, Reason = UndoItem.Kind, UndoItem.State, UndoItem.Reason


@dataclass
class Verdict:
    """What becomes of one item; of what is left also what was found, and who made it so if a CRM did."""

    item: UndoItem
    state: UndoItem.State
    reason: str = ""
    found: Any = None
    who: str = ""
    at: datetime | None = None


@dataclass
class Decided:
    """What is to be done about one contact."""

    contact: Contact | None
    verdicts: list[Verdict] = field(default_factory=list)
    restore: dict[str, Any] = field(default_factory=dict)
    """Dialer field → the value that it gets."""
    remove: bool | None = None
    """Whether the contact is to be deleted, or to be there again."""
    raw: list[tuple[Seen, UndoItem]] = field(default_factory=list)
    """Values that go back into the CRM as they were."""
    given: list[tuple[Seen, UndoItem]] = field(default_factory=list)
    """Values that have just been given back."""
    bases: dict[tuple[UUID, str], Any] = field(default_factory=dict)
    """Link and field → what is agreed on from now on; MISSING: nothing."""
    follow: list[Seen] = field(default_factory=list)
    """Records to be read by the ordinary way: the CRM holds something newer."""
    sends: set[UUID] = field(default_factory=set)
    """Links whose records our side will be ahead of."""


@dataclass
class Part:
    """One field of one contact."""

    name: str
    contact: Contact
    seen: Sequence[Seen]
    value: UndoItem | None = None
    sent: list[UndoItem] = field(default_factory=list)

    @property
    def ours(self) -> Any:
        return values.read(self.contact, [self.name])[self.name]

    @property
    def items(self) -> list[UndoItem]:
        return [*([self.value] if self.value else []), *self.sent]

    @property
    def is_as_before(self) -> bool:
        return self.value is not None and "born" not in self.value.facts and same(self.ours, self.value.old)

    @property
    def edited_here(self) -> bool:
        if self.value is not None:
            return not self.is_as_before and not same(self.ours, self.value.new)
        return any(not same(self.ours, item.facts.get("first")) for item in self.sent)

    def seen_of(self, item: UndoItem) -> Seen | None:
        return next((one for one in self.seen if one.link.pk == item.record_id and one.present is not None), None)

    def edited_in_crm(self) -> dict[UUID, tuple[Seen, Any]]:
        """Links of records with another value of the CRM's than we left there, and that value; what is back again is none."""
        found: dict[UUID, tuple[Seen, Any]] = {}
        for one in self.seen:
            sent = [item for item in self.sent if item.record_id == one.link.pk and one.present is not None]
            if any(is_back(item, one) for item in sent):
                continue
            other = next((item for item in sent if not alike(self.name, raw(item, one), item.new)), None)
            if other is not None:
                found[one.link.pk] = (one, raw(other, one))
            elif one.edited(self.name):
                found[one.link.pk] = (one, one.was[self.name])
        return found


def decide(
    contact: Contact | None,
    items: Iterable[UndoItem],
    seen: Sequence[Seen],
    *,
    of_version: bool,
    in_use: Collection[UUID] = (),
    refused: Mapping[int, Verdict] | None = None,
) -> Decided:
    """`in_use` are new contacts that somebody has to do with; `refused` what a CRM did not take back."""
    out = Decided(contact)
    items = list(items)
    out.verdicts += [refused[item.pk] for item in items if refused and item.pk in refused]
    left = [item for item in items if not refused or item.pk not in refused]
    _decide_lives(out, [item for item in left if item.kind in (Kind.CREATED, Kind.REMOVED)], in_use)
    fields = [item for item in left if item.kind in (Kind.VALUE, Kind.SENT)]
    if contact is None or (contact.deleted_at and out.remove is not False):
        out.verdicts += [Verdict(item, State.SKIPPED, Reason.GONE) for item in fields]
        return out
    for part in _parts(contact, fields, seen):
        _decide_part(out, part, of_version=of_version)
    return out


def _parts(contact: Contact, items: Iterable[UndoItem], seen: Sequence[Seen]) -> list[Part]:
    found: dict[str, Part] = {}
    for item in items:
        part = found.setdefault(item.field, Part(item.field, contact, seen))
        if item.kind == Kind.VALUE:
            part.value = item
        else:
            part.sent.append(item)
    return list(found.values())


def _decide_lives(out: Decided, items: Iterable[UndoItem], in_use: Collection[UUID]) -> None:
    for item in items:
        wanted, contact = item.kind == Kind.CREATED, out.contact
        if contact is None:
            out.verdicts.append(Verdict(item, State.SKIPPED, Reason.GONE))
        elif bool(contact.deleted_at) == wanted:
            out.verdicts.append(Verdict(item, State.AS_BEFORE))
        elif wanted and contact.pk in in_use:
            out.verdicts.append(Verdict(item, State.SKIPPED, Reason.IN_USE))
        else:
            out.remove = wanted
            out.verdicts.append(Verdict(item, State.DONE))


def _decide_part(out: Decided, part: Part, *, of_version: bool) -> None:
    newer = part.edited_in_crm()
    out.follow += [one for one, _found in newer.values()]
    if newer and (part.value is not None or not part.sent):
        one, found = next(iter(newer.values()))
        _skip(out, part, Reason.EDITED_IN_CRM, found, one)
        return
    for item in [item for item in part.sent if item.record_id in newer]:
        one, found = next(pair for pk, pair in newer.items() if pk == item.record_id)
        label = one.link.get_crm_provider_display()
        out.verdicts.append(Verdict(item, State.SKIPPED, Reason.EDITED_IN_CRM, found, label, one.at))
        part.sent.remove(item)
    part.seen = [one for one in part.seen if one.link.pk not in newer]
    _decide_alone(out, part, of_version=of_version)


def _decide_alone(out: Decided, part: Part, *, of_version: bool) -> None:
    """Nobody touched the field in the records that are left."""
    after = part.ours
    if part.edited_here:
        _skip(out, part, Reason.EDITED_HERE, after)
    elif part.value is not None and not part.is_as_before:
        wanted, reason, where = _wanted(part, of_version=of_version)
        if reason:
            out.follow += [where] if where and reason == Reason.EDITED_IN_CRM else []
            _skip(out, part, reason, where.now.get(part.name) if where else after, where)
            return
        out.restore[part.name] = after = wanted
        out.verdicts.append(Verdict(part.value, State.DONE))
    elif part.value is not None:
        out.verdicts.append(Verdict(part.value, State.AS_BEFORE))
    if of_version:
        _agree_again(out, part)
    if not part.edited_here:
        for item in part.sent:
            _decide_sent(out, part, item, after, of_version=of_version)
    out.sends |= {one.link.pk for one in part.seen if _is_ahead(out, one, part.name, after)}


def _skip(out: Decided, part: Part, reason: str, found: Any, where: Seen | None = None) -> None:
    who, at = (where.link.get_crm_provider_display(), where.at) if where else ("", None)
    for item in part.items:
        if part.value is not None and item is not part.value and reason == Reason.EDITED_HERE:
            out.verdicts.append(Verdict(item, State.AS_BEFORE))  # what was sent follows from the value, which is told
        else:
            out.verdicts.append(Verdict(item, State.SKIPPED, reason, found, who, at))


# --- values of contacts ---------------------------------------------------------------------------------------------


def _wanted(part: Part, *, of_version: bool) -> tuple[Any, str, Seen | None]:
    """The value before, or why it can't be had: (value, reason, record at fault)."""
    item = part.value
    if item is None:
        raise ValueError("There is no value to give back.")
    if not of_version:
        origin = _only_source(part, item)
        return (None, Reason.COMES_BACK, origin) if origin else (item.old, "", None)
    reading = [one for one in part.seen if one.own and one.present is not None and part.name in one.now]
    if "born" in item.facts:
        return (reading[0].now[part.name] if reading else None), "", None
    if item.facts.get("rule") or not reading or any(same(one.now[part.name], item.old) for one in reading):
        return item.old, "", None
    return None, Reason.EDITED_IN_CRM, reading[0]


def _only_source(part: Part, item: UndoItem) -> Seen | None:
    """The record from which the field only ever comes: it can't be told otherwise, and would bring its value again."""
    if item.facts.get("source") != "crm":
        return None
    told = (one for one in part.seen if str(one.link.connection_id) == item.facts.get("connection"))
    return next((one for one in told if part.name in one.mappings.reads - one.mappings.writes), None)


# --- values in CRMs -------------------------------------------------------------------------------------------------


def raw(item: UndoItem, seen: Seen) -> Any:
    """What the CRM holds now where it was written."""
    found = compile_path(item.path).places[0].get(dict(seen.present or {}))
    return None if found is MISSING else found


def is_back(item: UndoItem, seen: Seen) -> bool:
    """Whether the CRM holds the old value: somebody was here before, perhaps we ourselves."""
    return bool(item.facts.get("known")) and alike(item.field, raw(item, seen), item.old)


def _decide_sent(out: Decided, part: Part, item: UndoItem, after: Any, *, of_version: bool) -> None:
    seen = part.seen_of(item)
    if seen is None:
        out.verdicts.append(Verdict(item, State.SKIPPED, Reason.GONE))
        return
    key = (seen.link.pk, part.name)
    agreed = item.facts.get("agreed")
    if is_back(item, seen):
        was_other = not alike(item.field, item.old, item.new)
        out.given += [(seen, item)] if was_other else []
        out.verdicts.append(Verdict(item, State.DONE if was_other else State.AS_BEFORE))
        if of_version:
            out.bases[key] = MISSING if agreed is None else agreed
    else:
        _give_back(out, seen, item, agreed, after, of_version=of_version)


def _give_back(out: Decided, seen: Seen, item: UndoItem, agreed: Any, after: Any, *, of_version: bool) -> None:
    """The CRM still holds what it was given."""
    key, known = (seen.link.pk, item.field), bool(item.facts.get("known"))
    if not of_version and item.field in seen.mappings.reads:
        out.verdicts.append(Verdict(item, State.SKIPPED, Reason.COMES_BACK, item.new))
        return
    writes = of_version and item.field in seen.mappings.writes
    if writes and not (known and same(after, agreed)):
        out.bases[key] = seen.now.get(item.field, MISSING)
        if same(after, seen.now.get(item.field)):
            out.verdicts.append(Verdict(item, State.AS_BEFORE))  # the CRM holds ours, by either mapping
            return
    elif known:
        out.raw.append((seen, item))
        if of_version:
            out.bases[key] = MISSING if agreed is None else agreed
    else:
        out.verdicts.append(Verdict(item, State.SKIPPED, Reason.NOT_KNOWN, item.new))
        return
    out.verdicts.append(Verdict(item, State.DONE))


# --- what is agreed on ----------------------------------------------------------------------------------------------


def _agree_again(out: Decided, part: Part) -> None:
    """What the mapping that went made of the CRM's value is no agreement any more: what the one that came back makes of it is."""
    for one in part.seen:
        if not one.own or one.present is None:
            continue
        if part.name in one.now:
            out.bases[one.link.pk, part.name] = one.now[part.name]
        elif part.name in one.was or (part.edited_here and any(item.record_id == one.link.pk for item in part.sent)):
            out.bases[one.link.pk, part.name] = MISSING


def _is_ahead(out: Decided, seen: Seen, name: str, after: Any) -> bool:
    if name not in seen.mappings.writes:
        return False
    base = out.bases.get((seen.link.pk, name), seen.link.base.get(name))
    return not same(after, None if base is MISSING else base)
