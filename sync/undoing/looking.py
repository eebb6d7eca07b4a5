"""What the CRMs hold now of the records that an undo is about, read in their best batches, and what mappings make of it.

Each record is read by two mappings: the one by which it was agreed on last, to see whether somebody edited it in the CRM since, and
the one that is in force after the undo. For a run both are the present one.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from integrations import errors
from integrations.crm import open_crm
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.transport.client import WORKER
from mapping.compiled import CompiledMapping, MappingRow
from mapping.models import MappingVersion
from mapping.paths import compile_path
from mapping.publishing import compiled
from mapping.rows import CLEAR
from sync import link_states, values
from sync.lanes import patience_for
from sync.merge import may_replace, same
from sync.models import Lane, SyncRecord, Undo, UndoItem
from sync.pushes import CONTACTS

Kind = tuple[UUID, str]
"""Connection and object type."""
NOBODY = UUID(int=0)


@dataclass(frozen=True)
class Mappings:
    """Of one kind of records: by which they were agreed on last, and which one is in force afterwards."""

    was: CompiledMapping
    now: CompiledMapping

    @property
    def reads(self) -> set[str]:
        return set(self.now.dialer_fields("inbound"))

    @property
    def writes(self) -> set[str]:
        return set(self.now.dialer_fields("outbound"))


@dataclass
class Seen:
    """One linked record."""

    link: SyncRecord
    mappings: Mappings
    own: bool
    """Whether it belongs to the CRM whose mapping version goes."""
    present: Mapping[str, Any] | None = None
    """Its fields in the CRM's words; None: it was not looked at, or not shown."""
    was: Mapping[str, Any] = field(default_factory=dict)
    now: Mapping[str, Any] = field(default_factory=dict)
    at: datetime | None = None

    def edited(self, name: str) -> bool:
        """Whether somebody gave the field another value in the CRM since both sides agreed on it."""
        if self.present is None or name not in self.was:
            return False
        theirs, base = self.was[name], self.link.base.get(name)
        rule = self.mappings.was.blank_rules.get(name, CLEAR)
        return not same(theirs, base) and may_replace(rule, theirs, base)


def engine_of(version: MappingVersion, connection: CrmConnection, kind: str) -> CompiledMapping:
    tenant = connection.tenant
    return _compile(version.pk, kind, tenant.region, tenant.timezone)


@lru_cache(maxsize=200)
def _compile(version_id: int, kind: str, region: str, timezone: str) -> CompiledMapping:
    """Versions never change."""
    rows = [MappingRow(**row) for row in MappingVersion.objects.get(pk=version_id).rows]
    return CompiledMapping.compile(rows, object_type=kind, region=region, timezone=timezone)


def mappings_for(undo: Undo, connection: CrmConnection, kind: str) -> Mappings:
    if undo.back_to and undo.through and connection.provider == undo.connection.provider:
        return Mappings(engine_of(undo.through, connection, kind), engine_of(undo.back_to, connection, kind))
    engine = compiled(connection, kind).engine
    return Mappings(engine, engine)


def look(undo: Undo, provider: CrmProvider, items: Sequence[UndoItem]) -> list[Seen]:
    """The linked records of the items' contacts, those that matter read from their CRMs.

    Raises what says to wait. A CRM that can't be asked otherwise is passed over: its feeds tell later.
    """
    found = links(undo, {item.contact_id for item in items})
    fields, wanted = _fields_of(items), {item.record_id for item in items if item.record_id}
    paths = _paths_of(items)
    by_kind: dict[Kind, list[Seen]] = defaultdict(list)
    for seen in found:
        names = fields.get(seen.link.local_record_id or NOBODY, set())
        if seen.link.pk in wanted or names & {*seen.mappings.was.dialer_fields("inbound"), *seen.mappings.reads}:
            by_kind[seen.link.connection_id or NOBODY, seen.link.crm_object_type].append(seen)
    for (connection_id, kind), group in by_kind.items():
        own = connection_id == undo.connection_id
        _read(provider if own else _other(group[0].link.connection), kind, group, paths, own=own)
    return found


def links(undo: Undo, contact_ids: Iterable[UUID], *, lock: bool = False) -> list[Seen]:
    rows = SyncRecord.objects.filter(local_record_id__in=list(contact_ids), local_table=CONTACTS)
    rows = rows.exclude(connection=None).select_related("connection__tenant").order_by("pk")
    rows = rows.select_for_update(of=("self",)) if lock else rows
    known: dict[Kind, Mappings] = {}
    found = []
    for link in link_states.still_there(rows):
        key = (link.connection_id or NOBODY, link.crm_object_type)
        if key not in known:
            known[key] = mappings_for(undo, link.connection, link.crm_object_type)
        own = undo.back_to_id is not None and link.crm_provider == undo.connection.provider
        found.append(Seen(link, known[key], own))
    return found


def _fields_of(items: Iterable[UndoItem]) -> Mapping[UUID, set[str]]:
    found: dict[UUID, set[str]] = defaultdict(set)
    for item in items:
        if item.kind in (UndoItem.Kind.VALUE, UndoItem.Kind.SENT):
            found[item.contact_id].add(item.field)
    return found


def _paths_of(items: Iterable[UndoItem]) -> set[str]:
    """What was written is read where it was written; a list as a whole, since it is written so."""
    paths = {item.path for item in items if item.path}
    return paths | {compile_path(path).root for path in paths if compile_path(path).writes_list}


def _other(connection: CrmConnection | None) -> CrmProvider | None:
    if connection is None or not connection.is_usable:
        return None
    return open_crm(connection, patience_for(Lane.BACKFILL, WORKER))[0]


def _read(provider: CrmProvider | None, kind: str, group: Sequence[Seen], paths: set[str], *, own: bool) -> None:
    if provider is None:
        return
    mappings = group[0].mappings
    asked = (*mappings.was.crm_fields, *mappings.now.crm_fields, *(sorted(paths) if own else ()))
    try:
        fetched = provider.fetch(kind, [one.link.crm_record_id for one in group], tuple(dict.fromkeys(asked)))
    except (errors.Retry, errors.Throttled):
        raise
    except errors.CrmError:
        if own:
            raise
        return
    shown = {record.id: record for record in fetched.records if not record.deleted and not record.moved_to}
    with mappings.was.session() as was, mappings.now.session() as now:
        for seen in group:
            record = shown.get(seen.link.crm_record_id)
            if record is not None:
                seen.present, seen.at = record.fields, record.modified_at
                seen.was = values.storable(was.inbound(record.fields).values)
                alone = mappings.now is mappings.was
                seen.now = seen.was if alone else values.storable(now.inbound(record.fields).values)
