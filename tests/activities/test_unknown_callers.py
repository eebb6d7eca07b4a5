"""Calls with a number that nobody has, or that several share: made into a contact, or kept for a person to decide."""

from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from activities.models import Call, CallSettings
from activities.targets import KIND
from integrations import tenancy
from integrations.models import CrmConnection, Tenant
from sync import pushes
from sync.linked import contacts_linked
from sync.models import Contact, FieldChange, SyncJob, SyncRecord
from tests import factories
from tests.activities.conftest import link
from tests.admin import pages

URL = "/api/v1/calls/"
NUMBER = "+14155550199"


@pytest.fixture
def by_number(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "provider": "", "crm_record_id": "", "phone": NUMBER}


@pytest.fixture
def creates(connection: CrmConnection) -> None:
    with tenancy.everyone():
        CallSettings.objects.create(tenant=connection.tenant, unknown_inbound="create", unknown_outbound="create")


@pytest.fixture
def browser(tenant: Tenant) -> Client:
    client = Client()
    client.force_login(factories.tenant_admin(tenant))
    return client


def all_of(model: Any) -> list[Any]:
    with tenancy.everyone():
        return list(model.objects.order_by("pk"))


def jobs(kind: str) -> list[SyncJob]:
    return [job for job in all_of(SyncJob) if job.kind == kind]


def linked_now(connection: CrmConnection, person: Contact, record_id: str) -> None:
    with tenancy.everyone():
        link(connection, person, record_id)
        contacts_linked.send(sender=SyncRecord, connection=connection, contact_ids=[person.pk])


def test_without_a_wish_the_call_waits_for_a_person(
    client: APIClient, connection: CrmConnection, by_number: Any
) -> None:
    for direction in ("inbound", "outbound"):
        client.post(URL, {**by_number, "external_id": direction, "direction": direction})
    assert {call.review for call in all_of(Call)} == {"unknown_number"}
    assert (all_of(Contact), all_of(SyncJob)) == ([], [])


def test_a_contact_is_made_and_the_call_is_logged_once_it_is_in_the_crm(
    client: APIClient, connection: CrmConnection, creates: None, by_number: Any
) -> None:
    call_id = client.post(URL, {**by_number, "direction": "inbound"}).json()["id"]
    [person], [change] = all_of(Contact), all_of(FieldChange)
    assert (person.phone, person.call_count, change.source) == (NUMBER, 1, "call")
    [push] = jobs(pushes.KIND)
    assert (push.payload, jobs(KIND)) == ({"new": True}, [])
    linked_now(connection, person, "9")
    told_again(connection, person)
    [job] = jobs(KIND)
    assert (str(job.local_record_id), job.payload["record_id"]) == (call_id, "9")
    assert all_of(Call)[0].review == ""


def told_again(connection: CrmConnection, person: Contact) -> None:
    with tenancy.everyone():
        contacts_linked.send(sender=SyncRecord, connection=connection, contact_ids=[person.pk])


def test_a_slower_crm_gets_the_call_too(
    client: APIClient, connection: CrmConnection, creates: None, by_number: Any
) -> None:
    client.post(URL, by_number)
    with tenancy.everyone():
        second = CrmConnection.objects.create(tenant=connection.tenant, provider="hubspot", access_token="x")
    [person] = all_of(Contact)
    linked_now(connection, person, "9")
    linked_now(second, person, "hs-9")
    assert [(job.connection_id, job.payload["record_id"]) for job in jobs(KIND)] == [
        (connection.pk, "9"), (second.pk, "hs-9"),
    ]  # fmt: skip


def test_calls_of_one_unknown_number_are_one_contact(
    client: APIClient, connection: CrmConnection, creates: None, by_number: Any
) -> None:
    calls = [{**by_number, "external_id": f"u-{number}"} for number in range(5)]
    client.post(f"{URL}bulk/", {"calls": calls})
    client.post(URL, {**by_number, "external_id": "later"})
    [person] = all_of(Contact)
    assert (person.call_count, {call.contact_id for call in all_of(Call)}) == (6, {person.pk})


