"""What was said to the CRMs and what they answered, kept for some days: it shows what no message can sum up.

`CrmApi` offers every request here. Kept with their bodies are all writes, all failures and reads of single records; of pages
that are read in masses only a line stays. Requests are collected while work is done (`noted`) and stored by one statement at its
end, also when the work fails; whoever opened no notebook stores each at once. The work says which records it is about (`about`),
so that a record finds the batches that it was part of.

No secret gets in (see `integrations.exchanges_text`). Old ones are deleted by age, and each tenant has only so much room, so that
a noisy one can't fill the disk.
"""

import json
import logging
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import requests
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from integrations.errors import CrmError
from integrations.exchanges_text import LONGEST_ADDRESS, clean, readable, spellings

log = logging.getLogger("dialbridge.exchanges")
steps = logging.getLogger("dialbridge.crm")

SINGLE_READ = 16 * 1024
"""Characters up to which what was read counts as single records."""
MOST_KEYS = 500
"""More records than that belong to a bulk job, whose parts nobody could tell apart here."""
STORED_AT_ONCE = 100
TRIM_EVERY = 2 * 1024 * 1024
"""Characters that a process stores for a connection before it looks whether its tenant has room left."""
ROW_COSTS = 300
"""Characters that a row takes by itself."""
DELETED_AT_ONCE = 5000


@dataclass(slots=True)
class _Note:
    connection_id: str
    at: str
    work: str
    method: str
    path: str
    status: int | None
    milliseconds: int
    failed: bool
    problem: str
    request: str
    response: str
    left_out: int
    keys: Sequence[str]
    size: int


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request that was sent, and what came back: an answer, or nothing but a problem."""

    connection_id: UUID
    request: requests.PreparedRequest
    response: requests.Response | None
    problem: CrmError | None
    seconds: float
    work: str
    reads: bool
    """Whether it changes nothing."""
    in_masses: bool
    """Whether it was made by work that reads page after page."""
    streamed: bool
    """Whether the answer is read by somebody else, piece by piece."""
    secrets: tuple[str, ...]

    @property
    def status(self) -> int | None:
        return self.response.status_code if self.response is not None else None

    @property
    def failed(self) -> bool:
        return self.problem is not None or (self.status or 0) >= 400


_notebook: ContextVar[list[_Note] | None] = ContextVar("notebook", default=None)
_about: ContextVar[tuple[str, ...]] = ContextVar("about", default=())


@contextmanager
def noted(keys: Collection[object] = ()) -> Iterator[None]:
    """Collects the requests made inside and stores them in the end. Not to be ended within a transaction that may fail."""
    notes: list[_Note] = []
    token = _notebook.set(notes)
    try:
        with about(*keys):
            yield
    finally:
        _notebook.reset(token)
        _store(notes)


@contextmanager
def about(*keys: object) -> Iterator[None]:
    """Says which records the requests inside are about: our ids, or the CRM's as `type:id`. It replaces what was said outside."""
    token = _about.set(tuple(map(str, keys)) if len(keys) <= MOST_KEYS else ())
    try:
        yield
    finally:
        _about.reset(token)


def record_key(object_type: str, record_id: str) -> str:
    """How a CRM's record is named among the keys."""
    return f"{object_type}:{record_id}"


def note(exchange: Exchange) -> None:
    """Keeps as much of it as is worth keeping. Never raises for the database's sake: the work matters more."""
    _tell(exchange)
    if settings.EXCHANGE_KEEP_DAYS <= 0:
        return
    notes = _notebook.get()
    if notes is None:
        _store([_noted(exchange)])
        return
    notes.append(_noted(exchange))
    if len(notes) >= STORED_AT_ONCE:
        _store(notes)
        notes.clear()


def _tell(one: Exchange) -> None:
    """A line for machines. What was asked for may name people, so only the address is told."""
    if steps.isEnabledFor(logging.INFO):
        method, path = one.request.method or "", urlsplit(one.request.url or "").path
        told = {
            "crm_method": method, "crm_path": path, "crm_status": one.status, "milliseconds": round(one.seconds * 1000),
            "cause": one.problem.cause if one.problem else None,
        }  # fmt: skip
        steps.info("%s %s %s", method, path, one.status or "without an answer", extra=told)


