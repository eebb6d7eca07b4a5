"""An account that lets nobody in any more: its work waits, untried and in order, and somebody is told why."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from integrations import tenancy
from integrations.models import CrmConnection, Tenant
from integrations.sandbox import people
from integrations.sandbox.server import SandboxServer
from sync import health
from sync.models import SyncJob
from sync.work import work
from tests.providers.connected import connected

REFUSALS: dict[str, dict[str, Any]] = {
    "in words": {"kind": "account_expired"},
    "without a word": {"kind": "status", "status": 403, "body": {"errorMessage": "Forbidden."}},
    "with an empty page": {"kind": "status", "status": 403, "body": "<html><body>403</body></html>"},
}


@pytest.fixture
def server(tenant: Tenant, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[SandboxServer]:
    monkeypatch.setattr(people, "SHARE", 0.1)
    with tenancy.scope(tenant.pk):
        server, _row, _credential = connected(tenant, "followupboss", settings)
    yield server
    server.close()


@pytest.fixture
def dialer(server: SandboxServer, api_key: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {api_key}")
    return client


def post(dialer: APIClient, number: int) -> str:
    body = {
        "external_id": f"d-{number}",
        "provider": "followupboss",
        "crm_record_id": "1001",
        "phone": "+14155550101",
        "duration_seconds": 42,
        "started_at": "2026-01-21T14:30:00Z",
        "disposition": "Connected",
    }
    return str(dialer.post("/api/v1/calls/", body, format="json").json()["id"])


def state(dialer: APIClient, call_id: str) -> dict[str, Any]:
    (sync,) = dialer.get(f"/api/v1/calls/{call_id}/").json()["syncs"]
    return dict(sync)


def go_on(**fields: Any) -> None:
    with tenancy.everyone():
        (row,) = CrmConnection.objects.all()
        SyncJob.objects.filter(kind="log_call", state="ready").update(not_before=timezone.now(), **fields)
        SyncJob.objects.exclude(kind="log_call").delete()
    work(row.pk)


def waiting() -> list[tuple[str, int]]:
    with tenancy.everyone():
        return list(SyncJob.objects.order_by("pk").values_list("state", "attempts"))


@pytest.mark.parametrize("dial", REFUSALS.values(), ids=REFUSALS)
def test_calls_wait_until_the_account_is_open_again_and_are_then_logged_once(
    server: SandboxServer, dialer: APIClient, dial: dict[str, Any]
) -> None:
    calls = [post(dialer, number) for number in range(3)]
    server.service.faults.set([dial])
    for _ in range(8):
        go_on()
    assert waiting() == [("ready", 0)] * 3
    assert {state(dialer, one)["status"] for one in calls} == {"pending"}
    assert "lapsed" in state(dialer, calls[0])["error"]
    server.service.faults.set([])
    go_on()
    assert {state(dialer, one)["status"] for one in calls} == {"logged"}
    assert len(list(server.service.store.all("calls"))) == 3


def test_nobody_asks_again_and_again_meanwhile(server: SandboxServer, dialer: APIClient) -> None:
    server.service.faults.set([REFUSALS["in words"]])
    for number in range(5):
        post(dialer, number)
    go_on()
    assert server.counts["POST /v1/calls"] == 1
    with tenancy.everyone():
        first = SyncJob.objects.filter(cause="account_expired").earliest("pk")
    assert first.not_before > timezone.now() + timedelta(minutes=5)


def test_the_first_page_says_what_holds_the_work_up(server: SandboxServer, dialer: APIClient) -> None:
    server.service.faults.set([REFUSALS["in words"]])
    post(dialer, 1)
    go_on()
    with tenancy.everyone():
        (card,) = health.cards()
    assert card.level == "bad"
    assert "lapsed" in card.headline
    server.service.faults.set([])
    go_on()
    with tenancy.everyone():
        (card,) = health.cards()
    assert "lapsed" not in card.headline


def test_what_the_role_does_not_allow_is_still_that_ones_own_trouble(server: SandboxServer, dialer: APIClient) -> None:
    one = post(dialer, 1)
    server.service.faults.set([{**REFUSALS["without a word"], "match": "POST /v1/calls"}])
    go_on()
    assert state(dialer, one)["status"] == "failed"
