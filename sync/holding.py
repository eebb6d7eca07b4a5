"""What stands open between both sides, field by field: kept once, refreshed while it lasts, closed when it is over.

While a conflict waits for a person nothing of its field is written to either side, nor is a quarantined field written to the CRM:
the outbox asks `held_back` before it sends anything.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection as database
from django.db import transaction
from django.utils import timezone

from integrations.models import CrmConnection
from sync import loops, values
from sync.bulk import upsert
from sync.merge import Decision, same
from sync.models import Conflict, Contact, SyncRecord

REFRESHED = ["base", "ours", "theirs", "ours_at", "theirs_at", "strategy"]
CLOSED = [*REFRESHED, "status", "winner", "value", "decided_at", "decided_by"]

Wanted = tuple[SyncRecord, Contact, Mapping[str, Any]]
"""A record, its contact, and the dialer's values that are about to be written."""


@dataclass(frozen=True, slots=True)
class Merged:
    """What the comparison of one record found, and when either side changed a field."""

    link: SyncRecord
    contact: Contact
    decisions: Sequence[Decision]
    ours_at: Callable[[str], datetime | None]
    theirs_at: Callable[[str], datetime | None]
    is_new: bool = False
    """The link was made just now, so nothing stands open yet."""


def lock_tenant(tenant_id: UUID) -> None:
    """Until the end of the transaction nobody else links, merges or decides anything of this tenant."""
    with database.cursor() as sql:
        sql.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"contacts:{tenant_id}"])


def keep(merged: Sequence[Merged], now: datetime) -> None:
    """Notes new conflicts, refreshes those that are still open and closes those that are over."""
    known = [one.link.pk for one in merged if not one.is_new]
    rows = Conflict.objects.select_for_update().filter(record__in=known, status=Conflict.Status.OPEN) if known else []
    held = {(row.record_id, row.field): row for row in rows}
    found: list[Conflict] = []
    moved: list[Conflict] = []
    for one in merged:
        for decision in one.decisions:
            row = held.get((one.link.pk, decision.field))
            if row is None and decision.conflict:
                found.append(_filled(Conflict(created_at=now), one, decision, now))
            elif row is not None and not (decision.is_open and _as_noted(row, decision)):
                moved.append(_filled(row, one, decision, now))
    Conflict.objects.bulk_create(found)
    upsert(Conflict, moved, CLOSED)


def _as_noted(row: Conflict, decision: Decision) -> bool:
    return (row.base, row.ours, row.theirs, row.strategy) == (
        decision.base,
        decision.ours,
        decision.theirs,
        decision.strategy,
    )


def _filled(row: Conflict, one: Merged, decision: Decision, now: datetime) -> Conflict:
    row.tenant_id, row.record, row.contact, row.field = one.link.tenant_id, one.link, one.contact, decision.field
    row.base, row.ours, row.theirs = decision.base, decision.ours, decision.theirs
    row.ours_at, row.theirs_at = one.ours_at(decision.field), one.theirs_at(decision.field)
    row.strategy = decision.strategy or row.strategy
    if not decision.is_open:
        row.status, row.decided_at, row.value = Conflict.Status.DECIDED, now, decision.value
        row.winner = decision.winner or _who_gave_way(decision)
    return row


def _who_gave_way(decision: Decision) -> str:
    """Who is left standing when a conflict is over without a decision."""
    if same(decision.ours, decision.theirs):
        return "both"
    return "crm" if decision.changed else "dialer"


def held_back(connection: CrmConnection, wanted: Iterable[Wanted]) -> dict[UUID, frozenset[str]]:
    """Record → fields that must not be written to the CRM now. Notes what our side holds meanwhile, and finds new loops.

    A conflict in which our side has come to the CRM's value is over: it is closed, and its field is not held back.
    """
    wanted = [one for one in wanted if one[2]]
    if not wanted:
        return {}
    found: dict[UUID, set[str]] = defaultdict(set)
    with transaction.atomic():
        for source in (_still_open(wanted), loops.stop(connection, wanted)):
            for record_id, field in source:
                found[record_id].add(field)
    return {record_id: frozenset(fields) for record_id, fields in found.items()}


def _still_open(wanted: Sequence[Wanted]) -> list[tuple[UUID, str]]:
    contacts = {link.pk: contact for link, contact, _fields in wanted}
    rows = list(Conflict.objects.select_for_update().filter(record__in=list(contacts), status=Conflict.Status.OPEN))
    now = timezone.now()
    moved = []
    for row in rows:
        ours = values.read(contacts[row.record_id], [row.field])[row.field]
        if not same(ours, row.ours):
            row.ours, row.ours_at = ours, contacts[row.record_id].updated_at
            moved.append(row)
        if same(ours, row.theirs):
            row.status, row.winner, row.value, row.decided_at = Conflict.Status.DECIDED, "both", ours, now
    upsert(Conflict, moved, CLOSED)
    return [(row.record_id, row.field) for row in rows if row.status == Conflict.Status.OPEN]


def with_conflicts(record_ids: Iterable[UUID]) -> set[UUID]:
    """Which of these records have a conflict that waits for a person."""
    rows = Conflict.objects.filter(record__in=list(record_ids), status=Conflict.Status.OPEN)
    return set(rows.values_list("record_id", flat=True))