def test_of_five_who_share_a_number_only_the_one_that_was_dialled_gets_the_call(
    client: APIClient, connection: CrmConnection, by_number: Any, body: Any
) -> None:
    with tenancy.everyone():
        people = [Contact.objects.create(tenant=connection.tenant, phone=NUMBER) for _ in range(5)]
        for place, person in enumerate(people):
            link(connection, person, str(place))
    client.post(URL, {**body, "crm_record_id": "3", "phone": NUMBER})
    client.post(URL, {**by_number, "external_id": "d-2", "contact_id": str(people[4].pk)})
    assert [job.payload["record_id"] for job in jobs(KIND)] == ["3", "4"]


def test_an_inbound_call_from_a_shared_number_is_one_question(
    client: APIClient, connection: CrmConnection, creates: None, by_number: Any
) -> None:
    with tenancy.everyone():
        for place in range(5):
            link(connection, Contact.objects.create(tenant=connection.tenant, phone=NUMBER), str(place))
    for _ in range(3):
        client.post(URL, {**by_number, "direction": "inbound"})
    assert [call.review for call in all_of(Call)] == ["ambiguous_number"]
    assert (len(all_of(Contact)), all_of(SyncJob)) == (5, [])


# --- deciding -------------------------------------------------------------------------------------------------------


@pytest.fixture
def waiting(client: APIClient, connection: CrmConnection, by_number: Any) -> Call:
    client.post(URL, by_number)
    found: Call = all_of(Call)[0]
    return found


def press(browser: Client, button: str, call: Call, **said: Any) -> str:
    return browser.post(pages.page(Call, button, call.pk), said, follow=True).content.decode()


def test_the_queue_lists_what_waits(browser: Client, waiting: Call, connection: CrmConnection) -> None:
    factories.call(connection.tenant, disposition="Nobody waits for this")
    shown = browser.get(pages.page(Call, "changelist"), {"waits": "person"}).content.decode()
    assert "No contact has this number" in shown
    assert "Nobody waits for this" not in shown


def test_the_contact_that_is_chosen_gets_the_call(
    browser: Client, waiting: Call, contact: Contact, connection: CrmConnection
) -> None:
    found = browser.get(pages.page(Call, "choose_contact", waiting.pk), {"q": "ann"}).content.decode()
    assert str(contact.pk) in found
    assert "this contact" in press(browser, "choose_contact", waiting, contact=str(contact.pk))
    [call], [job] = all_of(Call), jobs(KIND)
    assert (call.contact_id, call.review, job.payload["record_id"]) == (contact.pk, "", "7")
    assert "waits for nobody" in press(browser, "choose_contact", waiting, contact=str(contact.pk))
    assert len(jobs(KIND)) == 1


def test_a_new_contact_takes_all_calls_of_its_number(
    browser: Client, client: APIClient, waiting: Call, by_number: Any
) -> None:
    client.post(URL, {**by_number, "external_id": "d-2"})
    assert '<form method="post">' in browser.get(pages.page(Call, "new_contact", waiting.pk)).content.decode()
    assert all_of(Contact) == []
    assert "2 calls have their contact now" in press(browser, "new_contact", waiting)
    [person] = all_of(Contact)
    assert (person.phone, person.call_count) == (NUMBER, 2)
    assert {call.review for call in all_of(Call)} == {"not_linked"}
    assert len(jobs(pushes.KIND)) == 1


def test_a_call_that_is_kept_here_is_asked_about_no_more(browser: Client, waiting: Call) -> None:
    assert "stays here" in press(browser, "keep_here", waiting)
    assert (all_of(Call)[0].review, all_of(SyncJob)) == ("", [])


def test_another_tenants_call_is_not_there_to_decide(waiting: Call, stranger: Tenant) -> None:
    theirs = Client()
    theirs.force_login(factories.tenant_admin(stranger))
    for button in ("choose_contact", "new_contact", "keep_here"):
        assert theirs.post(pages.page(Call, button, waiting.pk)).status_code == 404
