"""Old events are forgotten; webhooks that a CRM switched off come back by themselves."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations import errors, preflight, tenancy
from integrations.connecting import webhook_url
from integrations.models import CrmConnection, Tenant
from integrations.sandbox.server import SandboxServer
from integrations.transport.client import Patience
from sync import inbox, tasks, upkeep
from sync.models import InboxEvent, SyncJob
from sync.work import work
from tests import factories
from tests.fake_crm.provider import FakeService, Provider


@pytest.fixture
def service(fake_crm: SandboxServer, settings: Any) -> FakeService:
    settings.PUBLIC_URL = "https://dialer.example.com"
    found: Any = fake_crm.service
    return found  # type: ignore[no-any-return]


def check(row: CrmConnection) -> list[str]:
    """The nightly check; the messages of what it found."""
    upkeep.enqueue(upkeep.RIGHTS, [row])
    SyncJob.objects.filter(state="ready").update(not_before=timezone.now() - timedelta(seconds=1))
    work(row.pk, patience=Patience(turn=1, retry=0))
    row.refresh_from_db()
    return [one.finding.message for one in preflight.report(row).open]


def hooks(service: FakeService) -> list[str]:
    return [one["url"] for one in service.store.all("hooks")]


# --- webhooks -------------------------------------------------------------------------------------------------------


def test_webhooks_that_were_switched_off_come_back_by_night(scoped: CrmConnection, service: FakeService) -> None:
    for _ in range(2):
        assert check(scoped) == []
        assert hooks(service) == [webhook_url(scoped)]
    service.store.delete("hooks", webhook_url(scoped))
    check(scoped)
    assert hooks(service) == [webhook_url(scoped)]


def test_webhooks_that_can_not_be_set_up_are_a_finding_and_stop_no_other_check(
    scoped: CrmConnection, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> list[str]:
        raise errors.FixConfig("The account takes no more webhooks.")

    service.store.put("findings", "1", {"code": "c", "subject": "s", "message": "No right.", "remedy": "Click."})
    with monkeypatch.context() as full:
        full.setattr(Provider, "subscribe", refuse)
        found = check(scoped)
    assert [text.rsplit(". ", 1)[-1] for text in found] == ["No right.", "The account takes no more webhooks."]
    assert not SyncJob.objects.exclude(state="done").exists()
    preflight.run(scoped)
    assert len(preflight.report(scoped).open) == 2, (
        "a check by hand does not set up webhooks, so it can't call them mended"
    )
    assert check(scoped) == ["No right."]


def test_what_the_providers_own_check_says_already_is_not_said_twice(
    scoped: CrmConnection, service: FakeService
) -> None:
    service.store.put("hook_warnings", "1", {"text": "Only the owner may."})
    service.store.put("hook_warnings", "2", {"text": "There is no room."})
    service.store.put("findings", "1", {"code": "c", "subject": "s", "message": "Only the owner may.", "remedy": "x"})
    assert sorted(check(scoped)) == ["Only the owner may.", "There is no room."]


def test_without_a_public_address_no_webhooks_are_asked_for(
    scoped: CrmConnection, service: FakeService, settings: Any
) -> None:
    settings.PUBLIC_URL = "http://dialer.example.com"
    assert check(scoped) == []
    assert hooks(service) == []


# --- old events -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "days", "left"),
    [("worked", 29, 1), ("worked", 31, 0), ("failed", 31, 1), ("failed", 91, 0), ("received", 400, 1)],
)
def test_events_are_kept_as_long_as_somebody_may_ask_for_them(tenant: Tenant, state: str, days: int, left: int) -> None:
    row = factories.connection(tenant)
    factories.event(row, state=state, received_at=timezone.now() - timedelta(days=days))
    tasks.tidy()
    with tenancy.everyone():
        assert InboxEvent.objects.count() == left


def test_how_long_events_are_kept_is_a_setting(tenant: Tenant, settings: Any) -> None:
    settings.INBOX_KEEP_DAYS = 2
    factories.event(factories.connection(tenant), state="worked", received_at=timezone.now() - timedelta(days=3))
    tasks.tidy()
    with tenancy.everyone():
        assert not InboxEvent.objects.exists()


def test_many_old_events_go_in_short_transactions(tenant: Tenant) -> None:
    row = factories.connection(tenant)
    for _ in range(5):
        factories.event(row, state="worked", received_at=timezone.now() - timedelta(days=31))
    with tenancy.everyone():
        assert inbox.forget(timezone.now(), "worked", at_once=2) == 5
