"""A credential that only a person can mend: noted once, asked for once, and no work is lost, hurried or put out of order."""

import threading
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.utils import timezone

from activities.models import Call
from activities.targets import KIND
from integrations import tenancy
from integrations.connecting import connect
from integrations.models import CrmConnection
from integrations.sandbox.server import SandboxServer
from sync import queue
from sync.models import Lane, SyncJob
from sync.work import work
from tests import factories

CALLS = 20
REASON = "The fake CRM has revoked this connection."


@pytest.fixture
def revoked(scoped: CrmConnection, fake_crm: SandboxServer) -> CrmConnection:
    """A connection whose access token has run out and whose refresh token is dead at the vendor."""
    token = fake_crm.service.store.get("tokens", "current") or {}
    fake_crm.service.store.put("tokens", "current", {**token, "access": "somebody else's", "dead": True})
    CrmConnection.objects.update(token_expires_at=timezone.now() - timedelta(minutes=5))
    return scoped


@pytest.fixture
def calls(revoked: CrmConnection) -> list[str]:
    """The ids of calls that wait to be logged, in the order in which they were posted."""
    person = factories.contact(revoked.tenant)
    made = [factories.call(revoked.tenant, person, external_id=str(uuid.uuid4())) for _ in range(CALLS)]
    queue.enqueue(
        SyncJob(
            tenant_id=revoked.tenant_id,
            connection=revoked,
            kind=KIND,
            key=str(call.pk),
            local_record_id=call.pk,
            lane=Lane.CALLS,
            payload={"record_id": "7"},
        )
        for call in made
    )
    return [str(call.pk) for call in made]


def token_requests(server: SandboxServer) -> int:
    return server.counts["POST /token"]


def jobs() -> set[tuple[str, int]]:
    return set(SyncJob.objects.values_list("state", "attempts"))


def logged(server: SandboxServer) -> list[str]:
    return [one["key"] for one in server.service.store.all("calls")]


def mend(row: CrmConnection, server: SandboxServer) -> None:
    server.service.store.put("tokens", "current", {"access": "access-9", "refresh": "refresh-9", "dead": False})
    data = {"auth": "oauth", "access_token": "access-9", "refresh_token": "refresh-9", "instance_url": server.url}
    connect(row.tenant, "fakecrm", data)


def test_twenty_waiting_calls_cost_one_question_and_all_wait(
    revoked: CrmConnection, calls: list[str], fake_crm: SandboxServer
) -> None:
    for _ in range(3):
        work(revoked.pk)
        queue.wake_due()
    revoked.refresh_from_db()
    assert (revoked.status, revoked.status_reason) == ("needs_reconnecting", REASON)
    assert token_requests(fake_crm) == 1
    assert SyncJob.objects.count() == CALLS
    assert jobs() == {("ready", 0)}
    assert logged(fake_crm) == []


def test_a_token_refused_by_the_api_ends_the_same_way(
    revoked: CrmConnection, calls: list[str], fake_crm: SandboxServer
) -> None:
    CrmConnection.objects.update(token_expires_at=timezone.now() + timedelta(hours=1))
    work(revoked.pk)
    revoked.refresh_from_db()
    assert (revoked.status, revoked.status_reason) == ("needs_reconnecting", REASON)
    assert (token_requests(fake_crm), fake_crm.counts["POST /calls"]) == (1, 1)
    assert jobs() == {("ready", 0)}


def test_after_connecting_again_everything_is_worked_in_its_order_at_once(
    revoked: CrmConnection, calls: list[str], fake_crm: SandboxServer
) -> None:
    work(revoked.pk)
    mend(revoked, fake_crm)
    assert work(revoked.pk)["done"] == CALLS
    assert logged(fake_crm) == calls


def test_calls_posted_while_it_stands_still_come_after_the_older_ones(
    revoked: CrmConnection, calls: list[str], fake_crm: SandboxServer
) -> None:
    work(revoked.pk)
    late = factories.call(revoked.tenant, Call.objects.all()[0].contact, external_id="late")
    factories.call_job(revoked, late, payload={"record_id": "7"}, not_before=timezone.now() - timedelta(seconds=1))
    mend(revoked, fake_crm)
    assert work(revoked.pk)["done"] == CALLS + 1
    assert logged(fake_crm) == [*calls, str(late.pk)]


def test_the_clock_wakes_it_again_only_when_it_is_connected(
    revoked: CrmConnection, calls: list[str], fake_crm: SandboxServer
) -> None:
    work(revoked.pk)
    assert queue.wake_due() == 0
    mend(revoked, fake_crm)
    CrmConnection.objects.update(wake_requested_at=None)
    assert queue.wake_due() == 1


@pytest.mark.django_db(transaction=True)
def test_however_many_workers_come_at_once_the_vendor_is_asked_once(
    revoked: CrmConnection, calls: list[str], fake_crm: SandboxServer
) -> None:
    done: list[Any] = []

    def come() -> None:
        with tenancy.entered(None):
            done.append(work(revoked.pk))
        database.close()

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 8
    revoked.refresh_from_db()
    assert revoked.status == "needs_reconnecting"
    assert token_requests(fake_crm) == 1
    assert jobs() == {("ready", 0)}
    mend(revoked, fake_crm)
    assert work(revoked.pk)["done"] == CALLS
    assert logged(fake_crm) == calls
