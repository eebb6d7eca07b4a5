"""The supervisor against small scripts that misbehave on demand, and against the real cluster."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django_q.models import OrmQ
from django_q.signals import pre_execute
from django_q.signing import SignedPackage
from django_q.tasks import async_task, result

from sync.models import WorkerBeat
from sync.pulse import WatchedBroker, leave, run_watched_cluster
from sync.supervisor import ALIVE, BROKEN, KNOCK, Supervisor, pause_before_restart, why_replace
from sync.ticker import Beat, Duty, Ticker


def wait_until(condition: Callable[[], object], what: str, seconds: float = 10, log: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}\n{log()}"
        time.sleep(0.05)


def processes() -> dict[int, int]:
    """Each living process and its parent. A zombie does not live: when it is collected is up to the machine's init."""
    if Path("/proc/self/stat").exists():
        rows = [line.rpartition(")") for line in map(read, Path("/proc").glob("[0-9]*/stat")) if line]
        table = [(left.split()[0], *right.split()[:2]) for left, _, right in rows]
    else:
        shown = subprocess.run(["ps", "-A", "-o", "pid=,stat=,ppid="], capture_output=True, text=True, check=True)
        table = [(pid, state, parent) for pid, state, parent in map(str.split, shown.stdout.splitlines())]
    return {int(pid): int(parent) for pid, state, parent in table if not state.startswith("Z")}


def read(path: Path) -> str:
    with suppress(FileNotFoundError, ProcessLookupError):
        return path.read_text()
    return ""


def living(*pids: int) -> set[int]:
    return processes().keys() & set(pids)


# --- decisions


@pytest.mark.parametrize(
    ("exit_code", "signs", "silent_for", "expected"),
    [
        (None, ALIVE, 0.0, None),
        (None, b"", 9.9, None),
        (None, b"", 10.1, "no sign of life for 10 s"),
        (None, KNOCK + BROKEN + ALIVE, 0.0, "was killed"),
        (0, ALIVE, 0.0, "ended with code 0"),
        (-9, b"", 0.0, "ended with code -9"),
    ],
    ids=["well", "quiet", "silent", "broken", "ended", "killed"],
)
def test_what_is_wrong_with_a_cluster(
    exit_code: int | None, signs: bytes, silent_for: float, expected: str | None
) -> None:
    reason = why_replace(exit_code=exit_code, signs=signs, silent_for=silent_for, allowed_silence=10)
    assert reason is None if expected is None else expected in (reason or "")


def test_three_restarts_are_at_once_and_then_the_pauses_grow_to_thirty_seconds() -> None:
    pauses = [pause_before_restart(failures) for failures in range(1, 2000)]
    assert pauses[:6] == [0, 0, 0, 0.5, 1, 2]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 30


# --- scripts in the place of the cluster

PREAMBLE = """
import os, signal, sys, time
pipe = int(sys.argv[sys.argv.index("--pulse-fd") + 1])
log = open(sys.argv[1], "a", buffering=1)
def say(word): print(word, os.getpid(), file=log)
"""


@dataclass
class Scripted:
    supervisor: Supervisor
    log: Path

    def said(self, word: str) -> list[int]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [int(line.split()[1]) for line in lines if line.split()[0] == word]


@contextmanager
def supervised(script: str, tmp_path: Path, *, allowed_silence: float = 60, grace: float = 5) -> Iterator[Scripted]:
    log = tmp_path / "log"
    command = [sys.executable, "-S", "-E", "-c", PREAMBLE + script, str(log)]
    supervisor = Supervisor(command, allowed_silence=allowed_silence, grace=grace)
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    try:
        yield Scripted(supervisor, log)
    finally:
        supervisor.request_stop()
        thread.join(grace + 3)
        assert not thread.is_alive(), "the supervisor did not stop"


STUBBORN_WITH_A_CHILD = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    say("child")
else:
    say("started")
time.sleep(60)
"""


def test_a_silent_cluster_is_replaced_with_all_its_processes(tmp_path: Path) -> None:
    with supervised(STUBBORN_WITH_A_CHILD, tmp_path, allowed_silence=0.4, grace=0.2) as scripted:
        wait_until(lambda: len(scripted.said("child")) > 1, "a second cluster")
        first, child = scripted.said("started")[0], scripted.said("child")[0]
        assert not living(first, child)
    assert not living(*scripted.said("started"), *scripted.said("child"))


def test_a_cluster_with_signs_of_life_is_left_alone(tmp_path: Path) -> None:
    script = 'say("started")\nwhile True: os.write(pipe, b"ka"); time.sleep(0.1)'
    with supervised(script, tmp_path, allowed_silence=0.6) as scripted:
        time.sleep(1.5)
        assert len(scripted.said("started")) == 1
        silent_for = scripted.supervisor.silent_for()
    assert silent_for is not None
    assert silent_for < 0.6


def test_a_knock_is_no_sign_of_life(tmp_path: Path) -> None:
    script = 'say("started")\nwhile True: os.write(pipe, b"k"); time.sleep(0.1)'
    with supervised(script, tmp_path, allowed_silence=0.4) as scripted:
        wait_until(lambda: len(scripted.said("started")) > 1, "a second cluster")


def test_the_children_of_a_main_process_that_died_are_killed_before_the_restart(tmp_path: Path) -> None:
    script = """
