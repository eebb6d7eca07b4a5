"""Finds fields that bounce: we write a value, something in the CRM turns it into another, and we are to write the same again.

Our own write coming back is no bounce: it equals the base and changes nothing. What counts stands in the history: somebody other
than this CRM set the value, and then the CRM replaced it. At the second time within the window the field of that record is
quarantined: it is not written to this CRM until somebody releases it, and what the CRM says meanwhile is taken over whatever the
policy says. A do-not-call is never held back.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from integrations.models import CrmConnection
from sync import pushes
from sync.merge import DO_NOT_CALL, same
from sync.models import Contact, FieldChange, Quarantine, SyncRecord
from sync.times import CREATED

WINDOW = timedelta(hours=1)
MOST_BOUNCES = 2
REASON = (
    "This value was written {times} times within an hour, and each time something in the CRM changed it again. "
    "It is not written to the CRM any more until you release it. Look for an automation or another integration in the CRM "
    "that edits this field."
)

Wanted = tuple[SyncRecord, Contact, Mapping[str, Any]]


def bounces(history: Sequence[FieldChange], connection_id: UUID, field: str, ours: Any) -> list[FieldChange]:
    """The changes by which this CRM replaced `ours` after another had set it. `history` is one contact's, oldest first."""
    found, ours_came_from_us = [], False
    for change in history:
        if change.field not in (field, CREATED):
            continue
        by_this_crm = change.source == "crm" and change.connection_id == connection_id
        if by_this_crm and ours_came_from_us and not change.rule and same(change.old, ours):
            found.append(change)
        new = (change.new or {}).get(field) if change.field == CREATED else change.new
        ours_came_from_us = not by_this_crm and same(new, ours)
    return found


def stop(connection: CrmConnection, wanted: Sequence[Wanted]) -> list[tuple[UUID, str]]:
    """Quarantines what bounces among the values that are about to be written. Gives record and field of all that is quarantined."""
    held, released = _rows_of(link.pk for link, _contact, _fields in wanted)
    histories = _histories(wanted)
    new = []
    for link, contact, fields in wanted:
        for field, value in fields.items():
            if (link.pk, field) in held or field == DO_NOT_CALL:
                continue
            since = released.get((link.pk, field))
            history = [one for one in histories.get(contact.pk, ()) if since is None or one.at > since]
            found = bounces(history, connection.pk, field, value)
            if len(found) >= MOST_BOUNCES:
                new.append(_quarantine(link, contact, field, value, found))
    Quarantine.objects.bulk_create(new, ignore_conflicts=True)
    return [*held, *((row.record_id, row.field) for row in new)]


def quarantined(record_ids: Iterable[UUID]) -> dict[UUID, set[str]]:
    """Record → its quarantined fields."""
    found: dict[UUID, set[str]] = defaultdict(set)
    rows = Quarantine.objects.filter(record__in=list(record_ids), released_at=None)
    for record_id, field in rows.values_list("record_id", "field"):
        found[record_id].add(field)
    return found


def release(row: Quarantine, by: str) -> bool:
    """Lets the field be written again; what bounced before no longer counts. False: it was released already."""
    with transaction.atomic():
        freed = Quarantine.objects.filter(pk=row.pk, released_at=None).update(
            released_at=timezone.now(), released_by=by
        )
        if freed:
            pushes.enqueue([row.contact], only_for=row.record.connection_id)
    return bool(freed)


Key = tuple[UUID, str]


def _rows_of(record_ids: Iterable[UUID]) -> tuple[set[Key], dict[Key, datetime]]:
    """What is quarantined, and when what is not any more was released last."""
    held: set[Key] = set()
    released: dict[Key, datetime] = {}
    rows = Quarantine.objects.filter(record__in=list(record_ids)).order_by("pk")
    for record_id, field, at in rows.values_list("record_id", "field", "released_at"):
        if at is None:
            held.add((record_id, field))
        else:
            released[record_id, field] = at
    return held, released


def _histories(wanted: Sequence[Wanted]) -> dict[UUID, list[FieldChange]]:
    """Contact → what happened within the window to the fields that are to be written, oldest first."""
    found: dict[UUID, list[FieldChange]] = defaultdict(list)
    fields = {name for _link, _contact, values in wanted for name in values}
    rows = FieldChange.objects.filter(
        contact__in=[contact.pk for _link, contact, _fields in wanted],
        field__in=[*fields, CREATED],
        at__gte=timezone.now() - WINDOW,
    )
    for row in rows.order_by("pk"):
        found[row.contact_id].append(row)
    return found


def _quarantine(link: SyncRecord, contact: Contact, field: str, ours: Any, found: Sequence[FieldChange]) -> Quarantine:
    return Quarantine(
        tenant_id=link.tenant_id,
        record=link,
        contact=contact,
        field=field,
        ours=ours,
        theirs=found[-1].new,
        bounces=len(found),
        reason=REASON.format(times=len(found)),
        since=timezone.now(),
    )
