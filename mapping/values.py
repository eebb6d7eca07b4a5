"""Reads the loose values CRMs send (text for everything, several date forms) as the kinds of value the dialer has.

Every reader raises TransformError with a sentence that tells the value's shape, never the value: it may be personal.
Dates: a value without a time of day is that day, written as midnight UTC. So a moment at exactly midnight UTC counts as
a day and keeps its date in every time zone; any other moment gets its date in the tenant's zone.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

MAX_INTEGER = 2**63 - 1  # what the database can hold

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SLASHED = re.compile(
    r"(\d{1,2})/(\d{1,2})/(\d{4})(?:,?\s+(\d{1,2}):(\d{2})(?::(\d{2}))?(?:\s*([AaPp])\.?[Mm]\.?)?)?", re.ASCII
)
_COMPACT_DAY = re.compile(r"\d{8}", re.ASCII)
_EPOCH_MS = re.compile(r"-?\d{9,15}", re.ASCII)  # fewer digits are rather a year or a number than a date
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?", re.ASCII)
_TRUE = frozenset({"true", "yes", "y", "1", "on"})
_FALSE = frozenset({"false", "no", "n", "0", "off"})


class TransformError(ValueError):
    """A value that does not fit, as a sentence for the tenant without any personal value in it."""


def shape(value: object) -> str:
    """What kind of thing a value is, in words that give nothing of it away."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return f"text of {len(value)} characters" if value else "empty text"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    names = {int: "a whole number", float: "a number with decimals", dict: "an object", type(None): "nothing"}
    return names.get(type(value), "another kind of value")


def as_boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower() if isinstance(value, str | int) else ""
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise TransformError(f"The value is {shape(value)}, not yes or no.")


def as_moment(value: Any, zone: tzinfo = UTC, *, dayfirst: bool = False) -> datetime:
    """An aware UTC moment. `zone` is meant by date-times without one; whole numbers are milliseconds since 1970."""
    try:
        read = _moment_in_text(value.strip(), dayfirst) if isinstance(value, str) else _moment(value)
        if read is not None:
            return (read if read.tzinfo else read.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        pass  # such as February 30: the sentence below says all a person needs
    raise TransformError(f"The value is {shape(value)}, not a date such as 2024-01-15 or 2024-01-15T20:49:32Z.")


def iso_utc(moment: datetime) -> str:
    """2024-01-15T20:49:32Z for a moment in UTC, with a fraction only when there is one."""
    text = moment.isoformat()[: -len("+00:00")]
    return f"{text.rstrip('0') if moment.microsecond else text}Z"


def epoch_ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def day_of(moment: datetime, zone: tzinfo = UTC) -> str:
    is_day = (moment - _EPOCH) % timedelta(days=1) == timedelta(0)
    try:
        return (moment if is_day else moment.astimezone(zone)).date().isoformat()
    except OverflowError as error:
        raise TransformError(
            "The date is at the end of the calendar, and there is none in the tenant's time zone."
        ) from error


def decimal_of(value: Any) -> Decimal | None:
    """Exact, also for a float, whose shortest decimal form is what the JSON said. None when it is no plain number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    text = str(value).strip()
    return Decimal(text) if len(text) <= 40 and _NUMBER.fullmatch(text) else None


def as_integer(value: Any) -> int:
    number = decimal_of(value)
    if number is None or number != number.to_integral_value() or abs(number) > MAX_INTEGER:
        raise TransformError(f"The value is {shape(value)}, not a whole number.")
    return int(number)


def as_number(value: Any) -> int | float:
    number = decimal_of(value)
    if number is None:
        raise TransformError(f"The value is {shape(value)}, not a number.")
    is_whole = number == number.to_integral_value() and abs(number) <= MAX_INTEGER
    return int(number) if is_whole else float(number)


def as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    number = decimal_of(value)
    if number is None:
        raise TransformError(f"The value is {shape(value)}, not text.")
    return str(int(number)) if number == number.to_integral_value() else format(number, "f")


def as_list(value: Any) -> list[Any]:
    """CRMs join the choices of a multiple-choice field with semicolons."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(";") if part.strip()]
    if isinstance(value, list | tuple):
        return list(value)
    raise TransformError(f"The value is {shape(value)}, not a list.")


def reader(kind: str, zone: tzinfo) -> Callable[[Any], Any]:
    """The function that makes a value one of this kind of dialer field."""
    if kind == "datetime":
        return lambda value: iso_utc(as_moment(value, zone))
    if kind == "date":
        return lambda value: day_of(as_moment(value, zone), zone)
    return _READERS[kind]


def time_zone(name: str) -> ZoneInfo:
    """Raises ValueError for a zone that does not exist."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f'There is no time zone "{name}"; write for example America/New_York.') from error


def _moment(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return _EPOCH + timedelta(milliseconds=value) if is_number else None


def _moment_in_text(text: str, dayfirst: bool) -> datetime | None:
    if text[4:5] == "-" == text[7:8]:
        moment = datetime.fromisoformat(text)
        return moment if len(text) > 10 else moment.replace(tzinfo=UTC)
    slashed = _SLASHED.fullmatch(text)
    if slashed:
        return _slashed_moment(slashed, dayfirst=dayfirst)
    if _COMPACT_DAY.fullmatch(text):
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    return _EPOCH + timedelta(milliseconds=int(text)) if _EPOCH_MS.fullmatch(text) else None


def _slashed_moment(match: re.Match[str], *, dayfirst: bool) -> datetime:
    first, second, year, hour, minute, seconds, half = match.groups()
    day, month = (first, second) if dayfirst else (second, first)
    if hour is None:
        return datetime(int(year), int(month), int(day), tzinfo=UTC)
    hours = int(hour)
    if half is not None:
        if not 1 <= hours <= 12:
            raise ValueError("no such hour on a clock with AM and PM")
        hours = hours % 12 + (12 if half in "Pp" else 0)
    return datetime(int(year), int(month), int(day), hours, int(minute), int(seconds or 0))  # noqa: DTZ001 - no zone given


_READERS: dict[str, Callable[[Any], Any]] = {
    "string": as_text,
    "text": as_text,
    "email": as_text,
    "phone": as_text,
    "picklist": as_text,
    "integer": as_integer,
    "number": as_number,
    "boolean": as_boolean,
    "list": as_list,
    "any": lambda value: value,
}
