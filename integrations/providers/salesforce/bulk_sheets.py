"""Sorts any number of writes into CSV files that one bulk job each can take, without ever holding them all.

A job has one operation, one header and at most 90 MB. A row that does not suit the sheet at hand is set aside for the next
one; when too many have been set aside, the sheet is closed. Each sheet waits in a temporary file that has no name, so its
job is created only once its content is complete, and the upload does not hang on how fast the rows come.
"""

import tempfile
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any

from integrations.providers.salesforce.bulk_csv import PIECE, line, record_line

MAX_BYTES = 90_000_000  # Salesforce takes 150 MB after its own encoding, which is 100 MB of CSV
ASIDE = 5_000  # rows

INSERT, UPDATE, UPSERT, DELETE = "insert", "update", "upsert", "delete"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a sheet. `match` is the field whose value finds the row again in the results."""

    key: str
    operation: str
    match: str
    cells: Mapping[str, Any]

    @property
    def matched_by(self) -> str:
        return str(self.cells[self.match])


class Sheet(AbstractContextManager["Sheet"]):
    """A CSV file in the making, and then the body of an upload: its length is known, it is read in pieces."""

    def __init__(self, first: Row, columns: Sequence[str]) -> None:
        self.operation = first.operation
        self.match = first.match
        self.columns = columns
        self.rows = 0
        self.size = 0
        self.keys: dict[str, str] = {}
        """Value of the matching field → key, for rows where they differ."""
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - `__exit__` closes it
        self._write(line(columns))

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        while piece := self._file.read(PIECE):
            yield piece

    def fits(self, row: Row) -> bool:
        return (row.operation, row.match) == (self.operation, self.match) and set(row.cells) <= set(self.columns)

    def add(self, row: Row) -> None:
        self._write(record_line(self.columns, row.cells))
        self.rows += 1
        if row.key != row.matched_by:
            self.keys[row.matched_by] = row.key

    def _write(self, content: bytes) -> None:
        self._file.write(content)
        self.size += len(content)


def sheets(rows: Iterable[Row], *, max_bytes: int = MAX_BYTES, aside: int = ASIDE) -> Generator[Sheet, None, None]:
    """Each sheet is closed when the next one is asked for."""
    rest = iter(rows)
    waiting = deque(islice(rest, aside))
    while waiting:
        with Sheet(waiting[0], _columns(waiting)) as sheet:
            unsuited = _fill(sheet, waiting, rest, max_bytes, aside)
            yield sheet
        waiting = unsuited + waiting or deque(islice(rest, aside))


def _columns(waiting: Iterable[Row]) -> list[str]:
    """Of all the rows that may go with the first one."""
    alike: dict[str, None] = {}
    first: Row | None = None
    for row in waiting:
        first = first or row
        if (row.operation, row.match) == (first.operation, first.match):
            alike |= dict.fromkeys(row.cells)
    return list(alike)


def _fill(sheet: Sheet, waiting: deque[Row], rest: Iterator[Row], max_bytes: int, aside: int) -> deque[Row]:
    """Takes rows until the sheet is full, and returns those that did not suit it."""
    unsuited: deque[Row] = deque()
    while sheet.size < max_bytes and len(unsuited) < aside:
        row = waiting.popleft() if waiting else next(rest, None)
        if row is None:
            break
        if sheet.fits(row):
            sheet.add(row)
        else:
            unsuited.append(row)
    return unsuited
