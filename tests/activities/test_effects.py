"""What dispositions do to contacts, in the transaction that stores the call."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from activities import effects
from activities.models import Call, DispositionEffect
from integrations.models import CrmConnection, Tenant
from sync import do_not_call
from sync.models import Contact, FieldChange, Lane, SyncJob, SyncRecord
from tests import factories
from tests.activities.conftest import link

pytestmark = pytest.mark.usefixtures("everyone")


def effect(tenant: Tenant, disposition: str, **what: Any) -> None:
    DispositionEffect.objects.create(tenant=tenant, disposition=disposition, **what)


def called(contact: Contact, disposition: str, hours_ago: float = 1, **fields: Any) -> Call:
    at = factories.now() - timedelta(hours=hours_ago)
    return factories.call(contact.tenant, contact, disposition=disposition, started_at=at, **fields)


def held(contact: Contact) -> tuple[bool, str, int]:
    row = Contact.objects.get(pk=contact.pk)
    return row.do_not_call, row.lead_status, row.version


@pytest.mark.parametrize("word", ["DNC", "dnc ", "Do Not Call", "do  not call"])
def test_do_not_call_takes_effect_at_once_and_goes_first(
    contact: Contact, connection: CrmConnection, word: str
) -> None:
    effects.apply([called(contact, word)])
    assert held(contact) == (True, "", 2)
    assert [(one.lane, one.kind) for one in SyncJob.objects.all()] == [(Lane.DO_NOT_CALL, "push")]
    record = SyncRecord.objects.get(local_record_id=contact.pk)
    assert do_not_call.said_at(record.metadata) is not None
    story = FieldChange.objects.get(contact=contact)
    assert (story.field, story.old, story.new, story.source) == ("do_not_call", False, True, "call")


def test_a_later_disposition_never_takes_do_not_call_back(contact: Contact) -> None:
    call = called(contact, "DNC")
    effects.apply([call])
    effect(contact.tenant, "Connected", lead_status="Working")
    call.disposition = "Connected"
    call.save()
    effects.apply([call])
    assert held(contact) == (True, "Working", 3)


def test_do_not_call_said_again_is_said_later(contact: Contact) -> None:
    effects.apply([called(contact, "DNC", 3)])
    first = do_not_call.said_at(SyncRecord.objects.get(local_record_id=contact.pk).metadata)
    effects.apply([called(contact, "DNC", 1)])
    again = do_not_call.said_at(SyncRecord.objects.get(local_record_id=contact.pk).metadata)
    assert first
    assert again
    assert again > first
    assert held(contact)[2] == 2


def test_a_tenants_own_row_replaces_the_usual_effect(contact: Contact) -> None:
    effect(contact.tenant, "DNC", lead_status="Do not contact")
    effects.apply([called(contact, "DNC")])
    assert held(contact) == (False, "Do not contact", 2)


def test_a_lead_status_is_an_ordinary_edit_by_a_call(contact: Contact) -> None:
    effect(contact.tenant, "Not Interested", lead_status="Nurturing")
    effects.apply([called(contact, "not interested")])
    assert held(contact) == (False, "Nurturing", 2)
    assert [one.lane for one in SyncJob.objects.filter(kind="push")] == [Lane.EDITS]
    assert list(FieldChange.objects.values_list("field", "new", "source")) == [("lead_status", "Nurturing", "call")]


def test_only_the_newest_call_decides_the_lead_status(contact: Contact) -> None:
    effect(contact.tenant, "Not Interested", lead_status="Nurturing")
    effect(contact.tenant, "Connected", lead_status="Working")
    older, newest = called(contact, "Not Interested", 5), called(contact, "Connected", 1)
    effects.apply([newest, older])
    assert held(contact)[1] == "Working"
    effects.apply([older])
    assert held(contact)[1] == "Working"


def test_what_is_so_already_makes_no_version_and_no_job(contact: Contact) -> None:
    effect(contact.tenant, "Connected", lead_status="Working")
    Contact.objects.filter(pk=contact.pk).update(lead_status="Working")
    effects.apply([called(contact, "Connected")])
    assert held(contact) == (False, "Working", 1)
    assert not SyncJob.objects.exists()


def test_effects_of_another_tenant_and_of_nobody_are_none(contact: Contact, stranger: Tenant) -> None:
    effect(stranger, "Connected", lead_status="Working")
    effects.apply([called(contact, "Connected"), factories.call(contact.tenant, None, disposition="DNC")])
    assert held(contact) == (False, "", 1)


def test_the_statements_do_not_grow_with_the_calls(contact: Contact, connection: CrmConnection) -> None:
    effect(contact.tenant, "Connected", lead_status="Working")
    people = [contact]
    for number in range(20):
        person = factories.contact(contact.tenant, email=f"p{number}@example.com")
        link(connection, person, f"p{number}")
        people.append(person)
    few = [called(one, "DNC") for one in people[:2]] + [called(people[2], "Connected")]
    many = [called(one, "DNC" if place % 2 else "Connected") for place, one in enumerate(people[3:])]
    with CaptureQueriesContext(database) as first:
        effects.apply(few)
    with CaptureQueriesContext(database) as second:
        effects.apply(many)
    assert len(second) <= len(first)
    assert Contact.objects.filter(do_not_call=True).count() == 11


def test_a_disposition_without_an_effect_costs_one_statement(contact: Contact) -> None:
    call = called(contact, "Connected")
    with CaptureQueriesContext(database) as statements:
        effects.apply([call])
    assert len(statements) == 1


def test_do_not_call_is_in_force_with_the_answer_to_the_dialer_also_by_a_later_stage(
    client: APIClient, contact: Contact, body: Any
) -> None:
    call_id = client.post("/api/v1/calls/", body).json()["id"]
    assert held(contact)[0] is False
    assert client.patch(f"/api/v1/calls/{call_id}/", {"disposition": "DNC"}).status_code == 200
    assert held(contact)[0] is True
    assert SyncJob.objects.get(kind="push").lane == Lane.DO_NOT_CALL
    assert client.patch(f"/api/v1/calls/{call_id}/", {"disposition": "Connected"}).status_code == 200
    assert held(contact)[0] is True
