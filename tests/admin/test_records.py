"""The contact's page as the place where somebody finds out what is wrong with a contact, and presses the button that mends it."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from activities.models import Call
from integrations import exchanges, tenancy
from integrations.models import ApiExchange, CrmConnection, Tenant
from sync import presence, sync_now
from sync.erasing import erase
from sync.models import Contact, Lane, SyncJob, SyncRecord
from tests import factories
from tests.admin import pages
from tests.admin.conftest import SignIn
from tests.factories import World

MOST_QUERIES = 15
DELETED = "The CRM deleted this record. Nothing is written there any more."


def url(contact: Contact, page: str = "change") -> str:
    return pages.page(Contact, page, contact.pk)


def said(contact: Contact) -> list[tuple[str, str, str]]:
    """(CRM, state, why) of each place."""
    with tenancy.everyone():
        return [(one.crm, one.state, one.why) for one in presence.places(presence.read(contact))]


# --- where it is ------------------------------------------------------------------------------------------------------


@pytest.fixture
def somebody(tenant: Tenant) -> Contact:
    return factories.contact(tenant)


@pytest.fixture
def crm(tenant: Tenant) -> CrmConnection:
    return factories.connection(tenant)


@pytest.mark.parametrize(
    ("link", "job", "state", "why"),
    [
        ({}, None, "In sync", ""),
        ({"sync_status": "error", "error_message": "Too long."}, None, "Error", "Too long."),
        ({}, {"state": "ready"}, "On its way", ""),
        ({}, {"state": "leased"}, "Being synced", ""),
        ({}, {"state": "ready", "attempts": 2, "error": "It stumbled."}, "Waiting", "It stumbled."),
        ({}, {"state": "dead", "error": "No such stage."}, "Refused", "No such stage."),
        ({}, {"state": "done"}, "In sync", ""),
        ({"metadata": {"deleted_at": "x"}}, None, "Deleted there", DELETED),
        ({"metadata": {"moved_to": ["contacts", "9"]}}, None, "Merged there", "It lives on in contacts 9."),
        ({"metadata": {"moved_to": ["Contact", "9"]}}, None, "Converted there", "It was converted into Contact 9."),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_each_crm_says_in_words_how_the_contact_is_there(
    somebody: Contact, crm: CrmConnection, link: dict[str, Any], job: dict[str, Any] | None, state: str, why: str
) -> None:
    factories.link(crm, somebody, **link)
    if job:
        factories.job(crm, kind="push", key=str(somebody.pk), local_record_id=somebody.pk, lane=Lane.EDITS, **job)
    assert said(somebody) == [("HubSpot", state, why)]


def test_a_conflict_names_its_fields(somebody: Contact, crm: CrmConnection) -> None:
    factories.conflict(factories.link(crm, somebody), somebody)
    assert said(somebody) == [("HubSpot", "Conflict", "Both sides changed Company. Somebody has to decide.")]


def test_a_stopped_connection_says_why(somebody: Contact, tenant: Tenant) -> None:
    stopped = factories.connection(tenant, status="needs_reconnecting", status_reason="The token was revoked.")
    factories.link(stopped, somebody)
    assert said(somebody) == [("HubSpot", "Needs reconnecting", "The token was revoked.")]


@pytest.mark.parametrize(
    ("settings", "job", "state", "why"),
    [
        ({}, None, "Not there", "It was there before the connection was"),
        ({"create_contacts": False}, None, "Not there", "takes no new contacts"),
        ({}, {"state": "dead", "error": "The e-mail is not valid."}, "Refused", "The e-mail is not valid."),
        ({}, {"state": "ready"}, "On its way", "It is being made there."),
    ],
    ids=["nobody asked", "forbidden", "refused", "being made"],
)
def test_a_crm_without_the_contact_says_why(
    somebody: Contact, tenant: Tenant, settings: dict[str, Any], job: dict[str, Any] | None, state: str, why: str
) -> None:
    crm = factories.connection(tenant, settings=settings)
    if job:
        factories.job(crm, kind="push", key=str(somebody.pk), local_record_id=somebody.pk, payload={"new": True}, **job)
    ((_crm, told, reason),) = said(somebody)
    assert told == state
    assert why in reason


def test_somebody_from_one_crm_is_not_expected_in_another(
    somebody: Contact, crm: CrmConnection, tenant: Tenant
) -> None:
    factories.link(crm, somebody)
    factories.connection(tenant, "salesforce")
    assert "It came from HubSpot" in said(somebody)[1][2]


# --- sync now ---------------------------------------------------------------------------------------------------------


def test_sync_now_asks_every_crm_that_knows_the_contact_and_hurries_what_waits(
    admin_client: Client, ours: World, tenant: Tenant
) -> None:
    grace, late = ours[Contact], factories.now() + timedelta(hours=1)
    other = factories.connection(tenant, "salesforce")
    waiting = factories.job(
        other, kind="push", key=str(grace.pk), local_record_id=grace.pk, payload={"new": True}, not_before=late
    )
    assert admin_client.get(url(grace, "sync_now")).status_code == 200
    with tenancy.everyone():
        assert not SyncJob.objects.filter(kind=sync_now.KIND).exists(), "a link changes nothing"
    assert admin_client.post(url(grace, "sync_now")).status_code == 302
    assert admin_client.post(url(grace, "sync_now")).status_code == 302
    with tenancy.everyone():
        asked = SyncJob.objects.filter(kind=sync_now.KIND).order_by("connection__provider")
        assert [(one.connection.provider, one.lane, one.state) for one in asked] == [
            ("hubspot", Lane.EDITS, "ready"),
            ("salesforce", Lane.EDITS, "ready"),
        ]
        assert SyncJob.objects.get(pk=waiting.pk).not_before <= factories.now()
    shown = pages.html(admin_client, url(grace))
    assert 'data-live-url="' in shown
    assert "Being synced" in pages.html(admin_client, url(grace, "state"))


def test_a_stopped_connection_is_not_asked_and_the_person_is_told(
    admin_client: Client, ours: World, tenant: Tenant
) -> None:
    with tenancy.everyone():
        CrmConnection.objects.update(status="paused")
    answer = admin_client.post(url(ours[Contact], "sync_now"), follow=True)
    assert "HubSpot is not asked: Paused." in answer.content.decode()
    with tenancy.everyone():
        assert not SyncJob.objects.filter(kind=sync_now.KIND).exists()


@pytest.mark.parametrize("page", ["sync_now", "state"])
def test_another_tenants_contact_does_not_exist(admin_client: Client, theirs: World, page: str) -> None:
    assert admin_client.get(url(theirs[Contact], page)).status_code == 404
    assert admin_client.post(url(theirs[Contact], page)).status_code == 404


# --- the pages --------------------------------------------------------------------------------------------------------


def test_the_page_has_every_section_and_a_table_of_them(admin_client: Client, ours: World) -> None:
    with tenancy.everyone():
        ApiExchange.objects.update(keys=[str(ours[Contact].pk)])
    shown = pages.html(admin_client, url(ours[Contact]))
    for words in ("Calls", "Where the values come from", "Conflicts and quarantine", "Requests and answers"):
        assert f"{words} (" in shown, words
    assert "Possible duplicates and merges" in shown
    assert 'href="#panel-1"' in shown


def test_no_page_of_a_record_takes_many_queries(
    support_client: Client,
    ours: World,
    tenant: Tenant,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    grace, crm = ours[Contact], ours[CrmConnection]
    for number in range(12):
        factories.conflict(ours[SyncRecord], grace, field=f"field_{number}", status="decided")
        factories.review(grace)
        factories.call(tenant, grace)
        with exchanges.about(str(grace.pk)):
            factories.exchange(crm, keys=[str(grace.pk), str(ours[Call].pk)])
        factories.dead_job(crm, local_record_id=grace.pk, key=f"job-{number}")
    addresses = [
        url(grace),
        url(grace, "state"),
        pages.page(Call, "change", ours[Call].pk),
        pages.page(ApiExchange, "change", ours[ApiExchange].pk),
        pages.page(ApiExchange, "changelist"),
        f"{reverse('admin:sync_contact_find')}?q=Grace",
    ]
    pages.html(support_client, addresses[0])
    for address in addresses:
        with django_assert_max_num_queries(MOST_QUERIES):
            pages.html(support_client, address)


def test_a_batch_is_shown_with_the_contacts_own_part(admin_client: Client, ours: World) -> None:
    grace = ours[Contact]
    row = factories.exchange(
        ours[CrmConnection],
        failed=False,
        status=200,
        keys=[str(grace.pk), "another"],
        request='{"inputs": [{"id": "acme-501", "title": "Admiral"}, {"id": "acme-777", "title": "Nobody"}]}',
        response='{"results": [{"id": "acme-501"}, {"id": "acme-777"}]}',
    )
    assert pages.page(ApiExchange, "change", row.pk) in pages.html(admin_client, url(grace))
    whole = pages.html(admin_client, pages.page(ApiExchange, "change", row.pk))
    own = pages.html(admin_client, f"{pages.page(ApiExchange, 'change', row.pk)}?only=acme-501")
    assert "Nobody" in whole
    assert "Nobody" not in own
    assert "Admiral" in own
    assert "1 other record" in own


def test_a_request_is_shown_without_any_credential(admin_client: Client, ours: World) -> None:
    shown = pages.html(admin_client, pages.page(ApiExchange, "change", ours[ApiExchange].pk))
    assert "curl -X PATCH" in shown
    assert "$AUTHORIZATION" in shown
    for secret in factories.SECRETS:
        assert secret not in shown


def test_a_calls_page_shows_its_effects_and_its_requests(admin_client: Client, ours: World, tenant: Tenant) -> None:
    called = factories.call(tenant, ours[Contact], disposition="Not Interested")
    factories.exchange(ours[CrmConnection], keys=[f"{called.pk}:meeting"], path="/meetings/of-this-call")
    shown = pages.html(admin_client, pages.page(Call, "change", called.pk))
    assert "of-acme" in shown, "the lead status that the disposition sets"
    assert "/meetings/of-this-call" in shown


# --- forgetting -------------------------------------------------------------------------------------------------------


def test_what_was_said_about_an_erased_person_and_their_calls_goes_too(ours: World, tenant: Tenant) -> None:
    grace, crm, link = ours[Contact], ours[CrmConnection], ours[SyncRecord]
    stays = factories.exchange(crm, keys=["somebody-else"])
    for key in (grace.pk, link.pk, ours[Call].pk, f"{ours[Call].pk}:follow-up", "contacts:acme-501"):
        factories.exchange(crm, keys=[str(key), "somebody-else"])
    with tenancy.everyone():
        SyncRecord.objects.filter(pk=link.pk).update(metadata={"deleted_at": "x", "erased_at": "x"})
        erase(crm, "contacts", ["acme-501"], factories.now())
        assert set(ApiExchange.objects.values_list("pk", flat=True)) == {stays.pk, ours[ApiExchange].pk}


# --- the search -------------------------------------------------------------------------------------------------------


def find(client: Client, term: str) -> str:
    return client.get(reverse("admin:sync_contact_find"), {"q": term}).content.decode()


def test_a_call_is_found_by_the_dialers_id(admin_client: Client, ours: World) -> None:
    shown = find(admin_client, ours[Call].external_id)
    assert pages.page(Call, "change", ours[Call].pk) in shown
    assert "1 record" in shown


def test_names_of_several_words_are_found_by_each_of_them(admin_client: Client, ours: World, tenant: Tenant) -> None:
    vincent = factories.contact(tenant, first_name="Vincent Willem", last_name="van Gogh")
    for term in ("Gogh", "gog vinc", "willem", "Willem van Gogh"):
        assert url(vincent) in find(admin_client, term), term
    assert url(vincent) not in find(admin_client, "ogh")


def test_the_exact_name_comes_first(admin_client: Client, tenant: Tenant, ours: World) -> None:
    longer = factories.contact(tenant, first_name="Anna", last_name="Leeuwen")
    exact = factories.contact(tenant, first_name="Zoe", last_name="Lee")
    shown = find(admin_client, "lee")
    assert 0 < shown.index(url(exact)) < shown.index(url(longer))


def test_nothing_found_says_what_can_be_searched(admin_client: Client, ours: World) -> None:
    shown = find(admin_client, "no such person")
    assert "Nothing is “no such person”" in shown
    assert "A phone number without its country" in shown


def test_nothing_of_another_tenant_is_found(admin_client: Client, ours: World, theirs: World) -> None:
    for term in (
        str(theirs[Contact].pk),
        theirs[Contact].email,
        theirs[Call].external_id,
        "stranger-501",
        "Hopper-stranger",
    ):
        shown = find(admin_client, term)
        assert "/change/" not in shown, term
        assert "Nothing is" in shown, term


def test_support_sees_whose_record_it_is(support_client: Client, ours: World, theirs: World) -> None:
    shown = find(support_client, "Grace")
    assert url(ours[Contact]) in shown
    assert url(theirs[Contact]) in shown
    assert "Stranger" in shown


def test_the_search_of_every_page_finds_records_too(admin_client: Client, ours: World, sign_in: SignIn) -> None:
    answer = admin_client.get(reverse("admin:search"), {"s": "acme-501", "extended": "1"}).content.decode()
    assert url(ours[Contact]) in answer
    assert "Search all records" in answer
    nobody = sign_in(factories.user("no-rights"))
    assert (
        "Search all records" not in nobody.get(reverse("admin:search"), {"s": "acme", "extended": "1"}).content.decode()
    )


def test_the_history_names_fields_sources_and_rules_in_words(admin_client: Client, ours: World) -> None:
    shown = pages.html(admin_client, url(ours[Contact]))
    history = shown.partition(">History</h2>")[2].partition("</table>")[0]
    for words in ("Company", "the CRM", "The CRM wins"):
        assert words in history, words
    assert "crm_wins" not in shown
    assert "Conflict: Company" in shown
    assert "Likeness of name and company" in shown
