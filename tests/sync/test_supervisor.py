"""The supervisor against small scripts that misbehave on demand."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from sync.supervisor import ALIVE, BROKEN, KNOCK, Supervisor, pause_before_restart, why_replace
from tests.sync.processes import living, wait_until

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
def supervised(
    script: str, tmp_path: Path, *, allowed_silence: float = 60, grace: float = 5, starts_within: float = 0
) -> Iterator[Scripted]:
    log = tmp_path / "log"
    command = [sys.executable, "-S", "-E", "-c", PREAMBLE + script, str(log)]
    supervisor = Supervisor(command, allowed_silence=allowed_silence, grace=grace, starts_within=starts_within)
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


def test_a_cluster_may_take_longer_to_start_than_it_may_be_silent_later(tmp_path: Path) -> None:
    script = 'say("started")\ntime.sleep(1)\nos.write(pipe, b"a")\nsay("awake")\ntime.sleep(60)'
    with supervised(script, tmp_path, allowed_silence=0.4, starts_within=60) as scripted:
        wait_until(lambda: len(scripted.said("started")) > 1, "a second cluster")
        assert scripted.said("awake") == scripted.said("started")[:1]


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


# --- the command


def test_an_unknown_cluster_is_refused_with_a_sentence() -> None:
    with pytest.raises(CommandError, match="no cluster called 'bulky'"):
        call_command("qcluster", "--name", "bulky")
