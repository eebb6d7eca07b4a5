"""Whose turn it is: counted in claim cycles, with the real tables and statements."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from django.db import connection as database
from django.db.models.functions import Now
from django_q.models import OrmQ

from integrations import errors, registry, tenancy
from integrations.models import CrmConnection, Tenant
from integrations.providers.base import CrmProvider
from sync import handlers, lanes, queue, tasks
from sync import work as working
from sync.handlers import Result
from sync.models import Lane, SyncJob
from sync.queue import Claim, Outcome

FLOOD = 50_000
BATCH = 20
CONNECTIONS = 50


class Noting:
    """Does each batch at once, notes whose it was, and lets the test act after it."""

    def __init__(self) -> None:
        self.cycles: list[tuple[str, int]] = []
        self.then: dict[int, Any] = {}
        self.raises: Exception | None = None

    def batch_size(self, provider: type[CrmProvider]) -> int:
        return BATCH

    def work(self, provider: CrmProvider, claimed: Claim) -> Result:
        first = claimed.jobs[0]
        self.cycles.append((first.tenant.slug, first.lane))
        act = self.then.pop(len(self.cycles), None)
        if act:
            act()
        if self.raises:
            raise self.raises
        return Result([Outcome(job, "done") for job in claimed.jobs])


@pytest.fixture
def noted(fake_crm: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Noting]:
    handler = Noting()
    handlers.register("test", handler)
    for number in range(CONNECTIONS):
        monkeypatch.setitem(registry.PROVIDERS, f"fakecrm{number}", ("Fake CRM", "tests.fake_crm"))
    with tenancy.everyone():
        yield handler
    registry.provider_class.cache_clear()


def connections(owner: Tenant, count: int = 1) -> list[CrmConnection]:
    return CrmConnection.objects.bulk_create(
        CrmConnection(tenant=owner, provider=f"fakecrm{number}", access_token="x") for number in range(count)
    )


def fill(rows: Sequence[CrmConnection], lane: Lane, count: int) -> None:
    """So many jobs, evenly over the connections; woken as `enqueue` would."""
    with database.cursor() as sql:
        sql.execute(
            """
            INSERT INTO sync_jobs (tenant_id, connection_id, kind, key, payload, lane, state, attempts, cause, error, error_detail)
            SELECT (%s::uuid[])[1 + number %% %s], (%s::uuid[])[1 + number %% %s], 'test', %s || '-' || number,
                '{}', %s, 'ready', 0, '', '', ''
            FROM generate_series(0, %s) AS number
            """,
            [
                [row.tenant_id for row in rows], len(rows), [row.pk for row in rows], len(rows), str(lane.value), lane.value,
                count - 1,
            ],
        )  # fmt: skip
    for row in rows:
        queue.wake(row.pk)


def take_turns(cycles: int, noted: Noting) -> list[tuple[str, int]]:
    """Runs tasks from the queue's own table until so many batches were claimed. Returns whose they were."""
    until = len(noted.cycles) + cycles
    while len(noted.cycles) < until and OrmQ.objects.exists():
        OrmQ.objects.order_by("pk")[:1].get().delete()
        working.serve(seconds=0.001)  # one turn each
    return noted.cycles[until - cycles : until]


LANES = [Lane.DO_NOT_CALL, Lane.CALLS, Lane.EDITS, Lane.WEBHOOKS, Lane.BACKFILL]
FLOODS = [(flood, own) for flood in LANES for own in LANES if (flood, own) != (Lane.DO_NOT_CALL, Lane.BACKFILL)]


@pytest.mark.parametrize("spread", [1, CONNECTIONS], ids=["on one connection", "over 50 connections"])
def test_one_job_starts_within_two_cycles_of_a_flood_of_50_000(
    spread: int, noted: Noting, tenant: Tenant, stranger: Tenant
) -> None:
    fill(connections(tenant, spread), Lane.CALLS, FLOOD)
    (small,) = connections(stranger)
    take_turns(7, noted)
    for number, lane in enumerate((Lane.BACKFILL, Lane.CALLS, Lane.EDITS)):
        fill([small], lane, number + 1)
        begun = take_turns(2, noted)
        assert ("stranger", lane) in begun, begun
        SyncJob.objects.filter(connection=small).delete()
    assert SyncJob.objects.filter(tenant=tenant, state="ready").count() > FLOOD - 20 * BATCH


@pytest.mark.parametrize(("flood", "own"), FLOODS, ids=[f"{own.name} against {flood.name}" for flood, own in FLOODS])
@pytest.mark.parametrize("parity", [0, 1])
def test_whatever_the_lanes_a_job_waits_for_one_turn_of_a_flood(
    flood: Lane, own: Lane, parity: int, noted: Noting, tenant: Tenant, stranger: Tenant
) -> None:
    fill(connections(tenant), flood, 10 * BATCH)
    take_turns(2 + parity, noted)
    fill(connections(stranger), own, 1)
    assert ("stranger", own) in take_turns(2, noted)


def test_nobodys_load_passes_a_do_not_call_that_waits(noted: Noting, tenant: Tenant, stranger: Tenant) -> None:
    fill(connections(tenant), Lane.DO_NOT_CALL, 6 * BATCH)
    fill(connections(stranger), Lane.BACKFILL, BATCH)
    assert take_turns(7, noted) == [("acme", Lane.DO_NOT_CALL)] * 6 + [("stranger", Lane.BACKFILL)]


