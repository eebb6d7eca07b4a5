from collections.abc import Sequence
from typing import Any

import pytest
from django_q.models import OrmQ

from integrations import errors, tenancy
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.sandbox.server import SandboxServer
from sync import handlers, queue
from sync.handlers import Result
from sync.models import Lane, SyncJob
from sync.queue import Claim, Outcome
from sync.work import judge, work


class Scripted:
    """A handler that does what the test says."""

    def __init__(self, result: Any) -> None:
        self.result = result
        self.seen: list[Sequence[str]] = []

    def batch_size(self, provider: type[CrmProvider]) -> int:
        return 2

    def work(self, provider: CrmProvider, claimed: Claim) -> Result:
        self.seen.append([job.key for job in claimed.jobs])
        if isinstance(self.result, Exception):
            raise self.result
        return Result([Outcome(job, self.result) for job in claimed.jobs])


@pytest.fixture
def three_jobs(scoped: CrmConnection) -> CrmConnection:
    queue.enqueue(
        SyncJob(tenant_id=scoped.tenant_id, connection=scoped, kind="test", key=str(number)) for number in range(3)
    )
    return scoped


def handle_with(result: Any) -> Scripted:
    handler = Scripted(result)
    handlers.register("test", handler)
    return handler


def all_states() -> list[tuple[str, int, str]]:
    return list(SyncJob.objects.order_by("pk").values_list("state", "attempts", "cause"))


def test_jobs_are_done_in_batches_until_none_is_left(three_jobs: CrmConnection) -> None:
    handler = handle_with("done")
    assert work(three_jobs.pk)["done"] == 3
    assert handler.seen == [["0", "1"], ["2"]]


def test_an_outage_puts_jobs_off_and_counts_the_attempt(three_jobs: CrmConnection) -> None:
    handle_with(errors.Retry("down"))
    work(three_jobs.pk)
    assert all_states() == [("ready", 1, "service_unavailable")] * 3
    assert queue.next_in_line(three_jobs.pk) is None, "not before its time"


def test_a_used_up_quota_stops_the_slice_without_counting(three_jobs: CrmConnection) -> None:
    handler = handle_with(errors.Throttled("slow down", after=30))
    work(three_jobs.pk)
    assert handler.seen == [["0", "1"]]
    assert [attempts for _state, attempts, _cause in all_states()] == [0, 0, 0]


def test_a_dead_credential_keeps_every_job_for_later_in_its_order(three_jobs: CrmConnection) -> None:
    handle_with(errors.Reconnect("revoked"))
    work(three_jobs.pk)
    assert [state for state, _attempts, _cause in all_states()] == ["ready"] * 3
    CrmConnection.objects.update(status="needs_reconnecting")
    SyncJob.objects.update(not_before="2026-01-01T00:00:00Z")
    handler = handle_with("done")
    assert not work(three_jobs.pk)
    CrmConnection.objects.update(status="connected")
    assert work(three_jobs.pk)["done"] == 3
    assert handler.seen[0] == ["0", "1"]


def test_a_fault_of_ours_is_retried_and_then_laid_aside_with_a_sentence(three_jobs: CrmConnection) -> None:
    handle_with(ZeroDivisionError("oops"))
    for _ in range(6):
        SyncJob.objects.update(not_before="2026-01-01T00:00:00Z")
        work(three_jobs.pk)
    assert all_states() == [("dead", 6, "internal")] * 3
    assert "can be tried again" in SyncJob.objects.first().error  # type: ignore[union-attr]


def test_what_can_not_be_written_down_is_a_fault_of_ours_as_well(three_jobs: CrmConnection) -> None:
    def fail() -> None:
        raise ZeroDivisionError("oops")

    class Forgetful(Scripted):
        def work(self, provider: CrmProvider, claimed: Claim) -> Result:
            return Result([Outcome(job, "done") for job in claimed.jobs], after=fail)

    handlers.register("test", Forgetful("done"))
    work(three_jobs.pk)
    assert all_states() == [("ready", 1, "internal")] * 3
    assert not SyncJob.objects.filter(first_attempt_at=None).exists(), "the CRM may have it already"


def test_a_service_that_stumbles_once_costs_a_batch_no_try(scoped: CrmConnection, fake_crm: SandboxServer) -> None:
    class Reader(Scripted):
        def work(self, provider: CrmProvider, claimed: Claim) -> Result:
            provider.api.request("GET", "/me")
            return Result([Outcome(job, "done") for job in claimed.jobs])

    handlers.register("test", Reader("done"))
    queue.enqueue([SyncJob(tenant_id=scoped.tenant_id, connection=scoped, kind="test", key="1")])
    fake_crm.service.faults.set([{"kind": "status", "status": 500, "times": 1}])
    work(scoped.pk)
    assert all_states() == [("done", 1, "")]


def test_a_long_load_lets_go_after_each_slice_and_asks_to_be_called_again(three_jobs: CrmConnection) -> None:
    SyncJob.objects.update(lane=Lane.BACKFILL)
    handler = handle_with("done")
    assert work(three_jobs.pk)["done"] == 2
    assert handler.seen == [["0", "1"]]
    assert OrmQ.objects.count() == 1


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (errors.FixData("bad phone"), "dead"),
        (errors.FixConfig("no scope"), "dead"),
        (errors.Gone("deleted"), "dead"),
        (errors.Unsupported("no"), "dead"),
        (errors.Stale("changed"), "ready"),
        (errors.Retry("down"), "ready"),
        (errors.OutcomeUnknown("no answer"), "ready"),
        (errors.BreakerOpen("open", after=60), "ready"),
        (errors.Reconnect("revoked"), "ready"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_each_error_says_what_happens_to_the_job(error: errors.CrmError, state: str) -> None:
    assert judge(SyncJob(attempts=1), error).state == state


def test_after_five_retries_a_job_is_laid_aside_and_may_have_been_written() -> None:
    assert judge(SyncJob(attempts=5), errors.OutcomeUnknown("no answer")).state == "ready"
    last = judge(SyncJob(attempts=6), errors.OutcomeUnknown("no answer"))
    assert (last.state, last.maybe_written) == ("dead", True)


def test_an_unknown_outcome_waits_for_the_first_request_to_end() -> None:
    assert judge(SyncJob(attempts=1), errors.OutcomeUnknown("no answer"), unknown_pause=30).wait == 30


def test_a_tenants_work_never_runs_in_another_tenants_scope(three_jobs: CrmConnection) -> None:
    scopes = []

    class Spy(Scripted):
        def work(self, provider: CrmProvider, claimed: Claim) -> Result:
            scopes.append(tenancy.current_scope())
            return super().work(provider, claimed)

    handlers.register("test", Spy("done"))
    with tenancy.entered(None):
        work(three_jobs.pk)
    assert set(scopes) == {frozenset({three_jobs.tenant_id})}
