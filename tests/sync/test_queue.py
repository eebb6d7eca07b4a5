from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.db import transaction
from django.utils import timezone
from django_q.models import OrmQ
from pytest_django import DjangoCaptureOnCommitCallbacks

from integrations import tenancy
from integrations.models import CrmConnection, Tenant
from sync import queue
from sync.models import Lane, SyncJob
from sync.queue import Outcome
from tests.factories import connection as a_connection


def job(connection: CrmConnection, key: str, lane: Lane = Lane.CALLS, **more: Any) -> SyncJob:
    return SyncJob(tenant_id=connection.tenant_id, connection=connection, kind="test", key=key, lane=lane, **more)


def states(connection: CrmConnection) -> dict[str, str]:
    return {one.key: one.state for one in SyncJob.objects.order_by("pk")}


def expire_leases() -> None:
    with database.cursor() as cursor:
        cursor.execute("UPDATE sync_jobs SET lease_until = now() - interval '1 second' WHERE state = 'leased'")


def test_work_is_taken_by_lane_and_then_by_age(scoped: CrmConnection) -> None:
    queue.enqueue(
        [
            job(scoped, "old", Lane.BACKFILL),
            job(scoped, "call"),
            job(scoped, "stop", Lane.DO_NOT_CALL),
            job(scoped, "call 2"),
        ]
    )
    claimed = queue.claim(scoped.pk, "test", 3)
    assert [one.key for one in claimed.jobs] == ["stop", "call", "call 2"]


def test_the_attempt_is_counted_before_the_work(scoped: CrmConnection) -> None:
    queue.enqueue([job(scoped, "a")])
    queue.claim(scoped.pk, "test", 1)
    stored = SyncJob.objects.get()
    assert (stored.state, stored.attempts) == ("leased", 1)


def test_the_same_work_waits_only_once(scoped: CrmConnection) -> None:
    queue.enqueue([job(scoped, "a")])
    queue.enqueue([job(scoped, "a"), job(scoped, "b")])
    assert states(scoped) == {"a": "ready", "b": "ready"}


def test_work_added_while_its_twin_is_being_done_waits_for_it_to_end(scoped: CrmConnection) -> None:
    queue.enqueue([job(scoped, "a")])
    first = queue.claim(scoped.pk, "test", 5)
    queue.enqueue([job(scoped, "a")])
    assert queue.claim(scoped.pk, "test", 5).jobs == []
    queue.settle(first, [Outcome(first.jobs[0], "done")])
    assert len(queue.claim(scoped.pk, "test", 5).jobs) == 1


def test_work_is_not_taken_before_its_time(scoped: CrmConnection) -> None:
    queue.enqueue([job(scoped, "later", not_before=timezone.now() + timedelta(minutes=5))])
    assert queue.next_in_line(scoped.pk) is None
    assert queue.claim(scoped.pk, "test", 5).jobs == []


def test_the_jobs_of_a_dead_worker_come_back_and_know_that_they_were_tried(scoped: CrmConnection) -> None:
    queue.enqueue([job(scoped, "a")])
    queue.claim(scoped.pk, "test", 1)
    assert queue.release_expired() == 0
    expire_leases()
    assert queue.release_expired() == 1
    again = queue.claim(scoped.pk, "test", 1)
    assert again.jobs[0].attempts == 2
    assert again.tried_before(again.jobs[0]) is not None


def test_a_worker_that_lost_its_lease_changes_nothing_any_more(scoped: CrmConnection) -> None:
    queue.enqueue([job(scoped, "a")])
    slow = queue.claim(scoped.pk, "test", 1)
    expire_leases()
    queue.release_expired()
    quick = queue.claim(scoped.pk, "test", 1)
    queue.settle(slow, [Outcome(slow.jobs[0], "dead", error="too late")])
    assert states(scoped) == {"a": "leased"}
    queue.settle(quick, [Outcome(quick.jobs[0], "done")])
    assert states(scoped) == {"a": "done"}


def test_being_told_to_slow_down_is_no_attempt(scoped: CrmConnection) -> None:
    queue.enqueue([job(scoped, "a")])
    claimed = queue.claim(scoped.pk, "test", 1)
    queue.settle(claimed, [Outcome(claimed.jobs[0], "ready", wait=0, counts=False)])
    again = queue.claim(scoped.pk, "test", 1)
    assert again.jobs[0].attempts == 1
    assert again.tried_before(again.jobs[0]) is None


def test_a_definite_refusal_leaves_nothing_to_look_up_but_an_unknown_outcome_does(scoped: CrmConnection) -> None:
    queue.enqueue([job(scoped, "refused"), job(scoped, "unknown")])
    claimed = queue.claim(scoped.pk, "test", 2)
    refused, unknown = claimed.jobs
    queue.settle(claimed, [Outcome(refused, "ready"), Outcome(unknown, "ready", maybe_written=True)])
    again = queue.claim(scoped.pk, "test", 2)
    assert [again.tried_before(one) is not None for one in again.jobs] == [False, True]