if os.fork() == 0:
    say("child")
    time.sleep(60)
time.sleep(0.2)
say("started")
os.kill(os.getpid(), signal.SIGKILL)
"""
    with supervised(script, tmp_path) as scripted:
        wait_until(lambda: len(scripted.said("started")) > 1, "a second cluster")
        assert not living(scripted.said("child")[0])


def test_a_stop_waits_for_what_is_in_flight(tmp_path: Path) -> None:
    script = """
def finish(*_):
    time.sleep(0.5)
    say("finished")
    sys.exit()
signal.signal(signal.SIGTERM, finish)
say("started")
time.sleep(60)
"""
    with supervised(script, tmp_path) as scripted:
        wait_until(lambda: scripted.said("started"), "a cluster")
        scripted.supervisor.request_stop()
        wait_until(lambda: scripted.said("finished"), "the end of the task")


def test_a_stop_kills_what_has_not_finished_within_the_grace(tmp_path: Path) -> None:
    with supervised(STUBBORN_WITH_A_CHILD, tmp_path, grace=0.3) as scripted:
        wait_until(lambda: scripted.said("started") and scripted.said("child"), "a cluster")
    assert not living(*scripted.said("started"), *scripted.said("child"))


def test_a_second_request_to_stop_does_not_wait_but_an_echo_of_the_first_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.supervisor.SAME_REQUEST_WITHIN", 0.4)
    with supervised(STUBBORN_WITH_A_CHILD, tmp_path, grace=60) as scripted:
        wait_until(lambda: scripted.said("started") and scripted.said("child"), "a cluster")
        scripted.supervisor.request_stop()
        scripted.supervisor.request_stop()
        time.sleep(0.5)
        assert living(scripted.said("started")[0])
        scripted.supervisor.request_stop()
        wait_until(lambda: not living(scripted.said("started")[0]), "the end of the cluster", seconds=2)


# --- the probe


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


@pytest.mark.django_db(transaction=True)
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


# --- the ticker


def test_a_failing_duty_is_logged_once_tried_again_and_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    outcomes: list[Exception | None] = [OperationalError("no route"), OperationalError("no route"), KeyError("x"), None]
    turns: list[str] = []

    def fragile() -> None:
        turns.append("fragile")
        problem = outcomes.pop(0) if outcomes else None
        if problem:
            raise problem

    ticker = Ticker([Duty("fragile duty", 0.01, fragile), Duty("other duty", 0.01, lambda: turns.append("other"))])
    with caplog.at_level("INFO", logger="dialbridge.supervisor"):
        ticker.start()
        wait_until(lambda: turns.count("fragile") >= 6 and turns.count("other") >= 6, "six turns")
        ticker.stop()
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [
        "The fragile duty fails and is tried again: no route",
        "The fragile duty fails and is tried again: 'x'",
        "The fragile duty works again.",
    ]
    assert [bool(record.exc_info) for record in caplog.records] == [False, True, False]


@pytest.mark.django_db(transaction=True)
def test_the_beat_tells_when_the_cluster_last_lived_and_goes_with_it() -> None:
    silences: list[float | None] = [None, 100.0, 1.0]
    beat = Beat(lambda: silences.pop(0))
    beat.write()
    assert not WorkerBeat.objects.exists()
    beat.write()
    long_silent = WorkerBeat.objects.get()
    beat.write()
    fresh = WorkerBeat.objects.get()
    assert (fresh.id, fresh.pid) == (long_silent.id, os.getpid())
    assert 98 < (fresh.beaten_at - long_silent.beaten_at).total_seconds() < 102
    beat.erase()
    assert not WorkerBeat.objects.exists()


# --- the command


def test_an_unknown_cluster_is_refused_with_a_sentence() -> None:
    with pytest.raises(CommandError, match="no cluster called 'bulky'"):
        call_command("qcluster", "--name", "bulky")


# --- the real cluster


@dataclass
class Cluster:
    main: int
    sentinel: int
    workers: list[int]
    monitor: int
    pusher: int

    def everybody(self) -> list[int]:
        return [self.main, self.sentinel, *self.workers, self.monitor, self.pusher]


@dataclass
class Live:
    process: "subprocess.Popen[bytes]"
    log_file: Path

    def log(self) -> str:
        return self.log_file.read_text()

    def cluster(self, *, after: Cluster | None = None) -> Cluster:
        """The complete cluster, started later than the one given; processes are known by the order of their start."""
        wait_until(lambda: self._complete(after) or self.process.poll(), "a complete cluster", 20, self.log)
        cluster = self._complete(after)
        assert cluster, self.log()
        return cluster

    def _complete(self, after: Cluster | None) -> Cluster | None:
        parents = processes()

        def children(parent: int) -> list[int]:
            return sorted(pid for pid in parents if parents[pid] == parent)

        for main in children(self.process.pid):
            for sentinel in children(main):
                rest = children(sentinel)
                if len(rest) == 4 and (after is None or main != after.main):
                    return Cluster(main, sentinel, rest[:2], *rest[2:])
        return None

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(10) == 0, self.log()


@contextmanager
def live_supervisor(tmp_path: Path, *, timeout: int) -> Iterator[Live]:
    """`manage.py qcluster` with the project's settings, but for the time-out of a task, on the test database."""
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "live_settings.py").write_text(
        f"from config.settings import *\nQ_CLUSTER = {{**Q_CLUSTER, 'timeout': {timeout}}}\n"
    )
    environment = {
        **os.environ,
        "DATABASE_URL": database_url(),
        "SECRET_KEY": settings.SECRET_KEY,
        "DJANGO_SETTINGS_MODULE": "live_settings",
        "PYTHONPATH": str(tmp_path),
    }
    log_file = tmp_path / "cluster.log"
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "qcluster"]
    with (
        log_file.open("w") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT) as process,
    ):
        try:
            yield Live(process, log_file)
        finally:
            process.kill()


