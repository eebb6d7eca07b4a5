"""Asks for contacts to be carried to the CRMs, in the transaction that changes them. What is sent is worked out later."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from uuid import UUID

from django.db.models import F, JSONField, QuerySet, Value
from django.db.models.expressions import CombinedExpression

from integrations.models import CrmConnection
from sync import do_not_call, queue
from sync.models import Contact, Lane, SyncJob, SyncRecord

KIND = "push"
CONTACTS = Contact._meta.db_table


def enqueue(
    contacts: Iterable[Contact],
    *,
    lane: Lane = Lane.EDITS,
    new: bool = False,
    except_for: UUID | None = None,
    only_for: UUID | None = None,
    run_id: int | None = None,
) -> None:
    """One job for each of these contacts and each connection that knows it, in the caller's transaction.

    `new` ones are also created in every connection that takes new people from us. `except_for` is where the change came from,
    `only_for` the one connection that is concerned. `run_id` is the run that asks, if it is one.
    """
    owners = {contact.pk: contact.tenant_id for contact in contacts}
    if not owners:
        return
    links = SyncRecord.objects.filter(local_record_id__in=list(owners), local_table=CONTACTS).exclude(connection=None)
    if only_for is not None:
        links = links.filter(connection_id=only_for)
    pairs = set(links.values_list("connection_id", "local_record_id"))
    if new:
        pairs |= {(row.pk, pk) for row in _takers(owners.values()) for pk in owners if owners[pk] == row.tenant_id}
    queue.enqueue(
        SyncJob(
            tenant_id=owners[contact_id],
            connection_id=connection_id,
            kind=KIND,
            key=str(contact_id),
            local_record_id=contact_id,
            payload={"new": True} if new else {},
            lane=lane,
            run_id=run_id,
        )
        for connection_id, contact_id in sorted(pairs)
        if connection_id != except_for
    )


def _takers(tenants: Collection[UUID]) -> list[CrmConnection]:
    """Connections in which our own new contacts are made. A tenant's setting `create_contacts` can forbid it."""
    rows = CrmConnection.objects.filter(tenant_id__in=set(tenants)).exclude(status=CrmConnection.Status.DISCONNECTED)
    return [row for row in rows if row.settings.get("create_contacts", True)]


def mark_changed(contacts: Sequence[Contact], *, now: datetime, except_for: UUID | None = None) -> None:
    """Notes on the links of these contacts that our side moved; `except_for` is the connection that moved it."""
    _links(contacts, except_for).update(last_local_modified_at=now, updated_at=now)


def mark_do_not_call(contacts: Sequence[Contact], *, now: datetime, except_for: UUID | None = None) -> None:
    """Notes on the links of these contacts since when they must not be called: an older event can't take it back."""
    if contacts:
        stamp = Value(do_not_call.stamped({}, now), output_field=JSONField())
        joined = CombinedExpression(F("metadata"), "||", stamp, output_field=JSONField())
        _links(contacts, except_for).update(metadata=joined)


def _links(contacts: Sequence[Contact], except_for: UUID | None) -> QuerySet[SyncRecord]:
    rows = SyncRecord.objects.filter(local_record_id__in=[contact.pk for contact in contacts], local_table=CONTACTS)
    return (
        rows.exclude(connection=None).exclude(connection_id=except_for) if except_for else rows.exclude(connection=None)
    )
