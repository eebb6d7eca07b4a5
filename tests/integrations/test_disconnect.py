"""Disconnecting: ended there as far as possible, deleted here in any case; and whose account comes after it."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection as database
from django.test import Client

from integrations import errors, tenancy
from integrations.connecting import connect, disconnect
from integrations.models import CrmConnection, Tenant
from integrations.records.connections import Credential
from integrations.sandbox.server import SandboxServer
from integrations.storing import account_replaced
from integrations.transport.trial import TrialApi
from sync import queue
from sync.models import SyncJob
from sync.work import work
from tests import factories
from tests.admin import pages
from tests.admin.conftest import SignIn
from tests.fake_crm.provider import Provider


@pytest.fixture(autouse=True)
def reached_over_https(settings: Any) -> None:
    settings.PUBLIC_URL = "https://dialbridge.example.com"


@pytest.fixture
def row(tenant: Tenant, fake_crm: SandboxServer) -> CrmConnection:
    with tenancy.everyone():
        return connect(tenant, "fakecrm", credential(fake_crm))[0]


@pytest.fixture
def client(tenant: Tenant, sign_in: SignIn) -> Client:
    return sign_in(factories.tenant_admin(tenant))


def credential(server: SandboxServer) -> dict[str, Any]:
    token = server.service.store.get("tokens", "current") or {}
    return {
        "auth": "oauth",
        "access_token": token["access"],
        "refresh_token": token["refresh"],
        "instance_url": server.url,
        "settings": {"webhook_secret": "hush"},
    }


def ended(row: CrmConnection) -> list[str]:
    with tenancy.everyone():
        return disconnect(row, "Enough.")


def stored() -> CrmConnection:
    with tenancy.everyone():
        found: CrmConnection = CrmConnection.objects.get()
        return found


def hooks(server: SandboxServer) -> int:
    return server.service.store.count("hooks")


# --- ending ---------------------------------------------------------------------------------------------------------


def test_connecting_subscribes_and_disconnecting_takes_everything_back(
    row: CrmConnection, fake_crm: SandboxServer
) -> None:
    assert hooks(fake_crm) == 1
    assert ended(row) == []
    assert hooks(fake_crm) == 0
    assert list(fake_crm.service.store._collections["revoked"]) == ["refresh-0"]
    after = stored()
    assert (after.status, after.status_reason, after.account_id) == ("disconnected", "Enough.", "acct-1")
    assert (after.access_token, after.refresh_token, after.secrets, after.scopes) == ("", None, {}, None)
    assert after.token_expires_at is None


def test_no_secret_is_left_in_the_database(row: CrmConnection) -> None:
    assert (stored().secrets or {})["webhook_secret"] == "hush"
    ended(row)
    after = stored()
    assert not any((after.access_token, after.refresh_token, after.secrets))


@pytest.mark.parametrize(
    "fault",
    [{"kind": "status", "status": 503}, {"kind": "drop_before"}, {"kind": "html502"}],
    ids=lambda one: one["kind"],
)
def test_a_crm_that_is_down_does_not_prevent_it_and_the_rest_is_told(
    row: CrmConnection, fake_crm: SandboxServer, fault: dict[str, Any]
) -> None:
    fake_crm.service.faults.set([fault])
    left = ended(row)
    assert len(left) == 2
    assert f"/webhooks/fakecrm/{row.webhook_token}/" in left[0]
    assert "did not confirm that our access has ended" in left[1]
    assert (stored().status, stored().access_token) == ("disconnected", "")


def test_a_dead_credential_can_be_disconnected_too(row: CrmConnection, fake_crm: SandboxServer) -> None:
    token = fake_crm.service.store.get("tokens", "current") or {}
    fake_crm.service.store.put("tokens", "current", {**token, "access": "other", "dead": True})
    with tenancy.everyone():
        CrmConnection.objects.update(status="needs_reconnecting")
        row.refresh_from_db()
    assert "Webhooks may still be registered" in ended(row)[0]
    assert stored().status == "disconnected"


def test_a_credential_that_cannot_be_read_any_more_is_still_deleted(row: CrmConnection) -> None:
    with database.cursor() as cursor:
        cursor.execute("UPDATE crm_credentials SET access_token = 'x', refresh_token = 'x', secrets = 'x'")
    assert len(ended(row)) == 2
    assert (stored().status, stored().access_token) == ("disconnected", "")


def test_of_a_key_it_is_said_that_only_the_crm_can_end_it(tenant: Tenant, fake_crm: SandboxServer) -> None:
    with tenancy.everyone():
        data = {"auth": "key", "access_token": "access-0", "instance_url": fake_crm.url}
        made = connect(tenant, "fakecrm", data)[0]
    assert ended(made) == [
        "The key or token itself can only be ended in Fake CRM: delete it there if nobody else uses it."
    ]
    assert fake_crm.service.store.count("revoked") == 0


def test_a_token_that_is_renewed_on_the_way_is_the_one_that_is_revoked(
    row: CrmConnection, fake_crm: SandboxServer
) -> None:
    token = fake_crm.service.store.get("tokens", "current") or {}
    fake_crm.service.store.put("tokens", "current", {**token, "access": "newer"})
    assert ended(row) == []
    assert list(fake_crm.service.store._collections["revoked"]) == ["refresh-1"]


def test_waiting_work_waits_on(row: CrmConnection, fake_crm: SandboxServer) -> None:
    with tenancy.everyone():
        queue.enqueue([SyncJob(tenant_id=row.tenant_id, connection=row, kind="pull", key="people")])
    ended(row)
    assert not work(row.pk)
    with tenancy.everyone():
        assert [(job.state, job.attempts) for job in SyncJob.objects.all()] == [("ready", 0)]


def test_webhooks_that_cannot_be_set_up_are_a_warning(tenant: Tenant, fake_crm: SandboxServer) -> None:
    fake_crm.service.store.put("hook_warnings", "1", {"text": "Only the owner may."})
    with tenancy.everyone():
        made = connect(tenant, "fakecrm", credential(fake_crm))[0]
        assert made.metadata["warnings"] == ["Only the owner may."]
        fake_crm.service.faults.set([{"kind": "status", "status": 503, "match": "/hooks"}])
        again = connect(tenant, "fakecrm", credential(fake_crm))[0]
    assert again.is_usable
    assert "Its webhooks are not set up" in again.metadata["warnings"][0]


@pytest.mark.parametrize(
    ("url", "debug", "subscribed"),
    [
        ("http://dialbridge.example.com", False, 0),
        ("http://127.0.0.1:8000", False, 0),
        ("http://127.0.0.1:8000", True, 1),
        ("http://dialbridge.example.com", True, 0),
    ],
)
def test_webhooks_are_asked_for_only_where_they_can_arrive(
    tenant: Tenant, fake_crm: SandboxServer, settings: Any, url: str, debug: bool, subscribed: int
) -> None:
    settings.PUBLIC_URL, settings.DEBUG = url, debug
    with tenancy.everyone():
        connect(tenant, "fakecrm", credential(fake_crm))
    assert hooks(fake_crm) == subscribed


# --- whose account comes after --------------------------------------------------------------------------------------


def be_another_account(server: SandboxServer) -> None:
    server.service.store.put("account", "current", {"id": "acct-2", "name": "Second account"})
    server.service.store.put("tokens", "current", {"access": "access-9", "refresh": "refresh-9", "dead": False})


def test_the_same_account_is_connected_again_as_it_was(row: CrmConnection, fake_crm: SandboxServer) -> None:
    ended(row)
    fake_crm.service.store.put("tokens", "current", {"access": "access-9", "refresh": "refresh-9", "dead": False})
    with tenancy.everyone():
        again = connect(row.tenant, "fakecrm", credential(fake_crm))[0]
    assert (again.pk, again.status, again.status_reason) == (row.pk, "connected", "")


def test_another_account_needs_to_be_said_expressly(row: CrmConnection, fake_crm: SandboxServer) -> None:
    heard: list[Any] = []
    account_replaced.connect(receiver := lambda before, connection, **_: heard.append((before, connection.account_id)))
    ended(row)
    be_another_account(fake_crm)
    with tenancy.everyone():
        with pytest.raises(errors.FixConfig, match="say expressly that another account takes its place"):
            connect(row.tenant, "fakecrm", credential(fake_crm))
        assert stored().status == "disconnected"
        CrmConnection.objects.update(metadata={"task_type": "learned from the first account"})
        again = connect(row.tenant, "fakecrm", credential(fake_crm), replace_account=True)[0]
    account_replaced.disconnect(receiver)
    assert (again.pk, again.account_id, again.account_name) == (row.pk, "acct-2", "Second account")
    assert heard == [("acct-1", "acct-2")]
    assert "task_type" not in stored().metadata


def test_a_living_connection_takes_no_other_account_whatever_is_said(
    row: CrmConnection, fake_crm: SandboxServer
) -> None:
    be_another_account(fake_crm)
    with tenancy.everyone(), pytest.raises(errors.FixConfig, match="disconnect this one first"):
        connect(row.tenant, "fakecrm", credential(fake_crm), replace_account=True)
    assert stored().account_id == "acct-1"


def test_an_ended_connection_leaves_its_account_to_another_tenant(
    row: CrmConnection, fake_crm: SandboxServer, stranger: Tenant
) -> None:
    ended(row)
    fake_crm.service.store.put("tokens", "current", {"access": "access-9", "refresh": "refresh-9", "dead": False})
    with tenancy.everyone():
        theirs = connect(stranger, "fakecrm", credential(fake_crm))[0]
        assert theirs.account_id == "acct-1"
        with pytest.raises(errors.FixConfig, match="another tenant"):
            connect(row.tenant, "fakecrm", credential(fake_crm))


# --- the button -----------------------------------------------------------------------------------------------------


def test_the_button_asks_and_then_disconnects(client: Client, row: CrmConnection, fake_crm: SandboxServer) -> None:
    url = pages.page(CrmConnection, "disconnect", row.pk)
    assert "Disconnect Fake CRM" in pages.html(client, url)
    assert stored().status == "connected"
    fake_crm.service.faults.set([{"kind": "status", "status": 503, "match": "/revoke"}])
    page = client.post(url, follow=True).content.decode()
    assert "Disconnected. The credential is deleted here." in page
    assert "did not confirm that our access has ended" in page
    assert stored().status_reason == "Disconnected by admin-of-acme"
    assert "It had been disconnected before." in client.post(url, follow=True).content.decode()


def test_the_form_offers_another_account_only_after_one_has_ended(client: Client, row: CrmConnection) -> None:
    forms = [f"/admin/integrations/crmconnection/add/?provider=fakecrm&auth={auth}" for auth in ("consent", "oauth")]
    for form in forms:
        assert "replace_account" not in pages.html(client, form)
    ended(row)
    for form in forms:
        assert "Connect another account than Fake account" in pages.html(client, form)


def test_the_tick_in_the_form_takes_another_account(
    client: Client, row: CrmConnection, fake_crm: SandboxServer
) -> None:
    ended(row)
    be_another_account(fake_crm)
    form = "/admin/integrations/crmconnection/add/?provider=fakecrm&auth=oauth"
    given = {key: value for key, value in credential(fake_crm).items() if key not in {"auth", "settings"}}
    assert "say expressly" in client.post(form, given).content.decode()
    assert client.post(form, {**given, "replace_account": "on"}).status_code == 302
    assert stored().account_id == "acct-2"


# --- the command ----------------------------------------------------------------------------------------------------


def subscribed(*arguments: str) -> Any:
    out = StringIO()
    call_command("subscribe_webhooks", "--json", *arguments, stdout=out)
    return json.loads(out.getvalue())


def test_the_command_subscribes_every_working_connection(row: CrmConnection, fake_crm: SandboxServer) -> None:
    for hook in list(fake_crm.service.store.all("hooks")):
        fake_crm.service.store.delete("hooks", hook["url"])
    told = subscribed("--tenant", "acme")
    assert [one["problem"] for one in told["connections"]] == [""]
    assert [one["url"] for one in fake_crm.service.store.all("hooks")] == [told["connections"][0]["url"]]
    ended(row)
    assert subscribed("--tenant", "acme") == {"apps": [], "connections": []}


def test_the_command_tells_what_failed_and_ends_with_code_1(
    row: CrmConnection, fake_crm: SandboxServer, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_crm.service.faults.set([{"kind": "status", "status": 403, "match": "/hooks"}])
    with pytest.raises(SystemExit, match="1"):
        call_command("subscribe_webhooks", "--tenant", "acme")
    assert "BAD acme fakecrm: Fake CRM does not let this connection do that." in capsys.readouterr().out


def test_an_apps_webhooks_are_subscribed_once_for_all_tenants(
    row: CrmConnection, fake_crm: SandboxServer, monkeypatch: Any
) -> None:
    def subscribe_app(_cls: type[Provider], api: TrialApi, url: str) -> list[str]:
        api.request("POST", "/hooks", json={"url": url})
        return [f"The app sends to {url} now."]

    app = Credential("app", "access-0", instance_url=fake_crm.url)
    monkeypatch.setattr(Provider, "app_webhooks", True)
    monkeypatch.setattr(Provider, "app_credential", classmethod(lambda _cls: app))
    monkeypatch.setattr(Provider, "subscribe_app", classmethod(subscribe_app))
    told = subscribed("--provider", "fakecrm")
    assert told == {
        "apps": [
            {
                "provider": "fakecrm",
                "url": "https://dialbridge.example.com/webhooks/fakecrm/",
                "changed": ["The app sends to https://dialbridge.example.com/webhooks/fakecrm/ now."],
                "problem": "",
            }
        ],
        "connections": [],
    }
    assert hooks(fake_crm) == 2


def test_the_command_refuses_an_address_that_no_crm_delivers_to(tenant: Tenant, settings: Any) -> None:
    settings.PUBLIC_URL = "http://dialbridge.example.com"
    with pytest.raises(CommandError, match="Set PUBLIC_URL"):
        subscribed()


def test_the_command_knows_its_tenants(tenant: Tenant) -> None:
    with pytest.raises(CommandError, match="no tenant 'nobody'"):
        subscribed("--tenant", "nobody")
