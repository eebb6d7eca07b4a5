"""What working a window of the inbox again would change, without changing anything.

The records are read from the CRM first. Then they go through the same writer as ever, in one transaction that is rolled back
once it was looked at: nothing is kept, nobody is woken, nothing is sent. Of a large window a sample is compared.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection as database
from django.db import transaction
from django.db.models import Max

from integrations import errors, tenancy
from integrations.crm import open_crm
from integrations.providers.base import CrmProvider
from integrations.records.remote import Fetched
from integrations.transport.client import WORKER, Patience
from mapping.publishing import Published, compiled
from sync import holding, link_states
from sync.fetching import IDS_AT_ONCE, MOST_FAULTS, OUR_FAULT, halve
from sync.inbound import PageWriter
from sync.models import Conflict, Contact, FieldChange, SyncJob, SyncRecord
from sync.pushes import KIND as PUSH
from sync.replaying import Window

MOST_RECORDS = 2000
"""Records that are compared at once; of more, so many are chosen at random, the same ones every time."""


@dataclass(frozen=True, slots=True)
class Changed:
    """One field of one record. `rule` is what decided; `open` says that a person would have to."""

    record: str
    contact: str
    field: str
    before: Any
    after: Any
    rule: str = ""
    open: bool = False


@dataclass(slots=True)
class Diff:
    """Records are named by their type and id."""

    events: int = 0
    records: int = 0
    """That the window names."""
    compared: int = 0
    created: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Record → the values of the contact that would be made."""
    changed: list[Changed] = field(default_factory=list)
    conflicts: list[Changed] = field(default_factory=list)
    """Of fields that both sides changed: what is here and what is in the CRM."""
    gone: dict[str, list[str]] = field(default_factory=dict)
    """Record → what would be noted of it: deleted_at, moved_to, …"""
    missing: list[str] = field(default_factory=list)
    """Not found in the CRM, or not shown to us."""
    failed: dict[str, str] = field(default_factory=dict)
    """Record → why it can't be taken over."""
    pushes: int = 0
    """Contacts of which something would then be sent to a CRM."""

    @property
    def is_sample(self) -> bool:
        return self.compared < self.records

    @property
    def is_empty(self) -> bool:
        return not (self.created or self.changed or self.conflicts or self.gone or self.failed or self.pushes)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "is_sample": self.is_sample}


@dataclass(slots=True)
class Told:
    """What the events of a window say of the records of one object type."""

    ids: list[str] = field(default_factory=list)
    moved: dict[str, str] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)


def compare(window: Window, patience: Patience = WORKER, most: int = MOST_RECORDS) -> Diff:
    """Asks the CRM for the records of the window and tells what applying them would change. Raises the CRM's errors."""
    diff = Diff(events=window.events().count())
    told = _told(window, most, diff)
    provider = open_crm(window.connection, patience)[0]
    mappings = {object_type: compiled(window.connection, object_type) for object_type in told}
    read = [
        (object_type, fetched)
        for object_type, one in told.items()
        for fetched in _read(provider, object_type, one, mappings[object_type], diff)
    ]
    diff.compared = sum(len(one.ids) for one in told.values())
    with transaction.atomic():
        holding.lock_tenant(window.connection.tenant_id)
        before = _Before.of(window, told)
        for object_type, one in told.items():
            pages = [fetched for kind, fetched in read if kind == object_type]
            _apply(window, object_type, one, pages, mappings[object_type], diff)
        before.compare(diff)
        transaction.set_rollback(True)
    return diff


# --- what was told --------------------------------------------------------------------------------------------------


_TOLD = """
SELECT object_type, record_id,
    (array_agg(moved_to ORDER BY id DESC) FILTER (WHERE moved_to <> '' AND moved_to <> record_id))[1],
    bool_or(change = 'erased' AND NOT is_target), bool_or(change = 'deleted' AND NOT is_target), count(*) OVER ()
FROM (
    SELECT event.id, event.object_type, event.moved_to, event.change, named.record_id, named.is_target
    FROM inbox_events event CROSS JOIN LATERAL (
        SELECT jsonb_array_elements_text(event.record_ids), false
        UNION ALL SELECT event.moved_to, true WHERE event.moved_to <> ''
    ) AS named (record_id, is_target)
    WHERE event.tenant_id = %(tenant)s AND event.connection_id = %(connection)s AND event.object_type = ANY(%(types)s)
      AND event.received_at >= %(since)s AND event.received_at < %(until)s AND event.change <> 'resync'
) AS told
GROUP BY object_type, record_id ORDER BY md5(record_id), record_id LIMIT %(most)s
"""


def _told(window: Window, most: int, diff: Diff) -> dict[str, Told]:
    terms: dict[str, Any] = {
        "tenant": window.connection.tenant_id,
        "connection": window.connection.pk,
        "types": list(window.object_types),
        "since": window.start,
        "until": window.until,
        "most": most,
    }
    with database.cursor() as cursor:
        cursor.execute(_TOLD, terms)
        rows = cursor.fetchall()
    found: dict[str, Told] = defaultdict(Told)
    for object_type, record_id, moved_to, erased, deleted, total in rows:
        diff.records = total
        one = found[object_type]
        one.ids.append(record_id)
        if moved_to:
            one.moved[record_id] = moved_to
        if erased:
            one.erased.add(record_id)
        if deleted:
            one.deleted.add(record_id)
    for one in found.values():  # those that were merged away first, as when they are worked
        one.ids = [*one.moved, *(record_id for record_id in one.ids if record_id not in one.moved)]
    return dict(found)


