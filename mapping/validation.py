"""Checks values against rules before they are synchronised; every broken rule is reported, not only the first.

A tenant's regular expression is JavaScript's and can need exponential time on the right text (`^(a+)+$`). Python's `re`
has no time limit and refusing nested quantifiers would refuse harmless patterns too, so these patterns run in the
sandbox for expressions, which stops them. The two patterns every installation uses are checked in Python directly.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mapping.expressions import ExpressionError, ExpressionRuntime, JsboxRuntime, pattern_expression
from mapping.rules import (
    E164_PATTERN,
    EMAIL_PATTERN,
    Rule,
    RulesError,
    check_rules,
    parse_rules,
    split_literal,
)
from mapping.values import decimal_of

__all__ = ["Check", "Problem", "Rule", "RulesError", "check_rules", "compile_checks", "parse_rules", "validate"]

MAX_FORMAT_CHARS = 10_000

_E164 = re.compile(r"\+[1-9][0-9]{1,14}")
_EMAIL = re.compile(r"[^\s@]+@[^\s@][^\s@.]*\.[^\s@]+")  # accepts what EMAIL_PATTERN does, in linear time


@dataclass(frozen=True)
class Problem:
    """One broken rule of one field. The message names no value of the record."""

    field: str
    rule: str
    message: str


# Gives the message of the broken rule, or None.
Check = Callable[[Any], str | None]


def is_empty(value: object) -> bool:
    if isinstance(value, str):
        return not value or value.isspace()
    return value is None or value in ([], {})


def validate(
    values: Mapping[str, Any],
    rules_by_field: Mapping[str, Iterable[Rule]],
    runtime: ExpressionRuntime | None = None,
) -> list[Problem]:
    """Every problem of every field. An empty value breaks only `required`; a field that is absent counts as empty.

    `runtime` runs the tenant's own patterns; give one when checking many records.
    """
    own = JsboxRuntime()
    problems = []
    for name, rules in rules_by_field.items():
        for rule, check in compile_checks(rules, runtime or own):
            message = check(values.get(name))
            if message is not None:
                problems.append(Problem(name, rule, message))
    own.close()
    return problems


def compile_checks(rules: Iterable[Rule], runtime: ExpressionRuntime) -> list[tuple[str, Check]]:
    """The rules' types with the function that checks each of them."""
    return [(rule.type, _check_of(rule, runtime)) for rule in rules]


def _check_of(rule: Rule, runtime: ExpressionRuntime) -> Check:
    return _format(rule, runtime) if rule.type == "format" else _CHECKS[rule.type](rule)


_DIRECT: dict[str, Callable[[str], object]] = {E164_PATTERN: _E164.fullmatch, EMAIL_PATTERN: _EMAIL.fullmatch}


def _required(rule: Rule) -> Check:
    message = rule.message or "A value is required."
    return lambda value: message if is_empty(value) else None


def _format(rule: Rule, runtime: ExpressionRuntime) -> Check:
    pattern, flags = split_literal(rule.params["pattern"], rule.params.get("flags", ""))
    message = rule.message or "The value does not have the expected format."
    if pattern in _DIRECT and not flags:
        matches = _DIRECT[pattern]
        return lambda value: None if matches(str(value)) or is_empty(value) else message
    return _sandboxed_format(pattern_expression(pattern, flags), message, runtime)


def _sandboxed_format(expression: str, message: str, runtime: ExpressionRuntime) -> Check:
    def check(value: Any) -> str | None:
        text = str(value)
        if is_empty(value):
            return None
        if len(text) > MAX_FORMAT_CHARS:
            return f"The value is longer than {MAX_FORMAT_CHARS:,} characters, so its format cannot be checked."
        try:
            return None if runtime.evaluate(expression, text, None) is True else message
        except ExpressionError:
            return "The format could not be checked: the pattern takes too long on this value. Simplify the pattern."

    return check


def _length(rule: Rule) -> Check:
    low, high = rule.params.get("min") or 0, rule.params.get("max")
    limit = math.inf if high is None else high

    def check(value: Any) -> str | None:
        size = len(value) if isinstance(value, str | list | tuple) else len(str(value))
        if low <= size <= limit or is_empty(value):
            return None
        needed = f"at least {low:,} is needed" if size < low else f"at most {high:,} is allowed"
        return rule.message or f"The value has a length of {size:,}; {needed}."

    return check


def _range(rule: Rule) -> Check:
    low, high = decimal_of(rule.params.get("min")), decimal_of(rule.params.get("max"))
    words = " and ".join(
        text for limit, text in ((low, f"at least {low}"), (high, f"at most {high}")) if limit is not None
    )
    message = rule.message or f"The value must be a number of {words}."

    def check(value: Any) -> str | None:
        if is_empty(value):
            return None
        number = decimal_of(value)
        outside = number is None or (low is not None and number < low) or (high is not None and number > high)
        return message if outside else None

    return check


def _enum(rule: Rule) -> Check:
    allowed = tuple(rule.params["values"])
    message = rule.message or f"The value must be one of {', '.join(map(str, allowed[:20]))}."

    def check(value: Any) -> str | None:
        if is_empty(value):
            return None
        items = value if isinstance(value, list | tuple) else [value]
        return None if all(_among(item, allowed) for item in items) else message

    return check


def _among(item: object, allowed: tuple[Any, ...]) -> bool:
    return any(item == one and isinstance(item, bool) == isinstance(one, bool) for one in allowed)


_CHECKS: dict[str, Callable[[Rule], Check]] = {
    "required": _required,
    "length": _length,
    "range": _range,
    "enum": _enum,
}
