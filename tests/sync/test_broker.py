"""The broker against the real database: several connections, as in several pushers."""

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import Any, TypeVar

import pytest
from django.db import OperationalError, connection, connections, transaction
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.tasks import async_task
from pytest_django import DjangoDbBlocker

from sync.broker import PostgresBroker, channel_of

QUEUE = "a queue"
Claimed = list[tuple[int, str]]
Result = TypeVar("Result")


class Elsewhere:
    """A thread with its own database connection, as another process has."""

    def __init__(self, thread: ThreadPoolExecutor) -> None:
        self._thread = thread

    def start(self, call: Callable[[], Result]) -> "Future[Result]":
        return self._thread.submit(call)

    def run(self, call: Callable[[], Result]) -> Result:
        return self.start(call).result()

    def asleep(self, broker: PostgresBroker) -> "Future[Claimed]":
        """A `dequeue` that has looked at the queue, found nothing and sleeps."""
        before = one("SELECT clock_timestamp()")
        waiting = self.start(broker.dequeue)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            if one(ASLEEP, before):
                return waiting
            time.sleep(0.005)
        pytest.fail(f"nothing waits for {broker.list_key}")


ASLEEP = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND state = 'idle' AND query LIKE '%%WITH due%%' AND query_start > %s
"""
OTHERS = "datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"


@pytest.fixture(autouse=True)
def committed(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Notifications need real commits. Emptying one table takes a hundredth of the flush that the marker would do."""
    with django_db_blocker.unblock():
        yield
        OrmQ.objects.all().delete()


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    with ThreadPoolExecutor(1) as thread:
        yield Elsewhere(thread)
        thread.submit(connections.close_all)


def one(query: str, *parameters: str | datetime) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchone()[0]


def kill_other_connections() -> None:
    assert one(f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {OTHERS}")


def payloads(claimed: Claimed) -> list[str]:
    return [payload for _, payload in claimed]


def test_a_task_reaches_a_waiting_cluster_within_milliseconds(elsewhere: Elsewhere) -> None:
    broker = PostgresBroker()
    delays = []
    for _ in range(20):
        waiting = elsewhere.asleep(broker)
        started = time.monotonic()
        async_task("math.sqrt", 2)
        assert waiting.result() == []
        assert elsewhere.run(broker.dequeue)
        delays.append(time.monotonic() - started)
    assert statistics.median(delays) < 0.1  # a poll would take half of its two seconds


def test_a_broker_is_made_without_a_connection_that_a_fork_could_inherit() -> None:
    connection.close()
    broker = PostgresBroker(QUEUE)
    assert connection.connection is None
    assert broker.queue_size() == 0


def test_four_clusters_claim_two_hundred_tasks_once_each_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Conf, "POLL", 0.1)
    broker = PostgresBroker(QUEUE)
    sent = [broker.enqueue(f"task {number}") for number in range(200)]
    start = threading.Barrier(4)

    def claim_all() -> list[int]:
        own = PostgresBroker(QUEUE)
        start.wait()
        claimed = []
        while tasks := own.dequeue():
            claimed += [task_id for task_id, _ in tasks]
        connections.close_all()
        return claimed

    with ThreadPoolExecutor(4) as threads:
        shares = [share.result() for share in [threads.submit(claim_all) for _ in range(4)]]
    assert sorted(task_id for share in shares for task_id in share) == sent
    assert all(share == sorted(share) for share in shares)
    assert sum(1 for share in shares if share) > 1, "only one cluster got any work: nothing was contended"


def test_a_batch_comes_in_order_and_leaves_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Conf, "BULK", 3)
    broker = PostgresBroker(QUEUE)
    for name in ("one", "two", "three", "four"):
        broker.enqueue(name)
    assert payloads(broker.dequeue()) == ["one", "two", "three"]
    assert payloads(broker.dequeue()) == ["four"]


