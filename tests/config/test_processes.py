import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from config.processes import ROOT, Processes, StartError, free_port, free_ports

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)", str(ROOT)]


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]


def test_leaving_the_block_stops_every_process_and_its_children(tmp_path: Path) -> None:
    with Processes({}, tmp_path) as processes:
        pid = processes.start("one", SLEEPER).pid
        assert lives(pid)
    assert not lives(pid)


def test_pressing_ctrl_c_again_while_it_stops_leaves_nobody_behind(tmp_path: Path) -> None:
    slow = (
        "import signal, time; signal.signal(signal.SIGTERM, lambda *_: time.sleep(1) or exit()); "
        "print(1, flush=True); time.sleep(60)"
    )
    with Processes({}, tmp_path) as processes:
        pids = [processes.start("first", SLEEPER).pid]
        child = processes.start("slow", [sys.executable, "-c", slow, str(ROOT)], pipe=True)
        assert child.stdout is not None
        child.stdout.readline()
        pids.append(child.pid)
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    assert not any(map(lives, pids))


def test_what_an_earlier_start_left_behind_is_ended(tmp_path: Path) -> None:
    earlier = Processes({}, tmp_path)
    child = earlier.start("one", SLEEPER)
    while str(ROOT) not in Path(f"/proc/{child.pid}/cmdline").read_text():
        time.sleep(0.01)  # the kernel shows the arguments a moment after the start
    with Processes({}, tmp_path):
        child.wait(5)
    assert not lives(child.pid)


def test_a_process_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    earlier = Processes({}, tmp_path)
    child = earlier.start("other", ["sleep", "60"])
    with Processes({}, tmp_path):
        time.sleep(0.2)
        assert lives(child.pid)
    earlier.kill("other")


def test_a_process_that_does_not_come_up_says_why(tmp_path: Path) -> None:
    with Processes({}, tmp_path) as processes:
        processes.start("one", [sys.executable, "-c", "raise SystemExit('no such luck')"])
        with pytest.raises(StartError, match="no such luck"):
            processes.wait_for("one", "http://127.0.0.1:1/", seconds=5)


def test_taken_ports_are_avoided() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert free_port(port) != port
        assert free_ports(port, 3) == 0