def database_url() -> str:
    """Host and port go into the query: there a socket directory is as good as a name."""
    database: dict[str, Any] = connection.settings_dict
    server = {"host": database["HOST"], "port": database["PORT"]} | database["OPTIONS"]
    account = ":".join(quote(part, safe="") for part in (database["USER"], database["PASSWORD"]) if part)
    query = urlencode({name: server[name] for name in ("host", "port") if server.get(name)})
    return f"postgresql://{account}@/{quote(database['NAME'])}?{query}"


def runs_tasks() -> bool:
    task = async_task("os.getpid", q_options={"save": True})
    return result(task, wait=8000) is not None


@pytest.mark.live
@pytest.mark.django_db(transaction=True)
def test_whatever_process_is_killed_later_tasks_run_and_nothing_is_left_behind(tmp_path: Path) -> None:
    with live_supervisor(tmp_path, timeout=60) as live:
        cluster = live.cluster()
        assert runs_tasks(), live.log()
        seen = cluster.everybody()
        for victim in ("worker", "monitor", "pusher", "sentinel", "main"):
            os.kill(cluster.workers[0] if victim == "worker" else getattr(cluster, victim), signal.SIGKILL)
            before, cluster = cluster, live.cluster(after=cluster)
            assert runs_tasks(), f"after the {victim} was killed:\n{live.log()}"
            assert not living(*before.everybody()), victim
            seen += cluster.everybody()
        assert WorkerBeat.objects.filter(pid=live.process.pid).exists()
        live.stop()
        assert not living(*seen)
    assert not WorkerBeat.objects.exists()
    assert not OrmQ.objects.exists()


@pytest.mark.live
@pytest.mark.django_db(transaction=True)
def test_of_two_clusters_the_hanging_one_is_replaced_the_busy_one_kept_and_none_outlives_its_supervisor(
    tmp_path: Path,
) -> None:
    one_second = 1  # for a task, so seven without a sign of life are too many
    with (
        live_supervisor(tmp_path / "here", timeout=one_second) as here,
        live_supervisor(tmp_path / "there", timeout=one_second) as there,
    ):
        busy, hanging = here.cluster(), there.cluster()
        for worker in hanging.workers:
            os.kill(worker, signal.SIGSTOP)
        for _ in range(30):
            async_task("time.sleep", 0.9)
        replaced = there.cluster(after=hanging)
        assert OrmQ.objects.count() > 6, "the busy cluster had run out of work"
        assert here.cluster() == busy, here.log()
        here.process.kill()
        there.process.kill()
        everybody = [pid for cluster in (busy, hanging, replaced) for pid in cluster.everybody()]
        wait_until(lambda: not living(*everybody), "the end of the clusters", seconds=15)
