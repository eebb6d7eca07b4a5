"""A tenant's mapping for one CRM object, compiled once per version and then applied to record after record.

Compiling checks every row and reports all faults together. A session serves one batch in one thread: it holds the
functions built from the rows and the JavaScript runtime, which starts with the first expression that needs it.
A field that cannot be converted or breaks a rule is left out and reported; the other fields still go through.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any, Self

from mapping.expressions import JsboxRuntime
from mapping.rows import CLEAR, CompiledRow, MappingError, MappingRow, compile_rows
from mapping.steps import Draft, read_line, write_line
from mapping.transforms import Context
from mapping.unrolled import Frame, unroll
from mapping.validation import Problem

__all__ = ["CompiledMapping", "Mapped", "MappingError", "MappingRow", "MappingSession", "Problem"]


@dataclass(slots=True)
class Mapped:
    """What came out of a record. A field in `problems` is not in `values`."""

    values: dict[str, Any]
    problems: tuple[Problem, ...] = ()


_READ = Frame(
    """
def made(given, partial):
    into, problems, get = {}, [], given.get
""",
    "given, into, problems, partial",
    "    return Mapped(into, tuple(problems)) if problems else Mapped(into)\n",
)
_WRITE = Frame(
    """
def made(given, draft):
    into, get = draft.fields, given.get
""",
    "given, draft",
    "",
)


@dataclass(frozen=True)
class CompiledMapping:
    rows: tuple[CompiledRow, ...]
    entity: str
    object_type: str
    region: str
    timezone: str

    @classmethod
    def compile(
        cls,
        rows: Iterable[MappingRow],
        *,
        object_type: str,
        region: str = "US",
        timezone: str = "UTC",
        entity: str = "contact",
    ) -> Self:
        """Raises MappingError with the faults of all rows."""
        compiled = compile_rows(rows, entity=entity, object_type=object_type, region=region, timezone=timezone)
        return cls(compiled, entity, object_type, region, timezone)

    @cached_property
    def crm_fields(self) -> tuple[str, ...]:
        """The places a record must be fetched with to map it inbound; each alternative of a path on its own."""
        return tuple(dict.fromkeys(str(place) for row in self.rows if row.reads for place in row.path.places))

    @cached_property
    def list_fields(self) -> tuple[str, ...]:
        """The CRM fields that are written as whole lists: `outbound` needs the present record for these."""
        return tuple(dict.fromkeys(row.path.root for row in self.rows if row.writes and row.path.writes_list))

    @cached_property
    def blank_rules(self) -> Mapping[str, str]:
        """What an empty value does to the other side, by dialer field; fields that clear are left out."""
        return {row.field.key: row.on_blank for row in self.rows if row.on_blank != CLEAR}

    def dialer_fields(self, direction: str) -> tuple[str, ...]:
        """The dialer fields that take part in `inbound` or `outbound`, in the order of the rows."""
        return tuple(row.field.key for row in self.rows if row.direction in (direction, "bidirectional"))

    def session(self) -> "MappingSession":
        """For one batch in one thread; close it, or use it in a `with` statement."""
        return MappingSession(self)


class MappingSession:
    def __init__(self, mapping: CompiledMapping) -> None:
        self.mapping = mapping
        self._runtime = JsboxRuntime()
        context = Context(mapping.region, mapping.timezone, self._runtime)
        reading = [read_line(row, context) for row in mapping.rows if row.reads]
        writing = [write_line(row, context) for row in mapping.rows if row.writes]
        self._read = unroll(reading, _READ, Mapped=Mapped)
        self._write = unroll(writing, _WRITE)

    def inbound(self, record: Mapping[str, Any], *, partial: bool = False) -> Mapped:
        """The dialer's values for a CRM record.

        A field the record does not have is left out, an empty one is None. `partial` says that the record holds only
        some of its fields, so a required one may be absent.
        """
        mapped: Mapped = self._read(record, partial)
        return mapped

    def outbound(
        self, values: Mapping[str, Any], *, existing: Mapping[str, Any] | None = None, partial: bool | None = None
    ) -> Mapped:
        """The fields to send to the CRM for these dialer values, nested as the CRM has them.

        `existing` is the CRM's present record. It is needed for lists (see `list_fields`), which are sent as a whole:
        entries of no concern to the mapping are kept, an entry whose value is cleared is dropped. `partial` says that a
        required field may be absent from `values`; it may, unless told otherwise, whenever there is an `existing`.
        """
        draft = Draft(existing, partial=existing is not None if partial is None else partial)
        self._write(values, draft)
        return Mapped(draft.finish(), tuple(draft.problems))

    def close(self) -> None:
        """Gives the JavaScript runtime back; may be called twice."""
        self._runtime.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
