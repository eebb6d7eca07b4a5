"""Builds SOQL that nobody can bend: names and ids are checked, every text and time is a literal made here.

SOQL has no bound parameters, so these functions are the only place where a query is put together.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from integrations.providers.salesforce.ids import is_id

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)*")
_ESCAPES = {
    "\\": "\\\\",
    "'": "\\'",
    '"': '\\"',
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\b": "\\b",
    "\f": "\\f",
}


def name(text: str) -> str:
    """A field or object name or a relationship path. Raises ValueError for anything that is none."""
    if NAME.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no Salesforce field name.")
    return text


def text(value: str) -> str:
    return "'" + "".join(_escaped(char) for char in value) + "'"


def _escaped(char: str) -> str:
    return _ESCAPES.get(char) or (f"\\u{ord(char):04X}" if ord(char) < 0x20 else char)


def moment(value: datetime) -> str:
    """A date-time stands without quotes, and in `Z` so that no plus sign gets lost in a URL."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def record_id(value: str) -> str:
    if not is_id(value):
        raise ValueError(f"{value!r} is no Salesforce id.")
    return f"'{value}'"


def among(field: str, values: Iterable[str]) -> str:
    return f"{name(field)} IN ({','.join(text(value) for value in values)})"


def among_ids(values: Iterable[str]) -> str:
    return f"Id IN ({','.join(record_id(value) for value in values)})"


def select(fields: Sequence[str], source: str, where: Sequence[str] = (), order: Sequence[str] = ()) -> str:
    """`where` holds conditions made by the functions of this module; all of them must be true."""
    query = f"SELECT {','.join(map(name, fields))} FROM {name(source)}"  # noqa: S608 - every part is checked
    if where:
        query += f" WHERE {' AND '.join(where)}"
    if order:
        query += f" ORDER BY {','.join(name(field) for field in order)}"
    return query
