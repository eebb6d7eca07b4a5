"""Calls that need a person, and what becomes of them once somebody decided, or once their contact got into a CRM.

A call waits because nobody has its number, because several share it, or because its contact is in no connected CRM. The first two
are decided by naming the contact, by making one, or by keeping the call here. The last ends by itself: who is linked has the calls
logged that wait, also in a CRM that was slower than the others to take a new person.
"""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from activities import posting, targets, unknown
from activities.models import Call
from activities.targets import KIND, Target, TargetError
from integrations.models import CrmConnection
from sync.models import Contact, SyncJob
from sync.named import begins

OPEN = (Call.Review.UNKNOWN_NUMBER, Call.Review.AMBIGUOUS_NUMBER, Call.Review.NOT_LINKED)
SAVED = ("contact", "review", "updated_at")
LATE = timedelta(days=1)
"""A call that some CRM has already is logged in another one too if its person gets there within this time."""


class Decided(ValueError):
    """Somebody decided already."""


def belongs_to(call_id: UUID, contact_id: UUID) -> Call:
    """The call was with this contact: it is logged in every CRM that knows them. Raises Decided, TargetError."""
    with transaction.atomic():
        call = _waiting(call_id)
        before = call.contact_id
        places = {call.pk: targets.locate(call, contact_id)}
        call.save(update_fields=SAVED)
        posting.set_going([call], places, new=[call] if before is None else [])
    return call


def with_somebody_new(call_id: UUID, by: str) -> list[Call]:
    """Makes a contact of the number; all calls that wait for somebody with this number are theirs. Raises Decided."""
    with transaction.atomic():
        call = _waiting(call_id)
        if call.review != Call.Review.UNKNOWN_NUMBER:
            raise Decided
        alike = Call.objects.select_for_update().filter(
            phone=call.phone, review=Call.Review.UNKNOWN_NUMBER, contact=None
        )
        calls = list(alike.order_by("external_id"))
        places: dict[UUID, Sequence[Target]] = {}
        unknown.make_contacts(call.tenant_id, calls, places, by)
        for one in calls:
            one.updated_at = timezone.now()
        Call.objects.bulk_update(calls, SAVED)
        posting.set_going(calls, places, new=calls)
    return calls


def keep_here(call_id: UUID) -> None:
    """The call is nobody's, or nobody's business but ours. It may still get a contact by a later stage. Raises Decided."""
    with transaction.atomic():
        call = _waiting(call_id)
        call.review = Call.Review.NONE
        call.save(update_fields=SAVED)


def _waiting(call_id: UUID) -> Call:
    call: Call | None = Call.objects.select_for_update(of=("self",)).filter(pk=call_id, review__in=OPEN).first()
    if call is None:
        raise Decided
    return call


def candidates(call: Call, words: str, most: int) -> list[Contact]:
    """Whom a person may mean: those with the number first, then those whose name begins so, or whose e-mail or id it is."""
    people = Contact.objects.filter(tenant_id=call.tenant_id, deleted_at=None)
    same_number = list(people.filter(Q(phone=call.phone) | Q(mobile_phone=call.phone))[:most]) if call.phone else []
    if not words.split():
        return same_number
    by_name = people.filter(pk__in=begins(call.tenant_id, words))
    found = people.filter(email=words.strip().lower()) | by_name
    return list(found.order_by("last_name", "first_name", "pk")[:most])


# --- contacts that got into a CRM -----------------------------------------------------------------------------------


def log_what_waited(connection: CrmConnection, contact_ids: Collection[UUID], **_: Any) -> None:
    """In the transaction that links the contacts to records of this connection."""
    logged = SyncJob.objects.filter(connection=connection, kind=KIND, local_record_id=OuterRef("pk"))
    calls = list(
        Call.objects.filter(contact__in=list(contact_ids))
        .filter(Q(review=Call.Review.NOT_LINKED) | Q(review="", created_at__gte=timezone.now() - LATE))
        .exclude(Exists(logged))
        .order_by("external_id")
    )
    if not calls:
        return
    found = targets.locate_all([(call, call.contact_id) for call in calls])
    here: dict[UUID, Sequence[Target]] = {}
    for call in calls:
        place = found[call.pk]
        if not isinstance(place, TargetError):
            here[call.pk] = [target for target in place if target.connection_id == connection.pk]
    ready = [call for call in calls if here.get(call.pk)]
    Call.objects.filter(pk__in=[call.pk for call in ready], review=Call.Review.NOT_LINKED).update(
        review=Call.Review.NONE
    )
    posting.set_going(ready, here, changed=["linked"])
