"""Looks up whom the records of a page may be: one statement per strategy for the whole page, each answered by an index.

Whoever already stands for a record of the same connection is left out. A number or address that more people share than
`MOST_SHARING` says nothing about any of them: a switchboard is not a person.
"""

import json
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection as database

from integrations.models import CrmConnection
from sync import link_states
from sync.matching import Candidate

MOST_SHARING = 20
MOST_ALIKE = 5
"""Contacts of similar name and company that are shown for a record."""
FEW = 25
"""For so many records alike people are simply looked for; for more it is asked first whether there is anybody to find."""
KNOWN_FOR = 600.0
"""Seconds for which it is remembered whether there is anybody to find."""

_COLUMNS = "c.id, c.email, c.phone, c.mobile_phone, c.last_name, c.first_name, c.company"
# Written so that no index on the connection answers it: as long as the server knows no figures of a table that is being filled,
# it takes all records of the connection for a handful, and would go through them for each contact.
_FREE = """NOT EXISTS (
        SELECT FROM crm_sync_records r
        WHERE r.connection_id IS NOT DISTINCT FROM %(connection)s AND r.local_record_id = c.id AND r.local_table = 'contacts'
            AND NOT r.metadata ?| %(gone)s)"""
_STORED_ID = """
SELECT wanted.key, @columns
FROM json_array_elements_text(%(keys)s::json) AS wanted(key) CROSS JOIN LATERAL (
    SELECT * FROM contacts c
    WHERE c.tenant_id = %(tenant)s AND c.custom ? 'crm_record_id' AND c.custom ->> 'crm_record_id' = wanted.key
        AND COALESCE(c.custom ->> 'crm_provider', %(provider)s) = %(provider)s AND c.deleted_at IS NULL AND @free
    LIMIT %(most)s) AS c
"""
_EMAIL = """
SELECT wanted.key, @columns
FROM json_array_elements_text(%(keys)s::json) AS wanted(key) CROSS JOIN LATERAL (
    SELECT * FROM contacts c
    WHERE c.tenant_id = %(tenant)s AND c.email = wanted.key AND c.email <> '' AND c.deleted_at IS NULL AND @free
    LIMIT %(most)s) AS c
"""
_PHONE = """
SELECT wanted.key, @columns
FROM json_array_elements_text(%(keys)s::json) AS wanted(key) CROSS JOIN LATERAL (
    SELECT * FROM (
        SELECT * FROM contacts WHERE tenant_id = %(tenant)s AND phone = wanted.key AND phone <> ''
        UNION ALL
        SELECT * FROM contacts
        WHERE tenant_id = %(tenant)s AND mobile_phone = wanted.key AND mobile_phone <> '' AND phone <> wanted.key
    ) AS c
    WHERE c.deleted_at IS NULL AND @free
    LIMIT %(most)s) AS c
"""
# A key is compared up to its 200th character: levenshtein() takes at most 255.
_ALIKE = """
SELECT wanted.number, c.id, c.likeness
FROM (
    SELECT number, left(dialbridge_match_key(first_name, last_name, company), 200) AS key,
        dialbridge_match_pairs(%(tenant)s, first_name, last_name, company) AS pairs
    FROM unnest(%(numbers)s::int[], %(first)s::text[], %(last)s::text[], %(company)s::text[])
        AS one(number, first_name, last_name, company)
    OFFSET 0
) AS wanted CROSS JOIN LATERAL (
    SELECT c.id, 1 - levenshtein(left(c.match_key, 200), wanted.key)::float8
        / GREATEST(length(left(c.match_key, 200)), length(wanted.key)) AS likeness
    FROM contacts c
    WHERE dialbridge_match_pairs(c.tenant_id, c.first_name, c.last_name, c.company) && wanted.pairs
        AND c.tenant_id = %(tenant)s AND c.match_key <> '' AND c.deleted_at IS NULL
        AND NOT c.id = ANY(%(besides)s) AND @free
    ORDER BY likeness DESC, c.id LIMIT %(most)s
) AS c
WHERE wanted.key <> '' AND c.likeness >= %(threshold)s
ORDER BY wanted.number, c.likeness DESC
"""
_ANYBODY = """
SELECT EXISTS (
    SELECT FROM contacts c
    WHERE c.tenant_id = %(tenant)s AND c.change_xid >= %(since)s AND c.match_key <> '' AND c.deleted_at IS NULL AND @free
), pg_snapshot_xmin(pg_current_snapshot())::text::bigint + dialbridge_feed_offset()
"""


