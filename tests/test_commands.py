import io
import json
import sys
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from integrations import tenancy
from integrations.errors import Retry
from integrations.models import ApiKey, CrmConnection, Tenant
from integrations.sandbox.server import SandboxServer
from sync.inbound import ALREADY_RUNNING, PageWriter
from sync.models import Contact, SyncJob


def run(*arguments: str, stdin: Any = None, **options: Any) -> Any:
    """What a command printed with --json."""
    out = io.StringIO()
    original, sys.stdin = sys.stdin, io.StringIO(stdin if isinstance(stdin, str) else json.dumps(stdin))
    try:
        call_command(*arguments, "--json", stdout=out, **options)
    finally:
        sys.stdin = original
    return json.loads(out.getvalue())


@pytest.fixture
def crm(fake_crm: SandboxServer) -> dict[str, Any]:
    """A credential of the fake CRM, which holds three people."""
    for number in range(1, 4):
        fields = {"first": f"P{number}", "last": "Lee", "email": f"p{number}@example.com", "phone": ""}
        document = {"id": str(number), "fields": fields, "modified": "2026-01-01T00:00:00+00:00"}
        fake_crm.service.store.put("people", str(number), document)
    return {"auth": "oauth", "access_token": "access-0", "refresh_token": "refresh-0", "instance_url": fake_crm.url}


def test_a_tenant_is_made_once_and_its_key_shown_once(db: None) -> None:
    first = run("create_tenant", "acme", name="Acme", admin="Ann@Example.com")
    assert first["tenant"] == "acme"
    assert first["api_key"].startswith("dbk_")
    again = run("create_tenant", "acme", admin="Ann@Example.com")
    assert (again["api_key"], again["created"]) == (None, False)
    with tenancy.everyone():
        assert (Tenant.objects.count(), ApiKey.objects.count()) == (1, 1)
    user = User.objects.get(username="ann@example.com")
    assert user.check_password(first["admin"]["password"])
    assert [group.name for group in user.groups.all()] == ["Tenant admin"]


@pytest.mark.parametrize("slug", ["Not A Slug", "x" * 70, "ä"])
def test_a_bad_name_is_refused(db: None, slug: str) -> None:
    with pytest.raises(CommandError):
        run("create_tenant", slug)


def test_from_a_new_tenant_to_its_contacts(tenant: Tenant, crm: dict[str, Any]) -> None:
    connected = run("connect_crm", "acme", "fakecrm", stdin=crm)
    assert connected["account"] == "Fake account"
    assert connected["webhook_url"].startswith("http://127.0.0.1:8000/webhooks/fakecrm/")
    counts = run("sync_now", "acme")
    assert set(counts) == {
        "created", "updated", "unchanged", "skipped", "conflicts", "errored", "api_calls", "seconds",
    }  # fmt: skip
    assert (counts["created"], counts["api_calls"]) == (3, 1)
    assert run("sync_now", "acme", full=True)["unchanged"] == 3
    with tenancy.everyone():
        assert Contact.objects.count() == 3


def test_sync_now_waits_for_a_worker_that_reads_the_same_records(
    tenant: Tenant, crm: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("connect_crm", "acme", "fakecrm", stdin=crm)
    real, refusals = PageWriter.apply, iter([True, False])

    def busy_once(self: PageWriter, *args: Any) -> None:
        if next(refusals, False):
            raise Retry("Another run is reading the same records. This one stops.", cause=ALREADY_RUNNING)
        real(self, *args)

    monkeypatch.setattr(PageWriter, "apply", busy_once)
    assert run("sync_now", "acme")["created"] == 3


def test_drain_works_what_is_due_and_says_what_became_of_it(tenant: Tenant, crm: dict[str, Any]) -> None:
    run("connect_crm", "acme", "fakecrm", stdin=crm)
    with tenancy.everyone():
        row = CrmConnection.objects.get()
        SyncJob.objects.create(tenant=tenant, connection=row, kind="pull", key="people")
    done = run("drain", "acme", timeout=10)
    assert {key: done[key] for key in ("done", "retried", "dead")} == {"done": 1, "retried": 0, "dead": 0}
    assert "seconds" in done


def test_drain_waits_for_a_retry_that_falls_into_its_time_and_not_longer(
    tenant: Tenant, crm: dict[str, Any], fake_crm: SandboxServer
) -> None:
    run("connect_crm", "acme", "fakecrm", stdin=crm)
    with tenancy.everyone():
        row = CrmConnection.objects.get()
        SyncJob.objects.create(tenant=tenant, connection=row, kind="pull", key="people")
    fake_crm.service.faults.set([{"kind": "status", "status": 503, "times": 2}])  # also the second try in place
    done = run("drain", "acme", timeout=20)
    assert (done["done"], done["retried"]) == (1, 1)


@pytest.mark.parametrize(
    ("stdin", "word"),
    [
        ("not json", "not JSON"),
        ([1], "JSON object"),
        ({"auth": "magic"}, "key, oauth|oauth, key"),
        ({"auth": "oauth"}, "needs"),
        (
            {"auth": "oauth", "access_token": "a", "refresh_token": "b", "instance_url": "https://evil.example"},
            "not an address",
        ),
    ],
)
def test_a_credential_that_does_not_work_is_explained_and_not_stored(
    tenant: Tenant, fake_crm: SandboxServer, stdin: Any, word: str
) -> None:
    with pytest.raises(CommandError, match=word):
        run("connect_crm", "acme", "fakecrm", stdin=stdin)
    with tenancy.everyone():
        assert not CrmConnection.objects.exists()


def test_settings_that_are_secrets_are_encrypted_and_the_others_kept(tenant: Tenant, crm: dict[str, Any]) -> None:
    chosen = {"rate_limits": {"default": [5, 1]}, "webhook_secret": "hush"}
    run("connect_crm", "acme", "fakecrm", stdin={**crm, "settings": chosen})
    with tenancy.everyone():
        row = CrmConnection.objects.get()
    assert row.settings == {"rate_limits": {"default": [5, 1]}}
    assert row.secrets is not None
    assert row.secrets["webhook_secret"] == "hush"


@pytest.mark.parametrize("command", [["sync_now", "nobody"], ["drain", "nobody"], ["connect_crm", "nobody", "hubspot"]])
def test_an_unknown_tenant_is_named_with_what_to_do(db: None, command: list[str]) -> None:
    with pytest.raises(CommandError, match="create_tenant nobody"):
        run(*command, stdin={})


def test_sync_now_without_a_connection_says_how_to_make_one(tenant: Tenant) -> None:
    with pytest.raises(CommandError, match="connect_crm"):
        run("sync_now", "acme")


def test_check_connections_tells_good_from_bad_by_its_exit_code(
    tenant: Tenant, crm: dict[str, Any], fake_crm: SandboxServer, capsys: pytest.CaptureFixture[str]
) -> None:
    run("connect_crm", "acme", "fakecrm", stdin=crm)
    assert run("check_connections")["connections"][0]["ok"] is True
    fake_crm.service.faults.set([{"kind": "status", "status": 403}])
    out = io.StringIO()
    with pytest.raises(SystemExit) as stopped:
        call_command("check_connections", "--json", stdout=out)
    assert stopped.value.code == 1
    assert "permission" in json.loads(out.getvalue())["connections"][0]["problem"]


def test_the_sandbox_and_the_demo_refuse_to_run_in_production(settings: Any) -> None:
    settings.DEBUG = False
    for command in (["crm_sandbox"], ["demo"], ["seed_demo", "--sandboxes", "{}"]):
        with pytest.raises(CommandError, match="DEBUG=true"):
            call_command(*command)
