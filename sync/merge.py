"""The three-way comparison, field by field. Pure: values and times in, decisions out.

`base` is what both sides agreed on last. One side moved: copy. Both moved to the same: agree. Both moved apart: a conflict,
which the field's strategy decides; what loses is reported so that it can be kept.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

MISSING = object()
DO_NOT_CALL = "do_not_call"


@dataclass(frozen=True, slots=True)
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
    base: Any = None
    ours: Any = None
    theirs: Any = None

    @property
    def lost(self) -> Any:
        if not self.conflict:
            return None
        return self.ours if self.winner == "crm" else self.theirs


def merge(
    base: Mapping[str, Any],
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
    *,
    strategy: Callable[[str], str],
    ours_at: datetime | None,
    theirs_at: datetime | None,
) -> list[Decision]:
    """One decision for each field of `theirs`; fields they don't mention are left alone.

    A field that `base` doesn't hold was agreed to be blank: the side that has a value then gives it to the other.
    """
    return [
        _decide(name, base.get(name, MISSING), ours.get(name), value, strategy, ours_at, theirs_at)
        for name, value in theirs.items()
    ]


def _decide(
    name: str,
    base: Any,
    ours: Any,
    theirs: Any,
    strategy: Callable[[str], str],
    ours_at: datetime | None,
    theirs_at: datetime | None,
) -> Decision:
    agreed = None if base is MISSING else base
    sides = Decision(name, ours, agreed, changed=False, base=agreed, ours=ours, theirs=theirs)
    if same(ours, theirs):
        return replace(sides, agreed=theirs)
    if same(agreed, theirs):
        return sides
    if same(agreed, ours):
        return replace(sides, value=theirs, agreed=theirs, changed=True)
    rule = strategy(name)
    winner = _winner(name, rule, ours, ours_at, theirs_at)
    takes_theirs = winner == "crm"
    return replace(
        sides,
        value=theirs if takes_theirs else ours,
        agreed=theirs,
        changed=takes_theirs,
        conflict=True,
        strategy=rule,
        winner=winner,
    )


def _winner(name: str, rule: str, ours: Any, ours_at: datetime | None, theirs_at: datetime | None) -> str:
    if name == DO_NOT_CALL:
        return "dialer" if ours else "crm"  # whoever says "don't" is believed
    if rule == "dialer_wins":
        return "dialer"
    if rule == "last_write_wins" and ours_at is not None and theirs_at is not None:
        return "dialer" if ours_at > theirs_at else "crm"
    return "crm"


def same(one: Any, other: Any) -> bool:
    """Equal for our purposes: a blank is a blank, however it is spelt."""
    return one == other or (_blank(one) and _blank(other))


def _blank(value: Any) -> bool:
    return value is None or value == "" or value is False
