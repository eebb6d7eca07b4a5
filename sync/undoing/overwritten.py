"""Remembers what was written to the CRMs over what, in the CRM's own values, so that it can be taken back exactly.

One row for each record, field, mapping version and run: the value before the first of several writes in a row, and the last one
written. What the CRM held before is seen for nothing where a record is read before it is written, and in its snapshot. Only a
back-fill that writes a field into records for the first time reads it there before, in the CRM's best batches.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import connection as database

from integrations import errors
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from mapping.compiled import CompiledMapping
from mapping.places import MISSING
from mapping.rows import CompiledRow
from sync import snapshots
from sync.models import Lane, RecordSnapshot, SentValue

if TYPE_CHECKING:
    from sync.outgoing import Change

KEPT_FOR = timedelta(days=90)
DELETED_AT_ONCE = 10_000
Fields = Mapping[str, Any]
Told = dict[str, Any]
"""One value of a write: field, path, new, mapping version, and `old` where that is known."""
WAIT = (errors.Retry, errors.Throttled, errors.Reconnect)


# --- what is there before -------------------------------------------------------------------------------------------


def before(
    provider: CrmProvider,
    kind: str,
    engine: CompiledMapping,
    changes: Sequence["Change"],
    present: Mapping[str, Fields],
) -> dict[str, list[Fields]]:
    """Record id → what is known of the record's present fields, the surest source first."""
    rows = {row.field.key: row for row in engine.rows if row.writes}
    known: dict[str, list[Fields]] = {
        one.link.crm_record_id: [present[one.link.crm_record_id]] if one.link.crm_record_id in present else []
        for one in changes
        if one.link and one.fields
    }
    lacking = _lacking(changes, rows, known)
    shown = RecordSnapshot.objects.filter(pk__in=[one.link.pk for one in lacking if one.link]) if lacking else ()
    by_link = {row.pk: row.fields for row in shown}
    for one in lacking:
        if one.link and one.link.pk in by_link:
            known[one.link.crm_record_id].append(by_link[one.link.pk])
    new = [one for one in _lacking(lacking, rows, known) if one.job.lane == Lane.BACKFILL and _is_first(one)]
    for record_id, fields in _read(provider, kind, new, rows).items():
        known[record_id].append(fields)
    return known


def _lacking(
    changes: Iterable["Change"], rows: Mapping[str, CompiledRow], known: Mapping[str, Sequence[Fields]]
) -> list["Change"]:
    return [
        one
        for one in changes
        if one.link and not all(_says(known[one.link.crm_record_id], rows[name]) for name in one.fields if name in rows)
    ]


def _is_first(change: "Change") -> bool:
    """The field was never agreed on, so nobody knows what it holds there."""
    return change.link is not None and any(name not in change.link.base for name in change.fields)


def _read(
    provider: CrmProvider, kind: str, changes: Sequence["Change"], rows: Mapping[str, CompiledRow]
) -> dict[str, Fields]:
    """Not being allowed to see a field is no reason not to write it."""
    ids = [one.link.crm_record_id for one in changes if one.link]
    paths = dict.fromkeys(str(rows[name].path.places[0]) for one in changes for name in one.fields if name in rows)
    if not ids:
        return {}
    try:
        return {record.id: record.fields for record in provider.fetch(kind, ids, tuple(paths)).records}
    except WAIT:
        raise
    except errors.CrmError:
        return {}


def _says(sources: Sequence[Fields], row: CompiledRow) -> bool:
    return any(snapshots.told(row.path.places[0], fields) for fields in sources)


# --- what is written ------------------------------------------------------------------------------------------------


def told(
    engine: CompiledMapping, version: int, fields: Iterable[str], written: Fields, sources: Sequence[Fields]
) -> list[Told]:
    """What a write says of each of the dialer's `fields`."""
    wanted, found = set(fields), []
    for row in engine.rows:
        if not row.writes or row.field.key not in wanted:
            continue
        place = row.path.places[0]
        new = place.get(written)
        one: Told = {"field": row.field.key, "path": str(place), "new": _plain(new), "version": version}
        source = next((fields for fields in sources if snapshots.told(place, fields)), None)
        if source is not None:
            one["old"] = _plain(place.get(dict(source)))
        if new is not MISSING:
            found.append(one)
    return found


def _plain(value: Any) -> Any:
    return None if value is MISSING else value


_IN_A_ROW = "held.value IS NOT DISTINCT FROM excluded.agreed AND held.path = excluded.path"
_REMEMBER = f"""
INSERT INTO sent_values AS held (
    tenant_id, connection_id, record_id, field, path, old, known, new, agreed, first, value, mapping_version, run_id, at
)
SELECT %(tenant)s, %(connection)s, given.record_id, given.field, given.path,
    CASE WHEN given.known THEN given.old ELSE earlier.new END, given.known OR earlier.id IS NOT NULL,
    given.new, given.agreed, given.value, given.value, given.version, given.run_id, statement_timestamp()
FROM jsonb_to_recordset(%(rows)s::jsonb) AS given (
    record_id uuid, field text, path text, old jsonb, known boolean, new jsonb, agreed jsonb, value jsonb, version int,
    run_id bigint
)
LEFT JOIN LATERAL (
    SELECT id, new FROM sent_values
    WHERE record_id = given.record_id AND field = given.field AND path = given.path AND value = given.agreed
    ORDER BY at DESC LIMIT 1
) AS earlier ON NOT given.known
ON CONFLICT (record_id, field, mapping_version, run_id) DO UPDATE SET
    old = CASE WHEN {_IN_A_ROW} THEN held.old ELSE excluded.old END,
    known = CASE WHEN {_IN_A_ROW} THEN held.known ELSE excluded.known END,
    agreed = CASE WHEN {_IN_A_ROW} THEN held.agreed ELSE excluded.agreed END,
    first = CASE WHEN {_IN_A_ROW} THEN held.first ELSE excluded.first END,
    path = excluded.path, new = excluded.new, value = excluded.value, at = excluded.at
"""  # noqa: S608 - made of constants
"""Writes in a row count as one: nobody else moved the value in between."""


def remember(connection: CrmConnection, changes: Iterable["Change"]) -> None:
    """To be called with what the CRM took, before the bases of the links move."""
    rows = [
        {
            "record_id": str(change.link.pk),
            "field": one["field"],
            "path": one["path"],
            "old": one.get("old"),
            "known": "old" in one,
            "new": one["new"],
            "agreed": change.link.base.get(one["field"]),
            "value": change.fields[one["field"]],
            "version": one["version"],
            "run_id": change.job.run_id,
        }
        for change in changes
        if change.link is not None and change.written is not None and change.written.error is None
        for one in change.told
        if one["field"] in change.fields
    ]
    store(connection, rows)


def store(connection: CrmConnection, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        terms: dict[str, Any] = {
            "tenant": connection.tenant_id,
            "connection": connection.pk,
            "rows": json.dumps(rows, ensure_ascii=False, default=str),
        }
        with database.cursor() as sql:
            sql.execute(_REMEMBER, terms)


# --- forgetting -----------------------------------------------------------------------------------------------------


def forget_old(now: datetime) -> int:
    """Deletes what was written so long ago that nobody takes it back any more. Returns how many."""
    deleted = 0
    while True:
        ids = list(SentValue.objects.filter(at__lt=now - KEPT_FOR).values_list("pk", flat=True)[:DELETED_AT_ONCE])
        deleted += SentValue.objects.filter(pk__in=ids).delete()[0] if ids else 0
        if len(ids) < DELETED_AT_ONCE:
            return deleted
