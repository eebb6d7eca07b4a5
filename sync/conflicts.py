"""Decides conflicts that wait for a person: for our side, for the CRM, or for another value.

The CRM's value becomes the base, so the same conflict isn't found again, and whatever differs from it goes out as an ordinary
change. What lost is in the history under the rule "manual". Restoring an older value there undoes a decision (see sync/stories.py).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from mapping.models import ConflictPolicy, FieldMapping, Strategy
from mapping.publishing import ENTITY, publish
from sync import holding, pushes, values
from sync.bulk import upsert
from sync.inbound import WRITTEN_FIELDS
from sync.merge import same
from sync.models import Conflict, Contact, FieldChange, SyncRecord

AT_ONCE = 500
"""So many conflicts are decided in one transaction."""
LINK_FIELDS = ["base", "sync_status", "last_local_modified_at", "updated_at"]
SOURCE = "person"


class Choice(StrEnum):
    OURS = "ours"
    THEIRS = "theirs"
    OTHER = "other"


WINNERS = {Choice.OURS: "dialer", Choice.THEIRS: "crm", Choice.OTHER: "other"}
RULES = {Choice.OURS: Strategy.DIALER_WINS, Choice.THEIRS: Strategy.CRM_WINS}
"""Which rule decides from now on as a person has decided."""


def resolve(conflict: Conflict, choice: Choice, by: str, *, value: Any = None) -> bool:
    """Decides one conflict; `value` is what to keep with OTHER. False: it was over already.

    "Ours" is what the contact holds now, "theirs" what the CRM was seen to hold last.
    """
    return _settle(conflict.tenant_id, [conflict.pk], choice, by, value) > 0


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
    _make_rule(conflict, RULES[choice], by, user_id)
    ids = list(alike(conflict).order_by("pk").values_list("pk", flat=True))
    parts = [ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE)]
    return sum(_settle(conflict.tenant_id, part, choice, by, None) for part in parts)


def _make_rule(conflict: Conflict, rule: Strategy, by: str, user_id: int | None) -> None:
    """In the field's mapping row, as a new version. Without such a row it is the tenant's rule for the field."""
    provider = conflict.record.crm_provider
    with transaction.atomic():
        rows = FieldMapping.objects.filter(
            tenant_id=conflict.tenant_id, crm_provider=provider, dialer_entity=ENTITY, dialer_field=conflict.field
        )
        if rows.update(strategy=rule, updated_at=timezone.now()):
            note = f"{conflict.field}: {rule.label}, as {by} decided"[:300]
            publish(conflict.tenant_id, provider, note=note, user_id=user_id)
            return
        policy, _created = ConflictPolicy.objects.select_for_update().get_or_create(tenant_id=conflict.tenant_id)
        policy.overrides = {**policy.overrides, conflict.field: rule.value}
        policy.save()


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


def _settle(tenant_id: UUID, ids: Sequence[int], choice: Choice, by: str, value: Any) -> int:
    now = timezone.now()
    with transaction.atomic():
        holding.lock_tenant(tenant_id)
        rows = list(Conflict.objects.select_for_update().filter(pk__in=ids, status=Conflict.Status.OPEN).order_by("pk"))
        settled = _decide(rows, choice, value)
        _close(settled, choice, by, now)
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


def _close(settled: Iterable[_Settled], choice: Choice, by: str, now: datetime) -> None:
    rows = []
    for one in settled:
        row = one.row
        row.status, row.strategy, row.winner = Conflict.Status.DECIDED, Strategy.MANUAL.value, WINNERS[choice]
        row.ours, row.value, row.decided_at, row.decided_by = one.ours, one.value, now, by[:200]
        rows.append(row)
    upsert(Conflict, rows, holding.CLOSED)


def _write_contacts(settled: Sequence[_Settled], by: str, now: datetime) -> None:
    changed = {one.contact.pk: one.contact for one in settled if one.changed}
    for contact in changed.values():
        contact.version += 1
        contact.updated_at = now
    upsert(Contact, list(changed.values()), WRITTEN_FIELDS)
    FieldChange.objects.bulk_create(
        FieldChange(
            tenant_id=one.row.tenant_id,
            contact=one.contact,
            field=one.row.field,
            old=one.ours,
            new=one.value,
            lost=one.lost,
            source=SOURCE,
            actor=by[:200],
            rule=Strategy.MANUAL.value,
            connection_id=one.link.connection_id,
            at=now,
        )
        for one in settled
    )
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
