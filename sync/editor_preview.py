"""What the rows of a mapping would make of one real record, in both directions, before anything of them is saved.

The engine decides: the mapping's own session, the comparison that a page from the CRM goes through, and the difference that the
outbox would send. Only what is stored here is looked at, or a record that somebody had read from the CRM a moment ago; nothing is
written. A row that can't be used says so and keeps no other row from being tried.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.utils import timezone

from integrations.models import CrmConnection
from integrations.records.remote import RemoteRecord
from mapping.compiled import CompiledMapping, MappingRow
from mapping.editor_form import EditedRow
from mapping.editor_rows import engine_row_of
from mapping.places import MISSING
from mapping.policy import strategies
from mapping.publishing import ENTITY, Published
from mapping.rows import CompiledRow, compile_rows
from sync import deciding, loops, values
from sync.drafts import policy_in_force
from sync.merge import Decision
from sync.models import Contact, SyncRecord
from sync.outgoing import differing
from sync.page import Source, Work

__all__ = ["Cell", "RowPreview", "Subject", "preview", "with_fields"]


@dataclass(frozen=True)
class Subject:
    """Whose record it is. `fields` are None where it isn't known what the CRM has."""

    contact: Contact
    link: SyncRecord | None
    object_type: str
    fields: Mapping[str, Any] | None = None
    modified_at: datetime | None = None
    fresh: bool = False
    """Read from the CRM just now, for this preview."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One direction of one row. `value` is what the receiving side holds afterwards, `before` what it holds now."""

    state: str
    """same, changes, conflict, open, problem, unknown, idle (nothing to send)"""
    value: Any = None
    before: Any = None
    problem: str = ""
    rule: str = ""


@dataclass(frozen=True, slots=True)
class RowPreview:
    inbound: Cell | None = None
    outbound: Cell | None = None


def preview(connection: CrmConnection, edited: Sequence[EditedRow], subject: Subject) -> dict[str, RowPreview]:
    """By the rows' keys; rows that are switched off, or can't be used, are left out."""
    tenant: Any = connection.tenant
    sound = _sound(edited, subject.object_type, tenant.region, tenant.timezone)
    mapping = CompiledMapping(tuple(sound.values()), ENTITY, subject.object_type, tenant.region, tenant.timezone)
    before = values.read(subject.contact, [row.field.key for row in mapping.rows])
    with mapping.session() as session:
        source = _source(connection, edited, session, subject)
        work = _decided(source, subject)
        inbound = _inbound(mapping, work, before)
        outbound = _outbound(source, work, subject)
    return {key: RowPreview(inbound.get(row.field.key), outbound.get(row.field.key)) for key, row in sound.items()}


def _sound(edited: Sequence[EditedRow], object_type: str, region: str, timezone_: str) -> dict[str, CompiledRow]:
    found: dict[str, CompiledRow] = {}
    taken: set[str] = set()
    for one in edited:
        row = engine_row_of(one.row)
        if not one.row["active"] or not row.dialer_field or not row.crm_field or row.dialer_field in taken:
            continue
        compiled = _compiled(row, object_type, region, timezone_)
        if compiled is not None:
            found[one.key] = compiled
            taken.add(row.dialer_field)
    return found


def _compiled(row: MappingRow, object_type: str, region: str, timezone_: str) -> CompiledRow | None:
    try:
        rows = compile_rows([row], entity=ENTITY, object_type=object_type, region=region, timezone=timezone_)
    except ValueError:
        return None
    return rows[0] if rows else None


def _source(connection: CrmConnection, edited: Sequence[EditedRow], session: Any, subject: Subject) -> Source:
    def strategy(name: str) -> str:
        policy = policy_in_force(connection.tenant_id)
        return strategies(policy.default, policy.overrides, [one.row for one in edited if one.row["active"]])(name)

    return Source(
        connection,
        None,
        session,
        object_type=subject.object_type,
        mapping_version=None,
        strategy=strategy,
        pushes_back=False,
        has_siblings=False,
    )


