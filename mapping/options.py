"""The options of a mapping row (the JSON of its `custom_transform`); a check tells every problem at once."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import phonenumbers

from mapping.expressions import check_expression

Options: TypeAlias = Mapping[str, Any]
_Problem: TypeAlias = str | None

UNMAPPED = ("error", "pass", "blank")
DATE_OUTPUTS = ("iso", "epoch_ms", "date")
PHONE_ACCEPTS = ("valid", "possible")


def option_problems(rule: str, options: object) -> list[str]:
    """Sentences about the options of a known rule. None stands for no options."""
    if options is None:
        options = {}
    if not isinstance(options, Mapping):
        return [f"The options of {rule} must be an object."]
    checks = _CHECKS[rule]
    known = f"{rule} knows {', '.join(checks)}" if checks else f"{rule} has no options"
    problems = [f'There is no option "{key}"; {known}.' for key in sorted(map(str, options)) if key not in checks]
    for name, check in checks.items():
        if name in options:
            problem = check(options[name])
            problems += [f'The option "{name}" {problem}'] if problem else []
    return problems + _missing(rule, options)


def region_problem(region: object) -> _Problem:
    if isinstance(region, str) and region.upper() in phonenumbers.SUPPORTED_REGIONS:
        return None
    return "must be a country code such as US or GB."


def _missing(rule: str, options: Options) -> list[str]:
    if rule == "picklist_map" and "map" not in options:
        return ["picklist_map needs the option \"map\", a table from the dialer's choices to the CRM's."]
    if rule == "custom" and not options.keys() & {"inbound", "outbound", "expression"}:
        return ['custom needs "expression", or "inbound" and "outbound", with JavaScript such as value.trim().']
    return []


def _flag(value: object) -> _Problem:
    return None if isinstance(value, bool) else "must be true or false."


def _one_of(*choices: str) -> Callable[[object], _Problem]:
    return lambda value: None if value in choices else f"must be one of {', '.join(choices)}."


def _scalar(value: object) -> _Problem:
    return (
        None if value is None or isinstance(value, str | int | float) else "must be text, a number, a boolean or null."
    )


def _table(value: object) -> _Problem:
    if not isinstance(value, Mapping) or not value:
        return "must be an object with at least one entry, from the dialer's choice to the CRM's."
    wrong = [str(key) for key, found in value.items() if found is None or _scalar(found)]
    return f"must have text, a number or a boolean for each choice; look at {', '.join(wrong[:5])}." if wrong else None


def _currency(value: object) -> _Problem:
    named = isinstance(value, str) and re.fullmatch(r"[A-Za-z]{3}", value)
    return None if named else "must be a currency code such as USD or JPY."


def _expression(value: object) -> _Problem:
    if not isinstance(value, str):
        return "must be text with a JavaScript expression."
    problem = check_expression(value)
    return f"cannot be used. {problem}" if problem else None


_CHECKS: dict[str, dict[str, Callable[[object], _Problem]]] = {
    "none": {},
    "phone_e164": {"region": region_problem, "accept": _one_of(*PHONE_ACCEPTS)},
    "date_iso": {"dayfirst": _flag, "output": _one_of(*DATE_OUTPUTS)},
    "date_sfdc": {"dayfirst": _flag},
    "boolean_yn": {},
    "boolean_checkbox": {"native": _flag},
    "lowercase": {},
    "picklist_map": {
        "map": _table,
        "default_inbound": _scalar,
        "default_outbound": _scalar,
        "unmapped": _one_of(*UNMAPPED),
    },
    "currency_cents": {"currency": _currency},
    "custom": {"inbound": _expression, "outbound": _expression, "expression": _expression},
}
