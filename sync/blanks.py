"""What an empty value does to the other side, on its way in: the rules of `mapping.rows` before the three-way comparison. Pure.

With `ignore` a blank says nothing, from either side. With `fill` the CRM's value is taken only where ours is blank; what the CRM
holds is remembered all the same, so that our side knows whether there is something to fill.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mapping.rows import FILL, IGNORE
from sync.merge import Decision, may_replace, same


@dataclass
class Sides:
    """What is left to compare, and what the rules decided already."""

    ours: dict[str, Any]
    theirs: dict[str, Any]
    decided: list[Decision] = field(default_factory=list)
    unheard: dict[str, Any] = field(default_factory=dict)
    """Blanks of ours that say nothing: for the comparison the agreed value stands in their place."""

    def as_held(self, decisions: list[Decision]) -> list[Decision]:
        """The decisions with what we really hold, for the history."""
        if not self.unheard:
            return decisions
        return [replace(one, ours=self.unheard[one.field]) if one.field in self.unheard else one for one in decisions]


def inbound(
    rules: Mapping[str, str], base: Mapping[str, Any], ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> Sides:
    sides = Sides(dict(ours), dict(theirs))
    for name, rule in rules.items():
        if name not in theirs:
            continue
        if rule == IGNORE and same(ours.get(name), None):
            sides.unheard[name], sides.ours[name] = ours.get(name), base.get(name)
        if not may_replace(rule, theirs[name], ours.get(name)):
            del sides.theirs[name]
            if rule == FILL and not same(theirs[name], ours.get(name)):
                sides.decided.append(_kept(name, base, ours, theirs))
    return sides


def _kept(name: str, base: Mapping[str, Any], ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Decision:
    mine, other = ours.get(name), theirs[name]
    return Decision(name, mine, other, changed=False, base=base.get(name), ours=mine, theirs=other)
