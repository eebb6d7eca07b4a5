"""Where a call belongs: on the record that was dialled, in each CRM that knows it, and on nobody else."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Q

from activities.models import Call
from integrations.models import CrmConnection, Tenant
from sync import queue
from sync.models import Contact, Lane, SyncJob, SyncRecord

KIND = "log_call"
CONTACTS = Contact._meta.db_table


@dataclass(frozen=True, slots=True)
class Target:
    """A record of one connection that the call has to be logged on."""

    connection_id: UUID
    object_type: str
    record_id: str

    def payload(self) -> dict[str, str]:
        return {"object_type": self.object_type, "record_id": self.record_id}


def find_contact(tenant: Tenant, call: Call) -> tuple[Contact | None, str]:
    """The contact the call was with, or the reason why a person has to look."""
    if call.crm_record_id:
        link = SyncRecord.objects.filter(
            tenant=tenant, crm_provider=call.crm_provider, crm_record_id=call.crm_record_id, local_table=CONTACTS
        ).first()
        return (Contact.objects.filter(pk=link.local_record_id).first() if link else None), Call.Review.NONE
    same_number = Q(phone=call.phone) | Q(mobile_phone=call.phone)
    found = list(Contact.objects.filter(same_number, tenant=tenant, deleted_at=None)[:2])
    if len(found) == 1:
        return found[0], Call.Review.NONE
    return None, Call.Review.AMBIGUOUS_NUMBER if found else Call.Review.UNKNOWN_NUMBER


def targets_of(call: Call) -> list[Target]:
    """The dialled record itself, and the same contact's records in the tenant's other CRMs."""
    found: dict[UUID, Target] = {}
    if call.crm_record_id:
        dialled = _dialled(call)
        if dialled:
            found[dialled.connection_id] = dialled
    if call.contact_id:
        links: Any = SyncRecord.objects.filter(
            tenant_id=call.tenant_id, local_record_id=call.contact_id, local_table=CONTACTS
        ).exclude(connection=None)
        for link in links.order_by("created_at"):
            target = Target(link.connection_id, link.crm_object_type, link.crm_record_id)
            found.setdefault(link.connection_id, target)
    return list(found.values())


def _dialled(call: Call) -> Target | None:
    connection = CrmConnection.objects.filter(tenant_id=call.tenant_id, provider=call.crm_provider).first()
    if connection is None:
        return None
    link = SyncRecord.objects.filter(
        tenant_id=call.tenant_id,
        crm_provider=call.crm_provider,
        crm_record_id=call.crm_record_id,
        local_table=CONTACTS,
    ).first()
    return Target(connection.pk, link.crm_object_type if link else "", call.crm_record_id)


def enqueue(call: Call, targets: list[Target]) -> None:
    """One job per CRM, in the transaction that stores the call."""
    queue.enqueue(
        SyncJob(
            tenant_id=call.tenant_id,
            connection_id=target.connection_id,
            kind=KIND,
            key=str(call.pk),
            local_record_id=call.pk,
            payload=target.payload(),
            lane=Lane.CALLS,
        )
        for target in targets
    )
