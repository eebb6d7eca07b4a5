"""Connecting a CRM in the admin: choose, paste, tried out, stored; secrets never come back."""

import html
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from integrations import tenancy
from integrations.models import ConsentAttempt, CrmConnection, Tenant
from integrations.registry import PROVIDERS, provider_class
from integrations.sandbox.server import SandboxServer
from mapping.models import CrmField, MappingVersion
from sync.models import SyncJob
from sync.work import work
from tests import factories
from tests.admin import pages
from tests.admin.conftest import SignIn

ADD = "/admin/integrations/crmconnection/add/"
CONSENT = f"{ADD}?provider=fakecrm&auth=consent"
FAKE = f"{ADD}?provider=fakecrm&auth=oauth"
KINDS = [(slug, auth) for slug in PROVIDERS for auth in provider_class(slug).credential_forms]


def given(server: SandboxServer) -> dict[str, str]:
    return {
        "access_token": "access-0",
        "refresh_token": "refresh-0",
        "instance_url": server.url,
        "webhook_secret": "hush",
    }


def stored() -> list[CrmConnection]:
    with tenancy.everyone():
        return list(CrmConnection.objects.select_related("tenant"))


def test_every_crm_and_kind_of_credential_is_offered(client: Client) -> None:
    shown = pages.html(client, ADD).replace("&amp;", "&")
    for slug, auth in KINDS:
        assert f"{ADD}?provider={slug}&auth={auth}" in shown


@pytest.mark.parametrize(("slug", "auth"), KINDS)
def test_the_form_asks_for_what_the_credential_needs(slug: str, auth: str, client: Client) -> None:
    shown = pages.html(client, f"{ADD}?provider={slug}&auth={auth}")
    for group in provider_class(slug).credential_forms[auth]:
        for key in group.split("|"):
            assert f'name="{key}"' in shown
    assert "tenant" not in shown.split("<form method")[1].split("</form>")[0]


@pytest.mark.parametrize(("slug", "auth"), [(slug, auth) for slug, auth in KINDS if auth != "oauth"])
def test_the_form_says_where_the_credential_comes_from(slug: str, auth: str, client: Client) -> None:
    where = str(provider_class(slug).where_to_get[auth])
    assert html.escape(where) in pages.html(client, f"{ADD}?provider={slug}&auth={auth}")


def test_an_address_is_asked_for_only_where_each_account_has_its_own(client: Client) -> None:
    asked = {
        slug: 'name="instance_url"' in pages.html(client, f"{ADD}?provider={slug}&auth=oauth") for slug in PROVIDERS
    }
    assert asked == {slug: provider_class(slug).has_account_addresses for slug in PROVIDERS}
    assert sorted(asked.values())[0] is False


def test_an_address_that_names_no_crm_shows_the_choice(client: Client) -> None:
    assert "Choose the CRM" in pages.html(client, f"{ADD}?provider=nosuch&auth=oauth")


def test_a_connection_is_tried_stored_and_loaded(client: Client, tenant: Tenant, fake_crm: SandboxServer) -> None:
    response = client.post(FAKE, given(fake_crm), follow=True)
    row = stored()[0]
    assert response.redirect_chain == [(pages.page(CrmConnection, "setup", row.pk), 302)]
    assert "Connected: Fake CRM, account Fake account." in response.content.decode()
    assert (row.tenant, row.access_token, row.account_id, row.status) == (tenant, "access-0", "acct-1", "connected")
    assert (row.secrets or {})["webhook_secret"] == "hush"
    assert row.settings == {}
    with tenancy.everyone():
        assert [job.kind for job in SyncJob.objects.all()] == ["look"], "nothing is loaded before somebody says so"
    work(row.pk)
    with tenancy.everyone():
        assert CrmField.objects.count() == 4
        assert MappingVersion.objects.get().crm_provider == "fakecrm"
    assert LogEntry.objects.get().get_change_message() == "Connected."


def test_a_refused_credential_is_explained_and_not_stored(client: Client, fake_crm: SandboxServer) -> None:
    wrong = {**given(fake_crm), "access_token": "wrong-secret", "refresh_token": "wrong-too"}
    shown = client.post(FAKE, wrong).content.decode()
    assert "The fake CRM has revoked this connection." in shown
    assert "wrong-secret" not in shown
    assert "wrong-too" not in shown
    assert stored() == []


def test_what_is_missing_is_said_at_its_field(client: Client, fake_crm: SandboxServer) -> None:
    shown = client.post(FAKE, {"access_token": "a"}).content.decode()
    assert "This field is required." in shown
    assert stored() == []


def test_of_two_alternatives_one_is_needed(client: Client) -> None:
    shown = client.post(f"{ADD}?provider=salesforce&auth=oauth", {}).content.decode()
    assert "One of these is needed: Refresh token or Access token." in shown


def test_an_address_of_somebody_else_gets_no_credential(client: Client, fake_crm: SandboxServer) -> None:
    shown = client.post(FAKE, {**given(fake_crm), "instance_url": "https://evil.example.org"}).content.decode()
    assert "evil.example.org is not an address of Fake CRM" in shown
    assert stored() == []


def test_a_private_key_does_not_come_back(client: Client) -> None:
    data = {"client_id": "id-1", "username": "", "private_key": factories.PRIVATE_KEY}
    shown = client.post(f"{ADD}?provider=salesforce&auth=jwt", data).content.decode()
    assert "MIIPRIVATEKEYVALUE0000" not in shown
    assert 'value="id-1"' in shown


