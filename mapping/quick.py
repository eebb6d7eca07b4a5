"""What is settled on the spot for a row: short texts that are copied, addresses in lower case, and phone numbers.

What comes of it is what the full step would give; whatever can't be settled so is left to the full step.
"""

import re
from functools import lru_cache
from typing import Any

from mapping.numbers import e164
from mapping.rows import CompiledRow
from mapping.rules import EMAIL_PATTERN, Rule
from mapping.transforms import Context, phone_plan
from mapping.unrolled import CONVERTED, COPIED, KEPT

_PLAIN_KINDS = frozenset({"string", "text", "picklist"})
_SWITCHES = frozenset({"boolean_yn", "boolean_checkbox"})
_ADDRESS = re.compile(r"[a-z0-9._%+-]++@[a-z0-9-]++\.[a-z0-9.-]++")
"""A part of what the rule for e-mail addresses accepts, in lower case already."""


def usual(row: CompiledRow, context: Context, direction: str) -> tuple[str, Any, Any, Any]:
    """What a `Line` has to know of it. Blank, when only the full step can tell."""
    rule, kind, limit = row.transform.rule, row.field.kind, row.field.length_limit
    if rule == "phone_e164" and kind == "phone" and not row.rules:
        return CONVERTED, e164, *phone_plan(row.options, context)
    if rule == "none" and kind in _PLAIN_KINDS and _types(row.rules) == ["length"]:
        return COPIED, limit, None, None
    if kind == "email" and rule in ("none", "lowercase") and _is_standard(row.rules):
        return CONVERTED, _address, limit, rule == "lowercase" and direction == "inbound"
    if kind == "boolean" and not row.rules and (rule == "none" or (rule in _SWITCHES and direction == "inbound")):
        return KEPT, bool, None, None
    return "", None, None, None


@lru_cache(50_000)
def _address(text: str, limit: int, lowers: bool) -> str | None:
    """The same people come again at every sync, and an owner with every other person."""
    if lowers:
        text = text.strip().lower()
    return text if len(text) <= limit and _ADDRESS.fullmatch(text) else None


def _is_standard(rules: tuple[Rule, ...]) -> bool:
    return _types(rules) == ["format", "length"] and rules[0].params == {"pattern": EMAIL_PATTERN}


def _types(rules: tuple[Rule, ...]) -> list[str]:
    return [rule.type for rule in rules]
