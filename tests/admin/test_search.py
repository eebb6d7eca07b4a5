"""Finding a contact, a link, a job or a call by what somebody has at hand."""

from collections.abc import Iterable
from typing import Any

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext

from activities.models import Call
from integrations import tenancy
from integrations.models import CrmConnection, Tenant
from sync.models import Contact, FieldChange, InboxEvent, SyncJob, SyncRecord
from sync.records_search import matching
from tests import factories
from tests.admin import pages
from tests.admin.conftest import SignIn
from tests.factories import World


@pytest.fixture
def people(tenant: Tenant) -> dict[str, Contact]:
    made = {
        "ada": factories.contact(
            tenant, first_name="Ada", last_name="Lovelace", email="ada@example.com", phone="+14155550001"
        ),
        "van": factories.contact(
            tenant,
            first_name="Vincent",
            last_name="van Gogh",
            email="vvg@example.com",
            phone="",
            mobile_phone="+4930123456",
        ),
        "upper": factories.contact(tenant, first_name="ADA", last_name="BYRON", email="byron@example.com", phone=""),
    }
    connection = factories.connection(tenant, "salesforce")
    factories.link(connection, made["ada"], crm_object_type="Lead", crm_record_id="00Q000000000001AAA")
    return made


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ("Lovelace", {"ada"}), ("lovelace", {"ada"}), ("Lov", {"ada"}), ("velace", set()),
        ("ada", {"ada", "upper"}), ("Ada Lovelace", {"ada"}), ("Lovelace, Ada", {"ada"}), ("lovelace ada", {"ada"}),
        ("van Gogh", {"van"}), ("Vincent van G", {"van"}), ("byron", {"upper"}),
        ("ada@example.com", {"ada"}), ("ADA@example.com", {"ada"}), ("ada@example", set()),
        ("+14155550001", {"ada"}), ("(415) 555-0001", {"ada"}), ("415.555.0001", {"ada"}), ("+49 30 123456", {"van"}),
        ("00Q000000000001AAA", {"ada"}), ("00Q000000000001", set()), ("%", set()), ("12", set()),
    ],
)  # fmt: skip
def test_a_contact_is_found_by(
    term: str, found: set[str], people: dict[str, Contact], tenant: Tenant, sign_in: SignIn
) -> None:
    client = sign_in(factories.tenant_admin(tenant))
    shown = client.get(pages.page(Contact, "changelist"), {"q": term}).content.decode()
    assert {name for name, row in people.items() if pages.page(Contact, "change", row.pk) in shown} == found


def test_a_number_without_country_is_read_as_the_tenants_own(sign_in: SignIn) -> None:
    berlin = factories.tenant("berlin", region="DE")
    person = factories.contact(berlin, phone="+4930123456")
    client = sign_in(factories.tenant_admin(berlin))
    shown = client.get(pages.page(Contact, "changelist"), {"q": "030 123456"}).content.decode()
    assert pages.page(Contact, "change", person.pk) in shown


def test_support_finds_contacts_of_every_tenant(people: dict[str, Contact], support_client: Client) -> None:
    other = factories.contact(factories.tenant("berlin", region="DE"), phone="+4930999999")
    shown = support_client.get(pages.page(Contact, "changelist"), {"q": "030 999999"}).content.decode()
    assert pages.page(Contact, "change", other.pk) in shown


CROWD = 2000


@pytest.fixture
def crowd(tenant: Tenant) -> None:
    """So many contacts, each with a link, that reading them all would cost more than asking an index."""
    connection = factories.connection(tenant, "salesforce")
    contacts = [
        Contact(tenant=tenant, first_name="A", last_name=f"B{n}", email=f"p{n}@example.com", phone=f"+1415{n:07d}")
        for n in range(CROWD)
    ]
    with tenancy.scope(tenant.pk):
        Contact.objects.bulk_create(contacts)
        SyncRecord.objects.bulk_create(
            SyncRecord(
                tenant=tenant, connection=connection, crm_provider="salesforce", crm_object_type="Lead",
                crm_record_id=f"00Q{n}", local_record_id=contacts[n].pk, local_table="contacts", sync_direction="inbound",
            )
            for n in range(CROWD)
        )  # fmt: skip
    with database.cursor() as cursor:
        cursor.execute("ANALYZE contacts, crm_sync_records")


