"""Writes what was decided for a page: contacts, links, their history, open conflicts, and the jobs that carry it on."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sync import barred, finding, holding, link_states, living_on, pushes, snapshots
from sync.bulk import insert, maker, update, upsert
from sync.linked import contacts_linked
from sync.merge import DO_NOT_CALL, at, same
from sync.models import Contact, FieldChange, Lane, SyncRecord
from sync.page import Source, Work

CONTACTS = Contact._meta.db_table
WRITTEN_FIELDS = [
    "first_name", "last_name", "email", "phone", "mobile_phone", "company", "title", "lead_status", "owner_email",
    "do_not_call", "last_called_at", "last_disposition", "call_count", "ai_score", "custom", "version", "updated_at",
]  # fmt: skip
LINK_FIELDS = [
    "connection", "local_record_id", "local_table", "sync_status", "last_synced_at", "last_crm_modified_at",
    "error_message", "metadata", "base", "url", "updated_at",
]  # fmt: skip


def write(source: Source, works: Sequence[Work], now: datetime) -> None:
    touched = [work for work in works if work.contact is not None and (work.is_new or work.changed)]
    insert(Contact, [work.contact for work in touched if work.is_new])
    update(Contact, [work.contact for work in touched if not work.is_new], WRITTEN_FIELDS)
    make = _link_maker(source, now)
    links = [(work, link) for work in works if (link := _linked(source, work, now, make)) is not None]
    heirs = {
        work.contact.pk: link_states.identity_of(link)
        for work, link in links
        if work.match and work.match.id and work.contact
    }
    living_on.take_over(source.connection, heirs, now)
    upsert(SyncRecord, [link for _work, link in links], LINK_FIELDS)
    if heirs:
        contacts_linked.send(sender=SyncRecord, connection=source.connection, contact_ids=list(heirs))
    snapshots.keep(source.connection, works, [link for _work, link in links], partial=source.fills_only)
    finding.note_doubts(source, links)
    note = _change_maker(source, now)
    changes = [row for work in touched for row in _history(work, note)]
    insert(FieldChange, changes)
    barred.tell(changes)
    holding.keep(_merged(works, links), now)
    _push(source, [work for work in works if work.decisions and not work.is_new], now)


# --- links ----------------------------------------------------------------------------------------------------------


def _link_maker(source: Source, now: datetime) -> Callable[..., SyncRecord]:
    return maker(
        SyncRecord,
        tenant_id=source.connection.tenant_id,
        crm_provider=source.connection.provider,
        connection_id=source.connection.pk,
        local_table=CONTACTS,
        sync_direction="inbound",
        last_synced_at=now,
        created_at=now,
        updated_at=now,
    )


def _linked(source: Source, work: Work, now: datetime, make: Callable[..., SyncRecord]) -> SyncRecord | None:
    """The link as it has to be written; None when it stands as it is."""
    contact, link = work.contact, work.link
    if contact is None or not (work.newer or work.was_gone):
        return None
    if link is not None:
        return _moved(source, work, link, contact, now)
    return make(
        crm_object_type=work.record.object_type,
        crm_record_id=work.record.id,
        local_record_id=contact.pk,
        sync_status=_status(source, work),
        last_crm_modified_at=work.record.modified_at,
        error_message=work.problem,
        base=work.agreed,
        url=work.record.url,
        metadata=_marks(work),
    )


def _moved(source: Source, work: Work, link: SyncRecord, contact: Contact, now: datetime) -> SyncRecord | None:
    before = (
        link.sync_status == SyncRecord.Status.CONFLICT,
        link.base,
        link.last_crm_modified_at,
        link.error_message or "",
        link.url,
        link.metadata,
        link.local_record_id,
    )
    stamp = max(filter(None, (link.last_crm_modified_at, work.record.modified_at)))
    is_open = any(one.is_open for one in work.decisions)
    problem = work.problem or (link.error_message or "" if source.fills_only else "")
    base = {**link.base, **work.agreed}
    dropped = ("inactive", *link_states.MARKS)
    metadata = {name: value for name, value in link.metadata.items() if name not in dropped} | _marks(work)
    after = (base, stamp, problem, work.record.url, metadata, contact.pk)
    if before == (is_open, *after):
        return None
    link.base, link.last_crm_modified_at, link.error_message, link.url, link.metadata, link.local_record_id = after
    link.connection_id = source.connection.pk
    link.local_table = CONTACTS
    link.last_synced_at = now
    link.updated_at = now
    link.sync_status = _status(source, work)
    return link


def _marks(work: Work) -> dict[str, Any]:
    metadata: dict[str, Any] = {"inactive": True} if work.record.inactive else {}
    if work.match and work.match.suspects:
        metadata["may_be"] = [str(one.id) for one in work.match.suspects]
    return metadata


def _status(source: Source, work: Work) -> str:
    if work.mapped.problems:
        return SyncRecord.Status.ERROR
    if any(one.is_open for one in work.decisions):
        return SyncRecord.Status.CONFLICT
    return SyncRecord.Status.PENDING if not work.is_new and source.is_ahead(work) else SyncRecord.Status.SYNCED


# --- history and conflicts ------------------------------------------------------------------------------------------


def _history(work: Work, note: Callable[..., FieldChange]) -> list[FieldChange]:
    contact_id = work.contact.pk if work.contact else None
    if work.is_new:
        new = {name: value for name, value in work.held.items() if value is not None}
        return [note(contact_id=contact_id, field="*", new=new)]
    return [
        note(contact_id=contact_id, field=one.field, old=one.ours, new=one.value, rule=one.strategy, lost=one.lost)
        for one in work.decisions
        if one.changed or (one.conflict and not one.is_open)
    ]


def _change_maker(source: Source, now: datetime) -> Callable[..., FieldChange]:
    return maker(
        FieldChange,
        tenant_id=source.connection.tenant_id,
        source="crm",
        actor=source.crm_name,
        connection_id=source.connection.pk,
        run_id=source.run.pk if source.run else None,
        mapping_version=source.mapping_version,
        at=now,
    )


def _merged(works: Sequence[Work], links: finding.Linked) -> list[holding.Merged]:
    written = {work.record.id: link for work, link in links}
    return [
        holding.Merged(
            link,
            work.contact,
            work.decisions,
            partial(at, work.ours_at),
            partial(at, work.theirs_at),
            is_new=work.link is None,
        )
        for work in works
        if work.contact
        and work.decisions
        and not work.is_first
        and (link := written.get(work.record.id, work.link)) is not None
    ]


# --- what it means for others ---------------------------------------------------------------------------------------


def _push(source: Source, works: Sequence[Work], now: datetime) -> None:
    """What changed here goes to the other CRMs that know the contact, and what our side kept goes back to this one."""
    changed = [work for work in works if any(one.changed for one in work.decisions)] if source.has_siblings else []
    kept = [work for work in works if source.is_ahead(work)] if source.pushes_back else []
    if changed:
        _note_elsewhere(source, changed, now)
    asks: dict[str, Any] = {"run_id": source.run.pk if source.run else None}
    for lane in (Lane.DO_NOT_CALL, source.lane):
        pushes.enqueue(_of_lane(source, changed, lane), lane=lane, except_for=source.connection.pk, **asks)
        pushes.enqueue(_of_lane(source, kept, lane), lane=lane, only_for=source.connection.pk, **asks)


def _note_elsewhere(source: Source, changed: Sequence[Work], now: datetime) -> None:
    """For the other CRMs it is our side that moved."""
    here = source.connection.pk
    pushes.mark_changed([work.contact for work in changed if work.contact], now=now, except_for=here)
    never = [work.contact for work in changed if work.contact and work.forbids_calls]
    pushes.mark_do_not_call(never, now=now, except_for=here)


def _of_lane(source: Source, works: Sequence[Work], lane: Lane) -> list[Contact]:
    return [work.contact for work in works if work.contact and _lane(source, work) == lane]


def _lane(source: Source, work: Work) -> Lane:
    if any(one.changed or not same(one.value, one.agreed) for one in work.decisions if one.field == DO_NOT_CALL):
        return Lane.DO_NOT_CALL
    return source.lane
