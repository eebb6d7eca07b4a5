"""Decides conflicts that wait for a person: for our side, for the CRM, or for another value.

The CRM's value becomes the base, so the same conflict isn't found again, and whatever differs from it goes out as an ordinary
change. What lost is in the history under the rule "manual". Each decision is kept as such, so that it can be taken back: see
sync/conflict_undoing.py.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from mapping.models import Strategy
from sync import barred, conflict_rules, holding, pushes, values
from sync.bulk import upsert
from sync.inbound import WRITTEN_FIELDS
from sync.merge import same
from sync.models import Conflict, ConflictDecision, Contact, FieldChange, SyncRecord

AT_ONCE = 500
"""So many conflicts are decided in one transaction."""
LINK_FIELDS = ["base", "sync_status", "last_local_modified_at", "updated_at"]
SOURCE = "person"
CLOSED = [*holding.CLOSED, "decision"]
Choice = ConflictDecision.Choice
WINNERS = {Choice.OURS: "dialer", Choice.THEIRS: "crm", Choice.OTHER: "other"}
RULES = {Choice.OURS: Strategy.DIALER_WINS, Choice.THEIRS: Strategy.CRM_WINS}
"""Which rule decides from now on as a person has decided."""


def resolve(conflict: Conflict, choice: Choice, by: str, *, value: Any = None) -> bool:
    """Decides one conflict; `value` is what to keep with OTHER. False: it was over already.

    "Ours" is what the contact holds now, "theirs" what the CRM was seen to hold last.
    """
    with transaction.atomic():
        return _settle(_noted(conflict, choice, by), [conflict.pk], value) > 0


def alike(conflict: Conflict) -> "QuerySet[Conflict]":
    """All open conflicts about this field with this connection, the given one among them."""
    found: QuerySet[Conflict] = Conflict.objects.filter(
        tenant_id=conflict.tenant_id,
        status=Conflict.Status.OPEN,
        field=conflict.field,
        record__connection_id=conflict.record.connection_id,
    )
    return found


def resolve_alike(conflict: Conflict, choice: Choice, by: str, *, user_id: int | None = None) -> int:
    """Decides all conflicts like this one the same way, and makes that the field's rule. Returns how many were decided.

    Raises ValueError for OTHER: one value can't be right for everybody. The rule comes first: should this break off, what is left
    is decided by it when the records are read next.
    """
    if choice == Choice.OTHER:
        raise ValueError("One value can't be right for all of them. Choose the dialer's or the CRM's.")
    with transaction.atomic():
        decision = _noted(conflict, choice, by, alike=True)
        made = conflict_rules.make(conflict, RULES[choice], by, user_id)
        decision.rule_in, decision.rule_before, decision.rule_after = made.place, made.before, made.after
        decision.save()
    ids = list(alike(conflict).order_by("pk").values_list("pk", flat=True))
    parts = [ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE)]
    return sum(_settle(decision, part, None) for part in parts)


def _noted(conflict: Conflict, choice: Choice, by: str, *, alike: bool = False) -> ConflictDecision:
    """The decision about this conflict and those that are to be decided with it. It is stored with the first of them."""
    return ConflictDecision(
        tenant_id=conflict.tenant_id,
        connection_id=cast("UUID", conflict.record.connection_id),
        field=conflict.field,
        choice=choice,
        alike=alike,
        made_at=timezone.now(),
        made_by=by[:200],
    )


# --- writing --------------------------------------------------------------------------------------------------------


@dataclass
class _Settled:
    """One conflict with its record and contact, and what was decided."""

    row: Conflict
    link: SyncRecord
    contact: Contact
    ours: Any
    value: Any
    lost: Any

    @property
    def changed(self) -> bool:
        return not same(self.ours, self.value)


def _settle(decision: ConflictDecision, ids: Sequence[int], value: Any) -> int:
    now, by = timezone.now(), decision.made_by
    with transaction.atomic():
        holding.lock_tenant(decision.tenant_id)
        rows = list(Conflict.objects.select_for_update().filter(pk__in=ids, status=Conflict.Status.OPEN).order_by("pk"))
        if not rows:
            return 0
        decision.count += len(rows)
        decision.save()
        settled = _decide(rows, Choice(decision.choice), value)
        _close(settled, decision, now)
        _write_contacts(settled, by, now)
        _write_links(settled, now)
        pushes.enqueue({one.contact.pk: one.contact for one in settled}.values())
    return len(settled)


def _decide(rows: Sequence[Conflict], choice: Choice, value: Any) -> list[_Settled]:
    contacts = Contact.objects.select_for_update().in_bulk([row.contact_id for row in rows])
    links = SyncRecord.objects.select_for_update().in_bulk([row.record_id for row in rows])
    settled = []
    for row in rows:
        link, contact = links[row.record_id], contacts[row.contact_id]
        ours = values.read(contact, [row.field])[row.field]
        kept = {Choice.OURS: ours, Choice.THEIRS: row.theirs, Choice.OTHER: value}[choice]
        lost = ours if choice == Choice.THEIRS else row.theirs
        values.write(contact, {row.field: kept})
        link.base = {**link.base, row.field: row.theirs}
        settled.append(_Settled(row, link, contact, ours, kept, lost))
    return settled


def _close(settled: Iterable[_Settled], decision: ConflictDecision, now: datetime) -> None:
    rows = []
    for one in settled:
        row = one.row
        row.status, row.strategy = Conflict.Status.DECIDED, Strategy.MANUAL.value
        row.winner, row.decision = WINNERS[Choice(decision.choice)], decision
        row.ours, row.value, row.decided_at, row.decided_by = one.ours, one.value, now, decision.made_by
        rows.append(row)
    upsert(Conflict, rows, CLOSED)


def _write_contacts(settled: Sequence[_Settled], by: str, now: datetime) -> None:
    changed = {one.contact.pk: one.contact for one in settled if one.changed}
    for contact in changed.values():
        contact.version += 1
        contact.updated_at = now
    upsert(Contact, list(changed.values()), WRITTEN_FIELDS)
    changes = [
        FieldChange(
            tenant_id=one.row.tenant_id,
            contact=one.contact,
            field=one.row.field,
            old=one.ours,
            new=one.value,
            lost=one.lost,
            source=SOURCE,
            actor=by,
            rule=Strategy.MANUAL.value,
            connection_id=one.link.connection_id,
            at=now,
        )
        for one in settled
    ]
    FieldChange.objects.bulk_create(changes)
    barred.tell(changes)
    pushes.mark_changed(list(changed.values()), now=now)


def _write_links(settled: Sequence[_Settled], now: datetime) -> None:
    links = {one.link.pk: one.link for one in settled}
    disputed = holding.with_conflicts(links)
    ahead = {one.link.pk for one in settled if not same(one.value, one.row.theirs)}
    for link in links.values():
        link.last_local_modified_at, link.updated_at = now, now
        if link.pk in disputed:
            link.sync_status = SyncRecord.Status.CONFLICT
        else:
            link.sync_status = SyncRecord.Status.PENDING if link.pk in ahead else SyncRecord.Status.SYNCED
    upsert(SyncRecord, list(links.values()), LINK_FIELDS)
