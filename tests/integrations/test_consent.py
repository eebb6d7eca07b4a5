"""Connecting by consent: out to the CRM's page, back with a code, and everything that may go wrong or be tried on the way."""

import logging
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from django.contrib.auth.models import User
from django.db import connection as database
from django.test import Client
from django.utils import timezone

from integrations import errors, tenancy
from integrations.consent import redirect_uri
from integrations.models import ConsentAttempt, CrmConnection, Membership, Tenant
from integrations.registry import sandbox_class
from integrations.sandbox.server import SandboxServer
from sync import wizard_jobs
from sync.models import SyncJob
from sync.work import work
from tests import factories
from tests.admin.pages import leaving
from tests.fake_crm.consent import OWN_CLIENT
from tests.fake_crm.provider import Provider
from tests.providers.harness import serve

START = "/connect/fakecrm/"
CALLBACK = "/connect/fakecrm/callback/"
FORM = "/admin/integrations/crmconnection/add/?provider=fakecrm&auth=consent"


@pytest.fixture(autouse=True)
def app(settings: Any, fake_crm: SandboxServer) -> None:
    settings.FAKECRM_LOGIN_URL = fake_crm.url
    settings.PUBLIC_URL = "https://dialbridge.example.com"


@pytest.fixture
def person(tenant: Tenant) -> User:
    return factories.tenant_admin(tenant)


@pytest.fixture
def client(person: User) -> Client:
    return signed_in(person)


def signed_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def approve(address: str) -> dict[str, str]:
    """What the CRM sends the browser back with."""
    response = requests.get(address, timeout=10, allow_redirects=False)
    assert response.status_code == 302, response.text
    target = response.headers["Location"]
    assert target.startswith("https://dialbridge.example.com/connect/fakecrm/callback/?")
    return {key: values[0] for key, values in parse_qs(urlsplit(target).query).items()}


def set_out(client: Client, query: str = "") -> dict[str, str]:
    return approve(client.get(START + query)["Location"])


def come_back(client: Client, answer: dict[str, str], path: str = CALLBACK) -> Any:
    return client.get(f"{path}?{urlencode(answer)}")


def stored() -> list[CrmConnection]:
    with tenancy.everyone():
        return list(CrmConnection.objects.select_related("tenant"))


def counted(server: SandboxServer, name: str) -> int:
    return int((server.service.store.get("_counters", name) or {"value": 0})["value"])


def revoked(server: SandboxServer) -> int:
    return server.service.store.count("revoked")


def refused(response: Any, words: str) -> None:
    """A page for people: says why, leads back, and repeats nothing of the query."""
    assert response.status_code == 400
    shown = response.content.decode()
    assert words in shown
    assert "Start again" in shown
    assert FORM.replace("&", "&amp;") in shown
    assert "/admin/integrations/crmconnection/" in shown


# --- there and back -------------------------------------------------------------------------------------------------


def test_whoever_approves_is_connected_and_sees_the_account(client: Client, tenant: Tenant) -> None:
    response = come_back(client, set_out(client))
    row = stored()[0]
    assert response.status_code == 302
    assert response["Location"] == f"/admin/integrations/crmconnection/{row.pk}/setup/"
    shown = client.get(response["Location"]).content.decode()
    assert "Connected: Fake CRM, account Fake account." in shown
    assert (row.tenant, row.auth, row.access_token, row.refresh_token) == (tenant, "oauth", "access-1", "refresh-1")
    assert (row.account_id, row.status) == ("acct-1", "connected")
    with tenancy.everyone():
        assert [job.kind for job in SyncJob.objects.all()] == ["look"]


def test_the_verifier_and_the_state_are_long_and_never_twice_the_same(client: Client) -> None:
    first, second = set_out(client), set_out(client)
    assert first["state"] != second["state"]
    assert len(first["state"]) >= 43
    with tenancy.everyone():
        verifiers = [(one.secrets or {})["verifier"] for one in ConsentAttempt.objects.all()]
    assert len(set(verifiers)) == 2
    assert {len(one) for one in verifiers} == {64}


def test_neither_the_state_nor_the_secrets_of_an_attempt_can_be_read_in_the_database(client: Client) -> None:
    client.post(FORM, OWN_CLIENT)
    with tenancy.everyone():
        verifier = (ConsentAttempt.objects.get().secrets or {})["verifier"]
    state = set_out(client)["state"]
    with database.cursor() as cursor:
        cursor.execute("SELECT consent_attempts::text FROM consent_attempts")
        raw = " ".join(row[0] for row in cursor.fetchall())
    for secret in (state, verifier, OWN_CLIENT["client_secret"]):
        assert secret not in raw


def test_an_attempt_that_is_used_keeps_no_secret(client: Client) -> None:
    come_back(client, set_out(client))
    with tenancy.everyone():
        attempt = ConsentAttempt.objects.get()
    assert attempt.secrets is None
    assert attempt.used_at is not None


