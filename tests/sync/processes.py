"""Looking at the processes of this machine, and waiting for what they do."""

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def wait_until(condition: Callable[[], object], what: str, seconds: float = 60, log: Callable[[], str] = str) -> None:
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
