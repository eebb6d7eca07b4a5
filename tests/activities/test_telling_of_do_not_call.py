"""The dialer hears at once who must not be called any more, or may be again, whoever said so."""

import json
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from activities.delivering import deliver
from activities.dialer_webhooks import DO_NOT_CALL, LOGGED
from activities.models import DialerEndpoint, DialerMessage
from integrations import outside, tenancy
from integrations.models import CrmConnection, Tenant
from integrations.sandbox.server import SandboxServer
from integrations.signing import new_secret
from mapping.publishing import add_defaults
from sync import editing, folding
from sync.models import Contact
from sync.pull import pull
from tests.fake_crm.provider import FakeService
from tests.sync.people import PATIENCE, person

CONTACTS = "/api/v1/contacts/"


def listen(owner: Tenant, **fields: Any) -> DialerEndpoint:
    with tenancy.everyone():
        made: DialerEndpoint = DialerEndpoint.objects.create(
            tenant=owner, url="https://dialer.example/hooks", secret=new_secret(), **fields
        )
    return made


@pytest.fixture
def endpoint(contact: Contact) -> DialerEndpoint:
    return listen(contact.tenant)


def told(**fields: Any) -> list[dict[str, Any]]:
    with tenancy.everyone():
        rows = DialerMessage.objects.filter(event=DO_NOT_CALL, **fields).order_by("created_at", "pk")
        return [row.payload["data"] for row in rows]


def test_an_edit_by_the_dialer_is_told_once_in_each_direction(
    client: APIClient, contact: Contact, endpoint: DialerEndpoint
) -> None:
    for said in (True, True, False):
        assert client.patch(f"{CONTACTS}{contact.pk}/", {"do_not_call": said}).status_code == 200
    client.patch(f"{CONTACTS}{contact.pk}/", {"title": "Head of sales"})
    here = {"id": str(contact.pk), "said_by": "api"}
    assert told() == [{**here, "do_not_call": True}, {**here, "do_not_call": False}]


def test_a_disposition_is_told(client: APIClient, contact: Contact, body: Any, endpoint: DialerEndpoint) -> None:
    assert client.post("/api/v1/calls/", {**body, "disposition": "DNC"}).status_code == 201
    assert told() == [{"id": str(contact.pk), "do_not_call": True, "said_by": "call"}]


def test_what_a_crm_says_is_told_of_those_who_were_known(
    contact: Contact, connection: CrmConnection, fake_crm: SandboxServer, endpoint: DialerEndpoint
) -> None:
    assert isinstance(fake_crm.service, FakeService)
    with tenancy.scope(connection.tenant_id):
        add_defaults(connection)
        person(fake_crm.service, "7", dnc=False)
        person(fake_crm.service, "8", dnc=True)
        pull(connection, "people", PATIENCE)
        assert told() == []
        person(fake_crm.service, "7", dnc=True)
        pull(connection, "people", PATIENCE)
    assert told() == [{"id": str(contact.pk), "do_not_call": True, "said_by": "crm"}]


def test_two_contacts_that_become_one_are_told_by_the_one_that_is_left(
    contact: Contact, endpoint: DialerEndpoint
) -> None:
    with tenancy.scope(contact.tenant_id):
        other = Contact.objects.create(tenant=contact.tenant, first_name="Ann", do_not_call=True)
        first, later = folding.in_order([contact.pk, other.pk])
        folding.fold(first, later, folding.Decider("sam"))
    assert told() == [{"id": str(contact.pk), "do_not_call": True, "said_by": "person"}]


def test_somebody_who_sees_all_tenants_tells_only_the_contacts_own(
    contact: Contact, endpoint: DialerEndpoint, stranger: Tenant
) -> None:
    theirs = listen(stranger)
    with tenancy.everyone():
        editing.edit(contact.pk, {"do_not_call": True}, editing.Author("person", "sam"))
    assert len(told(endpoint=endpoint)) == 1
    assert told(endpoint=theirs) == []


def test_an_address_that_asked_for_other_events_hears_nothing(contact: Contact, client: APIClient) -> None:
    listen(contact.tenant, events=[LOGGED])
    client.patch(f"{CONTACTS}{contact.pk}/", {"do_not_call": True})
    assert told() == []


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, dict[str, str]]]:
    taken: list[tuple[bytes, dict[str, str]]] = []

    def post(_url: str, body: bytes, headers: Any) -> outside.Answer:
        taken.append((body, dict(headers)))
        return outside.Answer(503 if len(taken) == 1 else 200, b"")

    monkeypatch.setattr(outside, "post", post)
    return taken


def test_it_is_signed_and_tried_again_like_the_others(
    client: APIClient, contact: Contact, endpoint: DialerEndpoint, heard: list[tuple[bytes, dict[str, str]]]
) -> None:
    client.patch(f"{CONTACTS}{contact.pk}/", {"do_not_call": True})
    for _try in range(2):
        with tenancy.everyone():
            DialerMessage.objects.filter(state="ready").update(not_before=timezone.now())
        deliver(str(endpoint.pk), probe=True)
    (first, headers), (again, _headers) = heard
    assert first == again
    assert json.loads(first)["type"] == DO_NOT_CALL
    assert contact.phone.encode() not in first
    assert headers["webhook-signature"].startswith("v1,")
    with tenancy.everyone():
        assert DialerMessage.objects.get().state == "sent"
