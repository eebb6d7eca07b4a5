"""The first page: each connection's state in words, with the next step as a button."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import NoReverseMatch, reverse
from pytest_django import DjangoAssertNumQueries

from config import theme
from integrations import tenancy
from integrations.access import TENANT_ADMIN
from integrations.admin_html import duration
from integrations.models import CrmConnection, Tenant
from sync import metrics
from sync.models import Lane, SyncJob
from tests import factories
from tests.admin import pages
from tests.admin.conftest import SignIn
from tests.factories import World

HOME = "/admin/"
NOW = factories.now


def card(client: Client) -> dict[str, Any]:
    response = client.get(HOME)
    assert response.status_code == 200
    found: dict[str, Any] = response.context["cards"][0]
    assert str(found["headline"]) in response.content.decode().replace("&#x27;", "'")
    assert f'href="{found["step"].url}"' in response.content.decode().replace("&amp;", "&")
    return found


def figures(found: dict[str, Any]) -> dict[str, str]:
    return {one.name: str(one.value) for one in found["facts"]}


@pytest.mark.parametrize(("minutes", "is_said"), [(10, True), (1, False)])
def test_a_card_says_what_its_first_work_waits_for_longer_than_a_moment(
    client: Client, tenant: Tenant, minutes: int, *, is_said: bool
) -> None:
    until = NOW() + timedelta(minutes=minutes)
    factories.job(factories.connection(tenant), cause="locked", error="The account lets nobody in.", not_before=until)
    assert ("Work waits: The account lets nobody in." in client.get("/admin/").content.decode()) is is_said


def test_without_a_connection_it_says_how_to_begin(client: Client) -> None:
    shown = pages.html(client, HOME)
    assert "No CRM is connected yet" in shown
    assert 'href="/admin/integrations/crmconnection/add/"' in shown


def test_whoever_may_not_connect_is_told_to_ask(tenant: Tenant, sign_in: SignIn) -> None:
    looker = factories.user("looker", tenants=(tenant,))
    looker.user_permissions.set(Permission.objects.filter(codename="view_crmconnection"))
    shown = pages.html(sign_in(looker), HOME)
    assert "Ask somebody who may change connections" in shown
    assert "/admin/integrations/crmconnection/add/" not in shown


def test_a_healthy_connection_is_in_sync(client: Client, tenant: Tenant) -> None:
    factories.cursor(factories.connection(tenant))
    found = card(client)
    assert (found["level"], found["headline"], found["step"].words) == ("good", "Everything is in sync", "Open")


def test_a_connection_that_was_never_read_leads_back_to_its_set_up(client: Client, tenant: Tenant) -> None:
    factories.connection(tenant)
    found = card(client)
    assert (found["level"], found["headline"]) == ("warning", "Connected, nothing read yet")
    assert found["step"].words == "Continue setup"
    assert client.get(found["step"].url).status_code == 200


def test_a_connection_that_was_not_read_for_long_is_bad(client: Client, tenant: Tenant) -> None:
    factories.cursor(factories.connection(tenant), complete_at=NOW() - timedelta(hours=2))
    found = card(client)
    assert (found["level"], found["step"].words) == ("bad", "Sync now")
    assert "Nothing was read for a while" in found["headline"]


def test_a_dead_credential_asks_to_connect_again(client: Client, tenant: Tenant) -> None:
    factories.connection(tenant, status="needs_reconnecting", status_reason="The token was revoked.")
    found = card(client)
    assert (found["level"], found["step"].words) == ("bad", "Connect again")
    assert found["headline"] == "Needs reconnecting: The token was revoked."
    assert "Access token" in pages.html(client, found["step"].url)


def test_an_open_breaker_says_that_the_crm_fails(client: Client, tenant: Tenant) -> None:
    connection = factories.connection(tenant)
    factories.breaker(connection, opened_at=NOW(), failures=5)
    found = card(client)
    assert (found["level"], found["step"].words) == ("bad", "Test connection")
    assert "The CRM keeps failing" in found["headline"]
    assert figures(found)["Circuit breaker"] == "open"


def test_dead_jobs_lead_to_their_list(client: Client, tenant: Tenant) -> None:
    connection = factories.connection(tenant)
    factories.cursor(connection)
    factories.dead_job(connection)
    found = card(client)
    assert (found["level"], found["headline"], found["step"].words) == (
        "bad",
        "1 piece of work needs help",
        "See what failed",
    )
    assert "Refused for acme" in pages.html(client, found["step"].url)


def test_a_paused_connection_can_be_resumed(client: Client, tenant: Tenant) -> None:
    factories.connection(tenant, status="paused")
    found = card(client)
    assert (found["level"], found["headline"], found["step"].words) == ("warning", "Paused", "Resume")
    assert client.get(found["step"].url).status_code == 200


def test_whoever_may_only_look_gets_no_button_that_acts(tenant: Tenant, sign_in: SignIn) -> None:
    factories.connection(tenant, status="paused")
    looker = factories.user("looker", tenants=(tenant,))
    looker.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    assert card(sign_in(looker))["step"].words == "Open"


def test_the_numbers_stand_on_the_card(client: Client, tenant: Tenant) -> None:
    connection = factories.connection(tenant)
    factories.cursor(connection)
    factories.rate_window(connection)
    factories.usage(connection, calls=1520)
    factories.job(connection, key="waiting")
    factories.job(
        connection,
        key="done",
        kind="log_call",
        lane=Lane.CALLS,
        state="done",
        created_at=NOW() - timedelta(seconds=3),
        finished_at=NOW(),
    )
    factories.dead_job(connection, key="dead")
    metrics.collect()
    facts = figures(card(client))
    assert facts["Waiting"] == "1"
    assert facts["Jobs done in 24 h"] == "1"
    assert facts["Errors in 24 h"] == "50 %"
    assert facts["Requests in 24 h"] == "1,520"
    assert facts["Quota used"] == "60 / 100"
    assert facts["Latency"] == "3.0 s"
    assert "now" in facts["Last sync"] or "second" in facts["Last sync"]


def test_the_worst_comes_first(client: Client, tenant: Tenant) -> None:
    factories.cursor(factories.connection(tenant, "followupboss"))
    factories.connection(tenant, "hubspot", status="paused")
    factories.connection(tenant, "salesforce", status="needs_reconnecting")
    assert [one["level"] for one in client.get(HOME).context["cards"]] == ["bad", "warning", "good"]


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [(None, "–"), (0, "0 ms"), (850, "850 ms"), (2400, "2.4 s"), (180_000, "3 min"), (18_000_000, "5 h")],
)
def test_a_latency_is_read_at_a_glance(milliseconds: int | None, words: str) -> None:
    assert duration(milliseconds) == words


@pytest.mark.parametrize(
    ("ago", "level", "words"),
    [
        (timedelta(seconds=2), "good", "1 worker is alive; the last sign came"),
        (timedelta(minutes=3), "bad", "start manage.py qcluster"),
        (None, "bad", "No worker has reported yet"),
    ],
)
def test_support_sees_whether_anybody_works(
    ago: timedelta | None, level: str, words: str, support_client: Client
) -> None:
    if ago is not None:
        factories.worker_beat(ago)
    response = support_client.get(HOME)
    assert response.context["machines"][0]["level"] == level
    assert words in response.content.decode()


def test_a_tenants_admin_is_not_told_of_workers(client: Client) -> None:
    factories.worker_beat(timedelta(minutes=3))
    assert "qcluster" not in pages.html(client, HOME)


def test_newest_runs_and_calls_stand_below_the_cards(admin_client: Client, ours: World) -> None:
    shown = pages.html(admin_client, HOME)
    assert "HubSpot: First load contacts" in shown
    assert "Grace Hopper-acme" in shown
    assert "failed" in shown


@pytest.mark.parametrize("role", ["superuser", "support", "tenant admin"])
def test_the_first_page_takes_few_queries(
    role: str, ours: World, tenant: Tenant, sign_in: SignIn, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for slug in ("salesforce", "followupboss"):
        connection = factories.connection(tenant, slug)
        factories.run(connection)
        factories.call_job(connection, factories.call(tenant, factories.contact(tenant)))
    makers: dict[str, Callable[[], User]] = {
        "superuser": factories.superuser,
        "support": factories.support,
        "tenant admin": lambda: factories.user("another", TENANT_ADMIN, tenants=(tenant,)),
    }
    person = makers[role]()
    client = sign_in(person)
    with django_assert_max_num_queries(15):
        client.get(HOME)


# --- the side menu --------------------------------------------------------------------------------------------------------


def test_the_menu_shows_a_tenants_admin_only_what_opens(admin_client: Client, ours: World) -> None:
    links = _menu(admin_client)
    assert {
        "/admin/sync/contact/",
        "/admin/integrations/crmconnection/",
        "/admin/sync/syncjob/causes/",
    } <= set(links)
    assert not {"/admin/auth/user/", "/admin/sync/workerbeat/", "/admin/integrations/ratewindow/"} & set(links)
    for link in links:
        assert admin_client.get(link, follow=True).status_code == 200, link


@pytest.mark.thorough
def test_the_menu_leads_support_and_superusers_everywhere(
    root_client: Client, support_client: Client, ours: World
) -> None:
    menu = _menu(root_client)
    for model in pages.registered():
        pages_of = pages.page(model, "changelist")
        assert any(link.startswith(pages_of) for link in menu), f"{model._meta.label} is not in the menu"
    for link in _menu(support_client):
        assert support_client.get(link, follow=True).status_code == 200, link


def test_the_menu_counts_what_needs_help(admin_client: Client, ours: World) -> None:
    counts = {_badge(pages.html(admin_client, url)) for url in (HOME, "/admin/sync/contact/")}
    assert counts == {"2"}
    with tenancy.everyone():
        SyncJob.objects.all().delete()
    assert _badge(pages.html(admin_client, "/admin/sync/contact/")) == ""


def test_the_menu_works_without_a_database_queue(root_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_queue(name: str) -> str:
        if "ormq" in name:
            raise NoReverseMatch(name)
        return reverse(name)

    monkeypatch.setattr("config.theme.reverse", without_queue)
    theme.address.cache_clear()
    try:
        assert "/admin/django_q/ormq/" not in _menu(root_client)
    finally:
        theme.address.cache_clear()


def test_the_connection_of_a_card_opens(client: Client, tenant: Tenant) -> None:
    connection: CrmConnection = factories.connection(tenant)
    assert card(client)["url"] == pages.page(CrmConnection, "change", connection.pk)
    assert "How it is doing" in pages.html(client, card(client)["url"])


def _menu(client: Client) -> list[str]:
    shown = pages.html(client, HOME)
    menu = shown.split('id="nav-sidebar-apps"')[1].split("</nav>")[0]
    return re.findall(r'href="([^"]+)"', menu)


def _badge(shown: str) -> str:
    entry = shown.split("Needs help</span>")[1].split("</a>", maxsplit=1)[0]
    found = re.search(r">\s*(\d+)\s*</span>", entry)
    assert (found is not None) == ("<span" in entry), "Without a number there is no badge."
    return found[1] if found else ""
