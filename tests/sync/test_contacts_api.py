"""What the dialer may change of a contact, and what follows from it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from integrations import tenancy
from integrations.models import CrmConnection, Tenant
from sync.models import Contact, FieldChange, Lane, SyncJob, SyncRecord


class Dialer:
    def __init__(self, key: str) -> None:
        self.client = Client(headers={"authorization": f"Bearer {key}"})

    def post(self, body: Any) -> Any:
        return self.client.post("/api/v1/contacts/", json.dumps(body), content_type="application/json")

    def patch(self, contact: Contact, body: Any) -> Any:
        return self.client.patch(f"/api/v1/contacts/{contact.pk}/", json.dumps(body), content_type="application/json")


@pytest.fixture
def dialer(api_key: str) -> Dialer:
    return Dialer(api_key)


@pytest.fixture
def ann(tenant: Tenant, connection: CrmConnection) -> Iterator[Contact]:
    """A contact that the fake CRM knows too."""
    with tenancy.scope(tenant.pk):
        contact = Contact.objects.create(tenant=tenant, first_name="Ann", email="ann@example.com", custom={"a": 1})
        SyncRecord.objects.create(
            tenant=tenant,
            connection=connection,
            crm_provider="fakecrm",
            crm_object_type="people",
            crm_record_id="7",
            local_record_id=contact.pk,
            local_table="contacts",
            sync_direction="inbound",
            base={"first_name": "Ann", "email": "ann@example.com"},
        )
        yield contact


def test_a_change_is_kept_with_its_story_and_a_job_for_each_crm_that_knows_the_contact(
    dialer: Dialer, ann: Contact
) -> None:
    answer = dialer.patch(ann, {"first_name": "Anna", "phone": "(415) 555-0101", "custom": {"b": 2}})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["first_name"], body["phone"], body["custom"], body["version"]) == (
        "Anna", "+14155550101", {"a": 1, "b": 2}, 2,
    )  # fmt: skip
    story = FieldChange.objects.filter(contact=ann).order_by("field").values_list("field", "old", "new", "source")
    assert list(story) == [
        ("custom.b", None, 2, "api"), ("first_name", "Ann", "Anna", "api"), ("phone", None, "+14155550101", "api"),
    ]  # fmt: skip
    assert list(SyncJob.objects.values_list("kind", "local_record_id", "lane")) == [("push", ann.pk, Lane.EDITS)]


def test_what_does_not_differ_changes_nothing(dialer: Dialer, ann: Contact) -> None:
    assert dialer.patch(ann, {"first_name": "Ann", "last_name": ""}).json()["version"] == 1
    assert not FieldChange.objects.exists()
    assert not SyncJob.objects.exists()


def test_a_version_that_is_behind_is_refused_and_loses_nothing(dialer: Dialer, ann: Contact) -> None:
    assert dialer.patch(ann, {"first_name": "Anna", "version": 1}).status_code == 200
    refused = dialer.patch(ann, {"first_name": "Annette", "version": 1})
    assert refused.status_code == 409
    assert "version 2" in refused.json()["detail"]
    assert Contact.objects.get().first_name == "Anna"


def test_do_not_call_takes_the_first_lane(dialer: Dialer, ann: Contact) -> None:
    dialer.patch(ann, {"do_not_call": True})
    assert SyncJob.objects.get().lane == Lane.DO_NOT_CALL


def test_do_not_call_overtakes_an_edit_that_waits_already(dialer: Dialer, ann: Contact) -> None:
    dialer.patch(ann, {"first_name": "Anna"})
    dialer.patch(ann, {"do_not_call": True})
    assert list(SyncJob.objects.values_list("lane", flat=True)) == [Lane.DO_NOT_CALL]


def test_a_new_contact_is_made_in_every_crm_that_takes_new_people(dialer: Dialer, connection: CrmConnection) -> None:
    answer = dialer.post({"last_name": "Lee", "email": " Bo.Lee@Example.com ", "do_not_call": True})
    assert answer.status_code == 201
    assert answer.json()["email"] == "bo.lee@example.com"
    with tenancy.scope(connection.tenant_id):
        job = SyncJob.objects.get()
    assert (job.payload, job.lane) == ({"new": True}, Lane.DO_NOT_CALL)


def test_a_tenant_can_keep_new_contacts_out_of_a_crm(dialer: Dialer, connection: CrmConnection) -> None:
    with tenancy.scope(connection.tenant_id):
        CrmConnection.objects.update(settings={"create_contacts": False})
        assert dialer.post({"last_name": "Lee"}).status_code == 201
        assert not SyncJob.objects.exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"phone": "555"}, "phone"),
        ({"email": "nobody"}, "email"),
        ({"call_count": 7}, "call_count"),
        ({"owner_email": "x@example.com"}, "owner_email"),
        ({"shoe_size": 44}, "shoe_size"),
        ({"custom": {"": 1}}, "custom"),
        ({"custom": {"x": "y" * 20_000}}, "custom"),
        ({"do_not_call": "perhaps"}, "do_not_call"),
        ({"first_name": "x" * 300}, "first_name"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_is_told_by_its_field_and_changes_nothing(
    dialer: Dialer, ann: Contact, body: dict[str, Any], field: str
) -> None:
    answer = dialer.patch(ann, body)
    assert answer.status_code == 400
    assert [one["field"].split(".")[0] for one in answer.json()["errors"]] == [field]
    assert Contact.objects.get().version == 1


def test_a_contact_without_anything_to_know_it_by_is_refused(dialer: Dialer, tenant: Tenant) -> None:
    assert dialer.post({"company": "Lee & Co"}).status_code == 400


def test_another_tenants_contact_is_not_there(dialer: Dialer, stranger: Tenant) -> None:
    with tenancy.scope(stranger.pk):
        theirs = Contact.objects.create(tenant=stranger, first_name="Zed")
    assert dialer.patch(theirs, {"first_name": "Hacked"}).status_code == 404
