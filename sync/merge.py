"""The three-way comparison, field by field. Pure: values and times in, decisions out.

`base` is what both sides agreed on last. One side moved: copy. Both moved to the same: agree. Both moved apart: a conflict,
which the field's strategy decides; what loses is reported so that it can be kept. A conflict that is left to a person changes
nothing on either side, and is found again until that person has decided.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from mapping.rows import FILL, IGNORE

DO_NOT_CALL = "do_not_call"
HELD_BY_NOBODY = {DO_NOT_CALL: False}
"""What a new contact holds in its fields, where that isn't None."""


@dataclass(slots=True)
class Decision:
    """What to do with one field: `value` is what we hold afterwards, `agreed` what the base becomes."""

    field: str
    value: Any
    agreed: Any
    changed: bool
    """Ours has to be written."""
    conflict: bool = False
    strategy: str = ""
    winner: str = ""
    """crm, dialer or both; empty while a person has to decide."""
    base: Any = None
    ours: Any = None
    theirs: Any = None

    @property
    def lost(self) -> Any:
        if not self.conflict or self.winner not in {"crm", "dialer"}:
            return None
        return self.ours if self.winner == "crm" else self.theirs

    @property
    def is_open(self) -> bool:
        return self.conflict and not self.winner


When = datetime | None | Callable[[str], datetime | None]
"""When a side changed: one time for the whole record, or one for each field where the CRM tells it."""


def merge(
    base: Mapping[str, Any],
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
    *,
    strategy: Callable[[str], str],
    ours_at: When,
    theirs_at: When,
) -> list[Decision]:
    """One decision for each field of `theirs`; fields they don't mention are left alone.

    A field that `base` doesn't hold was agreed to be blank: the side that has a value then gives it to the other.
    """
    return [
        _decide((name, base.get(name), ours.get(name), value), strategy, (ours_at, theirs_at))
        for name, value in theirs.items()
    ]


def taken(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """What we hold afterwards of somebody of whom neither side knew anything: all that they say. There is nothing to decide."""
    return {name: HELD_BY_NOBODY.get(name) if is_blank(value) else value for name, value in theirs.items()}


def _later_is_ours(ours_at: When, theirs_at: When, name: str) -> bool:
    """Times that have to be looked up are asked for only where they decide."""
    ours, theirs = at(ours_at, name), at(theirs_at, name)
    return ours is not None and theirs is not None and ours > theirs


def at(when: When, name: str) -> datetime | None:
    """When a side changed the field."""
    return when(name) if callable(when) else when


def _decide(field: tuple[str, Any, Any, Any], strategy: Callable[[str], str], times: tuple[When, When]) -> Decision:
    name, base, ours, theirs = field
    if same(ours, theirs):
        return Decision(name, ours, theirs, changed=False, base=base, ours=ours, theirs=theirs)
    if same(base, theirs):
        return Decision(name, ours, base, changed=False, base=base, ours=ours, theirs=theirs)
    if same(base, ours):
        return Decision(name, theirs, theirs, changed=True, base=base, ours=ours, theirs=theirs)
    rule = strategy(name)
    conflict = Decision(
        name, ours, base, changed=False, conflict=True, strategy=rule, base=base, ours=ours, theirs=theirs
    )
    value, winner = _decided(name, rule, conflict, partial(_later_is_ours, *times, name))
    if not winner:
        return conflict
    return replace(conflict, value=value, agreed=theirs, changed=not same(value, ours), winner=winner)


def _decided(name: str, rule: str, sides: Decision, later_is_ours: Callable[[], bool]) -> tuple[Any, str]:
    """What to hold from now on, and who won: crm, dialer or both. Nobody: a person has to decide."""
    if name == DO_NOT_CALL:
        return True, "dialer" if sides.ours else "crm"  # whoever says "don't" is believed
    if rule == "manual":
        return None, ""
    if rule == "field_level_merge":
        combined = combine(sides.base, sides.ours, sides.theirs)
        return (None, "") if combined is NOT_COMBINED else (combined, "both")
    ours_wins = rule == "dialer_wins" or (rule == "last_write_wins" and later_is_ours())
    return (sides.ours, "dialer") if ours_wins else (sides.theirs, "crm")


NOT_COMBINED = object()


def combine(base: Any, ours: Any, theirs: Any) -> Any:
    """Both sides' changes to one value made of parts: lists gain and lose what either side added or took away, objects are
    combined key by key. NOT_COMBINED for anything else, or when both changed the same part differently."""
    if isinstance(ours, list) and isinstance(theirs, list):
        return _combined_lists(base if isinstance(base, list) else [], ours, theirs)
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return _combined_objects(base if isinstance(base, Mapping) else {}, ours, theirs)
    return NOT_COMBINED


def _combined_lists(base: list[Any], ours: list[Any], theirs: list[Any]) -> list[Any]:
    taken_away = [item for item in base if item not in ours or item not in theirs]
    result: list[Any] = []
    for item in [*ours, *theirs]:
        if item not in taken_away and item not in result:
            result.append(item)
    return result


def _combined_objects(base: Mapping[str, Any], ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Any:
    result: dict[str, Any] = {}
    for key in dict.fromkeys([*ours, *theirs]):
        before, mine, other = (side.get(key) for side in (base, ours, theirs))
        if same(before, other) or same(mine, other):
            chosen = mine
        elif same(before, mine):
            chosen = other
        else:
            chosen = combine(before, mine, other)
        if chosen is NOT_COMBINED:
            return NOT_COMBINED
        if chosen is not None:
            result[key] = chosen
    return result


def may_replace(rule: str, value: Any, other: Any) -> bool:
    """Whether a value may go over the other side's, by the field's rule for blanks (see mapping.rows)."""
    if rule == FILL:
        return is_blank(other)
    return rule != IGNORE or not is_blank(value)


def same(one: Any, other: Any) -> bool:
    """Equal for our purposes: a blank is a blank, however it is spelt."""
    return one == other or (is_blank(one) and is_blank(other))


def is_blank(value: Any) -> bool:
    return value is None or value == "" or value is False
