"""Parses the part of SOQL that the fake organisation answers: SELECT, FROM, WHERE, ORDER BY and LIMIT.

As strict as the real one: texts in quotes, times without, only the known escapes, and no mixing of AND and OR without
parentheses.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from integrations.providers.salesforce.sandbox.refused import Refused

Parsed = TypeVar("Parsed")

MAX_LENGTH = 100_000
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^'\\]|\\.)*')
    | (?P<moment>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
    | (?P<date>\d{4}-\d\d-\d\d)
    | (?P<number>-?\d+(?:\.\d+)?)
    | (?P<name>[A-Za-z]\w*(?:\.[A-Za-z]\w*)*)
    | (?P<sign><=|>=|!=|[=<>(),])
    )""",
    re.X,
)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.S)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "'": "'", '"': '"', "\\": "\\"}
_SIGNS = ("=", "!=", "<", "<=", ">", ">=")


@dataclass(frozen=True, slots=True)
class Literal:
    kind: str
    """text, moment, date, number, boolean or null"""
    value: Any


@dataclass(frozen=True, slots=True)
class Comparison:
    path: str
    sign: str
    """One of the signs, or IN."""
    values: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Group:
    word: str
    """AND or OR"""
    parts: tuple["Condition", ...]


Condition = Comparison | Group


@dataclass(slots=True)
class Query:
    fields: list[str]
    source: str
    where: Condition | None = None
    order: list[tuple[str, bool]] = field(default_factory=list)
    """(path, descending)"""
    limit: int | None = None


def parse(text: str) -> Query:
    return _Parser(_tokens(text)).query()


def stamp(value: datetime) -> str:
    """The form in which the service shows a time: UTC, no colon in the offset. It sorts as text."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def malformed(message: str) -> Refused:
    return Refused("MALFORMED_QUERY", message)


def _tokens(text: str) -> list[tuple[str, str]]:
    if len(text) > MAX_LENGTH:
        raise Refused("QUERY_TOO_COMPLICATED", "Query is either selecting too many fields or is too long")
    found: list[tuple[str, str]] = []
    place, text = 0, text.strip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise malformed(f"unexpected token: '{text[place : place + 20]}'")
        found.append((str(match.lastgroup), match.group(str(match.lastgroup))))
        place = match.end()
    return found


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._place = 0

    def query(self) -> Query:
        self._word("SELECT")
        fields = self._list(self._name)
        self._word("FROM")
        query = Query(fields, self._name())
        if self._take("name", "WHERE"):
            query.where = self._group()
        if self._take("name", "ORDER"):
            self._word("BY")
            query.order = self._list(self._ordering)
        if self._take("name", "LIMIT"):
            query.limit = self._whole_number()
        if self._place < len(self._tokens):
            raise malformed(f"unexpected token: '{self._tokens[self._place][1]}'")
        return query

    def _group(self) -> Condition:
        parts = [self._term()]
        word = ""
        while self._peek("name", "AND") or self._peek("name", "OR"):
            following = self._next("name").upper()
            if word and following != word:
                raise malformed(f"unexpected token: '{following}'")
            word = following
            parts.append(self._term())
        return Group(word, tuple(parts)) if word else parts[0]

    def _term(self) -> Condition:
        if self._take("sign", "("):
            inside = self._group()
            self._sign(")")
            return inside
        path = self._name()
        if self._take("name", "IN"):
            self._sign("(")
            values = self._list(self._literal)
            self._sign(")")
            return Comparison(path, "IN", tuple(values))
        sign = self._next("sign")
        if sign not in _SIGNS:
            raise malformed(f"unexpected token: '{sign}'")
        return Comparison(path, sign, (self._literal(),))

    def _literal(self) -> Literal:
        kind, text = self._tokens[self._place] if self._place < len(self._tokens) else ("", "<EOF>")
        self._place += 1
        match kind:
            case "text":
                return Literal("text", _unescaped(text[1:-1]))
            case "moment":
                return Literal("moment", _moment(text))
            case "date":
                return Literal("date", text)
            case "number":
                return Literal("number", float(text))
        if text.upper() in {"TRUE", "FALSE"}:
            return Literal("boolean", text.upper() == "TRUE")
        if text.upper() == "NULL":
            return Literal("null", None)
        raise malformed(f"unexpected token: '{text}'")

    def _ordering(self) -> tuple[str, bool]:
        path = self._name()
        if self._take("name", "DESC"):
            return path, True
        self._take("name", "ASC")
        return path, False

    def _list(self, item: Callable[[], Parsed]) -> list[Parsed]:
        found = [item()]
        while self._take("sign", ","):
            found.append(item())
        return found

    def _whole_number(self) -> int:
        number = self._next("number")
        if not number.isascii() or not number.isdigit():
            raise malformed(f"unexpected token: '{number}'")
        return int(number)

    def _name(self) -> str:
        return self._next("name")

    def _word(self, word: str) -> None:
        if not self._take("name", word):
            raise malformed(f"expecting '{word}'")

    def _sign(self, sign: str) -> None:
        if not self._take("sign", sign):
            raise malformed(f"expecting '{sign}'")

    def _next(self, kind: str) -> str:
        if self._place >= len(self._tokens) or self._tokens[self._place][0] != kind:
            seen = self._tokens[self._place][1] if self._place < len(self._tokens) else "<EOF>"
            raise malformed(f"unexpected token: '{seen}'")
        self._place += 1
        return self._tokens[self._place - 1][1]

    def _peek(self, kind: str, text: str) -> bool:
        return self._place < len(self._tokens) and (
            self._tokens[self._place][0] == kind and self._tokens[self._place][1].upper() == text
        )

    def _take(self, kind: str, text: str) -> bool:
        if not self._peek(kind, text):
            return False
        self._place += 1
        return True


def _moment(text: str) -> str:
    try:
        return stamp(datetime.fromisoformat(text))
    except (ValueError, OverflowError) as error:
        raise malformed(f"Invalid date: {text}") from error


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(_unescape, text)


def _unescape(match: re.Match[str]) -> str:
    code = match.group(1)
    if len(code) == 5:
        return chr(int(code[1:], 16))
    if code not in _ESCAPES:
        raise malformed(f"Invalid string literal: illegal character sequence '\\{code}' in string literal")
    return _ESCAPES[code]