def test_connecting_again_keeps_the_connection_and_wakes_it(
    client: Client, tenant: Tenant, fake_crm: SandboxServer, connection: CrmConnection
) -> None:
    with tenancy.everyone():
        CrmConnection.objects.update(status="needs_reconnecting", status_reason="Revoked.", access_token="old")
    client.post(f"{FAKE}&tenant={tenant.pk}", given(fake_crm))
    rows = stored()
    assert [(row.pk, row.status, row.access_token) for row in rows] == [(connection.pk, "connected", "access-0")]
    assert LogEntry.objects.get().get_change_message() == "Connected again."


@pytest.mark.parametrize(("auth", "shown"), [("oauth", "consent"), ("key", "key")], ids=["approved-once", "pasted"])
def test_connecting_again_opens_the_way_by_which_it_was_connected(
    client: Client, connection: CrmConnection, with_app: None, auth: str, shown: str
) -> None:
    with tenancy.everyone():
        CrmConnection.objects.update(auth=auth)
    response = client.get(pages.page(CrmConnection, "reconnect", connection.pk))
    assert response["Location"] == f"{ADD}?provider=fakecrm&tenant={connection.tenant_id}&auth={shown}"
    assert client.get(response["Location"]).status_code == 200


def test_without_an_app_of_the_installation_the_own_one_is_taken_or_tokens_are_asked_for(
    client: Client, connection: CrmConnection
) -> None:
    page = pages.page(CrmConnection, "reconnect", connection.pk)
    assert client.get(page)["Location"].endswith("&auth=oauth")
    with tenancy.everyone():
        CrmConnection.objects.update(secrets={"client_id": "own-app", "login_url": "https://acme.fakecrm.example"})
    assert client.get(page)["Location"].endswith("&auth=consent")


def test_support_chooses_the_tenant(sign_in: SignIn, tenant: Tenant, stranger: Tenant, fake_crm: SandboxServer) -> None:
    client = sign_in(factories.support())
    shown = pages.html(client, f"{FAKE}&tenant={stranger.pk}")
    assert f'<option value="{stranger.pk}" selected' in shown
    client.post(FAKE, {**given(fake_crm), "tenant": str(stranger.pk)})
    assert [row.tenant for row in stored()] == [stranger]


def test_a_tenant_admin_cannot_connect_for_another_tenant(
    client: Client, tenant: Tenant, stranger: Tenant, fake_crm: SandboxServer
) -> None:
    client.post(f"{FAKE}&tenant={stranger.pk}", {**given(fake_crm), "tenant": str(stranger.pk)})
    assert [row.tenant for row in stored()] == [tenant]


def test_whoever_may_not_change_connections_cannot_connect(sign_in: SignIn, tenant: Tenant) -> None:
    assert sign_in(factories.user("nobody", tenants=(tenant,))).get(ADD).status_code == 403


# --- by consent -----------------------------------------------------------------------------------------------------


@pytest.fixture
def with_app(settings: Any, fake_crm: SandboxServer) -> None:
    settings.FAKECRM_LOGIN_URL = fake_crm.url
    settings.FAKECRM_TEST_LOGIN_URL = "https://test.fakecrm.example"
    settings.PUBLIC_URL = "https://dialbridge.example.com"


def test_logging_in_at_the_crm_is_offered_first_where_there_is_a_page_for_it(client: Client, with_app: None) -> None:
    shown = pages.html(client, f"{ADD}?provider=fakecrm").replace("&amp;", "&")
    assert shown.index("auth=consent") < shown.index("auth=oauth") < shown.index("auth=key")
    assert "Log in and approve" in shown


def test_the_form_names_the_login_addresses_and_the_address_to_register(client: Client, with_app: None) -> None:
    shown = pages.html(client, CONSENT)
    for words in (
        '<option value="https://test.fakecrm.example">Sandbox</option>',
        "https://dialbridge.example.com/connect/fakecrm/callback/",
        "Go on to Fake CRM",
        'name="client_id"',
    ):
        assert words in shown
    assert "<details" in shown
    assert '<details class="db-more" open' not in shown


def test_the_form_sends_the_browser_to_the_crm_with_the_own_app(client: Client, with_app: None) -> None:
    response = client.post(CONSENT, {"client_id": "own-app", "client_secret": "own-secret-value"})
    address = urlsplit(pages.leaving(response))
    query = {key: values[0] for key, values in parse_qs(address.query).items()}
    assert query["client_id"] == "own-app"
    assert query["redirect_uri"] == "https://dialbridge.example.com/connect/fakecrm/callback/"
    assert "own-secret-value" not in response.content.decode()


def test_a_secret_without_its_app_is_refused_and_does_not_come_back(client: Client, with_app: None) -> None:
    shown = client.post(CONSENT, {"client_secret": "own-secret-value"}).content.decode()
    assert "A client secret belongs to a client id." in shown
    assert "own-secret-value" not in shown
    assert '<details class="db-more" open' in shown


def test_support_goes_for_the_tenant_it_chose(
    sign_in: SignIn, tenant: Tenant, stranger: Tenant, with_app: None
) -> None:
    client = sign_in(factories.support())
    assert "This field is required." in client.post(CONSENT, {}).content.decode()
    assert pages.leaving(client.post(CONSENT, {"tenant": str(stranger.pk)}))
    with tenancy.everyone():
        assert [one.tenant for one in ConsentAttempt.objects.select_related("tenant")] == [stranger]


def test_a_tenant_admin_cannot_set_out_for_another_tenant(
    sign_in: SignIn, tenant: Tenant, stranger: Tenant, with_app: None
) -> None:
    third = factories.tenant("third")
    both = sign_in(factories.tenant_admin(tenant, stranger))
    assert "not one of the available choices" in both.post(CONSENT, {"tenant": str(third.pk)}).content.decode()
    with tenancy.everyone():
        assert not ConsentAttempt.objects.exists()
