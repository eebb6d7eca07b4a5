"""Reading and writing one place inside a nested CRM record; `mapping.paths` has the written form.

Reading tells two kinds of nothing apart: MISSING (the record does not say) and None (the record says there is nothing;
an entry that is not in its list counts as that, so a deleted phone number is seen).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeAlias

BARE_NAME = re.compile(r"[\w$:-]+")
BARE_VALUE = re.compile(r'[^\s"\[\]=|]+')

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING: Final = _Missing()

Record: TypeAlias = Mapping[str, Any]


class PathError(ValueError):
    """A path that cannot be read, or a place in a record that cannot be written."""


@dataclass(frozen=True)
class At:
    """A list entry by its place."""

    place: int

    def __str__(self) -> str:
        return f"[{self.place}]"

    def find(self, entries: list[Any]) -> Any:
        return entries[self.place] if self.place < len(entries) else None

    def open(self, entries: list[Any]) -> Any:
        entries.extend({} for _ in range(self.place + 1 - len(entries)))
        if entries[self.place] is None:
            entries[self.place] = {}
        return entries[self.place]


@dataclass(frozen=True)
class Where:
    """The first list entry with this value under this key. A number or true/false without quotes is that JSON value."""

    key: str
    value: str | int | bool

    def __str__(self) -> str:
        text = _as_text(self.value)
        quoted = isinstance(self.value, str) and (unquoted(text) != text or not BARE_VALUE.fullmatch(text))
        return f"[{_name(self.key)}={_quote(text) if quoted else text}]"

    def find(self, entries: list[Any]) -> Any:
        wanted = _as_text(self.value)
        for entry in entries:
            if isinstance(entry, dict) and self.key in entry and _as_text(entry[self.key]) == wanted:
                return entry
        return None

    def open(self, entries: list[Any]) -> Any:
        entry = self.find(entries)
        if entry is None:
            entry = {self.key: self.value}
            entries.append(entry)
        return entry


@dataclass(frozen=True)
class Segment:
    name: str
    pick: At | Where | None = None

    def __str__(self) -> str:
        return f"{_name(self.name)}{self.pick or ''}"

    def read(self, container: Record) -> Any:
        value = container.get(self.name, MISSING)
        if self.pick is None or value is None or value is MISSING:
            return value
        return self.pick.find(value) if isinstance(value, list) else MISSING

    def open(self, container: dict[str, Any]) -> dict[str, Any]:
        """The object behind this segment, made when there is none yet."""
        inner = self.pick.open(self.entries(container)) if self.pick else self._make(container, {})
        if not isinstance(inner, dict):
            raise PathError(f"{self} cannot be written into: the record has a value there, not an object.")
        return inner

    def write(self, container: dict[str, Any], value: Any) -> None:
        if isinstance(self.pick, At):
            entries = self.entries(container)
            self.pick.open(entries)
            entries[self.pick.place] = value
        else:
            container[self.name] = value

    def entries(self, container: dict[str, Any]) -> list[Any]:
        entries = self._make(container, [])
        if not isinstance(entries, list):
            raise PathError(f"{self} cannot be written into: the record has no list there.")
        return entries

    def _make(self, container: dict[str, Any], empty: Any) -> Any:
        if container.get(self.name) is None:
            container[self.name] = empty
        return container[self.name]


@dataclass(frozen=True)
class Place:
    """One alternative of a path."""

    segments: tuple[Segment, ...]

    def __str__(self) -> str:
        return ".".join(map(str, self.segments))

    @cached_property
    def list_depth(self) -> int | None:
        """Which segment is the first to pick a list entry; None when none does."""
        return next((depth for depth, segment in enumerate(self.segments) if segment.pick), None)

    def get(self, record: Record) -> Any:
        value = self.segments[0].read(record)
        for segment in self.segments[1:]:
            if not isinstance(value, dict):
                return None if value is None else MISSING
            value = segment.read(value)
        return value

    def set(self, record: dict[str, Any], value: Any) -> None:
        *outer, last = self.segments
        last.write(_open_all(record, outer), value)

    def drop_emptied(self, record: dict[str, Any]) -> None:
        if self.list_depth is None:
            return
        segment = self.segments[self.list_depth]
        container = _open_all(record, self.segments[: self.list_depth])
        chosen_by = segment.pick.key if isinstance(segment.pick, Where) else None
        container[segment.name] = [entry for entry in segment.entries(container) if not _is_emptied(entry, chosen_by)]


def is_blank(value: object) -> bool:
    return value is None or value is MISSING or value == ""


def unquoted(text: str) -> str | int | bool:
    if text in ("true", "false"):
        return text == "true"
    return int(text) if _INTEGER.fullmatch(text) else text


def _open_all(record: dict[str, Any], segments: Iterable[Segment]) -> dict[str, Any]:
    container = record
    for segment in segments:
        container = segment.open(container)
    return container


def _is_emptied(entry: Any, chosen_by: str | None) -> bool:
    """Nothing is left in the entry but what it is chosen by, or its `value` is gone, whatever describes that value."""
    if not isinstance(entry, dict):
        return is_blank(entry)
    if "value" in entry:
        return is_blank(entry["value"])
    return all(is_blank(value) for key, value in entry.items() if key != chosen_by)


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _name(name: str) -> str:
    return name if BARE_NAME.fullmatch(name) else _quote(name)


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
