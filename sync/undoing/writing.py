"""Does what was decided: values back into the CRM in its best batches, then everything of ours in one transaction.

What was sent back before the process died is found back in the CRM by its value, so nothing is done twice.
"""

import copy
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.utils import timezone

from integrations import errors
from integrations.providers.base import CrmProvider
from integrations.records.events import Change, RemoteEvent
from integrations.records.remote import RecordWrite
from mapping.paths import compile_path
from mapping.places import MISSING
from sync import barred, inbox, pushes, snapshots, values
from sync.bulk import insert, update
from sync.merge import DO_NOT_CALL
from sync.models import Contact, FieldChange, Lane, SyncRecord, Undo, UndoItem
from sync.undoing import overwritten
from sync.undoing.deciding import Decided, Verdict
from sync.undoing.looking import Seen
from sync.undoing.targets import RULE
from sync.writing import WRITTEN_FIELDS

CONTACT_FIELDS = [*WRITTEN_FIELDS, "deleted_at"]
LINK_FIELDS = ["base", "sync_status", "error_message", "last_local_modified_at", "updated_at"]
ITEM_FIELDS = ["state", "reason", "found", "who", "changed_at"]
SOURCE = "person"
State, Reason = UndoItem.State, UndoItem.Reason


# --- the CRM --------------------------------------------------------------------------------------------------------


def send_back(provider: CrmProvider, decided: Iterable[Decided]) -> dict[int, Verdict]:
    """Writes the old values. Gives the verdicts on what the CRM did not take; what it took is noted on what was seen of it.

    Raises what says to wait, or that the whole batch is refused.
    """
    orders: dict[UUID, tuple[Seen, list[UndoItem]]] = {}
    for one in decided:
        for seen, item in one.raw:
            orders.setdefault(seen.link.pk, (seen, []))[1].append(item)
    refused: dict[int, Verdict] = {}
    for kind in dict.fromkeys(seen.link.crm_object_type for seen, _items in orders.values()):
        group = [order for order in orders.values() if order[0].link.crm_object_type == kind]
        for start in range(0, len(group), provider.write_batch_size):
            refused |= _send(provider, kind, group[start : start + provider.write_batch_size])
    return refused


def _send(provider: CrmProvider, kind: str, batch: Sequence[tuple[Seen, list[UndoItem]]]) -> dict[int, Verdict]:
    writes = [_write(seen, items) for seen, items in batch]
    answers = {one.key: one for one in provider.write(kind, writes)}
    refused: dict[int, Verdict] = {}
    for (seen, items), write in zip(batch, writes, strict=True):
        answer = answers.get(write.key)
        error = answer.error if answer else errors.OutcomeUnknown("The CRM did not say what became of this record.")
        if isinstance(error, errors.Retry | errors.Throttled):
            raise error
        if error is None:
            seen.present = {**(seen.present or {}), **write.values}
            continue
        reason = Reason.GONE if isinstance(error, errors.Gone) else Reason.REFUSED
        message = getattr(error, "message", str(error))[:200]
        refused |= {item.pk: Verdict(item, State.SKIPPED, reason, item.new, message) for item in items}
    return refused


def _write(seen: Seen, items: Iterable[UndoItem]) -> RecordWrite:
    """The old values in the CRM's form; a list goes as a whole, with its other entries."""
    fields: dict[str, Any] = {}
    lists = []
    for item in items:
        path = compile_path(item.path)
        if path.writes_list:
            if path.root not in fields and (seen.present or {}).get(path.root) is not None:
                fields[path.root] = copy.deepcopy((seen.present or {})[path.root])
            lists.append(path)
        path.set(fields, item.old)
    for path in lists:
        path.drop_emptied(fields)
    return RecordWrite(str(seen.link.pk), fields, seen.link.crm_record_id, seen=seen.present or {})


# --- our side -------------------------------------------------------------------------------------------------------


def apply(undo: Undo, decided: Sequence[Decided], seen: Sequence[Seen]) -> None:
    """Writes contacts, history, links and what has to go out, in the caller's transaction, which holds their locks."""
    now = timezone.now()
    links = {one.link.pk: one.link for one in seen}
    _remember(undo, decided)
    changed = [one for one in decided if one.contact is not None and (one.restore or one.remove is not None)]
    rows = [row for one in changed for row in _history(undo, one, now)]
    for one in changed:
        _set(one, now)
    update(Contact, [one.contact for one in changed], CONTACT_FIELDS)
    insert(FieldChange, rows)
    barred.tell(rows)
    _write_links(decided, links, now)
    _push(undo, decided, changed, now)
    _follow(undo, decided)


def _history(undo: Undo, one: Decided, now: datetime) -> list[FieldChange]:
    contact = one.contact
    if contact is None:
        return []
    held = values.read(contact, one.restore)
    told = [(name, held[name], value) for name, value in one.restore.items()]
    if one.remove is not None:
        was = contact.deleted_at.isoformat() if contact.deleted_at else None
        told.append(("deleted_at", was, now.isoformat() if one.remove else None))
    version = undo.run.mapping_version if undo.run else None
    return [
        FieldChange(
            tenant_id=undo.tenant_id,
            contact=contact,
            field=name,
            old=old,
            new=new,
            source=SOURCE,
            actor=undo.created_by,
            rule=RULE,
            connection_id=undo.connection_id if version else None,
            run=undo.run,
            mapping_version=version,
            at=now,
        )
        for name, old, new in told
    ]


def _set(one: Decided, now: datetime) -> None:
    contact = one.contact
    if contact is None:
        return
    values.write(contact, one.restore)
    if one.remove is not None:
        contact.deleted_at = now if one.remove else None
    contact.version += 1
    contact.updated_at = now