def _noted(one: Exchange) -> _Note:
    hidden = _spellings(one.secrets)
    parts = urlsplit(one.request.url or "")
    path, _rest = clean(parts.path + (f"?{parts.query}" if parts.query else ""), hidden, LONGEST_ADDRESS)
    request, response = _bodies(one)
    asked, asked_more = clean(request, hidden)
    answered, answered_more = clean(response, hidden)
    keys = _about.get()
    problem = one.problem.message if one.problem else ""
    return _Note(
        connection_id=str(one.connection_id),
        at=(datetime.now(UTC) - timedelta(seconds=one.seconds)).isoformat(),
        work=one.work,
        method=one.request.method or "",
        path=path,
        status=one.status,
        milliseconds=round(one.seconds * 1000),
        failed=one.failed,
        problem=clean(problem, hidden)[0],
        request=asked,
        response=answered,
        left_out=asked_more + answered_more,
        keys=keys,
        size=ROW_COSTS + len(path) + len(problem) + len(asked) + len(answered) + sum(map(len, keys)),
    )


_spellings = lru_cache(maxsize=64)(spellings)


def _bodies(one: Exchange) -> tuple[str, str]:
    """What was sent and what came back, as far as it is worth keeping."""
    content = one.response.content if one.response is not None and not one.streamed else b""
    if one.reads and not one.failed and (one.in_masses or len(content) > SINGLE_READ):
        return "", ""
    return readable(one.request.body), "(streamed)" if one.streamed else readable(content)


# --- storing --------------------------------------------------------------------------------------------------------------------

_INSERT = """
INSERT INTO api_exchanges (
    tenant_id, connection_id, at, work, method, path, status, milliseconds, failed, problem, request, response, left_out, keys, size
)
SELECT owner.tenant_id, one.connection_id, at, work, method, path, one.status, milliseconds, failed, problem, request, response,
    left_out, ARRAY(SELECT json_array_elements_text(one.keys)), size
FROM json_to_recordset(%s::json) AS one (
    connection_id uuid, at timestamptz, work text, method text, path text, status smallint, milliseconds integer, failed boolean,
    problem text, request text, response text, left_out integer, keys json, size integer
)
JOIN crm_credentials owner ON owner.id = one.connection_id
"""
_TRIM = """
DELETE FROM api_exchanges WHERE tenant_id = %(tenant)s AND id <= (
    SELECT id FROM (
        SELECT id, sum(size) OVER (ORDER BY id DESC) AS held FROM api_exchanges WHERE tenant_id = %(tenant)s
    ) AS newest
    WHERE held > %(room)s ORDER BY id DESC LIMIT 1
)
"""
_written: Counter[str] = Counter()
"""By connection: characters that this process stored since it last made room."""


def _store(notes: Sequence[_Note]) -> None:
    if not notes:
        return
    rows = json.dumps([asdict(one) for one in notes])
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_INSERT, [rows])
            _make_room(cursor, notes)
    except DatabaseError as error:
        # Only its kind: the database's own words repeat what was to be stored.
        log.error("%s requests to CRMs could not be noted: %s", len(notes), type(error).__name__)


def _make_room(cursor: Any, notes: Sequence[_Note]) -> None:
    for one in notes:
        _written[one.connection_id] += one.size
    for connection_id in {one.connection_id for one in notes}:
        if _written[connection_id] > TRIM_EVERY:
            del _written[connection_id]
            cursor.execute("SELECT tenant_id FROM crm_credentials WHERE id = %s", [connection_id])
            owner = cursor.fetchone()
            if owner:
                trim(owner[0])


def trim(tenant_id: UUID) -> int:
    """Deletes the oldest of what a tenant has more than its room. Returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(_TRIM, {"tenant": tenant_id, "room": settings.EXCHANGE_MOST_MB * 1024 * 1024})
        return int(cursor.rowcount)


# --- forgetting -----------------------------------------------------------------------------------------------------------------

_FORGET_OLD = """
DELETE FROM api_exchanges WHERE at < %(cutoff)s AND id IN (SELECT id FROM api_exchanges ORDER BY id LIMIT %(most)s)
"""
"""Rows are as old as their ids, so the oldest stand first in the table's own index, and no other is needed."""


def forget_old() -> int:
    """Deletes what is older than EXCHANGE_KEEP_DAYS, in batches that each are a transaction of their own. Returns how many."""
    cutoff = timezone.now() - timedelta(days=settings.EXCHANGE_KEEP_DAYS)
    done, found = 0, DELETED_AT_ONCE
    with connection.cursor() as cursor:
        while found == DELETED_AT_ONCE:
            cursor.execute(_FORGET_OLD, {"cutoff": cutoff, "most": DELETED_AT_ONCE})
            found = cursor.rowcount
            done += found
    return done


def forget(tenant_id: UUID, keys: Collection[object]) -> int:
    """Deletes every request of the tenant that was about one of these records, whoever else it was about. Returns how many."""
    if not keys:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM api_exchanges WHERE tenant_id = %s AND keys && %s::text[]",
            [tenant_id, [str(one) for one in keys]],
        )
        return int(cursor.rowcount)
