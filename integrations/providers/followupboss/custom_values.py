"""Custom fields in writes: which field a mapping means, and its value in the form that this field takes."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from integrations import errors
from integrations.providers.followupboss.schema import CustomField

Fit: TypeAlias = Callable[[CustomField, Any, str], Any]

YES, NO = ("yes", "true", "y", "1"), ("no", "false", "n", "0")
"""Words of a dropdown that stands in for a checkbox, which the service does not have."""


def find(fields: tuple[CustomField, ...], name: str) -> CustomField:
    """By generated name, else by label in any case. Raises FixData for one that the account lacks or keeps to itself."""
    found = next((field for field in fields if field.name == name), None)
    found = found or next((field for field in fields if field.label.lower() == name.lower()), None)
    if found is None:
        raise errors.FixData(
            f'Follow Up Boss has no custom field "{name}". Create it there under Admin, Custom Fields, or map another one.',
            fields=[name],
            cause="unknown_field",
        )
    if not found.writable:
        raise errors.FixData(
            f'Follow Up Boss lets nobody write its custom field "{found.label}". Map another one, or inbound only.',
            fields=[found.label],
            cause="read_only_field",
        )
    return found


def fitted(field: CustomField, value: Any, timezone: str) -> Any:
    """The value as this field takes it; None clears. Raises FixData."""
    if value is None or value == "":
        return None
    fit: Fit = _FIT.get(field.kind, _text)
    try:
        return fit(field, value, timezone)
    except (ValueError, InvalidOperation) as error:
        raise errors.FixData(
            f'"{value}" does not fit the field "{field.label}" of Follow Up Boss, which takes {_TAKES[field.kind]}.',
            fields=[field.label],
        ) from error


def _number(_field: CustomField, value: Any, _timezone: str) -> int | float:
    number = Decimal(str(int(value) if isinstance(value, bool) else value))
    if not number.is_finite():
        raise ValueError(value)
    return int(number) if number == number.to_integral_value() else float(number)


def _date(_field: CustomField, value: Any, timezone: str) -> str:
    """A day; a moment becomes the day that it is where the tenant is."""
    moment = value if isinstance(value, date) else datetime.fromisoformat(str(value))
    if isinstance(moment, datetime) and moment.tzinfo is not None:
        moment = moment.astimezone(zone(timezone))
    return (moment.date() if isinstance(moment, datetime) else moment).isoformat()


def _choice(field: CustomField, value: Any, _timezone: str) -> str:
    words = _synonyms(value)
    for choice in field.choices:
        if choice.strip().lower() in words:
            return choice
    raise errors.FixData(
        f'"{value}" is not among the choices of "{field.label}" in Follow Up Boss: {", ".join(field.choices[:20])}.',
        fields=[field.label],
        cause="unknown_choice",
    )


def _synonyms(value: Any) -> tuple[str, ...]:
    word = str(value).strip().lower()
    return next(((word, *words) for words in (YES, NO) if word in words), (word,))


def _text(_field: CustomField, value: Any, _timezone: str) -> str:
    return ("Yes" if value else "No") if isinstance(value, bool) else str(value)


def zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError):
        return UTC


_FIT: Mapping[str, Fit] = {"number": _number, "date": _date, "picklist": _choice}
_TAKES: Mapping[str, str] = {
    "number": "a number",
    "date": "a day (YYYY-MM-DD)",
    "picklist": "a choice",
    "string": "text",
}