def test_tenants_with_the_same_lane_take_turns(noted: Noting, tenant: Tenant, stranger: Tenant) -> None:
    fill(connections(tenant, 10), Lane.EDITS, 20 * BATCH)
    fill(connections(stranger, 2), Lane.EDITS, 20 * BATCH)
    begun = [slug for slug, _lane in take_turns(20, noted)]
    assert begun.count("acme") == begun.count("stranger") == 10
    assert all(one != other for one, other in itertools.pairwise(begun))


def test_a_tenant_whose_batches_take_long_does_not_get_the_worker_of_another(
    noted: Noting, tenant: Tenant, stranger: Tenant
) -> None:
    slow = connections(tenant, 5)
    fill(slow, Lane.CALLS, 20 * BATCH)
    fill(connections(stranger), Lane.CALLS, 20 * BATCH)
    queue.claim(slow[0].pk, "test", BATCH)  # another worker is at it
    assert [slug for slug, _lane in take_turns(6, noted)] == ["stranger"] * 6


def test_every_connection_of_a_tenant_gets_its_turn(noted: Noting, tenant: Tenant) -> None:
    fill(connections(tenant, 4), Lane.EDITS, 8 * BATCH)
    take_turns(4, noted)
    assert SyncJob.objects.filter(state="done").values("connection").distinct().count() == 4


def test_as_many_tasks_wait_as_connections_in_line(noted: Noting, tenant: Tenant, stranger: Tenant) -> None:
    fill([*connections(tenant, 5), *connections(stranger, 2)], Lane.EDITS, 14 * BATCH)
    while OrmQ.objects.exists():
        assert OrmQ.objects.count() == CrmConnection.objects.exclude(wake_requested_at=None).count()
        take_turns(1, noted)
    assert not SyncJob.objects.exclude(state="done").exists()
    assert not CrmConnection.objects.exclude(wake_requested_at=None).exists()


def test_a_task_ends_with_the_first_connection_that_has_nothing_left(
    noted: Noting, tenant: Tenant, stranger: Tenant
) -> None:
    fill([*connections(tenant), *connections(stranger)], Lane.EDITS, 2)
    tasks.work("any")
    assert len(noted.cycles) == 1
    tasks.work("any")
    assert len(noted.cycles) == 2


def test_work_that_comes_in_during_a_turn_is_not_forgotten(noted: Noting, tenant: Tenant) -> None:
    rows = connections(tenant)
    fill(rows, Lane.EDITS, 1)
    noted.then[1] = lambda: fill(rows, Lane.CALLS, 1)
    take_turns(2, noted)
    assert [lane for _slug, lane in noted.cycles] == [Lane.EDITS, Lane.CALLS]


def test_a_doubled_wake_up_finds_nothing_and_leaves_no_task_behind(noted: Noting, tenant: Tenant) -> None:
    fill(connections(tenant), Lane.EDITS, 1)
    for _ in range(3):
        tasks.work()
    assert len(noted.cycles) == 1
    assert OrmQ.objects.count() == 1, "only the one that the wake-up sent"


def test_a_connection_whose_work_somebody_else_took_leaves_the_line(noted: Noting, tenant: Tenant) -> None:
    rows = connections(tenant)
    fill(rows, Lane.EDITS, 1)
    queue.claim(rows[0].pk, "test", 1)
    assert lanes.next_turn() is None
    assert not lanes.anybody_waits()
    assert CrmConnection.objects.get().wake_requested_at is None


def test_a_connection_that_was_told_to_slow_down_leaves_the_line_to_others(noted: Noting, tenant: Tenant) -> None:
    fill(connections(tenant), Lane.EDITS, 3 * BATCH)
    noted.raises = errors.Throttled("slow down", after=30)
    assert take_turns(1, noted) == [("acme", Lane.EDITS)]
    assert lanes.next_turn() is None
    assert queue.wake_due() == 1, "the rest is tried a moment later"


def test_a_long_line_is_no_lost_wake_up(noted: Noting, tenant: Tenant, stranger: Tenant) -> None:
    fill([*connections(tenant), *connections(stranger)], Lane.EDITS, 2)
    CrmConnection.objects.update(wake_requested_at=Now() - 2 * queue.LOST_WAKE_UP)
    assert lanes.next_turn() is not None
    assert queue.wake_due() == 1, "the one that was served has more to do; the other one waits for its turn"
    CrmConnection.objects.update(
        wake_requested_at=Now() - 2 * queue.LOST_WAKE_UP, served_at=Now() - 2 * queue.LOST_WAKE_UP
    )
    assert queue.wake_due() == 2, "nobody takes turns: the tasks are lost"


def test_a_worker_goes_on_though_the_clock_has_sent_another_one(noted: Noting, tenant: Tenant) -> None:
    rows = connections(tenant)
    fill(rows, Lane.EDITS, 3 * BATCH)
    noted.then[1] = lambda: queue.wake(rows[0].pk)
    working.serve(seconds=60)
    assert len(noted.cycles) == 3


def test_a_worker_whose_turn_a_colleague_took_goes_on_with_the_only_busy_connection(
    noted: Noting, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = connections(tenant)
    fill(rows, Lane.EDITS, 3 * BATCH)
    turns = iter([rows[0].pk])
    monkeypatch.setattr(lanes, "next_turn", lambda: next(turns, None))
    working.serve(seconds=60)
    assert len(noted.cycles) == 3


def test_nobody_goes_on_with_a_connection_that_was_stopped_meanwhile(
    noted: Noting, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = connections(tenant)
    fill(rows, Lane.EDITS, 3 * BATCH)
    turns = iter([rows[0].pk])
    monkeypatch.setattr(lanes, "next_turn", lambda: next(turns, None))
    noted.then[1] = lambda: CrmConnection.objects.update(status=CrmConnection.Status.DISCONNECTED)
    working.serve(seconds=60)
    assert len(noted.cycles) == 1
