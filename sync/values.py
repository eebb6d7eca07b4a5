"""A contact's fields as plain JSON values, the form in which they are mapped, compared and remembered."""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from django.db import models

from sync.models import Contact

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_LONE = re.compile("[\ud800-\udfff]")
TEXT = frozenset(field.name for field in Contact._meta.fields if isinstance(field, models.TextField))
CUSTOM = "custom."
_HARMLESS = (type(None), bool, int, float)
_encoded = json.JSONEncoder(ensure_ascii=False, default=str).encode


def read(contact: Contact, fields: Iterable[str]) -> dict[str, Any]:
    """The contact's values: None for blank, times as ISO 8601 in UTC."""
    return {name: _read_one(contact, name) for name in fields}


def _read_one(contact: Contact, name: str) -> Any:
    value = contact.custom.get(name[len(CUSTOM) :]) if name.startswith(CUSTOM) else getattr(contact, name)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return None if value == "" else value


def write(contact: Contact, values: Mapping[str, Any]) -> None:
    """Sets the contact's fields; the caller saves."""
    for name, value in values.items():
        if name.startswith(CUSTOM):
            contact.custom = {**contact.custom, name[len(CUSTOM) :]: value}
        else:
            setattr(contact, name, _stored(name, value))


def _stored(name: str, value: Any) -> Any:
    if name in TEXT:
        return "" if value is None else str(value)
    if name == "do_not_call":
        return bool(value)
    if name == "call_count":
        return int(value or 0)
    if name == "last_called_at" and isinstance(value, str):
        return datetime.fromisoformat(value)
    return value


def json_text(value: Any) -> str:
    """As JSON that PostgreSQL can hold; what isn't JSON becomes text."""
    text = _encoded(value)
    return text if is_storable(text) else _encoded(storable(value))


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can hold this JSON; of some that it can it says no."""
    return "\\u0000" not in text and (text.isascii() or _LONE.search(text) is None)


def storable(value: Any) -> Any:
    """The same JSON without what PostgreSQL can't hold: NUL characters and lone surrogates."""
    if isinstance(value, str):
        if value.isascii() and "\x00" not in value:
            return value
        if not _UNSTORABLE.search(value):
            return value
        return value.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, Mapping):
        return {storable(key): item if item.__class__ in _HARMLESS else storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return value