def _remember(undo: Undo, decided: Iterable[Decided]) -> None:
    """What an undo wrote can be taken back like anything else."""
    version = (undo.run.mapping_version if undo.run else None) or 0
    given = [(one.contact, seen, item) for one in decided for seen, item in one.given if one.contact]
    rows = [
        {
            "record_id": str(seen.link.pk), "field": item.field, "path": item.path, "old": item.new, "known": True,
            "new": item.old, "agreed": seen.link.base.get(item.field), "value": values.read(contact, [item.field])[item.field],
            "version": version, "run_id": undo.run_id,
        }
        for contact, seen, item in given
    ]  # fmt: skip
    overwritten.store(undo.connection, rows)
    snapshots.forget([seen.link.pk for _contact, seen, _item in given])


def _write_links(decided: Sequence[Decided], links: Mapping[UUID, SyncRecord], now: datetime) -> None:
    changed = {link.pk: link for link in _new_bases(decided, links)}
    ahead = {pk for one in decided if one.restore or one.bases for pk in one.sends}
    for pk in ahead & links.keys():
        link = changed[pk] = links[pk]
        link.last_local_modified_at = now
        if link.sync_status == SyncRecord.Status.SYNCED:
            link.sync_status = SyncRecord.Status.PENDING
    for link in changed.values():
        link.updated_at = now
    update(SyncRecord, list(changed.values()), LINK_FIELDS)


def _new_bases(decided: Iterable[Decided], links: Mapping[UUID, SyncRecord]) -> Iterator[SyncRecord]:
    """Sets the bases of these links; gives those that change."""
    changed: dict[UUID, SyncRecord] = {}
    by_link: dict[UUID, dict[str, Any]] = defaultdict(dict)
    for one in decided:
        for (link_id, name), value in one.bases.items():
            by_link[link_id][name] = value
    for link_id, fields in by_link.items():
        link = links.get(link_id)
        if link is None:
            continue
        base = {**link.base, **fields}
        base = {name: value for name, value in base.items() if value is not MISSING}
        if base != link.base:
            link.base = base
            changed[link_id] = link
    yield from changed.values()


def _push(undo: Undo, decided: Sequence[Decided], changed: Sequence[Decided], now: datetime) -> None:
    barring = [one.contact for one in changed if one.contact and one.restore.get(DO_NOT_CALL)]
    urgent = {one.contact.pk: one.contact for one in changed if one.contact and DO_NOT_CALL in one.restore}
    moved = {one.contact.pk: one.contact for one in decided if one.contact and one.sends and (one.restore or one.bases)}
    moved |= {one.contact.pk: one.contact for one in changed if one.contact and one.remove is False}
    pushes.mark_do_not_call(barring, now=now)
    pushes.enqueue(urgent.values(), lane=Lane.DO_NOT_CALL, run_id=undo.run_id)
    others = [contact for pk, contact in moved.items() if pk not in urgent]
    pushes.enqueue(others, lane=Lane.BACKFILL, run_id=undo.run_id)


def _follow(undo: Undo, decided: Iterable[Decided]) -> None:
    """Records that were edited in their CRM are read by the ordinary way, with the mapping that is in force now."""
    wanted: dict[tuple[UUID, str], set[str]] = {}
    for one in decided:
        for seen in one.follow:
            key = (seen.link.connection_id or undo.connection_id, seen.link.crm_object_type)
            wanted.setdefault(key, set()).add(seen.link.crm_record_id)
    arrivals = [
        inbox.Arrival(
            undo.tenant_id, key[0], RemoteEvent(f"undo:{uuid4()}", Change.UPDATED, key[1], tuple(sorted(ids)))
        )
        for key, ids in wanted.items()
    ]
    inbox.store(arrivals, inbox.FOLLOWED)


# --- items ----------------------------------------------------------------------------------------------------------


def note(verdicts: Sequence[Verdict], edits: Mapping[tuple[UUID, str], FieldChange], *, planning: bool) -> None:
    """Writes down what became of the items; `edits` are the newest changes of fields that somebody edited here."""
    rows = []
    for one in verdicts:
        item = one.item
        item.state, item.reason, item.found, item.who, item.changed_at = (
            State.PLANNED if planning and one.state == State.DONE else one.state, one.reason, one.found, one.who, one.at,
        )  # fmt: skip
        edit = edits.get((item.contact_id, item.field)) if one.reason == Reason.EDITED_HERE else None
        if edit is not None:
            item.who, item.changed_at = author(edit), edit.at
        rows.append(item)
    update(UndoItem, rows, ITEM_FIELDS)


def author(change: FieldChange) -> str:
    """Who made it, as the history names them."""
    return (change.actor or change.source)[:200]


def tally(decided: Iterable[Decided]) -> Counter[str]:
    """What is counted of the plan and of the result, in one row of words."""
    counts: Counter[str] = Counter()
    for one in decided:
        counts["fields"] += len(one.restore)
        counts["contacts"] += bool(one.restore)
        counts["removed"] += one.remove is True
        counts["back"] += one.remove is False
        counts["loosened"] += DO_NOT_CALL in one.restore and not one.restore[DO_NOT_CALL]
        sent = {seen.link.pk for seen, _item in (*one.raw, *one.given)}
        counts["raw"] += len(one.raw) + len(one.given)
        counts["records"] += len(sent | (one.sends if one.restore or one.bases else set()))
        for verdict in one.verdicts:
            counts[verdict.state] += 1
            if verdict.reason:
                counts[verdict.reason] += 1
    return counts
