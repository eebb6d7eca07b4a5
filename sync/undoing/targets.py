"""What a run or a mapping version changed, written down as the items of an undo in a few statements.

For each value of a contact: what it was before the last unbroken row of the target's own changes, and what they made of it. The
same for each field of a CRM record, from what was remembered of the writes. A mapping version takes the later ones with it, and
only the fields whose rows differ between the version that comes back and any of those that go.

The items' `facts` are: for a value `last` (id of the newest change), `source` and `connection` (who set it), `rule` (of the oldest
change) and `born` (the contact was made with it); for what was sent `known`, `agreed` and `first`, as in `SentValue`.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import connection as database
from django.db.models import Q

from integrations.models import CrmConnection
from mapping.models import MappingVersion
from sync.backfilling import is_outbound
from sync.folding import FOLDED
from sync.models import Undo
from sync.pushes import CONTACTS

RULE = "undone"
"""The history's name for the rule by which an undo sets a value."""
NO_VALUES = ["*", "deleted_at", FOLDED]


def concerned(version: MappingVersion) -> tuple[MappingVersion | None, MappingVersion, list[str]]:
    """The version that comes back (None: there is none), the newest one, and the fields that differ in between."""
    rows = MappingVersion.objects.filter(tenant_id=version.tenant_id, crm_provider=version.crm_provider)
    before = rows.filter(number__lt=version.number).order_by("-number").first()
    since = list(rows.filter(number__gte=version.number).order_by("number"))
    fields: set[str] = set()
    for one in since if before else ():
        fields |= differing_fields(before.rows, one.rows) if before else set()
    return before, since[-1], sorted(fields)


