"""Encrypts every encrypted column anew with the first key, while the system runs.

The columns are found among the installed models. Values are read and swapped batch by batch: a value is replaced only if it is
still the one that was read, so a token that was renewed meanwhile is never put back. Rows that somebody holds are passed over
and taken one by one at the end. A pass that was broken off is simply begun again: what has the first key already is only looked at.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.apps import apps
from django.conf import settings
from django.db import connection as database
from django.db.models import Field, Model
from encrypted_model_fields.fields import EncryptedMixin

AT_ONCE = 200
TRIES = 5
"""For a row that changes again and again under our hands."""


@dataclasses.dataclass(slots=True)
class Column:
    """What became of the values of one column. `busy` and `unreadable` hold the ids of rows."""

    model: str
    field: str
    rotated: int = 0
    current: int = 0
    """Had the first key already."""
    busy: list[str] = dataclasses.field(default_factory=list)
    unreadable: list[str] = dataclasses.field(default_factory=list)
    """No key opens them."""

    @property
    def is_done(self) -> bool:
        return not (self.busy or self.unreadable)


class Keys:
    """The keys of the settings: the first encrypts, all decrypt."""

    def __init__(self) -> None:
        keys = [Fernet(key) for key in settings.FIELD_ENCRYPTION_KEY]
        self._first, self._all = keys[0], MultiFernet(keys)

    def renewed(self, value: str) -> str:
        """The same secret under the first key; the value itself if it has that key. Raises InvalidToken if no key opens it."""
        token = value.encode()
        try:
            self._first.decrypt(token)
        except InvalidToken:
            return self._all.rotate(token).decode()
        return value


def encrypted_columns() -> Iterator[tuple[type[Model], "Field[Any, Any]"]]:
    for model in apps.get_models():
        if model._meta.managed and not model._meta.proxy:
            yield from ((model, one) for one in model._meta.local_concrete_fields if isinstance(one, EncryptedMixin))


def rotate(at_once: int = AT_ONCE) -> list[Column]:
    """Goes through every encrypted column. Safe to repeat and to break off."""
    keys = Keys()
    return [_rotate(_Table(model, one), keys, at_once) for model, one in encrypted_columns()]


def _rotate(table: "_Table", keys: Keys, at_once: int) -> Column:
    done = Column(table.model._meta.label, table.field.name)
    last: Any = None
    passed_over: list[Any] = []
    while rows := table.read(last, at_once):
        last = rows[-1][0]
        stale = list(_stale(rows, keys, done))
        swapped = set(table.swap(stale))
        done.rotated += len(swapped)
        passed_over += [pk for pk, _old, _new in stale if pk not in swapped]
    for pk in passed_over:
        _rotate_one(table, pk, keys, done)
    return done


def _stale(rows: Sequence[tuple[Any, str]], keys: Keys, done: Column) -> Iterator[tuple[Any, str, str]]:
    for pk, old in rows:
        try:
            new = keys.renewed(old)
        except InvalidToken:
            done.unreadable.append(str(pk))
            continue
        if new == old:
            done.current += 1
        else:
            yield pk, old, new


def _rotate_one(table: "_Table", pk: Any, keys: Keys, done: Column) -> None:
    """Waits for whoever holds the row, and for no other row meanwhile."""
    for _ in range(TRIES):
        old = table.value(pk)
        if old is None:  # gone by now
            return
        stale = list(_stale([(pk, old)], keys, done))
        if not stale:
            return
        if table.swap(stale, wait=True):
            done.rotated += 1
            return
    done.busy.append(str(pk))


class _Table:
    """One column in the database's own form, past the field that would decrypt it. Every statement commits by itself."""

    def __init__(self, model: type[Model], one: "Field[Any, Any]") -> None:
        self.model, self.field = model, one
        key = model._meta.pk
        quote = database.ops.quote_name
        self._names = {
            "table": quote(model._meta.db_table),
            "pk": quote(str(key.column)),
            "col": quote(one.column or one.name),
        }
        self._pk_type = key.rel_db_type(database)

    def read(self, after: Any, limit: int) -> list[tuple[Any, str]]:
        further = "" if after is None else "AND {pk} > %s"
        sql = f"SELECT {{pk}}, {{col}} FROM {{table}} WHERE {{col}} IS NOT NULL {further} ORDER BY {{pk}} LIMIT %s"  # noqa: S608 - names of our own models
        return self._rows(sql, [*([] if after is None else [after]), limit])

    def value(self, pk: Any) -> str | None:
        found = self._rows("SELECT {col} FROM {table} WHERE {pk} = %s", [pk])
        return found[0][0] if found else None

    def swap(self, stale: Sequence[tuple[Any, str, str]], *, wait: bool = False) -> list[Any]:
        """Replaces values that are still the old ones. Returns the rows where that was so; those in use only if `wait`."""
        if not stale:
            return []
        sql = f"""
            WITH wanted AS (
                SELECT * FROM unnest(%s::{self._pk_type}[], %s::text[], %s::text[]) AS one (pk, old, new)
            ), held AS (
                SELECT stored.{{pk}} AS pk FROM {{table}} stored JOIN wanted ON stored.{{pk}} = wanted.pk
                WHERE stored.{{col}} = wanted.old ORDER BY 1 FOR UPDATE OF stored {"" if wait else "SKIP LOCKED"}
            )
            UPDATE {{table}} stored SET {{col}} = wanted.new FROM wanted JOIN held ON held.pk = wanted.pk
            WHERE stored.{{pk}} = wanted.pk AND stored.{{col}} = wanted.old
            RETURNING stored.{{pk}}
        """  # noqa: S608 - names of our own models
        return [row[0] for row in self._rows(sql, [list(part) for part in zip(*stale, strict=True)])]

    def _rows(self, sql: str, params: Sequence[Any]) -> list[Any]:
        with database.cursor() as cursor:
            cursor.execute(sql.format(**self._names), params)
            return list(cursor.fetchall())
