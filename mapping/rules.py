"""The rules of a field as data, and their JSON form: a list of {"type", "params", "errorMessage"}."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mapping.expressions import PATTERN_FLAGS, check_pattern
from mapping.values import decimal_of

E164_PATTERN = r"^\+[1-9]\d{1,14}$"
EMAIL_PATTERN = r"^[^\s@]+@[^\s@]+\.[^\s@]+$"
KNOWN_PATTERNS = frozenset({E164_PATTERN, EMAIL_PATTERN})

_LITERAL = re.compile(r"/(.+)/([a-z]*)", re.DOTALL)
_PARAMS: dict[str, frozenset[str]] = {
    "required": frozenset(),
    "format": frozenset({"pattern", "flags"}),
    "length": frozenset({"min", "max"}),
    "range": frozenset({"min", "max"}),
    "enum": frozenset({"values"}),
}
_KEYS = frozenset({"type", "params", "errorMessage"})


@dataclass(frozen=True)
class Rule:
    type: str
    params: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""

    def as_json(self) -> dict[str, Any]:
        return {"type": self.type, "params": dict(self.params), "errorMessage": self.message}


class RulesError(ValueError):
    """Rules that cannot be used; `problems` has a sentence for each fault."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = tuple(problems)


def parse_rules(raw: object) -> tuple[Rule, ...]:
    """Rules from their JSON form, a list of {"type", "params", "errorMessage"}. Raises RulesError with all problems."""
    problems = check_rules(raw)
    if problems:
        raise RulesError(problems)
    entries: Any = raw or []
    return tuple(Rule(entry["type"], _normal_params(entry), str(entry.get("errorMessage") or "")) for entry in entries)


def check_rules(raw: object) -> list[str]:
    """What is wrong with the JSON form, one sentence each; an empty list when nothing is."""
    if raw is None:
        return []
    if not isinstance(raw, list | tuple):
        return ["Validations are a list of objects with type, params and errorMessage."]
    return [f"Validation {number}: {problem}" for number, entry in enumerate(raw, 1) for problem in _check_entry(entry)]


def _check_entry(entry: object) -> list[str]:
    if not isinstance(entry, Mapping):
        return ["it is an object with type, params and errorMessage."]
    kind, params, message = entry.get("type"), entry.get("params") or {}, entry.get("errorMessage") or ""
    problems = [f'"{key}" is not a part of a validation.' for key in sorted(map(str, entry.keys() - _KEYS))]
    if not isinstance(message, str):
        problems.append("errorMessage is text.")
    if not isinstance(kind, str) or kind not in _PARAMS:
        return [*problems, f"the type must be one of {', '.join(_PARAMS)}."]
    if not isinstance(params, Mapping):
        return [*problems, "params is an object."]
    unknown = sorted(map(str, params.keys() - _PARAMS[kind]))
    problems += [f'"{key}" is not a parameter of {kind}.' for key in unknown]
    return problems if kind == "required" else problems + _PARAM_CHECKS[kind](params)


def _check_format(params: Mapping[str, Any]) -> list[str]:
    pattern, flags = params.get("pattern"), params.get("flags", "")
    if not isinstance(pattern, str) or not pattern:
        return ["format needs a pattern."]
    if not isinstance(flags, str):
        return ["flags is text such as i."]
    pattern, flags = split_literal(pattern, flags)
    if not set(flags) <= PATTERN_FLAGS:
        return [f"the flags of a pattern are some of {''.join(sorted(PATTERN_FLAGS))}."]
    problem = None if pattern in KNOWN_PATTERNS else check_pattern(pattern, flags)
    return [problem] if problem else []


def _check_length(params: Mapping[str, Any]) -> list[str]:
    limits = [params[key] for key in ("min", "max") if params.get(key) is not None]
    if any(not isinstance(limit, int) or isinstance(limit, bool) or limit < 0 for limit in limits):
        return ["min and max of length are whole numbers from 0."]
    return _check_order(limits, "length")


def _check_range(params: Mapping[str, Any]) -> list[str]:
    limits = [decimal_of(params[key]) for key in ("min", "max") if params.get(key) is not None]
    if None in limits:
        return ["min and max of range are numbers."]
    return _check_order(limits, "range")


def _check_order(limits: list[Any], kind: str) -> list[str]:
    if not limits:
        return [f"{kind} needs min, max or both."]
    return [f"min of {kind} is larger than max."] if limits[0] > limits[-1] else []


def _check_enum(params: Mapping[str, Any]) -> list[str]:
    values = params.get("values")
    if not isinstance(values, list | tuple) or not values:
        return ["enum needs a list of values."]
    if not all(isinstance(value, str | int | float | bool) for value in values):
        return ["the values of enum are text, numbers or booleans."]
    return []


def _normal_params(entry: Mapping[str, Any]) -> dict[str, Any]:
    params = dict(entry.get("params") or {})
    if entry["type"] == "format":
        params["pattern"], flags = split_literal(params["pattern"], params.pop("flags", ""))
        if flags:
            params["flags"] = flags
    return params


def split_literal(pattern: str, flags: str) -> tuple[str, str]:
    """People copy patterns from JavaScript with their slashes: /^a$/i."""
    literal = _LITERAL.fullmatch(pattern)
    return (literal[1], literal[2] + flags) if literal else (pattern, flags)


_PARAM_CHECKS: dict[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "format": _check_format,
    "length": _check_length,
    "range": _check_range,
    "enum": _check_enum,
}