def differing_fields(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> set[str]:
    first = {row["dialer_field"]: row for row in one}
    second = {row["dialer_field"]: row for row in other}
    return {name for name in {*first, *second} if first.get(name) != second.get(name)}


def connections_of(undo: Undo) -> list[UUID]:
    """Those through which the version spoke."""
    rows = CrmConnection.objects.filter(tenant_id=undo.tenant_id, provider=undo.connection.provider)
    return list(rows.values_list("pk", flat=True))


def list_items(undo: Undo) -> int:
    """Writes down what has to be looked at. Again later, it adds what came since. Returns how many items that made."""
    terms = {**_terms(undo), "tenant": undo.tenant_id, "undo": undo.pk, "no_values": NO_VALUES, "table": CONTACTS}
    statements = [
        _VALUES.format(mine=_VERSION_FIELDS if undo.back_to_id else _RUN, net="true" if undo.back_to_id else _NET)
    ]
    if undo.back_to_id:
        statements += [_BORN, _SENT.format(mine=_SENT_BY_VERSION)]
    else:
        statements += [_CREATED, _REMOVED]
        if undo.of_run and is_outbound(undo.of_run):
            statements.append(_SENT.format(mine="s.run_id = %(run)s"))
    with database.cursor() as sql:
        made = 0
        for statement in statements:
            sql.execute(statement, terms)
            made += sql.rowcount
    return made


def _terms(undo: Undo) -> dict[str, Any]:
    if not undo.back_to_id:
        return {"run": undo.of_run_id}
    first, last = _numbers(undo)
    return {"connections": connections_of(undo), "first": first, "last": last, "fields": list(undo.fields)}


def _numbers(undo: Undo) -> tuple[int, int]:
    """The first and the last version that go."""
    if undo.of_version is None or undo.through is None:
        raise ValueError("This undo is not about a mapping version.")
    return undo.of_version.number, undo.through.number


def is_by(undo: Undo) -> Q:
    """Changes in the history that are the target's own."""
    if not undo.back_to_id:
        return Q(run_id=undo.of_run_id)
    return Q(connection__in=connections_of(undo), mapping_version__range=_numbers(undo))


_RUN = "c.run_id = %(run)s"
_VERSION = "c.connection_id = ANY(%(connections)s) AND c.mapping_version BETWEEN %(first)s AND %(last)s"
_VERSION_FIELDS = f"{_VERSION} AND c.field = ANY(%(fields)s)"
_SENT_BY_VERSION = """
s.connection_id = ANY(%(connections)s) AND s.mapping_version BETWEEN %(first)s AND %(last)s AND s.field = ANY(%(fields)s)
"""
_NET = "one.old IS DISTINCT FROM two.new AND NOT EXISTS (SELECT 1 FROM born WHERE born.contact_id = ends.contact_id)"
"""For a run: what it changed and changed back is no change, and contacts that it made are another matter."""

_VALUES = """
WITH mine AS MATERIALIZED (
    SELECT c.id, c.contact_id, c.field FROM field_changes c WHERE c.tenant_id = %(tenant)s AND {mine}
), born AS (SELECT contact_id FROM mine WHERE field = '*'),
newest AS (
    SELECT contact_id, field, max(id) AS last FROM mine WHERE field <> ALL(%(no_values)s) GROUP BY contact_id, field
), broken AS (
    SELECT newest.*, (
        SELECT max(c.id) FROM field_changes c
        WHERE c.contact_id = newest.contact_id AND c.field = newest.field AND c.id < newest.last AND ({mine}) IS NOT TRUE
    ) AS other FROM newest
), ends AS (
    SELECT broken.contact_id, broken.field, broken.last, min(mine.id) AS first
    FROM broken JOIN mine USING (contact_id, field) WHERE mine.id > coalesce(broken.other, 0)
    GROUP BY broken.contact_id, broken.field, broken.last
)
INSERT INTO undo_items AS held (tenant_id, undo_id, kind, contact_id, field, old, new, facts)
SELECT %(tenant)s, %(undo)s, 'value', ends.contact_id, ends.field, one.old, two.new, jsonb_build_object(
    'last', ends.last, 'source', two.source, 'connection', two.connection_id, 'rule', one.rule
)
FROM ends JOIN field_changes one ON one.id = ends.first JOIN field_changes two ON two.id = ends.last
WHERE {net}
ON CONFLICT (undo_id, kind, contact_id, field, record_id, path) DO UPDATE
SET old = excluded.old, new = excluded.new, facts = excluded.facts, state = 'waiting', reason = ''
WHERE (held.facts ->> 'last')::bigint < (excluded.facts ->> 'last')::bigint
"""
_BORN = f"""
INSERT INTO undo_items AS held (tenant_id, undo_id, kind, contact_id, field, old, new, facts)
SELECT %(tenant)s, %(undo)s, 'value', c.contact_id, told.key, NULL, told.value, jsonb_build_object(
    'last', c.id, 'source', c.source, 'connection', c.connection_id, 'rule', '', 'born', true
)
FROM field_changes c CROSS JOIN LATERAL jsonb_each(c.new) AS told
WHERE c.tenant_id = %(tenant)s AND {_VERSION} AND c.field = '*' AND jsonb_typeof(c.new) = 'object'
  AND told.key = ANY(%(fields)s)
ON CONFLICT (undo_id, kind, contact_id, field, record_id, path) DO UPDATE
SET facts = held.facts || '{{"born": true}}' WHERE NOT held.facts ? 'born'
"""  # noqa: S608 - made of constants
_CREATED = """
INSERT INTO undo_items (tenant_id, undo_id, kind, contact_id, field, new)
SELECT DISTINCT ON (c.contact_id) %(tenant)s, %(undo)s::uuid, 'created', c.contact_id, '*', c.new FROM field_changes c
WHERE c.tenant_id = %(tenant)s AND c.run_id = %(run)s AND c.field = '*'
ON CONFLICT DO NOTHING
"""
_REMOVED = """
INSERT INTO undo_items (tenant_id, undo_id, kind, contact_id, field, new)
SELECT DISTINCT ON (c.contact_id) %(tenant)s, %(undo)s::uuid, 'removed', c.contact_id, 'deleted_at', c.new FROM field_changes c
WHERE c.tenant_id = %(tenant)s AND c.run_id = %(run)s AND c.field = 'deleted_at' AND c.new IS NOT NULL
ORDER BY c.contact_id, c.id DESC
ON CONFLICT DO NOTHING
"""
_SENT = """
WITH mine AS (
    SELECT s.*, lag(s.value) OVER (PARTITION BY s.record_id, s.field, s.path ORDER BY s.id) AS before,
        row_number() OVER (PARTITION BY s.record_id, s.field, s.path ORDER BY s.id) AS number
    FROM sent_values s WHERE s.tenant_id = %(tenant)s AND {mine}
), parted AS (
    SELECT mine.*, count(*) FILTER (WHERE number > 1 AND before IS DISTINCT FROM agreed)
        OVER (PARTITION BY record_id, field, path ORDER BY id) AS part
    FROM mine
), rows AS (
    SELECT DISTINCT ON (record_id, field, path) record_id, field, path,
        (array_agg(old ORDER BY id))[1] AS old, (array_agg(new ORDER BY id DESC))[1] AS new,
        (array_agg(known ORDER BY id))[1] AS known, (array_agg(agreed ORDER BY id))[1] AS agreed,
        (array_agg(first ORDER BY id))[1] AS first, max(at) AS at
    FROM parted GROUP BY record_id, field, path, part ORDER BY record_id, field, path, part DESC
)
INSERT INTO undo_items (tenant_id, undo_id, kind, contact_id, record_id, field, path, old, new, facts)
SELECT %(tenant)s, %(undo)s, 'sent', link.local_record_id, link.id, rows.field, rows.path, rows.old, rows.new,
    jsonb_build_object('known', rows.known, 'agreed', rows.agreed, 'first', rows.first, 'at', rows.at)
FROM rows JOIN crm_sync_records link ON link.id = rows.record_id
WHERE link.local_record_id IS NOT NULL AND link.local_table = %(table)s
ON CONFLICT DO NOTHING
"""