def test_dead_jobs_keep_their_cause_and_can_be_replayed(scoped: CrmConnection) -> None:
    queue.enqueue([job(scoped, "a"), job(scoped, "b")])
    claimed = queue.claim(scoped.pk, "test", 2)
    queue.settle(claimed, [Outcome(one, "dead", cause="invalid_data", error="Bad phone") for one in claimed.jobs])
    queue.enqueue([job(scoped, "b")])
    assert queue.replay(SyncJob.objects.all()) == 1
    assert sorted(SyncJob.objects.values_list("key", "state")) == [("a", "ready"), ("b", "dead"), ("b", "ready")]
    assert SyncJob.objects.get(key="a").attempts == 0


def test_work_wakes_a_worker_when_it_commits_and_only_one(
    scoped: CrmConnection, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        queue.enqueue([job(scoped, "a")])
        assert not OrmQ.objects.exists()
    with django_capture_on_commit_callbacks(execute=True):
        queue.enqueue([job(scoped, "b")])
    assert OrmQ.objects.count() == 1


def test_a_lost_wake_up_is_found(scoped: CrmConnection) -> None:
    SyncJob.objects.bulk_create([job(scoped, "a")])
    assert queue.wake_due() == 1
    assert queue.wake_due() == 0, "somebody is on the way"
    OrmQ.objects.all().delete()
    CrmConnection.objects.update(wake_requested_at=timezone.now() - timedelta(minutes=1))
    assert queue.wake_due() == 1


def test_a_connection_that_has_to_be_reconnected_is_left_in_peace(scoped: CrmConnection) -> None:
    SyncJob.objects.bulk_create([job(scoped, "a")])
    CrmConnection.objects.update(status="needs_reconnecting")
    assert queue.wake_due() == 0


@pytest.mark.parametrize("waiting", [True, False], ids=["with a waiting twin", "alone"])
def test_a_lost_job_never_collides_with_its_twin(scoped: CrmConnection, waiting: bool) -> None:
    queue.enqueue([job(scoped, "a")])
    queue.claim(scoped.pk, "test", 1)
    if waiting:
        queue.enqueue([job(scoped, "a")])
    expire_leases()
    assert queue.release_expired() == 1
    assert SyncJob.objects.filter(state="ready").count() == 1
    again = queue.claim(scoped.pk, "test", 1)
    assert again.tried_before(again.jobs[0]) is not None, "it may have been written before the worker died"


@pytest.mark.django_db(transaction=True)
def test_a_waiting_job_is_not_taken_while_what_it_will_carry_is_being_stored(tenant: Tenant) -> None:
    """A worker that took it now would read the record as it was before, and nobody would come for the change."""
    with tenancy.scope(tenant.pk):
        connection = a_connection(tenant)
        queue.enqueue([job(connection, "a")])

        def claimed() -> int:
            with tenancy.scope(tenant.pk):
                try:
                    return len(queue.claim(connection.pk, "test", 5).jobs)
                finally:
                    database.close()

        with ThreadPoolExecutor(1) as another_worker:
            with transaction.atomic():
                queue.enqueue([job(connection, "a")])
                meanwhile = another_worker.submit(claimed).result(timeout=10)
            afterwards = another_worker.submit(claimed).result(timeout=10)
    assert (meanwhile, afterwards) == (0, 1)


def test_a_waiting_job_moves_to_the_better_lane_and_the_earlier_time(scoped: CrmConnection) -> None:
    queue.enqueue([job(scoped, "a", Lane.BACKFILL, not_before=timezone.now() + timedelta(hours=1))])
    queue.enqueue([job(scoped, "a", Lane.EDITS), job(scoped, "a", Lane.BACKFILL)])
    stored = SyncJob.objects.get()
    assert (stored.lane, stored.not_before <= timezone.now()) == (Lane.EDITS, True)


def test_a_job_that_pauses_after_a_failure_is_not_hurried_by_its_twin(scoped: CrmConnection) -> None:
    queue.enqueue([job(scoped, "a")])
    claimed = queue.claim(scoped.pk, "test", 1)
    queue.settle(claimed, [Outcome(claimed.jobs[0], "ready", wait=600, counts=False, cause="throttled")])
    queue.enqueue([job(scoped, "a")])
    assert SyncJob.objects.get().not_before > timezone.now() + timedelta(minutes=5)


@pytest.mark.parametrize("seconds", [-300, 300])
def test_a_pause_lasts_as_long_as_it_should_on_a_machine_whose_clock_is_wrong(
    scoped: CrmConnection, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    queue.enqueue([job(scoped, "a")])
    claimed = queue.claim(scoped.pk, "test", 1)
    right = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: right + timedelta(seconds=seconds))
    queue.settle(claimed, [Outcome(claimed.jobs[0], "ready", wait=60)])
    waits = (SyncJob.objects.get().not_before - right).total_seconds()
    assert 59 < waits < 120