def test_an_index_answers_the_search(crowd: None, tenant: Tenant) -> None:
    for term, column in (("p7@example.com", "email"), ("(415) 000-0007", "phone"), ("00Q7", "crm_record_id")):
        with tenancy.scope(tenant.pk), CaptureQueriesContext(database) as asked:
            assert len(Contact.objects.filter(matching(term))) == 1
            plans = _plans(one["sql"] for one in asked)
        assert any("Index Cond" in line and column in line for line in plans), plans
        assert not any("Seq Scan on contacts" in line or "Seq Scan on crm_sync" in line for line in plans), plans


def _plans(statements: Iterable[str]) -> list[str]:
    lines = []
    with database.cursor() as cursor:
        for sql in list(statements):
            cursor.execute("EXPLAIN " + sql.replace("%", "%%"))
            lines += [row[0] for row in cursor.fetchall()]
    return lines


def test_other_rows_are_found_by_their_whole_ids(admin_client: Client, ours: World, theirs: World) -> None:
    asked: list[tuple[type[Any], str]] = [
        (SyncRecord, "acme-501"),
        (SyncRecord, str(ours[Contact].pk)),
        (SyncJob, str(ours[SyncJob].pk)),
        (InboxEvent, ours[InboxEvent].dedupe_key),
        (FieldChange, str(ours[Contact].pk)),
        (Call, ours[Call].external_id),
        (Call, str(ours[Call].pk)),
        (Call, "415 555 0100"),
        (CrmConnection, "acme acc"),
    ]
    for model, term in asked:
        shown = admin_client.get(pages.page(model, "changelist"), {"q": term}).content.decode()
        assert f"{pages.page(model, 'change', ours[model].pk)}" in shown, (model, term)
        nothing = admin_client.get(pages.page(model, "changelist"), {"q": "nothing-like-it"}).content.decode()
        assert f"{pages.page(model, 'change', ours[model].pk)}" not in nothing, model


def test_jobs_are_filtered_by_what_and_cause(admin_client: Client, ours: World) -> None:
    url, mine = pages.page(SyncJob, "changelist"), pages.page(SyncJob, "change", ours[SyncJob].pk)
    for query, here in (
        ({"state__exact": "dead"}, True), ({"state__exact": "ready"}, False), ({"cause": "invalid_data"}, True),
        ({"cause": "other"}, False), ({"kind": "pull"}, True), ({"kind": "log_call"}, False), ({"lane__exact": "40"}, True),
        ({"lane__exact": "0"}, False), ({"connection__id__exact": ours[CrmConnection].pk}, True),
    ):  # fmt: skip
        assert (mine in admin_client.get(url, query).content.decode()) is here, query


def test_a_contacts_page_tells_its_whole_story(admin_client: Client, ours: World) -> None:
    shown = pages.html(admin_client, pages.page(Contact, "change", ours[Contact].pk))
    assert 'href="https://app.example.com/record/501"' in shown
    assert "HubSpot: failed" in shown
    assert "The CRM wins" in shown
    assert pages.page(Call, "change", ours[Call].pk) in shown


def test_an_edit_without_the_version_it_was_made_from_changes_nothing(
    admin_client: Client, support_client: Client, ours: World
) -> None:
    url = pages.page(Contact, "change", ours[Contact].pk)
    for client in (admin_client, support_client):
        assert client.post(url, {"first_name": "Evil"}).status_code == 200, "the form again, with what is wrong"
    with tenancy.everyone():
        assert Contact.objects.get(pk=ours[Contact].pk).first_name == ours[Contact].first_name
