"""Calls with a number that nobody has, where the tenant wants a contact made of each such number."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import phonenumbers

from activities import targets
from activities.models import Call, CallSettings
from activities.targets import Target, TargetError
from integrations.models import Tenant
from sync import pushes
from sync.holding import lock_tenant
from sync.models import Contact, FieldChange

SOURCE = "call"
NOT_PROVIDED = "[not provided]"
"""Stands where a CRM insists on a company."""
_Places = dict[UUID, Sequence[Target]]


def introduce(tenant: Tenant, calls: Sequence[Call], placed: _Places) -> None:
    """Gives calls of unknown numbers their new contacts, before the calls are stored. Without the tenant's wish it does nothing."""
    strangers = [call for call in calls if call.review == Call.Review.UNKNOWN_NUMBER]
    if not strangers:
        return
    chosen = CallSettings.objects.filter(tenant=tenant).first() or CallSettings()
    wishes = {"outbound": chosen.unknown_outbound, "inbound": chosen.unknown_inbound}
    wanted = [call for call in strangers if wishes[call.direction] == CallSettings.Unknown.CREATE]
    if wanted:
        make_contacts(tenant.pk, wanted, placed)


def make_contacts(tenant_id: UUID, calls: Sequence[Call], placed: _Places, by: str = "") -> None:
    """One contact for each number, in every CRM that takes new people from us; until it is there the calls wait for it.

    Somebody who got the number meanwhile is not made again.
    """
    lock_tenant(tenant_id)
    again: Mapping[UUID, list[Target] | TargetError] = targets.locate_all([(call, None) for call in calls])
    placed.update({pk: place for pk, place in again.items() if not isinstance(place, TargetError)})
    contacts: dict[str, Contact] = {}
    for call in calls:
        if call.review == Call.Review.UNKNOWN_NUMBER:
            contact = contacts.setdefault(call.phone, Contact(tenant_id=tenant_id, **_fields(call.phone)))
            call.contact_id, call.review = contact.pk, Call.Review.NOT_LINKED
    made = list(contacts.values())
    Contact.objects.bulk_create(made)
    FieldChange.objects.bulk_create(
        FieldChange(
            tenant_id=tenant_id,
            contact=one,
            field="*",
            new=_fields(one.phone),
            source="person" if by else SOURCE,
            actor=by,
        )
        for one in made
    )
    pushes.enqueue(made, new=True)


def _fields(phone: str) -> dict[str, Any]:
    """What is known of a caller, with a name that a person recognises in a list of people."""
    number = phonenumbers.format_number(phonenumbers.parse(phone), phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    return {"phone": phone, "last_name": f"Unknown {number}", "company": NOT_PROVIDED}
