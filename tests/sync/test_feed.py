import threading
from typing import Any

import psycopg
import pytest
from django.db import connection as database
from django.db import transaction
from django.test import Client
from rest_framework.test import APIClient

from integrations import tenancy
from integrations.models import ApiKey, CrmConnection, Tenant
from sync.models import Contact, SyncRecord


@pytest.fixture
def client(api_key: str) -> Client:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {api_key}")
    return client


def add(tenant: Tenant, count: int, **fields: Any) -> list[Contact]:
    with tenancy.everyone():
        return Contact.objects.bulk_create([Contact(tenant=tenant, first_name=f"P{i}", **fields) for i in range(count)])


def one_pass(client: Client, cursor: str = "", limit: int = 3, **query: Any) -> tuple[list[dict[str, Any]], str]:
    found = []
    while True:
        page = client.get("/api/v1/contacts/", {"cursor": cursor, "limit": limit, **query}).json()
        found += page["results"]
        cursor = page["cursor"]
        if not page["has_more"]:
            assert page["next"] is None
            return found, cursor


@pytest.mark.django_db(transaction=True)
def test_a_pass_gives_every_contact_once(client: Client, tenant: Tenant, stranger: Tenant) -> None:
    ours = add(tenant, 10)
    add(stranger, 5)
    found, _cursor = one_pass(client)
    assert sorted(one["id"] for one in found) == sorted(str(one.pk) for one in ours)


@pytest.mark.django_db(transaction=True)
def test_the_next_pass_gives_only_what_changed_since(client: Client, tenant: Tenant) -> None:
    contacts = add(tenant, 5)
    _found, cursor = one_pass(client)
    assert one_pass(client, cursor)[0] == []
    with tenancy.everyone():
        Contact.objects.filter(pk=contacts[2].pk).update(title="CEO")
    found, cursor = one_pass(client, cursor)
    assert [(one["id"], one["title"]) for one in found] == [(str(contacts[2].pk), "CEO")]
    assert one_pass(client, cursor)[0] == []


@pytest.mark.django_db(transaction=True)
def test_a_contact_changed_during_a_pass_comes_in_the_next_one_and_not_twice(client: Client, tenant: Tenant) -> None:
    add(tenant, 6)
    first = client.get("/api/v1/contacts/", {"limit": 2}).json()
    with tenancy.everyone():
        Contact.objects.filter(pk__in=[one["id"] for one in first["results"]]).update(title="moved")
    rest, cursor = one_pass(client, first["cursor"])
    ids = [one["id"] for one in first["results"] + rest]
    assert len(ids) == len(set(ids)) == 6
    assert len(one_pass(client, cursor)[0]) == 2


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_commits_late_is_not_skipped(client: Client, tenant: Tenant) -> None:
    written, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        with transaction.atomic():
            add(tenant, 1, last_name="late")
            written.set()
            go_on.wait(10)
        database.close()

    thread = threading.Thread(target=slow)
    thread.start()
    written.wait(10)
    add(tenant, 2, last_name="quick")
    early, cursor = one_pass(client)
    go_on.set()
    thread.join()
    late, _cursor = one_pass(client, cursor)
    names = sorted(one["last_name"] for one in early + late)
    assert names == ["late", "quick", "quick"]


@pytest.mark.django_db(transaction=True)
def test_a_long_transaction_in_another_database_of_the_server_holds_nothing_up(client: Client, tenant: Tenant) -> None:
    params = {**database.get_connection_params(), "dbname": "postgres"}
    with psycopg.connect(
        **{key: params[key] for key in ("dbname", "user", "password", "host", "port") if params.get(key)}
    ) as other:
        other.execute("SELECT pg_current_xact_id()")
        add(tenant, 2)
        assert len(one_pass(client)[0]) == 2


@pytest.mark.django_db(transaction=True)
def test_the_feed_can_be_narrowed(client: Client, tenant: Tenant, connection: CrmConnection) -> None:
    plain, blocked = add(tenant, 1)[0], add(tenant, 1, do_not_call=True)[0]
    with tenancy.everyone():
        SyncRecord.objects.create(
            tenant=tenant, connection=connection, crm_provider="hubspot", crm_object_type="contacts", crm_record_id="7",
            local_record_id=plain.pk, local_table="contacts", sync_direction="inbound", sync_status="synced",
            url="https://crm.example/7",
        )  # fmt: skip
    assert [one["id"] for one in one_pass(client, do_not_call="true")[0]] == [str(blocked.pk)]
    found = one_pass(client, provider="hubspot")[0]
    assert found[0]["links"] == [
        {
            "provider": "hubspot",
            "object_type": "contacts",
            "crm_record_id": "7",
            "url": "https://crm.example/7",
            "status": "synced",
        }
    ]


@pytest.mark.parametrize(
    "query", [{"cursor": "nonsense"}, {"cursor": "WzFd"}, {"limit": "0"}, {"limit": "5000"}, {"provider": "nope"}]
)
def test_a_bad_question_gets_a_clear_answer(client: Client, query: dict[str, str]) -> None:
    answer = client.get("/api/v1/contacts/", query)
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["errors"][0]["field"] == next(iter(query))


def test_a_contact_of_another_tenant_does_not_exist(client: Client, tenant: Tenant, stranger: Tenant) -> None:
    ours, theirs = add(tenant, 1)[0], add(stranger, 1)[0]
    assert client.get(f"/api/v1/contacts/{ours.pk}/").json()["first_name"] == "P0"
    assert client.get(f"/api/v1/contacts/{theirs.pk}/").status_code == 404


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer nonsense", "Bearer dbk_00000000_wrong", "Basic abc"])
def test_without_a_valid_key_nothing_is_told(db: None, header: str) -> None:
    answer = Client().get("/api/v1/contacts/", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert answer.json()["title"] == "No valid API key"


def test_a_revoked_key_is_refused(client: Client) -> None:
    with tenancy.everyone():
        ApiKey.objects.update(revoked_at="2026-01-01T00:00:00Z")
    assert client.get("/api/v1/contacts/").status_code == 401
