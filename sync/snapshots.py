"""Keeps what each linked record looked like in its CRM, so that another mapping can be tried, and applied, without asking the CRM.

A snapshot is written with the page that brought the record, in one statement a page and only where something changed. Once we
have written to a record ourselves its snapshot is forgotten until the CRM shows the record again: it would look like a change.
The time of the last change stands on the link, so a snapshot is nothing but the fields.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection as database
from django.utils import timezone

from integrations.models import CrmConnection
from integrations.records.remote import RemoteRecord
from integrations.registry import provider_class
from mapping.compiled import CompiledMapping
from mapping.places import MISSING, Place
from sync import link_states, values
from sync.models import Contact, RecordSnapshot, SyncRecord
from sync.page import Work

CONTACTS = Contact._meta.db_table
_ADD = "COPY record_snapshots (record_id, tenant_id, fields, taken_at) FROM STDIN"
_KEEP = """
INSERT INTO record_snapshots AS held (record_id, tenant_id, fields, taken_at)
SELECT record_id, %s, fields, statement_timestamp() FROM json_to_recordset(%s::json) AS page (record_id uuid, fields jsonb)
ON CONFLICT (record_id) DO UPDATE SET fields = excluded.fields, taken_at = excluded.taken_at
WHERE held.fields IS DISTINCT FROM excluded.fields
"""


def keep(connection: CrmConnection, works: Iterable[Work], links: Iterable[SyncRecord], *, partial: bool) -> None:
    """Remembers the records of a page, whose new and changed `links` are stored already. `partial` ones bring some fields only."""
    written = {link.crm_record_id: link for link in links}
    page: dict[UUID, Mapping[str, Any]] = {}
    new: list[Sequence[Any]] = []
    now = timezone.now()
    for work in works:
        link = written.get(work.record.id, work.link)
        if link is None or work.contact is None or not work.newer:
            continue
        if work.link is None and not partial:
            new.append((link.pk, connection.tenant_id, values.json_text(work.record.fields), now))
        else:
            page[link.pk] = values.storable(work.record.fields)
    _add(new)
    if partial:
        page = _completed(page)
    if page:
        rows = [{"record_id": pk, "fields": fields} for pk, fields in page.items()]
        with database.cursor() as sql:
            sql.execute(_KEEP, [connection.tenant_id, json.dumps(rows, ensure_ascii=False, default=str)])


def _add(rows: Sequence[Sequence[Any]]) -> None:
    """Those of records that were linked just now: nothing is held of them."""
    if rows:
        with database.wrap_database_errors, database.cursor() as sql, sql.copy(_ADD) as target:
            for row in rows:
                target.write_row(row)


def _completed(page: Mapping[UUID, Mapping[str, Any]]) -> dict[UUID, Mapping[str, Any]]:
    """What a back-fill brings is added to what is known. Without a snapshot to add to, some fields alone would be misleading."""
    held = dict(RecordSnapshot.objects.filter(pk__in=list(page)).values_list("pk", "fields"))
    return {pk: _joined(held[pk], fields) for pk, fields in page.items() if pk in held}


def _joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    joined = dict(one)
    for name, value in other.items():
        before = joined.get(name)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            joined[name] = _joined(before, value)
        else:
            joined[name] = value
    return joined


def forget(record_ids: Iterable[UUID]) -> None:
    """To be called for records that are about to look different in the CRM."""
    ids = list(record_ids)
    if ids:
        RecordSnapshot.objects.filter(pk__in=ids).delete()


# --- reading --------------------------------------------------------------------------------------------------------


@dataclass
class Slice:
    """Some linked records in the order of their ids: those that are known well enough, and those that are not."""

    known: list[RemoteRecord] = field(default_factory=list)
    lacking: list[SyncRecord] = field(default_factory=list)
    after: str = ""
    """Where the next slice begins; empty at the end."""

    @property
    def size(self) -> int:
        return len(self.known) + len(self.lacking)


def kinds_of(connection: CrmConnection) -> Sequence[str]:
    """The kinds of records that stand for people in this CRM."""
    return provider_class(connection.provider).person_types


def linked(connection: CrmConnection, object_type: str) -> Any:
    """The links of the records that a mapping has something to say about."""
    return SyncRecord.objects.filter(
        tenant_id=connection.tenant_id,
        crm_provider=connection.provider,
        crm_object_type=object_type,
        local_table=CONTACTS,
        local_record_id__isnull=False,
    ).exclude(metadata__has_any_keys=list(link_states.NO_LONGER_THERE))


def read(
    connection: CrmConnection, object_type: str, mapping: CompiledMapping, *, after: str = "", limit: int = 500
) -> Slice:
    """The next records as the CRM showed them last. `mapping` says which fields have to be known."""
    rows = linked(connection, object_type).filter(crm_record_id__gt=after).select_related("snapshot")
    links = list(rows.order_by("crm_record_id")[:limit])
    found = Slice(after=links[-1].crm_record_id if len(links) == limit else "")
    for link in links:
        fields, changed_at = link.snapshot.fields if hasattr(link, "snapshot") else None, link.last_crm_modified_at
        if fields is None or changed_at is None or any(unknown(mapping, fields)):
            found.lacking.append(link)
        else:
            found.known.append(_record(link, fields, changed_at))
    return found


def unknown(mapping: CompiledMapping, fields: Mapping[str, Any]) -> Iterator[str]:
    """Dialer fields whose place in the CRM the snapshot says nothing of."""
    for row in mapping.rows:
        if row.reads and not all(told(place, fields) for place in row.path.places):
            yield row.field.key


def told(place: Place, fields: Mapping[str, Any]) -> bool:
    """Whether the fields say what is there. A list that is there is complete: an entry that it lacks does not exist."""
    root = place.segments[0].name
    return root in fields and (place.list_depth is not None or place.get(dict(fields)) is not MISSING)


def _record(link: SyncRecord, fields: Mapping[str, Any], changed_at: datetime) -> RemoteRecord:
    return RemoteRecord(
        link.crm_object_type,
        link.crm_record_id,
        fields,
        changed_at,
        url=link.url,
        inactive="inactive" in link.metadata,
    )


def any_of(connections: Sequence[CrmConnection]) -> bool:
    """Whether anything of these connections was kept yet."""
    ids = [one.pk for one in connections]
    return bool(RecordSnapshot.objects.filter(record__connection__in=ids).exists())
