"""Real processes that find the same access token run out: the vendor is asked for a new one once."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from django.utils import timezone

from activities.targets import KIND
from integrations import tenancy
from integrations.models import CrmConnection
from integrations.sandbox.server import SandboxServer
from sync import queue
from sync.models import Lane, SyncJob
from tests import factories
from tests.live.system import database_url

PROCESSES = 10
WORKERS = 4
CALLS = 20


def together(row: CrmConnection, server: SandboxServer, what: str, count: int) -> list[tuple[int, str]]:
    """Starts so many processes, lets them go at the same moment, and gives exit code and words of each."""
    host = server.url.removeprefix("http://")
    env = {**os.environ, "DEBUG": "true", "DATABASE_URL": database_url(), "CRM_ALLOWED_HOSTS": host}
    command = [sys.executable, "-m", "tests.live.refresher", str(row.pk), what]
    started = [
        subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    for one in started:
        assert one.stdout
        assert one.stdout.readline() == "ready\n"
    for one in started:
        assert one.stdin
        one.stdin.write("go\n")
        one.stdin.flush()
    said = [one.communicate(timeout=60)[0] for one in started]
    return [(one.returncode, words) for one, words in zip(started, said, strict=True)]


def run_out(row: CrmConnection, server: SandboxServer, **token: object) -> None:
    """The vendor has forgotten the access token; each refresh token is good for one use only."""
    current = server.service.store.get("tokens", "current") or {}
    server.service.store.put("tokens", "current", {**current, "access": "forgotten", **token})
    server.counts.clear()


@pytest.mark.live
@pytest.mark.django_db(transaction=True)
@pytest.mark.thorough
@pytest.mark.parametrize("known", [True, False], ids=["its-time-is-over", "the-api-refuses-it"])
def test_ten_processes_renew_a_rotating_token_once_and_all_go_on(
    connection: CrmConnection, fake_crm: SandboxServer, known: bool
) -> None:
    run_out(connection, fake_crm)
    with tenancy.everyone():
        late = timedelta(hours=-1 if known else 1)
        CrmConnection.objects.update(token_expires_at=timezone.now() + late)
    assert together(connection, fake_crm, "check", PROCESSES) == [(0, "acct-1")] * PROCESSES
    assert fake_crm.counts["POST /token"] == 1
    with tenancy.everyone():
        row = CrmConnection.objects.get()
    assert (row.status, row.access_token, row.refresh_token) == ("connected", "access-1", "refresh-1")


@pytest.mark.live
@pytest.mark.django_db(transaction=True)
def test_several_workers_meet_a_dead_token_and_ask_once_without_losing_a_call(
    connection: CrmConnection, fake_crm: SandboxServer
) -> None:
    run_out(connection, fake_crm, dead=True)
    with tenancy.everyone():
        CrmConnection.objects.update(token_expires_at=timezone.now() - timedelta(hours=1))
        person = factories.contact(connection.tenant)
        calls = [factories.call(connection.tenant, person) for _ in range(CALLS)]
        queue.enqueue(
            SyncJob(
                tenant_id=connection.tenant_id,
                connection=connection,
                kind=KIND,
                key=str(call.pk),
                local_record_id=call.pk,
                lane=Lane.CALLS,
                payload={"record_id": "7"},
            )
            for call in calls
        )
    assert together(connection, fake_crm, "work", WORKERS) == [(0, "0")] * WORKERS
    assert fake_crm.counts["POST /token"] == 1
    with tenancy.everyone():
        assert CrmConnection.objects.get().status == "needs_reconnecting"
        assert list(SyncJob.objects.values_list("state", "attempts")) == [("ready", 0)] * CALLS