def _filled(statement: str) -> str:
    return statement.replace("@columns", _COLUMNS).replace("@free", _FREE)


def exact(connection: CrmConnection, records: Mapping[str, Mapping[str, Any]]) -> list[Candidate]:
    """Whoever shares a stored CRM id, an e-mail or a phone with these records (CRM id → dialer values)."""
    emails = {str(one.get("email") or "").lower() for one in records.values()} - {""}
    phones = {str(one.get(name) or "") for one in records.values() for name in ("phone", "mobile_phone")} - {""}
    ids: dict[UUID, set[str]] = {}
    rows: dict[UUID, Sequence[Any]] = {}
    for key, row in _telling(_STORED_ID, connection, list(records)):
        ids.setdefault(row[0], set()).add(key)
        rows[row[0]] = row
    for statement, keys in ((_EMAIL, emails), (_PHONE, phones)):
        rows |= {row[0]: row for _key, row in _telling(statement, connection, keys)}
    return [
        Candidate(pk, email, frozenset({phone, mobile} - {""}), last, first, company, frozenset(ids.get(pk, ())))
        for pk, email, phone, mobile, last, first, company in rows.values()
    ]


def _telling(statement: str, connection: CrmConnection, keys: Collection[str]) -> list[tuple[str, Sequence[Any]]]:
    """The rows found, by key, without those of keys that too many share."""
    if not keys:
        return []
    order: dict[str, Any] = {
        "keys": json.dumps(sorted(keys)), "tenant": connection.tenant_id, "connection": connection.pk,
        "provider": connection.provider, "most": MOST_SHARING + 1, "gone": list(link_states.NO_LONGER_THERE),
    }  # fmt: skip
    with database.cursor() as sql:
        sql.execute(_filled(statement), order)
        found = [(row[0], row[1:]) for row in sql.fetchall()]
    sharing = Counter(key for key, _row in found)
    return [(key, row) for key, row in found if sharing[key] <= MOST_SHARING]


def alike(
    connection: CrmConnection, people: Sequence[Mapping[str, Any]], threshold: float, *, besides: Collection[UUID] = ()
) -> dict[int, list[tuple[UUID, float]]]:
    """For each of these people (dialer values), by position: contacts of nearly the same name and company, the most alike first.

    Only who has a first name, a last name and a company is looked for, among those who share two of the three (of the company its
    beginning). `besides` are contacts that are not meant.
    """
    named = [(at, one) for at, one in enumerate(people) if all(one.get(name) for name in _NAMED)]
    order: dict[str, Any] = {
        "tenant": connection.tenant_id, "connection": connection.pk, "besides": list(besides), "threshold": threshold,
        "gone": list(link_states.NO_LONGER_THERE),
        "most": MOST_ALIKE, "numbers": [at for at, _one in named],
        "first": [str(one["first_name"]) for _at, one in named], "last": [str(one["last_name"]) for _at, one in named],
        "company": [str(one["company"]) for _at, one in named],
    }  # fmt: skip
    if not named or (len(named) > FEW and not _anybody(connection.pk, order)):
        return {}
    found: dict[int, list[tuple[UUID, float]]] = {}
    with database.cursor() as sql:
        sql.execute(_filled(_ALIKE), order)
        for at, pk, likeness in sql.fetchall():
            found.setdefault(at, []).append((pk, likeness))
    return found


_NAMED = ("first_name", "last_name", "company")


@dataclass(slots=True)
class _Known:
    """Whether somebody is to be found among those who changed before the transaction `since`."""

    somebody: bool
    since: int
    until: float


_known: dict[UUID, _Known] = {}


def _anybody(connection_id: UUID, order: Mapping[str, Any]) -> bool:
    """Whether any contact doesn't stand for a record of the connection yet: during a first load there is mostly none.

    Looking through all contacts takes seconds where there are a million, so the next look is at those that changed meanwhile. Who
    lost their record without a change of their own is seen when the memory ends.
    """
    known = _known.get(connection_id)
    if known is None or known.until < time.monotonic():
        known = _known[connection_id] = _Known(somebody=False, since=0, until=time.monotonic() + KNOWN_FOR)
    if not known.somebody:
        with database.cursor() as sql:
            sql.execute(_filled(_ANYBODY), {**order, "since": known.since})
            known.somebody, known.since = sql.fetchone()
    return known.somebody
