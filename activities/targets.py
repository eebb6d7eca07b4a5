"""Where a call belongs: on the record that was dialled, in each CRM that knows the person, and on nobody else."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Q

from activities.models import Call
from integrations.models import CrmConnection
from sync import departed, folding, queue
from sync.models import Contact, Lane, SyncJob, SyncRecord

KIND = "log_call"
CONTACTS = Contact._meta.db_table


class TargetError(LookupError):
    """The call names something that isn't there. `field` is the one at fault, the message says what to do."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Target:
    """A record of one connection that the call has to be logged on."""

    connection_id: UUID
    object_type: str
    record_id: str


def locate(call: Call, contact_id: UUID | None) -> list[Target]:
    """Finds whom the call was with, notes it on the call, and gives the records to log it on.

    A record that was dialled comes first, or the one that it lives on in, and is logged on even if we have not read it yet; the
    same person's records in the tenant's other CRMs follow. On a record that was deleted nothing can be logged. A number that
    fits nobody, or several, makes the call wait for a person.
    """
    if contact_id is not None and not Contact.objects.filter(pk=contact_id).exists():
        raise TargetError("contact_id", "There is no such contact.")
    contact_id = folding.survivor_of(contact_id) if contact_id else None
    if call.crm_record_id:
        return _by_record(call, contact_id)
    return _by_number(call) if contact_id is None else _of_person(call, contact_id)


def _by_record(call: Call, contact_id: UUID | None) -> list[Target]:
    link: Any = (
        SyncRecord.objects.filter(
            tenant_id=call.tenant_id,
            crm_provider=call.crm_provider,
            crm_record_id=call.crm_record_id,
            local_table=CONTACTS,
        )
        .exclude(connection=None)
        .first()
    )
    link = link and departed.end_of_signposts(link.connection_id, link)
    if link is None:
        connection = CrmConnection.objects.filter(provider=call.crm_provider).only("pk").first()
        if connection is None:
            raise TargetError("provider", "This CRM is not connected. Connect it in the admin first.")
        dialled = Target(connection.pk, "", call.crm_record_id)
    else:
        if contact_id not in {None, link.local_record_id}:
            raise TargetError("contact_id", "The dialled record belongs to another contact. Send one of the two.")
        contact_id = link.local_record_id
        if departed.is_deleted(link):
            return _of_person(call, contact_id) if contact_id else _of_nobody(call)
        dialled = Target(link.connection_id, link.crm_object_type, link.crm_record_id)
    others = _of_person(call, contact_id) if contact_id else []
    call.review = Call.Review.NONE
    return [dialled, *(one for one in others if one.connection_id != dialled.connection_id)]


def _of_nobody(call: Call) -> list[Target]:
    call.review = Call.Review.NOT_LINKED
    return []


def _by_number(call: Call) -> list[Target]:
    same_number = Q(phone=call.phone) | Q(mobile_phone=call.phone)
    found = list(Contact.objects.filter(same_number, deleted_at=None).values_list("pk", flat=True)[:2])
    if len(found) == 1:
        return _of_person(call, found[0])
    call.review = Call.Review.AMBIGUOUS_NUMBER if found else Call.Review.UNKNOWN_NUMBER
    return []


def _of_person(call: Call, contact_id: UUID) -> list[Target]:
    """One record in each CRM that knows the contact: the one that was linked first."""
    call.contact_id = contact_id
    links: Any = departed.still_there(
        SyncRecord.objects.filter(tenant_id=call.tenant_id, local_record_id=contact_id, local_table=CONTACTS)
    ).exclude(connection=None)
    found: dict[UUID, Target] = {}
    for link in links.order_by("created_at"):
        found.setdefault(link.connection_id, Target(link.connection_id, link.crm_object_type, link.crm_record_id))
    if not found:
        call.review = Call.Review.NOT_LINKED
    return list(found.values())


def enqueue(call: Call, targets: Iterable[Target]) -> None:
    """One job per CRM, in the transaction that stores the call."""
    queue.enqueue(
        SyncJob(
            tenant_id=call.tenant_id,
            connection_id=target.connection_id,
            kind=KIND,
            key=str(call.pk),
            local_record_id=call.pk,
            payload={"object_type": target.object_type, "record_id": target.record_id},
            lane=Lane.CALLS,
        )
        for target in targets
    )
