"""Old events and jobs are forgotten; webhooks that a CRM switched off come back by themselves."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.db import connections, transaction
from django.utils import timezone

from activities.states import sync_states
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


# --- old jobs -------------------------------------------------------------------------------------------------------


def an_old_job(of: CrmConnection, days: int, **fields: Any) -> SyncJob:
    ended = timezone.now() - timedelta(days=days)
    return factories.job(
        of, finished_at=ended, **{"kind": "push", "key": f"{days}-{fields}", "state": "done", **fields}
    )


@pytest.mark.parametrize(
    ("state", "days", "left"),
    [
        ("done", 29, 1),
        ("done", 31, 0),
        ("dismissed", 89, 1),
        ("dismissed", 91, 0),
        ("dead", 400, 1),
        ("ready", 400, 1),
        ("leased", 400, 1),
    ],
)
def test_jobs_are_kept_as_long_as_somebody_may_ask_for_them(tenant: Tenant, state: str, days: int, left: int) -> None:
    an_old_job(factories.connection(tenant), days, state=state)
    tasks.tidy()
    with tenancy.everyone():
        assert SyncJob.objects.count() == left


def test_what_became_of_a_call_is_told_as_long_as_the_call_is_kept(tenant: Tenant) -> None:
    row, call = factories.connection(tenant), factories.call(tenant)
    for kind in ("log_call", "book_meeting", "set_follow_up", "write_note"):
        an_old_job(row, 400, kind=kind, local_record_id=call.pk)
    an_old_job(row, 400, kind="log_call", state="dismissed", local_record_id=call.pk)
    with tenancy.everyone():
        before = sync_states([call.pk])
        tasks.tidy()
        assert sync_states([call.pk]) == before
    assert before[call.pk][0]["status"] == "failed"


def test_a_success_stays_while_an_older_failure_of_its_record_does(tenant: Tenant) -> None:
    row, person = factories.connection(tenant), factories.contact(tenant)
    an_old_job(row, 41, state="dead", local_record_id=person.pk)
    an_old_job(row, 40, local_record_id=person.pk)
    tasks.tidy()
    with tenancy.everyone():
        assert SyncJob.objects.count() == 2


def test_many_old_jobs_go_in_slices_until_time_is_up(tenant: Tenant) -> None:
    row = factories.connection(tenant)
    for number in range(5):
        an_old_job(row, 31 + number)
    assert upkeep.forget_jobs(seconds=0.0) is True
    with tenancy.everyone():
        assert SyncJob.objects.count() == 5
        assert upkeep.forget_jobs(at_once=2) is False
        assert not SyncJob.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_forgetting_leaves_out_what_somebody_holds_and_waits_for_nobody(tenant: Tenant) -> None:
    row = factories.connection(tenant)
    held, free = an_old_job(row, 40), an_old_job(row, 41)
    with transaction.atomic(), database.cursor() as cursor:
        cursor.execute("SELECT 1 FROM sync_jobs WHERE id = %s FOR UPDATE", [held.pk])
        with ThreadPoolExecutor(1) as elsewhere:
            assert elsewhere.submit(_forget_and_close).result(timeout=60) is False
    with tenancy.everyone():
        assert list(SyncJob.objects.values_list("pk", flat=True)) == [held.pk] != [free.pk]


def _forget_and_close() -> bool:
    try:
        return upkeep.forget_jobs()
    finally:
        connections.close_all()
