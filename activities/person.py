"""One person, and everything that is held of them: who they are by whatever somebody knows of them, and where that stands.

`PLACES` names every table with something of a person in it; a test sees to it that no table is left out. What hangs on a
contact or a call is found by its id. Texts that name somebody by the way (an answer of a CRM, an error) are found by the person's
own e-mail addresses and numbers.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.contrib.admin.models import LogEntry
from django.db.models import F, Func, IntegerField, Model, Q, QuerySet, Value
from django.db.models.lookups import GreaterThan

from activities.forgetting import SIDES
from activities.models import Call, CallStage, DialerMessage, RecordingPlay
from integrations import exchanges
from integrations.models import ApiExchange, Tenant
from sync import erasing
from sync.models import (
    Conflict,
    Contact,
    FieldChange,
    InboxEvent,
    MatchReview,
    Quarantine,
    RecordSnapshot,
    SentValue,
    SyncJob,
    SyncRecord,
    UndoItem,
)
from sync.records_search import as_uuid, phone_candidates, with_crm_id

EMAIL_FIELDS, PHONE_FIELDS = ("email",), ("phone", "mobile_phone")
SHORTEST_NEEDLE = 6
"""Characters from which a text of a person is searched for in other texts: a shorter one would hit everybody."""


@dataclass(frozen=True, slots=True)
class Person:
    """The contacts, calls and links that are this person, and the texts that name them."""

    tenant: Tenant
    contact_ids: frozenset[UUID]
    call_ids: frozenset[UUID]
    links: Sequence[SyncRecord]
    """Of the contacts and of the calls."""
    emails: frozenset[str] = frozenset()
    phones: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()

    @property
    def ids(self) -> list[UUID]:
        return [*self.contact_ids, *self.call_ids]

    @property
    def texts(self) -> list[str]:
        return [str(one) for one in self.ids]

    @property
    def needles(self) -> list[str]:
        """What names this person and nobody else; numbers also as they stand without the plus."""
        found = {*self.emails, *self.phones, *(one.lstrip("+") for one in self.phones)}
        return sorted((one for one in found if len(one) >= SHORTEST_NEEDLE), key=len, reverse=True)

    @property
    def keys(self) -> list[str]:
        """By which requests to the CRMs are known to be about this person."""
        records = [exchanges.record_key(one.crm_object_type, one.crm_record_id) for one in self.links]
        jobs = SyncJob.objects.filter(local_record_id__in=self.ids).values_list("pk", flat=True)
        sides = [f"{one}{side}" for one in self.call_ids for side in SIDES]
        return [*self.texts, *(str(one.pk) for one in self.links), *records, *sides, *(f"job:{one}" for one in jobs)]

    @property
    def crm_records(self) -> list[dict[str, str]]:
        """What stays in the CRMs: the person's records, and the calls that were logged there."""
        return [
            {"provider": one.crm_provider, "type": one.crm_object_type, "id": one.crm_record_id, "url": one.url}
            for one in self.links
        ]

    def __bool__(self) -> bool:
        return bool(self.contact_ids or self.call_ids)


def find(tenant: Tenant, *, email: str = "", phone: str = "", any_id: str = "") -> Person:
    """In the tenant's scope. `any_id` is ours or a CRM's, of the contact or of a call. Nobody found: a falsy person."""
    wanted, calls = Q(pk__in=()), Q(pk__in=())
    if email:
        wanted |= Q(email__in={email, email.lower()}) | Q(email__iexact=email)
    numbers = phone_candidates(phone, [tenant.region]) if phone else []
    if numbers:
        wanted |= Q(phone__in=numbers) | Q(mobile_phone__in=numbers)
        calls |= Q(contact=None, phone__in=numbers)
    if any_id:
        own = as_uuid(any_id)
        linked = SyncRecord.objects.filter(with_crm_id(any_id), local_table=Contact._meta.db_table)
        by_call = Call.objects.filter(Q(pk=own) if own else Q(external_id=any_id))
        known = [*linked.values_list("local_record_id", flat=True), *by_call.values_list("contact_id", flat=True), own]
        wanted |= Q(pk__in=[one for one in known if one])
        calls |= Q(pk__in=by_call.values("pk"))
    return _whole(tenant, Contact.objects.filter(wanted, tenant=tenant), calls, {email} - {""}, set(numbers))


def of_contact(contact: Contact) -> Person:
    return _whole(contact.tenant, Contact.objects.filter(pk=contact.pk), Q(pk__in=()), set(), set())


