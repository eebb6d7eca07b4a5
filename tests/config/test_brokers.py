"""Redis and SQS as queues, with a real Redis and a stand-in for SQS over HTTP: what is sent is worked, whatever becomes of them."""

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.db import connection as database
from django.test import Client
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.tasks import async_task, result

from config.processes import Processes, free_port
from integrations import tenancy
from integrations.models import CrmConnection
from sync import outside_broker, queue
from sync.models import SyncJob
from sync.outside_broker import OutsideBroker, RedisBroker, SqsBroker
from sync.pulse import WatchedBroker
from tests.fake_sqs import FakeSqs
from tests.live.system import database_url
from tests.redis_server import RedisServer
from tests.sync.processes import wait_until

Outside = RedisServer | FakeSqs


@pytest.fixture
def outside(
    request: pytest.FixtureRequest, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Outside]:
    """A running outside queue that the settings name."""
    kind = getattr(request, "param", "redis")
    server: Outside = RedisServer(free_port(0), tmp_path) if kind == "redis" else FakeSqs(free_port(0))
    server.start()
    settings.BROKER_URL = server.url if isinstance(server, RedisServer) else "sqs://eu-west-1"
    monkeypatch.setattr(
        Conf, "BROKER_CLASS", f"sync.outside_broker.{'RedisBroker' if kind == 'redis' else 'SqsBroker'}"
    )
    monkeypatch.setattr(outside_broker, "_states", {})
    monkeypatch.setattr(outside_broker, "AWAY_SECONDS", 0.3)
    for name, value in {"ENDPOINT_URL_SQS": server.url, "ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    yield server
    server.kill()


def broker_of(outside: Outside) -> OutsideBroker:
    return RedisBroker() if isinstance(outside, RedisServer) else SqsBroker()


def next_task(broker: OutsideBroker) -> tuple[str, str]:
    found: list[tuple[str, str]] = []

    def look() -> bool:
        found.extend(broker.dequeue())
        return bool(found)

    wait_until(look, "a task", 30)
    assert len(found) == 1
    return found[0]


both = pytest.mark.parametrize("outside", ["redis", "sqs"], indirect=True)


@both
@pytest.mark.django_db
def test_tasks_go_through_the_outside_queue_in_order_and_not_through_the_database(outside: Outside) -> None:
    broker = broker_of(outside)
    for name in ("one", "two"):
        broker.enqueue(name)
    assert (broker.queue_size(), OrmQ.objects.count()) == (2, 0)
    taken = [next_task(broker) for _ in range(2)]
    for task_id, _ in taken:
        broker.acknowledge(task_id)
    assert [payload for _, payload in taken] == ["one", "two"]
    assert broker.queue_size() == 0


@both
@pytest.mark.django_db
def test_while_it_is_away_tasks_go_through_the_database_and_the_log_says_so_once(
    outside: Outside, caplog: pytest.LogCaptureFixture
) -> None:
    broker = broker_of(outside)
    broker.enqueue("before")
    broker.acknowledge(next_task(broker)[0])
    outside.kill()
    with caplog.at_level("INFO", logger="dialbridge.broker"):
        for name in ("first", "second"):
            broker.enqueue(name)
        taken = [next_task(broker) for _ in range(2)]
        for task_id, _ in taken:
            broker.acknowledge(task_id)
        assert [payload for _, payload in taken] == ["first", "second"]
        assert not OrmQ.objects.exists()
        outside.start()
        wait_until(lambda: broker.enqueue("after").startswith("database:") is False, "the queue is used again", 30)
    told = [record.levelname for record in caplog.records if record.name == "dialbridge.broker"]
    assert told == ["WARNING", "INFO"]
    assert next_task(broker)[1] == "after"


@both
@pytest.mark.django_db
def test_what_others_left_in_the_database_is_found_beside_a_living_queue(outside: Outside) -> None:
    broker = broker_of(outside)
    broker.lasting.enqueue("left")
    task_id, payload = next_task(broker)
    assert payload == "left"
    broker.acknowledge(task_id)
    assert not OrmQ.objects.exists()


@pytest.mark.parametrize("outside", ["sqs"], indirect=True)
@pytest.mark.django_db
def test_what_a_killed_worker_had_taken_from_sqs_comes_again(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Conf, "RETRY", 1)
    broker = broker_of(outside)
    broker.enqueue("again")
    first = next_task(broker)
    second = next_task(broker)
    assert (first[1], second[1]) == ("again", "again")
    broker.acknowledge(second[0])
    time.sleep(1.1)
    assert broker.dequeue() == []


@pytest.mark.django_db
def test_what_the_clock_sends_goes_through_the_database_since_redis_forgets(outside: Outside) -> None:
    read, write = os.pipe()
    assert async_task("sync.tasks.tidy", broker=WatchedBroker(RedisBroker(), write))
    os.close(read)
    os.close(write)
    assert OrmQ.objects.get().task["func"] == "sync.tasks.tidy"


@pytest.mark.django_db(transaction=True)
def test_a_wake_up_that_redis_lost_is_found_again(connection: CrmConnection, outside: Outside) -> None:
    with tenancy.everyone():
        queue.enqueue([SyncJob(tenant=connection.tenant, connection=connection, kind="test", key="a")])
    broker = RedisBroker()
    assert broker.queue_size() == 1
    outside.kill()  # with all that it held
    outside.start()
    assert queue.wake_due() == 0, "it might be on its way yet"
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE crm_credentials SET wake_requested_at = now() - make_interval(secs => %s)",
            [queue.LOST_WAKE_UP.total_seconds() + 1],
        )
    assert queue.wake_due() == 1
    assert next_task(broker)


@pytest.mark.django_db(transaction=True)
def test_a_call_is_accepted_and_its_worker_is_woken_while_redis_is_down(
    connection: CrmConnection, outside: Outside, api_key: str
) -> None:
    outside.kill()
    answer = Client().post(
        "/api/v1/calls/",
        {"external_id": "1", "provider": "fakecrm", "crm_record_id": "7", "started_at": "2026-01-21T14:30:00Z"}
        | {"direction": "outbound", "duration_seconds": 3, "disposition": "Connected"},
        content_type="application/json",
        headers={"Authorization": f"Bearer {api_key}"},
    )
    assert answer.status_code == 201, answer.content
    with tenancy.everyone():
        assert SyncJob.objects.filter(state="ready").exists()
    assert OrmQ.objects.exists()


@pytest.mark.live
@pytest.mark.django_db(transaction=True)
def test_a_cluster_works_on_while_its_queue_is_away_and_after_it_is_back(
    outside: Outside, tmp_path: Path, settings: Any
) -> None:
    env = {"DATABASE_URL": database_url(), "DATA_DIR": str(tmp_path / "data"), "BROKER_URL": outside.url}
    env["SECRET_KEY"] = settings.SECRET_KEY
    with Processes(env, tmp_path / "logs") as processes:
        processes.start_worker()
        log = partial(processes.last_words, "worker")
        workers = {pid_of_a_worker(log)}
        outside.kill()
        workers |= {pid_of_a_worker(log) for _ in range(3)}
        outside.start()
        workers |= {pid_of_a_worker(log) for _ in range(3)}
        assert not processes.dead(), log()
        assert "started again" not in log(), "the cluster had to be replaced"
    assert len(workers) <= 2, "the same workers all the time"


def pid_of_a_worker(log: Callable[[], str]) -> int:
    pid: int | None = result(async_task("os.getpid", q_options={"save": True}), wait=60_000)
    assert pid, log()
    return pid
