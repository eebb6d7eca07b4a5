"""Takes decisions about conflicts back, one or all that were made together.

The field gets the value that it had before, as a change like any other; the base is again what was agreed before, and the conflict
waits for a person again. The rule that deciding all alike made goes first, else it would decide them anew. If our value was in the
CRM already, the CRM's own is given back to it (see sync/giving_back.py). What was edited since stays as it is, and stays
listed with its decision. Whatever breaks off can be begun again: what is open already is not touched twice.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from sync import barred, conflict_rules, giving_back, holding, pushes, queue, values
from sync.bulk import upsert
from sync.conflicts import AT_ONCE, CLOSED, LINK_FIELDS, SOURCE
from sync.inbound import WRITTEN_FIELDS
from sync.merge import same
from sync.models import Conflict, ConflictDecision, Contact, FieldChange, SyncJob, SyncRecord

RULE = "undone"
"""Under which the history tells of it."""


@dataclass(frozen=True, slots=True)
class TakenBack:
    """What became of taking a decision back."""

    reopened: int
    kept: int
    """Edited since, so they stay as they are."""
    rule_restored: bool


@dataclass(frozen=True, slots=True)
class _Around:
    """What has to be known of some decided conflicts to say whether they can be opened again."""

    contacts: Mapping[UUID, Contact]
    links: Mapping[UUID, SyncRecord]
    newer: frozenset[tuple[UUID, str]]
    """Records and fields about which a conflict is open again."""
    leaving: frozenset[UUID]
    """Contacts that are being written to the CRM at this moment."""


def take_back(decision: ConflictDecision, by: str, *, user_id: int | None = None) -> TakenBack:
    """Opens again what can be opened. Raises MappingError when the rule's mapping can't be published: nothing is changed then."""
    restored = conflict_rules.restore(decision, by, user_id)
    ids = list(decision.conflicts.order_by("pk").values_list("pk", flat=True))
    parts = [ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE)]
    reopened = sum(_take_back_part(decision, part, by) for part in parts)
    kept = Conflict.objects.filter(decision=decision).count()
    ConflictDecision.objects.filter(pk=decision.pk).update(undone_at=timezone.now(), undone_by=by[:200])
    return TakenBack(reopened, kept, restored)


def why_not(rows: Sequence[Conflict]) -> dict[int, str]:
    """Conflict → why its decision can't be taken back, as a sentence. In four queries, whatever their number."""
    around = _look_around(rows, locked=False)
    found = {row.pk: _why_not(row, around) for row in rows}
    return {pk: text for pk, text in found.items() if text}


# --- judging --------------------------------------------------------------------------------------------------------


def _look_around(rows: Sequence[Conflict], *, locked: bool) -> _Around:
    contacts, links = Contact.objects.all(), SyncRecord.objects.all()
    if locked:
        contacts, links = contacts.select_for_update(), links.select_for_update()
    records = {row.record_id for row in rows}
    linked = links.in_bulk(records)
    open_ones = Conflict.objects.filter(record__in=records, status=Conflict.Status.OPEN)
    leaving = SyncJob.objects.filter(
        local_record_id__in={row.contact_id for row in rows},
        kind=pushes.KIND,
        state=SyncJob.State.LEASED,
        connection__in={link.connection_id for link in linked.values()},
    )
    return _Around(
        contacts.in_bulk([row.contact_id for row in rows]),
        linked,
        frozenset(open_ones.values_list("record_id", "field")),
        frozenset(leaving.values_list("local_record_id", flat=True)),
    )


def _why_not(row: Conflict, around: _Around) -> str:
    contact, link = around.contacts[row.contact_id], around.links[row.record_id]
    now = values.read(contact, [row.field])[row.field]
    if contact.deleted_at or link.local_record_id != contact.pk:
        return _("The contact is deleted, or is another one in the CRM now.")
    if not same(now, row.value):
        return _("It was edited since: now it is “%(now)s”.") % {"now": _shown(now)}
    if (row.record_id, row.field) in around.newer:
        return _("A newer conflict about it waits already.")
    if contact.pk in around.leaving:
        return _("It is being written to the CRM at this moment. Take it back again in a minute.")
    return ""


def _shown(value: Any) -> str:
    return "–" if value in (None, "") else str(value)


# --- writing --------------------------------------------------------------------------------------------------------


def _take_back_part(decision: ConflictDecision, ids: Sequence[int], by: str) -> int:
    now = timezone.now()
    with transaction.atomic():
        holding.lock_tenant(decision.tenant_id)
        rows = list(Conflict.objects.select_for_update().filter(pk__in=ids, decision=decision).order_by("pk"))
        around = _look_around(rows, locked=True)
        rows = [row for row in rows if not _why_not(row, around)]
        jobs = [giving_back.job(row, around.links[row.record_id]) for row in rows if _arrived(row, around)]
        _write_contacts(rows, around, by, now)
        _write_links(rows, around, now)
        _open_again(rows)
        queue.enqueue(jobs)
        ConflictDecision.objects.filter(pk=decision.pk).update(undone=F("undone") + len(rows))
    return len(rows)


def _arrived(row: Conflict, around: _Around) -> bool:
    """Whether the CRM got the value that was decided, in place of its own."""
    agreed = around.links[row.record_id].base.get(row.field)
    return same(agreed, row.value) and not same(row.value, row.theirs)


def _open_again(rows: Iterable[Conflict]) -> None:
    opened = list(rows)
    for row in opened:
        row.status, row.winner, row.value = Conflict.Status.OPEN, "", None
        row.decided_at, row.decided_by, row.decision = None, "", None
    upsert(Conflict, opened, CLOSED)


def _write_contacts(rows: Sequence[Conflict], around: _Around, by: str, now: datetime) -> None:
    changed: dict[UUID, Contact] = {}
    for row in rows:
        if not same(row.value, row.ours):
            contact = changed.setdefault(row.contact_id, around.contacts[row.contact_id])
            values.write(contact, {row.field: row.ours})
    for contact in changed.values():
        contact.version += 1
        contact.updated_at = now
    upsert(Contact, list(changed.values()), WRITTEN_FIELDS)
    changes = [
        FieldChange(
            tenant_id=row.tenant_id,
            contact_id=row.contact_id,
            field=row.field,
            old=row.value,
            new=row.ours,
            source=SOURCE,
            actor=by[:200],
            rule=RULE,
            connection_id=around.links[row.record_id].connection_id,
            at=now,
        )
        for row in rows
    ]
    FieldChange.objects.bulk_create(changes)
    barred.tell(changes)
    pushes.mark_changed(list(changed.values()), now=now)
    pushes.enqueue(changed.values())


def _write_links(rows: Sequence[Conflict], around: _Around, now: datetime) -> None:
    for row in rows:
        link = around.links[row.record_id]
        link.base = {**link.base, row.field: row.base}
        link.sync_status, link.last_local_modified_at, link.updated_at = SyncRecord.Status.CONFLICT, now, now
    touched = {row.record_id: around.links[row.record_id] for row in rows}
    upsert(SyncRecord, list(touched.values()), LINK_FIELDS)