def test_the_address_to_come_back_to_is_ours_whatever_the_host_header_says(client: Client, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    address = client.get(START, headers={"host": "evil.example.org"})["Location"]
    assert parse_qs(urlsplit(address).query)["redirect_uri"] == [redirect_uri("fakecrm")]
    assert "evil" not in address


def test_the_callback_gives_its_address_to_nobody(client: Client) -> None:
    answer = set_out(client)
    for response in (client.get(START), come_back(client, answer), come_back(client, answer)):
        assert response["Referrer-Policy"] == "no-referrer"
        assert "no-store" in response["Cache-Control"]


def test_old_attempts_are_forgotten(client: Client) -> None:
    set_out(client)
    with tenancy.everyone():
        ConsentAttempt.objects.update(created_at=timezone.now() - timedelta(days=2))
        set_out(client)
        assert ConsentAttempt.objects.count() == 1


def test_connecting_again_uses_the_own_app_and_login_address_of_the_first_time(
    client: Client, fake_crm: SandboxServer, settings: Any
) -> None:
    settings.FAKECRM_LOGIN_URL = "https://elsewhere.fakecrm.example"
    sent = client.post(FORM, {**OWN_CLIENT, "login_url": fake_crm.url})
    come_back(client, approve(leaving(sent)))
    assert (stored()[0].secrets or {})["client_id"] == "own-app"
    address = client.get(START)["Location"]
    assert address.startswith(fake_crm.url)
    assert parse_qs(urlsplit(address).query)["client_id"] == ["own-app"]
    assert come_back(client, approve(address)).status_code == 302
    assert (stored()[0].secrets or {})["client_secret"] == OWN_CLIENT["client_secret"]


@pytest.mark.parametrize("slug", ["salesforce", "hubspot", "followupboss"])
def test_every_crm_is_connected_over_its_own_pages(client: Client, settings: Any, slug: str) -> None:
    server = serve(sandbox_class(slug))
    for name, value in server.service.environment(server.url).items():
        setattr(settings, name, value)
    settings.CRM_ALLOWED_HOSTS = [server.url.removeprefix("http://")]
    there = client.get(f"/connect/{slug}/")["Location"]
    back = requests.get(there, timeout=10, allow_redirects=False).headers["Location"]
    assert back.startswith(f"https://dialbridge.example.com/connect/{slug}/callback/?")
    response = client.get(back.removeprefix("https://dialbridge.example.com"))
    server.close()
    row = stored()[0]
    assert response["Location"] == f"/admin/integrations/crmconnection/{row.pk}/setup/"
    assert row.account_id
    assert row.refresh_token


# --- who, and for whom ----------------------------------------------------------------------------------------------


def test_a_stranger_is_sent_to_log_in_and_the_code_stays_behind(client: Client) -> None:
    answer = set_out(client)
    response = come_back(Client(), answer)
    assert (response.status_code, response["Location"]) == (302, "/admin/login/?next=/connect/fakecrm/")
    assert stored() == []


def test_whoever_may_not_change_connections_is_refused(tenant: Tenant) -> None:
    looker = signed_in(factories.user("looker", tenants=(tenant,)))
    assert looker.get(START).status_code == 403
    assert looker.get(CALLBACK).status_code == 403


def test_another_tenant_cannot_be_named(client: Client, stranger: Tenant) -> None:
    for named in (stranger.slug, stranger.pk, "nobody"):
        assert client.get(f"{START}?tenant={named}").status_code == 404
    with tenancy.everyone():
        assert not ConsentAttempt.objects.exists()


def test_somebody_with_several_tenants_names_one_or_chooses(tenant: Tenant, stranger: Tenant) -> None:
    client = signed_in(factories.tenant_admin(tenant, stranger))
    assert client.get(START)["Location"].endswith("/crmconnection/add/?provider=fakecrm&auth=consent")
    for named in (stranger.slug, str(stranger.pk)):
        assert come_back(client, set_out(client, f"?tenant={named}")).status_code == 302
    assert [row.tenant for row in stored()] == [stranger]


def test_a_crm_that_is_not_there_is_not_found(client: Client) -> None:
    assert client.get("/connect/nosuch/").status_code == 404
    assert client.get("/connect/nosuch/callback/").status_code == 404


def test_a_crm_without_a_consent_page_says_how_else_to_connect(client: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr(Provider, "has_consent_page", False)
    response = client.get(START)
    assert response.status_code == 400
    assert "Connect with a key or token." in response.content.decode()


def test_without_an_app_the_operator_is_told_which_setting_is_missing(client: Client, settings: Any) -> None:
    settings.FAKECRM_LOGIN_URL = ""
    refused(client.get(START), "Set FAKECRM_LOGIN_URL")


# --- attacks on the state -------------------------------------------------------------------------------------------


def test_an_answer_is_good_once(client: Client, fake_crm: SandboxServer) -> None:
    answer = set_out(client)
    assert come_back(client, answer).status_code == 302
    refused(come_back(client, answer), "was used before")
    assert counted(fake_crm, "exchanges") == 1


def test_a_refused_answer_is_used_up_too(client: Client, fake_crm: SandboxServer) -> None:
    answer = set_out(client)
    come_back(client, {"state": answer["state"], "error": "access_denied"})
    refused(come_back(client, answer), "was used before")
    assert counted(fake_crm, "exchanges") == 0


@pytest.mark.parametrize("state", ["", "wrong", "🙂", "a" * 5000], ids=["none", "wrong", "emoji", "long"])
def test_an_answer_without_our_state_is_refused(client: Client, fake_crm: SandboxServer, state: str) -> None:
    refused(come_back(client, {**set_out(client), "state": state}), "belongs to no attempt of yours")
    assert stored() == []
    assert counted(fake_crm, "exchanges") == 0


def test_an_answer_with_a_nul_is_no_address(client: Client, fake_crm: SandboxServer) -> None:
    assert come_back(client, {**set_out(client), "state": "\x00"}).status_code == 400
    assert stored() == []
    assert counted(fake_crm, "exchanges") == 0


def test_an_answer_to_somebody_elses_attempt_is_refused(client: Client, tenant: Tenant) -> None:
    colleague = signed_in(factories.user("colleague", "Tenant admin", tenants=(tenant,)))
    answer = set_out(colleague)
    refused(come_back(client, answer), "belongs to no attempt of yours")
    assert stored() == []
    assert come_back(colleague, answer).status_code == 302, "the owner's attempt is not used up by it"


def test_an_answer_for_a_tenant_that_one_no_longer_works_for_is_refused(
    client: Client, person: User, tenant: Tenant, stranger: Tenant
) -> None:
    answer = set_out(client)
    with tenancy.everyone():
        Membership.objects.filter(user=person).update(tenant=stranger)
    refused(come_back(client, answer), "belongs to no attempt of yours")
    assert stored() == []


def test_an_answer_for_a_tenant_that_was_switched_off_is_refused(tenant: Tenant) -> None:
    client = signed_in(factories.support())
    answer = set_out(client)
    with tenancy.everyone():
        Tenant.objects.update(is_active=False)
    refused(come_back(client, answer), "belongs to no attempt of yours")


def test_another_crms_state_is_refused(client: Client) -> None:
    response = come_back(client, set_out(client), "/connect/hubspot/callback/")
    assert response.status_code == 400
    assert "belongs to no attempt of yours" in response.content.decode()
    assert stored() == []


def test_an_answer_after_a_quarter_of_an_hour_is_too_late(client: Client, fake_crm: SandboxServer) -> None:
    answer = set_out(client)
    with tenancy.everyone():
        ConsentAttempt.objects.update(created_at=timezone.now() - timedelta(minutes=15, seconds=1))
    refused(come_back(client, answer), "took longer than 15 minutes")
    assert counted(fake_crm, "exchanges") == 0


def test_only_a_click_gets_through(client: Client) -> None:
    assert client.post(START).status_code == 405
    assert client.post(CALLBACK).status_code == 405


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example.org",
        "https://fakecrm.example.evil.org",
        "https://login.fakecrm.example@evil.example.org",
        "https://evil.example.org\\.fakecrm.example",
        "https://evil.example.org/.fakecrm.example",
        "https://evil.example.org#.fakecrm.example",
        "https://evil.example.org?.fakecrm.example",
        "http://login.fakecrm.example",
        "http://169.254.169.254",
        "//evil.example.org",
        "javascript:alert(1)",
        "https://login.fakecrm.example:8443",
        "https://login.fakecrm.example/path",
        "https://ev il.fakecrm.example",
        "https://evil。fakecrm.example",
    ],
)
def test_a_login_address_that_is_not_the_crms_is_refused(client: Client, address: str) -> None:
    response = client.post(FORM, {"login_url": address})
    assert response.status_code == 200
    shown = response.content.decode()
    assert "is not an address of Fake CRM" in shown or "This is no login address" in shown
    with tenancy.everyone():
        assert not ConsentAttempt.objects.exists()


