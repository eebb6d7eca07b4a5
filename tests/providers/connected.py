"""A connected tenant without connecting each time: what connecting left behind is kept, and laid down again for later tests.

Kept are the sandbox with all it remembers and every row that came into being. Whoever gets them has a server, a port, a tenant
and ids of their own, so that nothing which a process remembers by id or address reaches from one test into another.
"""

import io
import json
import pickle
import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Condition, RLock
from types import FunctionType
from typing import Any
from uuid import UUID, uuid4

from django.db import connection as database

from integrations import connecting
from integrations.models import CrmConnection, RateWindow, Tenant
from integrations.registry import sandbox_class
from integrations.sandbox import people
from integrations.sandbox.clock import Clock
from integrations.sandbox.faults import Faults
from integrations.sandbox.http import Service
from integrations.sandbox.sender import Sender
from integrations.sandbox.server import SandboxServer
from integrations.sandbox.store import Store
from tests.providers.harness import serve

GOOD_FOR = 600.0
"""Seconds. Then somebody connects anew: the sandbox's own stamps are not moved, and what is an hour old may be treated so."""
TOKENS = "token"
"""In the name of a sandbox's collection: its documents end by the clock."""
DAY = 86_400.0
CREDENTIALS = CrmConnection._meta.db_table
LOCK = type(RLock())
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00")
MOVED = {
    ("rate_windows", "stamps"): "ARRAY(SELECT one + extract(epoch FROM %(age)s::interval) FROM unnest(stamps) AS one)",
    ("rate_windows", "blocked_until"): (
        "CASE WHEN blocked_until > 0 THEN blocked_until + extract(epoch FROM %(age)s::interval) ELSE blocked_until END"
    ),
    ("api_usage", "hour"): "date_trunc('hour', hour + %(age)s::interval)",
}
"""Moments that are not simply a column of that type."""

Rows = dict[str, list[str]]
"""By table: each row as JSON."""


@dataclass(frozen=True)
class Table:
    order: str
    """The statement that inserts its rows."""
    rows: str


@dataclass(frozen=True)
class Kept:
    at: float
    url: str
    tenant_id: str
    ids: tuple[str, ...]
    """Of rows that are made here: each test has others."""
    sandbox: bytes
    shared: tuple[Any, ...]
    """What the sandbox refers to and no test changes."""
    counts: Counter[str]
    statuses: Counter[int]
    connection: Mapping[str, Any]
    tables: tuple[Table, ...]


_kept: dict[tuple[object, ...], Kept] = {}


def connected(tenant: Tenant, slug: str, settings: Any) -> tuple[SandboxServer, CrmConnection, dict[str, Any]]:
    """A sandbox that runs, the tenant's connection to it, and its credential. The caller closes the server."""
    key = (slug, people.SHARE, tenant.region, tenant.timezone)
    kept = _kept.get(key)
    if kept is None or time.time() - kept.at > GOOD_FOR or connecting.can_be_reached():
        server = serve(sandbox_class(slug))
        credential = _point_at(server, settings)
        before = _everything()
        row, _account = connecting.connect(tenant, slug, credential)
        RateWindow.objects.filter(
            connection=row
        ).delete()  # as if it had been a while ago: no test waits for its window
        if not connecting.can_be_reached():  # else the sandbox knows an address that is good for one test
            _kept[key] = _keep(server, row, before)
        return server, row, credential
    server = _restored(kept).start()
    credential = _point_at(server, settings)
    return server, _laid_down(kept, tenant, server.url), credential


def _point_at(server: SandboxServer, settings: Any) -> dict[str, Any]:
    for name, value in server.service.environment(server.url).items():
        setattr(settings, name, value)
    settings.CRM_ALLOWED_HOSTS = [server.url.removeprefix("http://")]
    return server.service.credential(server.url)


def _keep(server: SandboxServer, row: CrmConnection, before: Rows) -> Kept:
    after = _everything()
    assert all(set(rows) <= set(after[table]) for table, rows in before.items()), "Connecting changed what was there."
    made = {table: [one for one in rows if one not in set(before.get(table, ()))] for table, rows in after.items()}
    made = {table: rows for table, rows in made.items() if rows}
    stored = CrmConnection.objects.get(pk=row.pk)
    assert len(made.pop(CREDENTIALS)) == 1
    ids = {str(row.pk), *(value for rows in made.values() for one in rows if (value := _uuid_of(one)))}
    with server.service.store.lock:
        sandbox, shared = _pickled(server.service)
        for ours in (server.url, str(row.pk), str(row.tenant_id)):
            assert ours.encode() not in sandbox, "The sandbox knows what is different for each test."
        return Kept(
            at=time.time(),
            url=server.url,
            tenant_id=str(row.tenant_id),
            ids=tuple(ids),
            sandbox=sandbox,
            shared=shared,
            counts=server.counts.copy(),
            statuses=server.statuses.copy(),
            connection={field.attname: getattr(stored, field.attname) for field in stored._meta.concrete_fields},
            tables=_tables(made),
        )


def _uuid_of(row: str) -> str:
    value = str(json.loads(row).get("id", ""))
    return value if len(value) == len(str(uuid4())) else ""


# --- the sandbox ------------------------------------------------------------------------------------------------------