# --- reading --------------------------------------------------------------------------------------------------------


def _read(provider: CrmProvider, object_type: str, told: Told, mapping: Published, diff: Diff) -> Iterator[Fetched]:
    pages: list[Fetched] = []

    def fetch(ids: Sequence[str]) -> None:
        pages.append(provider.fetch(object_type, ids, mapping.engine.crm_fields))

    def give_up(ids: Sequence[str], error: Exception) -> None:
        if len(diff.failed) >= MOST_FAULTS:
            raise error
        _note_fault(diff, object_type, ids, error)

    for start in range(0, len(told.ids), IDS_AT_ONCE):
        halve(told.ids[start : start + IDS_AT_ONCE], fetch, give_up)
    for page in pages:
        diff.missing += [_name(object_type, one) for one in page.missing]
    yield from pages


def _note_fault(diff: Diff, object_type: str, ids: Sequence[str], error: Exception) -> None:
    problem = error.message if isinstance(error, errors.CrmError) else OUR_FAULT
    diff.failed |= {_name(object_type, one): problem for one in ids}


# --- applying, for show ---------------------------------------------------------------------------------------------


def _apply(
    window: Window, object_type: str, told: Told, pages: Sequence[Fetched], mapping: Published, diff: Diff
) -> None:
    with mapping.engine.session() as session:
        writer = PageWriter(window.connection, None, session, object_type=object_type, mapping_version=mapping.version)
        for page in pages:
            ids = [*(one.id for one in page.records), *page.missing]
            if ids:
                halve(ids, partial(_write, writer, page, told), partial(_note_fault, diff, object_type))


def _write(writer: PageWriter, page: Fetched, told: Told, ids: Sequence[str]) -> None:
    wanted = set(ids)
    part = Fetched([one for one in page.records if one.id in wanted], [one for one in page.missing if one in wanted])
    writer.apply_fetched(part, moved=told.moved, erased=told.erased, gone=told.deleted, along=lambda: None)


# --- looking at it --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Before:
    """How far the tables went, and which marks the links bore. The tenant's lock keeps everybody else's pages out meanwhile."""

    window: Window
    names: Mapping[str, Sequence[str]]
    marks: Mapping[str, frozenset[str]]
    change: int
    conflict: int
    job: int

    @classmethod
    def of(cls, window: Window, told: Mapping[str, Told]) -> "_Before":
        names = {object_type: one.ids for object_type, one in told.items()}
        marks = {_name_of(one): _marks(one) for one in _links(window, names)}
        return cls(window, names, marks, _last(FieldChange), _last(Conflict), _last(SyncJob))

    def compare(self, diff: Diff) -> None:
        links = list(_links(self.window, self.names))
        records = {one.local_record_id: _name_of(one) for one in links if one.local_record_id}
        for link in links:
            new = _marks(link) - self.marks.get(_name_of(link), frozenset())
            if new:
                diff.gone[_name_of(link)] = sorted(new)
        self._history(diff, records)
        self._conflicts(diff)
        jobs = SyncJob.objects.filter(pk__gt=self.job, kind=PUSH, local_record_id__in=list(records))
        diff.pushes = jobs.values("local_record_id").distinct().count()

    def _history(self, diff: Diff, records: Mapping[UUID, str]) -> None:
        rows = FieldChange.objects.filter(pk__gt=self.change, connection=self.window.connection, source="crm")
        for row in rows.select_related("contact").order_by("pk"):
            record = records.get(row.contact_id, "")
            if row.field == "*" and isinstance(row.new, dict):
                diff.created[record or str(row.contact_id)] = row.new
            elif row.old != row.new:
                diff.changed.append(Changed(record, str(row.contact), row.field, row.old, row.new, row.rule))

    def _conflicts(self, diff: Diff) -> None:
        rows = Conflict.objects.filter(pk__gt=self.conflict, record__connection=self.window.connection)
        for row in rows.select_related("contact", "record").order_by("pk"):
            is_open = row.status == Conflict.Status.OPEN
            name, person = _name_of(row.record), str(row.contact)
            diff.conflicts.append(Changed(name, person, row.field, row.ours, row.theirs, row.strategy, is_open))


def _last(model: Any) -> int:
    with tenancy.everyone():  # of one tenant alone no index knows it
        return int(model._default_manager.order_by().aggregate(last=Max("pk"))["last"] or 0)


def _links(window: Window, names: Mapping[str, Sequence[str]]) -> Iterator[SyncRecord]:
    for object_type, ids in names.items():
        yield from SyncRecord.objects.filter(
            tenant_id=window.connection.tenant_id,
            crm_provider=window.connection.provider,
            crm_object_type=object_type,
            crm_record_id__in=list(ids),
            local_table=Contact._meta.db_table,
        )


def _marks(link: SyncRecord) -> frozenset[str]:
    return frozenset(set(link.metadata) & set(link_states.NO_LONGER_THERE))


def _name_of(link: SyncRecord) -> str:
    return _name(link.crm_object_type, link.crm_record_id)


def _name(object_type: str, record_id: str) -> str:
    return f"{object_type} {record_id}"
