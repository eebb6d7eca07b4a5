"""Whether two values in a CRM's words are the same to people: a number as text, or a phone number in another spelling, is. Pure."""

import re
from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from mapping.fields import UnknownFieldError, dialer_field
from mapping.values import TransformError, reader
from sync.merge import same

UTC = ZoneInfo("UTC")
PHONE_DIGITS = 9
"""So many digits from the end: whether the country stands in front is a matter of spelling."""
_NOT_A_DIGIT = re.compile(r"\D")


def alike(field: str, one: Any, other: Any) -> bool:
    """Two values of the place in a CRM where the dialer's `field` is written."""
    if same(one, other):
        return True
    if same(one, None) or same(other, None):
        return False
    kind = _kind(field)
    return _plain(kind, one) == _plain(kind, other) or _text(one) == _text(other)


def _kind(field: str) -> str:
    try:
        return dialer_field("contact", field).kind
    except UnknownFieldError:
        return "any"


def _plain(kind: str, value: Any) -> Any:
    try:
        return _READ.get(kind, reader(kind, UTC))(value)
    except TransformError:
        return _text(value)


def _phone(value: Any) -> str:
    return _NOT_A_DIGIT.sub("", str(value))[-PHONE_DIGITS:]


def _email(value: Any) -> str:
    return str(value).strip().lower()


_READ: Mapping[str, Callable[[Any], Any]] = {"phone": _phone, "email": _email}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ";".join(map(_text, value))
    return str(value).strip()