@pytest.mark.parametrize("address", ["acme.fakecrm.example", " https://ACME.fakecrm.example/ "])
def test_a_login_address_of_the_crm_may_be_typed_as_people_do(client: Client, address: str) -> None:
    sent = client.post(FORM, {"login_url": address})
    assert leaving(sent).startswith("https://acme.fakecrm.example/authorize?")


# --- what the CRM may say -------------------------------------------------------------------------------------------


def test_a_person_who_says_no_reads_so_and_may_try_again(client: Client, fake_crm: SandboxServer) -> None:
    fake_crm.service.faults.set([{"kind": "deny"}])
    refused(come_back(client, set_out(client)), "The person said no.")
    assert stored() == []


def test_what_the_crm_says_is_shown_as_text(client: Client) -> None:
    answer = {"state": set_out(client)["state"], "error_description": "<script>alert(1)</script>"}
    assert "<script>alert(1)" not in come_back(client, answer).content.decode()


def test_a_code_that_the_crm_does_not_take_is_explained(client: Client) -> None:
    refused(come_back(client, {**set_out(client), "code": "made-up-code"}), "did not take the code")


@pytest.mark.parametrize("fault", [{"kind": "status", "status": 503}, {"kind": "drop_before"}], ids=["503", "dropped"])
def test_a_crm_that_stumbles_is_a_page_too(client: Client, fake_crm: SandboxServer, fault: dict[str, Any]) -> None:
    answer = set_out(client)
    fake_crm.service.faults.set([{**fault, "match": "/token"}])
    response = come_back(client, answer)
    assert response.status_code == 503
    assert "Start again" in response.content.decode()
    assert stored() == []