class _Pickler(pickle.Pickler):
    """Locks and threads are made anew, functions without a name are shared."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self.shared: list[Any] = []

    def persistent_id(self, obj: Any) -> int | None:
        if not isinstance(obj, FunctionType) or obj.__name__ != "<lambda>":
            return None
        self.shared.append(obj)
        return len(self.shared) - 1

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, LOCK):
            return RLock, ()
        if isinstance(obj, Condition):
            return Condition, (obj._lock,)  # type: ignore[attr-defined]
        if isinstance(obj, Sender):
            return Sender, (obj.timeout, obj.delays, obj.pace)
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def __init__(self, kept: Kept) -> None:
        super().__init__(io.BytesIO(kept.sandbox))
        self.shared = kept.shared

    def persistent_load(self, pid: Any) -> Any:
        return self.shared[pid]


def _pickled(service: Service) -> tuple[bytes, tuple[Any, ...]]:
    pickler = _Pickler(file := io.BytesIO())
    pickler.dump(service)
    return file.getvalue(), tuple(pickler.shared)


def _restored(kept: Kept) -> SandboxServer:
    service: Service = _Unpickler(kept).load()
    _renew_tokens(service.store, kept.at)
    server = SandboxServer(Service(Store(), Clock(), Faults()))  # the kept one is seeded already
    server.service, server.counts, server.statuses = service, kept.counts.copy(), kept.statuses.copy()
    return server


def _renew_tokens(store: Store, at: float) -> None:
    """As if they had just been given out: numbers near the moment of connecting are moments."""
    age = time.time() - at
    for collection in store.collections():
        for document in store.all(collection) if TOKENS in collection else ():
            for name, value in document.items():
                if isinstance(value, int | float) and abs(value - at) < DAY:
                    document[name] = value + age


# --- the database -----------------------------------------------------------------------------------------------------


def _everything() -> Rows:
    """All rows of all tables. Connecting may leave some in any."""
    tables = sorted(database.introspection.django_table_names(only_existing=True))
    looks = [f"SELECT '{one}', to_json(held)::text FROM \"{one}\" AS held" for one in tables]
    found: Rows = {}
    with database.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(looks))
        for table, row in cursor:
            found.setdefault(table, []).append(row)
    return found


_COLUMNS = """
SELECT column_name, data_type, is_identity = 'YES' OR coalesce(column_default, '') LIKE 'nextval%%'
FROM information_schema.columns WHERE table_schema = 'public' AND table_name = %s AND is_generated = 'NEVER'
"""
_LEADING = """
SELECT conrelid::regclass::text FROM pg_constraint
WHERE contype = 'f' AND confrelid = ANY(%(numbered)s::regclass[]) AND conrelid = ANY(%(made)s::regclass[])
"""


def _tables(made: Rows) -> tuple[Table, ...]:
    numbered, tables = [], []
    with database.cursor() as cursor:
        for table, rows in made.items():
            cursor.execute(_COLUMNS, [table])
            columns = cursor.fetchall()
            if any(counted for _name, _kind, counted in columns):
                numbered.append(table)
            tables.append(Table(_insert(table, columns), f"[{','.join(sorted(rows, key=_number))}]"))
        cursor.execute(_LEADING, {"numbered": numbered, "made": list(made)})
        assert not cursor.fetchall(), "A row leads to another by a number, which is a new one for each test."
    return tuple(tables)


def _number(row: str) -> int:
    """The sequence numbers them in the order in which they first came."""
    value = json.loads(row).get("id")
    return value if isinstance(value, int) else 0


def _insert(table: str, columns: list[tuple[str, str, bool]]) -> str:
    names, values = [], []
    for name, kind, counted in columns:
        if not counted:
            names.append(f'"{name}"')
            plain = f'"{name}" + %(age)s::interval' if kind == "timestamp with time zone" else f'"{name}"'
            values.append(MOVED.get((table, name), plain))
    return (
        f'INSERT INTO "{table}" ({", ".join(names)}) SELECT {", ".join(values)} '
        f'FROM json_populate_recordset(NULL::"{table}", %(rows)s::json)'
    )


def _laid_down(kept: Kept, tenant: Tenant, url: str) -> CrmConnection:
    age = timedelta(seconds=time.time() - kept.at)
    words = {**{one: str(uuid4()) for one in kept.ids}, kept.tenant_id: str(tenant.pk), kept.url: url}
    values = {name: _moved(value, words, age) for name, value in kept.connection.items()}
    row = CrmConnection(**{**values, "webhook_token": uuid4()})
    row.tenant = tenant
    row.save(force_insert=True)
    with database.cursor() as cursor:
        for table in kept.tables:
            cursor.execute(table.order, {"age": f"{age.total_seconds()} seconds", "rows": _replaced(table.rows, words)})
    return row


def _replaced(text: str, words: Mapping[str, str]) -> str:
    for old, new in words.items():
        text = text.replace(old, new)
    return text


def _moved(value: Any, words: Mapping[str, str], age: timedelta) -> Any:
    if isinstance(value, dict):
        return {name: _moved(one, words, age) for name, one in value.items()}
    if isinstance(value, list):
        return [_moved(one, words, age) for one in value]
    if isinstance(value, UUID):
        return UUID(_replaced(str(value), words))
    if isinstance(value, datetime):
        return value + age
    if isinstance(value, str):
        return (datetime.fromisoformat(value) + age).isoformat() if MOMENT.fullmatch(value) else _replaced(value, words)
    return value
