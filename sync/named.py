"""Contacts by their names, each way to read a name being a question that an index answers.

They are functions in the database, since behind row-level security no index answers a question about `upper(…)` or `LIKE`: a policy
comes before any condition that might tell of a row. They give ids alone, of tenants that the caller may see.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection as database

_NAMED = "SELECT id, %s FROM dialbridge_contacts_named(%s::uuid[], %s, %s, %s, %s) AS id"
_WITH_WORDS = "SELECT id, false FROM dialbridge_contacts_with_words(%s::uuid[], %s, %s) AS id"
_SPECIAL = re.compile(r"([\\%_])")


@dataclass(frozen=True, slots=True)
class Way:
    """A first name, a last name, or both; whole, or as they begin."""

    first: str = ""
    last: str = ""
    whole: bool = False


def named(tenants: Sequence[UUID], ways: Sequence[Way], most: int, *, words: Sequence[str] = ()) -> dict[UUID, bool]:
    """Contacts with such a name, and whether it is the whole name; `most` of each way.

    `words`: also names of several words, each of these being the beginning of one of them.
    """
    asked: list[str] = []
    values: list[Any] = []
    for way in ways:
        asked.append(_NAMED)
        values += [way.whole, list(tenants), _text(way.first, way), _text(way.last, way), way.whole, most]
    if words:
        asked.append(_WITH_WORDS)
        values += [list(tenants), " & ".join(f"{word}:*" for word in words), most]
    with database.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(asked), values)
        rows = cursor.fetchall()
    found: dict[UUID, bool] = {}
    for pk, whole in rows:
        found[pk] = found.get(pk, False) or whole
    return found


def _text(name: str, way: Way) -> str:
    return name if way.whole or not name else _SPECIAL.sub(r"\\\1", name) + "%"


def begins(tenant_id: UUID, text: str, most: int = 200) -> list[UUID]:
    """Contacts of a tenant whose last or first name begins so, or first and last name with the text's parts."""
    terms = text.split()
    if not terms:
        return []
    whole = " ".join(terms)
    lasts = {" ".join(terms[1:]), terms[-1]} if len(terms) > 1 else set()
    ways = [Way(last=whole), Way(first=whole), *(Way(terms[0], last) for last in sorted(lasts))]
    return list(named([tenant_id], ways, most))
