"""What a bulk query finds, as rows of texts; and people in any number, made up when they are asked for and never stored.

People of the second kind exist for COUNT() and for bulk queries alone: a large organisation at no cost.
"""

import csv
import io
import random
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from integrations.providers.salesforce.ids import checksum
from integrations.providers.salesforce.sandbox.objects import PREFIXES
from integrations.providers.salesforce.sandbox.org import Org
from integrations.providers.salesforce.sandbox.query import Run
from integrations.providers.salesforce.sandbox.refused import Refused
from integrations.providers.salesforce.sandbox.soql import stamp
from integrations.sandbox.store import Document

GROWN = "_grown"
"""Documents {"count"} by object type."""
FIRST_STAMP = datetime.fromisoformat("2024-03-01T08:00:00+00:00")
PIECE = 61_007  # bytes; cuts rows, texts and letters anywhere
COMPOUND = {"address", "location"}
NOT_SUPPORTED = {"TaskStatus", "TaskPriority", "LeadStatus"}
FIRST_NAMES = ("Zoë", "Liam", "Ngọc", "Noor", "Jürgen", "Ava", "María José")
TITLES = ("CEO", 'VP "Sales"', "Head of R&D, Europe", None)


class Grown:
    def __init__(self, org: Org) -> None:
        self._org = org

    def grow(self, object_type: str, count: int) -> None:
        self._org.store.put(GROWN, object_type, {"count": count})

    def count(self, object_type: str) -> int:
        return int((self._org.store.get(GROWN, object_type) or {"count": 0})["count"])

    def row(self, object_type: str, number: int) -> Document:
        """The same number is the same person each time."""
        first_15 = f"{PREFIXES[object_type]}Gr{number:010d}"
        first, last = FIRST_NAMES[number % len(FIRST_NAMES)], f"O'Grown{number}"
        moment = stamp(FIRST_STAMP + timedelta(seconds=number))
        owners = self._org.with_value("User", "Email", "ava.brooks@acme.example")
        return {
            "Id": first_15 + checksum(first_15),
            **dict.fromkeys(("CreatedDate", "LastModifiedDate", "SystemModstamp"), moment),
            "IsDeleted": False,
            "FirstName": first,
            "LastName": last,
            "Name": f"{first} {last}",
            "Title": TITLES[number % len(TITLES)],
            "Email": f"grown{number}@example.com",
            "Phone": f"(415) {200 + number // 10_000}-{number % 10_000:04d}",
            "Company": f"Company {number % 5_000}, Inc.",
            "Status": "Open - Not Contacted",
            "Street": f'{number} Main Street\n"Rear" building',
            "City": "São Paulo" if number % 3 else "Köln",
            "OwnerId": owners[0] if owners else None,
            "IsConverted": False,
            "DoNotCall": number % 50 == 0,
        }


class BulkRun(Run):
    """A query that the bulk service takes. Its rows come in no order; a query made twice gives them alike."""

    def __init__(self, org: Org, grown: Grown, user_id: str, text: str, *, deleted: bool = False) -> None:
        super().__init__(org, user_id, text, deleted=deleted)
        if self.source in NOT_SUPPORTED:
            raise Refused("INVALIDENTITY", f"Entity '{self.source}' is not supported by the Bulk API.")
        for path in self.query.fields:
            if self._field(path).type in COMPOUND:
                raise Refused("FUNCTIONALITY_NOT_ENABLED", "Selecting compound data not supported in Bulk Query")
        self._grown = grown
        self._cells = [self._reader(path) for path in self.query.fields]
        self._found = self.ids()
        random.Random(len(self._found)).shuffle(self._found)  # noqa: S311 - repeatable on purpose
        self.total = len(self._found) + grown.count(self.source)

    def rows(self, start: int, end: int) -> Iterator[list[str]]:
        for number in range(start, min(end, self.total)):
            row = self._row(number)
            yield [read(row) for read in self._cells]

    def _row(self, number: int) -> Document:
        if number < len(self._found):
            return self._org.store.get(self.source, self._found[number]) or {}
        return self._grown.row(self.source, number - len(self._found))

    def _reader(self, path: str) -> Callable[[Document], str]:
        field = self._field(path)
        if "." in path:
            return lambda row: text_of(field.type, self._value(row, path))
        default = field.default if field.type == "boolean" else None
        return lambda row: text_of(field.type, row.get(field.name, default))


def text_of(kind: str, value: Any) -> str:
    """A value as bulk results show it: unlike REST answers, times end in `Z`."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).replace("+0000", "Z") if kind == "datetime" else str(value)


def pieces(header: list[str], rows: Iterable[list[str]]) -> Iterator[bytes]:
    """A CSV body in pieces."""
    held = io.StringIO()
    writer = csv.writer(held, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(header)
    rest = b""
    for row in rows:
        writer.writerow(row)
        if held.tell() >= PIECE:
            rest += _emptied(held)
            while len(rest) >= PIECE:
                yield rest[:PIECE]
                rest = rest[PIECE:]
    rest += _emptied(held)
    if rest:
        yield rest


def _emptied(held: io.StringIO) -> bytes:
    content = held.getvalue().encode()
    held.seek(0)
    held.truncate()
    return content