def test_a_credential_that_does_not_work_is_given_back(client: Client, fake_crm: SandboxServer) -> None:
    answer = set_out(client)
    fake_crm.service.faults.set([{"kind": "status", "status": 403, "match": "/me"}])
    refused(come_back(client, answer), "does not let this connection do that")
    assert stored() == []
    assert revoked(fake_crm) == 1


def test_set_up_that_breaks_off_leaves_a_connection_and_says_so(client: Client, monkeypatch: Any) -> None:
    def stumble(_provider: Provider) -> None:
        raise errors.Retry("The fake CRM stumbled.")

    monkeypatch.setattr(Provider, "prepare", stumble)
    response = come_back(client, set_out(client))
    row = stored()[0]
    with tenancy.everyone():
        wizard_jobs.set_up(row)
        SyncJob.objects.update(attempts=20)
    work(row.pk)
    assert row.status == "connected"
    shown = client.get(response["Location"]).content.decode()
    assert "The fake CRM stumbled." in shown
    assert "Try again" in shown


# --- whose account --------------------------------------------------------------------------------------------------


def be_another_account(server: SandboxServer) -> None:
    server.service.store.put("account", "current", {"id": "acct-2", "name": "Second account"})


def test_another_account_is_refused_explained_and_its_grant_given_back(client: Client, fake_crm: SandboxServer) -> None:
    come_back(client, set_out(client))
    be_another_account(fake_crm)
    response = come_back(client, set_out(client))
    refused(response, "This connection belongs to Fake account, the new credential to Second account.")
    assert "Log in with another account" in response.content.decode()
    row = stored()[0]
    assert (row.account_id, row.access_token) == ("acct-1", "access-1")
    assert list(fake_crm.service.store._collections["revoked"]) == ["refresh-2"]


def test_to_log_in_with_another_account_the_crm_asks_anew(client: Client) -> None:
    address = client.get(f"{START}?another")["Location"]
    assert parse_qs(urlsplit(address).query)["prompt"] == ["login"]
    assert "prompt" not in client.get(START)["Location"]


def test_an_account_of_another_tenant_is_refused_and_its_grant_given_back(
    client: Client, stranger: Tenant, fake_crm: SandboxServer
) -> None:
    theirs = factories.connection(stranger, "fakecrm", account_id="acct-1", refresh_token="refresh-theirs")
    refused(come_back(client, set_out(client)), "connected to another tenant already")
    assert [row.pk for row in stored()] == [theirs.pk]
    assert revoked(fake_crm) == 1


def test_a_token_that_another_connection_lives_on_is_not_revoked(
    client: Client, stranger: Tenant, fake_crm: SandboxServer
) -> None:
    factories.connection(stranger, "fakecrm", account_id="acct-1", refresh_token="refresh-1")
    refused(come_back(client, set_out(client)), "connected to another tenant already")
    assert revoked(fake_crm) == 0


# --- secrets --------------------------------------------------------------------------------------------------------


def test_no_code_state_or_token_is_logged_or_shown(
    client: Client, fake_crm: SandboxServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    good, bad = set_out(client), {**set_out(client), "code": "bad-code-value"}
    pages = [come_back(client, bad), come_back(client, bad), come_back(client, good), come_back(client, good)]
    fake_crm.service.faults.set([{"kind": "drop_before", "match": "/token"}])
    lost = set_out(client)
    pages.append(come_back(client, lost))
    told = " ".join(record.getMessage() for record in caplog.records if not record.name.startswith("urllib3"))
    told += " ".join(page.content.decode() for page in pages)
    for secret in (good["code"], bad["code"], lost["code"], good["state"], bad["state"], "access-1", "refresh-1"):
        assert secret not in told