def test_a_task_announced_between_the_look_and_the_sleep_ends_the_sleep(
    elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = PostgresBroker(QUEUE)
    look = broker._claim

    def look_then_miss_one() -> Claimed:
        claimed = look()
        monkeypatch.setattr(broker, "_claim", look)
        elsewhere.run(lambda: PostgresBroker(QUEUE).enqueue("late"))
        return claimed

    monkeypatch.setattr(broker, "_claim", look_then_miss_one)
    monkeypatch.setattr(Conf, "POLL", 60)
    monkeypatch.setattr("sync.broker.LONGEST_WAIT", 60.0)
    started = time.monotonic()
    assert broker.dequeue() == []
    assert payloads(broker.dequeue()) == ["late"]
    assert time.monotonic() - started < 60


def test_row_and_announcement_come_with_the_commit(elsewhere: Elsewhere) -> None:
    broker = PostgresBroker(QUEUE)
    waiting = elsewhere.asleep(broker)
    with transaction.atomic():
        PostgresBroker(QUEUE).enqueue("together")
        time.sleep(0.1)
        assert not waiting.done()
    assert waiting.result(timeout=1) == []
    assert payloads(elsewhere.run(broker.dequeue)) == ["together"]


def test_a_rolled_back_task_was_never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Conf, "POLL", 0.1)
    broker = PostgresBroker(QUEUE)
    with transaction.atomic():
        broker.enqueue("never")
        transaction.set_rollback(True)
    assert broker.dequeue() == []
    assert not OrmQ.objects.exists()


def test_a_row_that_nobody_announced_is_found_by_the_poll(
    elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Conf, "POLL", 0.2)
    broker = PostgresBroker(QUEUE)
    waiting = elsewhere.asleep(broker)
    one("INSERT INTO django_q_ormq (key, payload, lock) VALUES (%s, 'silent', now()) RETURNING id", QUEUE)
    assert waiting.result() == []
    assert payloads(elsewhere.run(broker.dequeue)) == ["silent"]


def test_an_unacknowledged_task_comes_again_after_the_retry_time_and_not_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Conf, "POLL", 0.1)
    monkeypatch.setattr(Conf, "RETRY", 0.5)
    broker = PostgresBroker(QUEUE)
    broker.enqueue("again")
    first = broker.dequeue()
    assert broker.dequeue() == []
    time.sleep(0.5)
    assert broker.dequeue() == first
    broker.acknowledge(first[0][0])
    time.sleep(0.5)
    assert broker.dequeue() == []


@pytest.mark.parametrize(
    "queue", ['it\'s "quoted"; DROP TABLE x', "ünïcode", "q" * 100], ids=["sql", "unicode", "long"]
)
def test_any_queue_name_makes_a_channel_of_its_own(queue: str, elsewhere: Elsewhere) -> None:
    assert channel_of(queue).isidentifier()
    assert len(channel_of(queue)) < 63
    broker, other = PostgresBroker(queue), PostgresBroker(QUEUE)
    waiting = elsewhere.asleep(broker)
    other.enqueue("for another queue")
    time.sleep(0.1)
    assert not waiting.done()
    broker.enqueue("for this queue")
    assert waiting.result(timeout=1) == []
    assert payloads(elsewhere.run(broker.dequeue)) == ["for this queue"]


def test_a_killed_connection_is_opened_again_and_listens_again(elsewhere: Elsewhere) -> None:
    broker = PostgresBroker(QUEUE)
    waiting = elsewhere.asleep(broker)
    kill_other_connections()
    assert waiting.result(timeout=1) == []
    waiting = elsewhere.asleep(broker)
    broker.enqueue("after the break")
    assert waiting.result(timeout=1) == []
    assert payloads(elsewhere.run(broker.dequeue)) == ["after the break"]


def test_a_database_that_stays_away_is_asked_calmly_and_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sync.broker.RECONNECT_EVERY", 0.05)
    broker = PostgresBroker(QUEUE)

    def refuse() -> Claimed:
        raise OperationalError("connection refused")

    with monkeypatch.context() as outage:
        outage.setattr(broker, "_claim", refuse)
        started = time.monotonic()
        assert [broker.dequeue() for _ in range(5)] == [[]] * 5
        assert time.monotonic() - started >= 0.2
    broker.enqueue("back")
    with caplog.at_level("INFO", logger="dialbridge.broker"):
        assert payloads(broker.dequeue()) == ["back"]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_an_acknowledgement_survives_a_killed_connection(elsewhere: Elsewhere) -> None:
    broker = PostgresBroker(QUEUE)
    broker.enqueue("done")
    [(task_id, _)] = elsewhere.run(broker.dequeue)
    kill_other_connections()
    elsewhere.run(lambda: broker.acknowledge(task_id))
    assert not OrmQ.objects.exists()