def _whole(tenant: Tenant, contacts: QuerySet[Contact], calls: Q, emails: set[str], phones: set[str]) -> Person:
    """With everybody who became one with them, their calls, and every address and number that they ever had here."""
    found = list(contacts)
    found += Contact.objects.filter(pk__in=erasing.joined_into({one.pk for one in found}) - {one.pk for one in found})
    ids = {one.pk for one in found}
    emails |= _held(found, EMAIL_FIELDS)
    phones |= _held(found, PHONE_FIELDS)
    mine = list(Call.objects.filter(Q(contact__in=ids) | calls | Q(contact=None, phone__in=phones), tenant=tenant))
    phones |= {one.phone for one in mine if one.phone}
    of_calls = SyncRecord.objects.filter(local_record_id__in=[one.pk for one in mine]).select_related("connection")
    return Person(
        tenant,
        frozenset(ids),
        frozenset(one.pk for one in mine),
        [*erasing.links_of(ids), *of_calls],
        frozenset(emails),
        frozenset(phones),
        frozenset(f"{one.first_name} {one.last_name}" for one in found if one.first_name and one.last_name),
    )


def _held(contacts: Iterable[Contact], fields: Sequence[str]) -> set[str]:
    """Now and in former times."""
    now = {getattr(one, name) for one in contacts for name in fields}
    earlier = FieldChange.objects.filter(contact__in=[one.pk for one in contacts], field__in=fields)
    told = {value for row in earlier.values_list("old", "new", "lost") for value in row if isinstance(value, str)}
    return (now | told) - {""}


# --- where it stands --------------------------------------------------------------------------------------------------


def _links(person: Person) -> Q:
    return Q(pk__in=[one.pk for one in person.links])


def _of_links(person: Person) -> Q:
    return Q(record__in=[one.pk for one in person.links])


def _contact(person: Person) -> Q:
    return Q(contact__in=person.contact_ids)


def _either(person: Person) -> Q:
    return Q(contact__in=person.contact_ids) | Q(candidate__in=person.contact_ids)


def _calls(person: Person) -> Q:
    return Q(call__in=person.call_ids)


def _rows(person: Person) -> Q:
    return Q(local_record_id__in=person.ids) | mentioned(person, ("error", "error_detail"), names=True)


def _events(person: Person) -> Q:
    named = Q(pk__in=())
    for link in person.links:
        told = Q(connection=link.connection_id, object_type=link.crm_object_type)
        named |= told & Q(record_ids__contains=[link.crm_record_id])
    bodies = Q(pk__in=())
    for needle in person.needles:
        bodies |= Q(GreaterThan(Position(Value(needle.encode()), F("body")), 0))
    return named | bodies | mentioned(person, ("values",))


class Position(Func):
    """Where some bytes stand in others, from 1; 0 for nowhere."""

    template = "position(%(expressions)s)"
    arg_joiner = " IN "
    output_field = IntegerField()


def _requests(person: Person) -> Q:
    return Q(keys__overlap=person.keys) | mentioned(person, ("request", "response", "path", "problem"))


def mentioned(person: Person, fields: Sequence[str], *, names: bool = False) -> Q:
    """Rows in which one of these texts has an address, a number or, with `names`, the whole name of the person."""
    found = Q(pk__in=())
    for needle in (*person.needles, *(person.names if names else ())):
        for name in fields:
            found |= Q(**{f"{name}__icontains": needle})
    return found


@dataclass(frozen=True, slots=True)
class Place:
    """One table, and which of its rows are about a person."""

    title: str
    model: type[Model]
    rows: Callable[[Person], Q]
    hidden: Sequence[str] = field(default=())
    """Columns that say nothing to anybody outside."""

    def of(self, person: Person) -> QuerySet[Any]:
        found: QuerySet[Any] = self.model._default_manager.filter(self.rows(person))
        return found.filter(tenant=person.tenant) if hasattr(self.model, "tenant") else found


PLACES = (
    Place("contacts", Contact, lambda person: Q(pk__in=person.contact_ids), ("change_xid",)),
    Place("records_in_crms", SyncRecord, _links),
    Place("history", FieldChange, _contact),
    Place("conflicts", Conflict, _contact),
    Place("quarantined_fields", Quarantine, _contact),
    Place("possible_duplicates", MatchReview, _either),
    Place("records_as_last_read", RecordSnapshot, _of_links),
    Place("values_sent", SentValue, _of_links),
    Place("values_to_take_back", UndoItem, lambda person: Q(contact_id__in=person.contact_ids)),
    Place("calls", Call, lambda person: Q(pk__in=person.call_ids), ("fingerprint",)),
    Place("stages_of_calls", CallStage, _calls, ("fingerprint",)),
    Place("plays_of_recordings", RecordingPlay, _calls),
    Place("jobs", SyncJob, _rows, ("lease_token", "fingerprint")),
    Place("events_from_crms", InboxEvent, _events, ("fingerprint",)),
    Place("requests_to_crms", ApiExchange, _requests),
    Place("messages_to_the_dialer", DialerMessage, lambda person: Q(about__in=person.ids)),
    Place("changes_by_hand", LogEntry, lambda person: Q(object_id__in=person.texts)),
)
