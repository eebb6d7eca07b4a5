"""CSV as the Bulk API speaks it, both ways and in constant memory.

Results come as pieces of bytes that end anywhere: inside a letter, inside a quoted text with line ends. They are decoded and
parsed as they come. Uploads are written with every cell quoted; an empty cell leaves a field as it is, `#N/A` clears it.
"""

import codecs
import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

import requests

from integrations import errors

CLEARED = "#N/A"
PIECE = 65_536
MAX_CELL = 400_000  # characters: the most that a whole record may have
MAX_ROW = 4_000_000
"""Characters of a whole row with its line ends: more than any record has, and little enough to hold."""
_NUMBERS = {"int": int, "double": float, "currency": float, "percent": float}

csv.field_size_limit(max(csv.field_size_limit(), MAX_CELL))  # the module knows only one limit for everybody


def rows(pieces: Iterable[bytes]) -> Iterator[dict[str, str]]:
    """Each row by the names of the header; nothing for an empty body. Raises Retry for one that was cut off or bent."""
    lines = _Lines(pieces)
    reader = csv.reader(lines, strict=True)
    try:
        header = next(reader, [])
        for cells in reader:
            lines.of_row = 0
            if len(cells) != len(header):
                raise _unreadable(f"{len(cells)} cells under {len(header)} names in line {reader.line_num}")
            yield dict(zip(header, cells, strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise _unreadable(str(error)) from error


@contextmanager
def rows_of(response: requests.Response) -> Iterator[Iterator[dict[str, str]]]:
    """The rows of a streamed answer, which is closed in the end, however far it was read."""
    with response:
        yield _checked(response)


def _checked(response: requests.Response) -> Iterator[dict[str, str]]:
    """Raises Retry when fewer rows come than the answer's header promises."""
    promised, seen = response.headers.get("Sforce-NumberOfRecords", ""), 0
    try:
        for row in rows(response.iter_content(PIECE)):
            seen += 1
            yield row
    except requests.RequestException as error:
        raise _unreadable(f"{type(error).__name__}: {error}") from error
    if promised.isdigit() and int(promised) != seen:
        raise _unreadable(f"{seen} rows of {promised}")


class _Lines:
    """The lines, counted: a row that never ends would be held whole before anybody sees it. Raises Retry for such a one."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.of_row = 0
        self._lines = _lines(pieces)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.of_row += len(line)
        if self.of_row > MAX_ROW:
            raise _unreadable(f"a row of more than {MAX_ROW} characters")
        return line


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """Lines with their ends. NUL bytes, which texts of old records hold, are left out."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    rest = ""
    for piece in pieces:
        *lines, rest = (rest + decoder.decode(piece).replace("\0", "")).split("\n")
        for line in lines:
            yield line + "\n"
        if len(rest) > MAX_ROW:
            raise _unreadable(f"a line of more than {MAX_ROW} characters")
    rest += decoder.decode(b"", final=True)
    if rest:
        yield rest


def _unreadable(detail: str) -> errors.Retry:
    return errors.Retry(
        "A bulk result of Salesforce ended before its time or could not be read. We will try again.",
        detail=detail,
        cause="unreadable_answer",
    )


def typed(kind: str, text: str) -> Any:
    """A cell as the REST API would give it. `kind` is the field's type in the describe. Raises Retry for what can't be."""
    if text == "":
        return None
    if kind == "boolean":
        return text.lower() == "true"
    if kind == "datetime" and text.endswith("Z"):
        return text[:-1] + "+0000"
    if kind in _NUMBERS:
        try:
            return _NUMBERS[kind](text)
        except ValueError as error:
            raise _unreadable(f"{text!r} in a field of type {kind}") from error
    return text


def cell(value: Any) -> str:
    """A value as an upload has it. None and empty texts clear the field."""
    if value is None or value == "":
        return CLEARED
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    text = str(value).replace("\0", "")
    return "N/A" if text == CLEARED else text  # a text that somebody typed must not clear the field


def line(cells: Sequence[str]) -> bytes:
    """One line of an upload, every cell in quotes."""
    return (",".join('"' + text.replace('"', '""') + '"' for text in cells) + "\n").encode(errors="replace")


def record_line(columns: Sequence[str], values: Mapping[str, Any]) -> bytes:
    """A record under these columns; what it does not name stays as it is."""
    return line([cell(values[name]) if name in values else "" for name in columns])
