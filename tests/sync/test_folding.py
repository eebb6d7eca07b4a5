"""The id of a contact that became part of another one keeps working for the dialer."""

import json

from django.test import Client

from integrations import tenancy
from integrations.models import CrmConnection
from sync import folding, holding
from sync.models import Contact, SyncRecord
from tests import factories


def folded(crm: CrmConnection) -> tuple[Contact, Contact]:
    with tenancy.scope(crm.tenant_id):
        first = factories.contact(crm.tenant, first_name="Ann", email="")
        later = factories.contact(crm.tenant, first_name="Anne", email="anne@example.com")
        factories.link(crm, later)
        holding.lock_tenant(crm.tenant_id)
        folding.fold(first, later, folding.Decider("sam"))
    return first, later


def test_reading_the_old_id_gives_the_survivor_under_its_own_id(connection: CrmConnection, api_key: str) -> None:
    first, later = folded(connection)
    client = Client(headers={"authorization": f"Bearer {api_key}"})
    answer = client.get(f"/api/v1/contacts/{later.pk}/")
    assert (answer.status_code, answer.json()["id"], answer.json()["email"]) == (200, str(first.pk), later.email)


def test_editing_the_old_id_edits_the_survivor(connection: CrmConnection, api_key: str) -> None:
    first, later = folded(connection)
    client = Client(headers={"authorization": f"Bearer {api_key}"})
    answer = client.patch(
        f"/api/v1/contacts/{later.pk}/", json.dumps({"title": "Boss"}), content_type="application/json"
    )
    assert (answer.status_code, answer.json()["id"]) == (200, str(first.pk))
    with tenancy.scope(connection.tenant_id):
        assert Contact.objects.get(pk=first.pk).title == "Boss"
        assert SyncRecord.objects.get().local_record_id == first.pk
