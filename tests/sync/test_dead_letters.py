"""Dead jobs go back to work by tenant, cause and CRM, thousands in a handful of statements."""

import json
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from integrations import tenancy
from integrations.models import CrmConnection, Tenant
from sync import dead_letters, queue
from sync.models import SyncJob
from tests import factories


@pytest.fixture
def ours(tenant: Tenant) -> CrmConnection:
    return factories.connection(tenant)


@pytest.fixture
def theirs(stranger: Tenant) -> CrmConnection:
    return factories.connection(stranger, provider="salesforce")


@pytest.fixture
def at_large() -> Iterator[None]:
    with tenancy.everyone():
        yield


def kill(of: CrmConnection, *keys: str, **fields: Any) -> list[SyncJob]:
    return [factories.dead_job(of, key=key, **fields) for key in keys]


def command(*args: str) -> dict[str, Any]:
    out = StringIO()
    with tenancy.entered(None):
        call_command("replay_dead_letters", *args, "--json", stdout=out)
    told: dict[str, Any] = json.loads(out.getvalue())
    return told


def states() -> dict[str, str]:
    with tenancy.everyone():
        return dict(SyncJob.objects.values_list("key", "state"))


def test_three_thousand_dead_jobs_go_back_to_work_in_a_handful_of_statements(
    ours: CrmConnection, at_large: None
) -> None:
    SyncJob.objects.bulk_create(
        SyncJob(
            tenant_id=ours.tenant_id, connection=ours, kind="push", key=str(number), state="dead", cause="invalid_data"
        )
        for number in range(3000)
    )
    with CaptureQueriesContext(database) as counted:
        done = dead_letters.replay(dead_letters.dead())
    assert done == dead_letters.Replayed(3000)
    assert len([one for one in counted if "SAVEPOINT" not in one["sql"]]) <= 8
    assert set(SyncJob.objects.values_list("state", "attempts")) == {("ready", 0)}


def test_a_large_pile_is_worked_off_in_batches(
    ours: CrmConnection, at_large: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "AT_ONCE", 2)
    kill(ours, "1", "2", "3", "4", "5")
    assert dead_letters.replay(dead_letters.dead()).replayed == 5


def test_jobs_of_a_replaced_account_stay_dead_and_are_counted(ours: CrmConnection) -> None:
    kill(ours, "1", "2", cause=queue.FOR_GOOD)
    kill(ours, "3")
    told = command()
    assert (told["replayed"], told["for_good"]) == (1, 2)
    assert states() == {"1": "dead", "2": "dead", "3": "ready"}
    assert command("--cause", queue.FOR_GOOD)["replayed"] == 0


def test_a_job_whose_twin_is_waiting_stays_and_is_counted(ours: CrmConnection) -> None:
    kill(ours, "1")
    factories.job(ours, key="1")
    told = command()
    assert (told["replayed"], told["twins"]) == (0, 1)


def test_the_dead_jobs_of_one_contact_are_one_try_and_the_others_are_over_with_it(
    ours: CrmConnection, at_large: None
) -> None:
    kill(ours, "1", kind="push", payload={"new": True})
    kill(ours, "1", "1", kind="push")
    assert dead_letters.replay(dead_letters.dead()) == dead_letters.Replayed(1, 0, 2)
    assert list(SyncJob.objects.order_by("pk").values_list("state", "payload")) == [
        ("ready", {"new": True}),
        ("done", {}),
        ("done", {}),
    ]


def test_a_dead_job_that_would_do_more_than_its_twin_stays(ours: CrmConnection, at_large: None) -> None:
    kill(ours, "1", kind="push", payload={"new": True})
    factories.job(ours, kind="push", key="1")
    assert dead_letters.replay(dead_letters.dead()).twins == 1
    assert sorted(SyncJob.objects.values_list("state", flat=True)) == ["dead", "ready"]


def test_a_twin_looks_up_what_a_dead_job_may_have_written(ours: CrmConnection, at_large: None) -> None:
    first = timezone.now() - timedelta(hours=3)
    kill(ours, "1", kind="push", first_attempt_at=first)
    factories.job(ours, kind="push", key="1")
    dead_letters.replay(dead_letters.dead())
    assert SyncJob.objects.get(state="ready").first_attempt_at == first


def test_only_what_was_asked_for_is_tried_again(ours: CrmConnection, theirs: CrmConnection) -> None:
    kill(ours, "refused")
    kill(ours, "down", cause="unavailable")
    kill(ours, "long ago", finished_at=timezone.now() - timedelta(days=3))
    kill(theirs, "elsewhere")
    since = (timezone.now() - timedelta(days=1)).isoformat()
    assert command("acme", "--cause", "invalid_data", "--provider", "hubspot", "--since", since)["replayed"] == 1
    assert states() == {"refused": "ready", "down": "dead", "long ago": "dead", "elsewhere": "dead"}
    assert command("--provider", "salesforce")["replayed"] == 1
    assert command()["replayed"] == 2


def test_a_dry_run_counts_by_cause_and_changes_nothing(ours: CrmConnection, theirs: CrmConnection) -> None:
    kill(ours, "1", "2")
    kill(theirs, "3", cause=queue.FOR_GOOD)
    told = command("--dry-run")
    assert told["found"] == [
        {"tenant": "acme", "provider": "hubspot", "cause": "invalid_data", "count": 2},
        {"tenant": "stranger", "provider": "salesforce", "cause": queue.FOR_GOOD, "count": 1},
    ]
    assert set(states().values()) == {"dead"}
    out = StringIO()
    call_command("replay_dead_letters", "--dry-run", stdout=out)
    assert "2 would be tried again" in out.getvalue()
    assert "1 are left for good" in out.getvalue()


@pytest.mark.parametrize(
    ("args", "problem"),
    [(["nobody"], "no tenant 'nobody'"), (["--since", "yesterday"], "is no time")],
    ids=["unknown tenant", "no time"],
)
def test_a_wrong_word_is_explained(db: None, args: list[str], problem: str) -> None:
    with pytest.raises(CommandError, match=problem):
        call_command("replay_dead_letters", *args)


def test_a_twin_that_is_added_at_the_same_moment_is_found_at_the_second_try(
    ours: CrmConnection, at_large: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill(ours, "1")
    real, calls = queue.replay, []

    def crossed(jobs: Any) -> int:
        calls.append(1)
        if len(calls) == 1:
            raise IntegrityError("one_waiting_job_per_key")
        return real(jobs)

    monkeypatch.setattr(queue, "replay", crossed)
    assert dead_letters.replay(dead_letters.dead()).replayed == 1


# --- in the admin ---------------------------------------------------------------------------------------------------


@pytest.fixture
def client(tenant: Tenant) -> Client:
    made = Client()
    made.force_login(factories.tenant_admin(tenant))
    return made


def test_a_selection_says_what_stays_dead_for_good(client: Client, ours: CrmConnection) -> None:
    jobs = [*kill(ours, "1"), *kill(ours, "2", cause=queue.FOR_GOOD)]
    chosen = {"action": "try_again_selected", "_selected_action": [job.pk for job in jobs]}
    answer = client.post(reverse("admin:sync_syncjob_changelist"), chosen, follow=True).content.decode()
    assert "1 job is tried again" in answer
    assert "account was replaced" in answer
