"""Builds SOQL that nobody can bend: names and ids are checked, every text and time is a literal made here.

SOQL has no bound parameters, so these functions are the only place where a query is put together.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from integrations.providers.salesforce.ids import is_id

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)*")
TIME = re.compile(r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d(?:\.\d+)?Z)?", re.ASCII)
MAX_VALUES = 500
MAX_QUERY_BYTES = 15_000
"""What an address may hold, less what stands around the query: the service takes 16,384 bytes of line and headers."""
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


def checked_id(value: str) -> str:
    if not is_id(value):
        raise ValueError(f"{value!r} is no Salesforce id.")
    return value


def record_id(value: str) -> str:
    return f"'{checked_id(value)}'"


def equals(field: str, value: str) -> str:
    return f"{name(field)} = {text(value)}"


def among(field: str, values: Iterable[str]) -> str:
    return f"{name(field)} IN ({','.join(text(value) for value in values)})"


def among_times(field: str, values: Iterable[str]) -> str:
    """Days, or moments in `Z`, as text. Raises ValueError for anything else."""
    listed = list(values)
    if not all(TIME.fullmatch(value) for value in listed):
        raise ValueError(f"{field} takes dates, written 2026-03-02 or 2026-03-02T10:00:00Z.")
    return f"{name(field)} IN ({','.join(listed)})"


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


def queries(build: Callable[[Sequence[str]], str], values: Sequence[str]) -> Iterator[str]:
    """As many queries as it takes to ask for all the values, each short enough for an address."""
    start = 0
    while start < len(values):
        size = min(MAX_VALUES, len(values) - start)
        query = build(values[start : start + size])
        while size > 1 and len(quote(query)) > MAX_QUERY_BYTES:
            size = max(1, size * MAX_QUERY_BYTES // len(quote(query)) - 1)
            query = build(values[start : start + size])
        yield query
        start += size
