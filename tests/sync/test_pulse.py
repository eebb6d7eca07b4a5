"""What a cluster does to show its supervisor that it lives."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace

import pytest
from django_q.signals import pre_execute
from django_q.signing import SignedPackage

from sync.pulse import WatchedBroker, leave, run_watched_cluster
from sync.supervisor import ALIVE


class RecordingBroker:
    list_key = "inner"

    def __init__(self) -> None:
        self.calls: list[str] = []

    def dequeue(self) -> list[tuple[int, str]]:
        self.calls.append("dequeue")
        return [(7, "work")]

    def acknowledge(self, task_id: int) -> None:
        self.calls.append(f"acknowledge {task_id}")

    def set_stat(self, key: str, value: str, timeout: int) -> None:
        self.calls.append("set_stat")


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    yield ends
    for end in ends:
        with suppress(OSError):
            os.close(end)


def test_only_one_probe_is_under_way_and_none_reaches_the_queue(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.pulse.PROBE_EVERY", 0)
    inner = RecordingBroker()
    broker = WatchedBroker(inner, pipe[1])
    [(probe_id, package)] = broker.dequeue() or []
    assert SignedPackage.loads(package)["func"] == "sync.pulse.probe"
    assert [broker.dequeue() for _ in range(3)] == [[(7, "work")]] * 3
    broker.acknowledge(7)
    assert broker.dequeue() == [(7, "work")]
    assert os.read(pipe[0], 10) == ALIVE
    broker.acknowledge(probe_id)
    assert os.read(pipe[0], 10) == ALIVE
    assert broker.dequeue() != [(7, "work")]
    assert inner.calls == ["dequeue"] * 3 + ["acknowledge 7", "dequeue"]


def test_all_else_is_the_configured_broker(pipe: tuple[int, int]) -> None:
    broker = WatchedBroker(RecordingBroker(), pipe[1])
    assert broker.list_key == "inner"
    with pytest.raises(AttributeError):
        _ = broker.no_such_thing


def test_a_worker_that_starts_a_task_gives_a_sign(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[WatchedBroker] = []

    class NotStarted:
        sentinel = threading.Thread()

        def __init__(self, broker: WatchedBroker) -> None:
            started.append(broker)

        def start(self) -> None:
            pass

    monkeypatch.setattr("sync.pulse.Cluster", NotStarted)
    run_watched_cluster(pipe[1])
    try:
        pre_execute.send(sender="django_q", func=len, task={})
    finally:
        pre_execute.disconnect(started[0].task_started)
    assert os.read(pipe[0], 10) == ALIVE


def test_a_supervisor_that_does_not_read_holds_nobody_up(pipe: tuple[int, int]) -> None:
    broker = WatchedBroker(RecordingBroker(), pipe[1])
    with suppress(BlockingIOError):
        while True:
            os.write(pipe[1], b"x" * 4096)
    broker.task_started(task={})
    assert broker.dequeue() != [(7, "work")]


def test_a_cluster_without_a_supervisor_that_hangs_as_well_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr("sync.pulse.os.killpg", lambda *group_and_signal: killed.append(group_and_signal))
    monkeypatch.setattr("sync.pulse.LEAVE_WITHIN", 0.1)
    asked, end = threading.Event(), threading.Event()
    hanging = threading.Thread(target=end.wait)
    hanging.start()
    leave(SimpleNamespace(stop_event=asked, sentinel=hanging))
    end.set()
    assert asked.is_set()
    assert killed == [(0, signal.SIGKILL)]


def test_a_main_process_that_fails_takes_its_cluster_with_it_instead_of_leaving_it_unguarded(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[tuple[int, int]] = []

    class Fails:
        def __init__(self, broker: WatchedBroker) -> None:
            pass

        def start(self) -> None:
            raise OSError("no")

    monkeypatch.setattr("sync.pulse.Cluster", Fails)
    monkeypatch.setattr("sync.pulse.get_broker", RecordingBroker)
    monkeypatch.setattr(os, "killpg", lambda group, number: killed.append((group, number)))
    run_watched_cluster(pipe[1])
    assert killed == [(0, signal.SIGKILL)]
