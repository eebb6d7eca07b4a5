import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connections, transaction
from django.db import connection as database
from django.utils import timezone

from integrations import tenancy
from integrations.models import CrmConnection
from integrations.records.events import Change, RemoteEvent
from sync import inbox, queue, tasks
from sync.inbox import Arrival
from sync.models import InboxEvent, SyncJob


def arrivals(row: CrmConnection, *keys: str, object_type: str = "people") -> list[Arrival]:
    return [
        Arrival(row.tenant_id, row.pk, RemoteEvent(key, Change.UPDATED, object_type, (key,), raw={"key": key}))
        for key in keys
    ]


def jobs() -> list[tuple[str, str]]:
    return list(SyncJob.objects.order_by("pk").values_list("key", "state"))


def test_each_object_type_gets_one_job_however_many_events_come(scoped: CrmConnection) -> None:
    both = [*arrivals(scoped, "1", "2"), *arrivals(scoped, "3", object_type="deals")]
    assert inbox.store(both, inbox.WEBHOOK) == 3
    assert inbox.store(arrivals(scoped, "4"), inbox.WEBHOOK) == 1
    assert sorted(jobs()) == [("deals", "ready"), ("people", "ready")]


def test_what_is_known_already_makes_no_job(scoped: CrmConnection) -> None:
    inbox.store(arrivals(scoped, "1"), inbox.WEBHOOK)
    SyncJob.objects.all().delete()
    assert inbox.store(arrivals(scoped, "1"), inbox.WEBHOOK) == 0
    assert not jobs()


def test_an_event_shows_its_own_raw_form(scoped: CrmConnection) -> None:
    inbox.store(arrivals(scoped, "1"), inbox.STREAM)
    row = InboxEvent.objects.get()
    assert (json.loads(bytes(row.body)), row.source) == ({"key": "1"}, "stream")


def test_an_event_that_comes_while_its_object_is_being_worked_gets_a_job_of_its_own(scoped: CrmConnection) -> None:
    inbox.store(arrivals(scoped, "1"), inbox.WEBHOOK)
    queue.claim(scoped.pk, inbox.KIND, 1)
    inbox.store(arrivals(scoped, "2"), inbox.WEBHOOK)
    assert jobs() == [("people", "leased"), ("people", "ready")]


@pytest.mark.django_db(transaction=True)
def test_an_event_whose_job_is_claimed_just_before_it_becomes_visible_still_gets_one(
    connection: CrmConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The waiting job takes the event in, a worker claims it and sees no event yet, then the event is committed."""

    def claimed_elsewhere() -> None:
        with tenancy.everyone(), transaction.atomic():
            claimed = queue.claim(connection.pk, inbox.KIND, 1)
            assert not inbox.waiting(connection.pk, "people", 10)
            queue.settle(claimed, [queue.Outcome(job, "done") for job in claimed.jobs])
        connections.close_all()

    with tenancy.everyone():
        SyncJob.objects.create(tenant_id=connection.tenant_id, connection=connection, kind="fetch", key="people")
        with transaction.atomic():
            inbox.store(arrivals(connection, "1"), inbox.WEBHOOK)
            worker = threading.Thread(target=claimed_elsewhere)
            worker.start()
            worker.join(10)
        assert jobs() == [("people", "done"), ("people", "ready")]


@pytest.mark.django_db(transaction=True)
def test_deliveries_of_the_same_events_in_any_order_never_wait_in_a_circle(connection: CrmConnection) -> None:
    keys = [str(number) for number in range(60)]
    problems: list[DatabaseError] = []
    stored: list[int] = []
    start = threading.Barrier(4)

    def deliver(order: list[str]) -> None:
        try:
            start.wait(10)
            stored.append(inbox.store(arrivals(connection, *order), inbox.WEBHOOK))
        except DatabaseError as error:
            problems.append(error)
        finally:
            connections.close_all()

    threads = [
        threading.Thread(target=deliver, args=[order])
        for order in (keys, keys[::-1], keys[30:] + keys[:30], keys[::2] + keys[1::2])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not problems
    assert sum(stored) == 60


def forget_jobs() -> None:
    SyncJob.objects.all().delete()
    InboxEvent.objects.update(received_at=timezone.now() - timedelta(minutes=2))


def test_the_sweep_finds_events_that_no_job_waits_for(scoped: CrmConnection) -> None:
    inbox.store(arrivals(scoped, "1"), inbox.WEBHOOK)
    forget_jobs()
    with tenancy.entered(None):
        tasks.sweep()
    assert jobs() == [("people", "ready")]


@pytest.mark.parametrize("state", ["ready", "leased", "dead"])
def test_the_sweep_leaves_events_alone_that_have_a_job(scoped: CrmConnection, state: str) -> None:
    """A dead one waits for a person; trying the same again every minute would help nobody."""
    inbox.store(arrivals(scoped, "1"), inbox.WEBHOOK)
    InboxEvent.objects.update(received_at=timezone.now() - timedelta(minutes=2))
    SyncJob.objects.update(state=state)
    assert inbox.find_forgotten() == 0
    assert jobs() == [("people", state)]


def test_waiting_events_are_found_through_their_index(scoped: CrmConnection) -> None:
    inbox.store(arrivals(scoped, *map(str, range(3000))), inbox.WEBHOOK)
    InboxEvent.objects.update(state="worked")
    inbox.store(arrivals(scoped, "new"), inbox.WEBHOOK)
    with database.cursor() as cursor:
        cursor.execute("ANALYZE inbox_events")
        cursor.execute(
            "EXPLAIN SELECT id FROM inbox_events WHERE connection_id = %s AND object_type = 'people' AND state = 'received'"
            " ORDER BY id LIMIT 500",
            [scoped.pk],
        )
        plan = str(cursor.fetchall())
    assert "inbox_to_work" in plan


def test_an_event_of_nothing_costs_nothing(scoped: CrmConnection, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert inbox.store([], inbox.WEBHOOK) == 0