def _decided(source: Source, subject: Subject) -> Work | None:
    """None where it isn't known what the CRM has."""
    if subject.fields is None:
        return None
    now = timezone.now()
    record = RemoteRecord(
        subject.object_type,
        subject.link.crm_record_id if subject.link else "",
        subject.fields,
        subject.modified_at or now,
    )
    work = Work(record, source.session.inbound(record.fields), link=subject.link, contact=subject.contact)
    deciding.look_around(source, [work])
    deciding.decide(source, work, now)
    return work


def _inbound(mapping: CompiledMapping, work: Work | None, before: Mapping[str, Any]) -> dict[str, Cell]:
    reading = [row for row in mapping.rows if row.reads]
    if work is None:
        return {row.field.key: Cell("unknown", before=before[row.field.key]) for row in reading}
    problems = {one.field: one.message for one in work.mapped.problems}
    decisions = {one.field: one for one in work.decisions}
    cells = {}
    for row in reading:
        name = row.field.key
        decision = decisions.get(name)
        if name in problems:
            cells[name] = Cell("problem", before=before[name], problem=problems[name])
        elif decision is None:
            known = row.path.get(work.record.fields) is not MISSING
            cells[name] = Cell("same" if known else "unknown", before[name], before[name])
        else:
            cells[name] = _of_decision(decision, before[name])
    return cells


def _of_decision(one: Decision, before: Any) -> Cell:
    if one.is_open:
        return Cell("open", before, before, rule=one.strategy)
    state = "conflict" if one.conflict else "changes" if one.changed else "same"
    return Cell(state, one.value, before, rule=one.strategy if one.conflict else "")


def _outbound(source: Source, work: Work | None, subject: Subject) -> dict[str, Cell]:
    """What would be sent, as the CRM would hold it; and for what needs no sending, what it would look like there."""
    writing = [row for row in source.session.mapping.rows if row.writes]
    whole = values.read(subject.contact, [row.field.key for row in writing])
    owed = _owed(source, work, subject)
    mapped = source.session.outbound(owed, existing=subject.fields, partial=subject.link is not None)
    looks = source.session.outbound(whole, existing=None, partial=True)
    problems = {one.field: one.message for one in (*looks.problems, *mapped.problems)}
    cells = {}
    for row in writing:
        name = row.field.key
        present = row.path.get(subject.fields) if subject.fields is not None else MISSING
        before = None if present is MISSING else present
        sent = row.path.get(mapped.values)
        if name in problems and name in owed:
            cells[name] = Cell("problem", before=before, problem=problems[name])
        elif name in owed and sent is not MISSING:
            cells[name] = Cell("changes", sent, before)
        elif name in problems:
            cells[name] = Cell("idle", before=before, problem=problems[name])
        else:
            shown = row.path.get(looks.values)
            cells[name] = Cell("same", None if shown is MISSING else shown, before)
    return cells


def _owed(source: Source, work: Work | None, subject: Subject) -> dict[str, Any]:
    """The outbox's own question, asked after the record came in."""
    link = subject.link
    if link is not None and work is not None:
        link.base = {**link.base, **{one.field: one.agreed for one in work.decisions}}
    held = {one.field for one in work.decisions if one.is_open} | set(work.quarantined) if work else _barred(link)
    owed = differing(subject.contact, link, Published(0, source.session.mapping))
    return {name: value for name, value in owed.items() if name not in held}


def _barred(link: SyncRecord | None) -> set[str]:
    return set(loops.quarantined([link.pk]).get(link.pk, set())) if link else set()


def with_fields(subject: Subject, fields: Mapping[str, Any], modified_at: datetime) -> Subject:
    """The same person with the record as it was just read."""
    return replace(subject, fields=fields, modified_at=modified_at, fresh=True)
