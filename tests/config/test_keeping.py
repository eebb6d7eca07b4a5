import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import OperationalError
from django.test import Client

from config import embedded_postgres, keeping
from config.keeping import Keeper
from config.processes import ROOT, Processes
from tests.config.test_embedded_postgres import open_directory
from tests.sync.processes import wait_until

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)", str(ROOT)]
ENDS_AT_ONCE = [sys.executable, "-c", "raise SystemExit(3)", str(ROOT)]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Processes]:
    with Processes({"DATABASE_URL": "postgresql://elsewhere/"}, tmp_path) as processes:
        yield processes


def looked(keeper: Keeper) -> bool:
    keeper.look()
    return True


def test_a_killed_process_is_started_again_and_written_down(running: Processes) -> None:
    killed, keeper = running.start("worker", SLEEPER), Keeper(running)
    keeper.look()
    assert running.noted() == {"worker": killed.pid}
    os.kill(killed.pid, signal.SIGKILL)
    wait_until(lambda: looked(keeper) and running.noted()["worker"] != killed.pid, "a new worker")
    assert not running.dead()


def test_a_process_that_keeps_ending_is_started_less_and_less_often_and_hinders_nobody(
    running: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def pause(failures: int) -> float:
        asked.append(failures)
        return 0.0

    monkeypatch.setattr(keeping, "pause_before_restart", pause)
    running.start("web", ENDS_AT_ONCE)
    steady, keeper = running.start("worker", SLEEPER), Keeper(running)
    wait_until(lambda: looked(keeper) and len(asked) >= 4, "four ends")
    assert asked[:4] == [1, 2, 3, 4]
    assert running.noted()["worker"] == steady.pid


def test_a_note_of_pids_that_a_full_disk_cut_off_does_not_stop_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "pids.json").write_text('{"web": 12')
    with Processes({"DATABASE_URL": "postgresql://elsewhere/"}, tmp_path) as processes:
        assert processes.noted() == {}


def test_the_embedded_database_comes_back_after_its_server_was_killed(settings: object) -> None:
    place = open_directory()
    settings.DATA_DIR = place  # type: ignore[attr-defined]
    try:
        keeping.database()
        killed = server_of(place)
        os.kill(killed, signal.SIGKILL)
        while Path(f"/proc/{killed}/cmdline").exists() and Path(f"/proc/{killed}/cmdline").read_bytes():
            time.sleep(0.01)
        keeping.database()
        assert server_of(place) != killed
    finally:
        embedded_postgres.stop(place)


def server_of(place: Path) -> int:
    note = next(place.glob("postgres-*/postmaster.pid")).read_text()
    return int(note.partition("\n")[0])


def test_a_page_says_back_in_a_moment_while_the_database_is_away(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise OperationalError("the server closed the connection unexpectedly")

    monkeypatch.setattr("django.contrib.sessions.backends.db.SessionStore.load", away)
    client.raise_request_exception = False
    client.cookies["sessionid"] = "somebody"
    answer = client.get("/admin/")
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert b"Back in a moment" in answer.content
