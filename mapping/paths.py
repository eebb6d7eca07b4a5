"""The written form of a place in a CRM record: `FirstName`, `Owner.Email`, `phones[type=work].value`.

A path is names joined by dots. A name with other characters than letters, digits, `_`, `-`, `$` and `:` is quoted
(`customFields."Last Called"`, with a backslash before a quote or a backslash). Behind a name, `[0]` picks a list entry
by place and `[type=work]` the first entry whose `type` is `work`. Alternatives are joined by `||`: reading takes the
first that holds something, writing the first.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NoReturn

from mapping.places import (
    BARE_NAME,
    BARE_VALUE,
    MISSING,
    At,
    PathError,
    Place,
    Record,
    Segment,
    Where,
    is_blank,
    unquoted,
)

__all__ = ["MISSING", "Path", "PathError", "compile_path"]

MAX_CHARS = 500
MAX_SEGMENTS = 10
MAX_INDEX = 99

_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])+)"')
_INDEX = re.compile(r"[0-9]+(?=\])")
# The notation of mapping tables for people: an entry by place, with its type behind. The type is what counts.
_ANNOTATED = re.compile(r"([\w$:-]+)\[\d+\]\.([\w$:-]+)\s*\((\w+):(\w+)\)")
_OR = re.compile(r"\s*\|\|\s*")


@dataclass(frozen=True)
class Path:
    """A compiled path. `str()` gives its plainest spelling, `text` what was written."""

    text: str = field(compare=False)
    places: tuple[Place, ...]

    def __str__(self) -> str:
        return " || ".join(map(str, self.places))

    @property
    def root(self) -> str:
        """The field of the record that has to be fetched for the first alternative."""
        return self.places[0].segments[0].name

    @property
    def plain_key(self) -> str | None:
        """The name, when the path is nothing but the name of a top-level field."""
        segments = self.places[0].segments
        plain = len(self.places) == 1 and len(segments) == 1 and segments[0].pick is None
        return segments[0].name if plain else None

    @property
    def writes_list(self) -> bool:
        """A list goes to the CRM as a whole, so writing needs the record's present one."""
        return self.places[0].list_depth is not None

    def get(self, record: Record) -> Any:
        """The value, None when the record says there is none, or MISSING when it does not say."""
        found: Any = MISSING
        for place in self.places:
            value = place.get(record)
            if not is_blank(value):
                return value
            if found is MISSING:
                found = value
        return found

    def set(self, record: dict[str, Any], value: Any) -> None:
        """Changes `record`, which must be the caller's own copy. Raises PathError when something else is in the way."""
        self.places[0].set(record, value)

    def drop_emptied(self, record: dict[str, Any]) -> None:
        """After `set`: removes the entries of the list that hold no value any more, and those made as filling."""
        self.places[0].drop_emptied(record)


@lru_cache(4096)
def compile_path(text: str) -> Path:
    """Raises PathError with the position and what was expected there."""
    if not isinstance(text, str) or not text.strip():
        raise PathError("The CRM field is empty; write for example Email or phones[type=work].value.")
    if len(text) > MAX_CHARS:
        raise PathError(f"The CRM field has {len(text)} characters; at most {MAX_CHARS} are allowed.")
    plain = _ANNOTATED.sub(r"\1[\3=\4].\2", text)
    return Path(text.strip(), _Parser(plain).places())


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text.rstrip()
        self._at = len(text) - len(text.lstrip())

    def places(self) -> tuple[Place, ...]:
        places = [self._place()]
        while self._at < len(self._text):
            if self._take(_OR) is None:
                self._fail('"." or "||"')
            places.append(self._place())
        return tuple(places)

    def _place(self) -> Place:
        segments = [self._segment()]
        while self._skip("."):
            segments.append(self._segment(segments[-1].pick))
        if isinstance(segments[-1].pick, Where):
            self._fail('"." and the field of the entry')
        if len(segments) > MAX_SEGMENTS:
            self._fail(f"at most {MAX_SEGMENTS} names joined by dots")
        return Place(tuple(segments))

    def _segment(self, chosen_by: At | Where | None = None) -> Segment:
        start = self._at
        name = self._read_name("a field name")
        if isinstance(chosen_by, Where) and chosen_by.key == name:  # writing it would choose another entry
            self._at = start
            self._fail(f"another field than {name}, which the entry is chosen by")
        return Segment(name, self._pick() if self._skip("[") else None)

    def _pick(self) -> At | Where:
        start = self._at
        place = self._take(_INDEX)
        pick = At(int(place)) if place is not None else self._where()
        if isinstance(pick, At) and pick.place > MAX_INDEX:
            self._at = start
            self._fail(f"a place in the list from 0 to {MAX_INDEX}")
        if not self._skip("]"):
            self._fail('"]"')
        return pick

    def _where(self) -> Where:
        key = self._read_name("a place such as 0, or a condition such as type=work")
        if not self._skip("="):
            self._fail('"]"' if key.isdigit() else '"="')
        quoted = self._quoted()
        if quoted is not None:
            return Where(key, quoted)
        text = self._take(BARE_VALUE)
        return Where(key, unquoted(text)) if text is not None else self._fail("a value")

    def _read_name(self, expected: str) -> str:
        quoted = self._quoted()
        name = self._take(BARE_NAME) if quoted is None else quoted
        return name if name is not None else self._fail(expected)

    def _quoted(self) -> str | None:
        text = self._take(_QUOTED)
        if text is None and self._text.startswith('"', self._at):
            self._fail('text between two quotes, with \\" for a quote inside')
        return None if text is None else re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)

    def _take(self, pattern: re.Pattern[str]) -> str | None:
        match = pattern.match(self._text, self._at)
        if match is None:
            return None
        self._at = match.end()
        return match[0]

    def _skip(self, character: str) -> bool:
        if not self._text.startswith(character, self._at):
            return False
        self._at += 1
        return True

    def _fail(self, expected: str) -> NoReturn:
        rest = self._text[self._at :]
        found = f'found "{rest[:12]}"' if rest else "the text ends there"
        raise PathError(f"The CRM field is not a path: character {self._at + 1} should be {expected}, but {found}.")
