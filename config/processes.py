"""Starts and stops the processes of a running system: each in a session of its own, each with its log."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import requests
from django.db import connections

from config import embedded_postgres
from integrations.row_security import WEB_ROLE

ROOT = Path(__file__).resolve().parent.parent
MANAGE = [sys.executable, str(ROOT / "manage.py")]
STOP_SECONDS = 15.0
START_SECONDS = 300.0
"""A machine that boots is busy. A process that can't start ends, which is noticed at once."""


class StartError(RuntimeError):
    """A process did not come up. The message ends with what it last said."""


class Processes:
    """Children by name. Leaving the `with` block stops them all, last started first."""

    def __init__(self, env: Mapping[str, str], logs: Path) -> None:
        self.env = {"DATABASE_ROLE": WEB_ROLE, **os.environ, **env}
        self.logs = logs
        logs.mkdir(parents=True, exist_ok=True)
        self._pids = logs / "pids.json"
        self._children: dict[str, subprocess.Popen[str]] = {}
        self._commands: dict[str, list[str]] = {}

    def __enter__(self) -> "Processes":
        self._end_leftovers()
        return self

    def __exit__(self, *_: object) -> None:
        with _undisturbed():
            for name in reversed(list(self._children)):
                self.stop(name)
        self._pids.unlink(missing_ok=True)
        if not self.env.get("DATABASE_URL"):
            connections.close_all()
            embedded_postgres.stop_if_idle(self.logs.parent)

    def _end_leftovers(self) -> None:
        """Ends what an earlier start left running because it was killed itself."""
        for pid in self.noted().values():
            if str(ROOT) in _command_line(pid):
                _signal(pid, signal.SIGKILL)

    def noted(self) -> dict[str, int]:
        """Who was running when it was last written down, by name; also for somebody else's processes with these logs."""
        try:
            noted: dict[str, int] = json.loads(self._pids.read_text())
        except (OSError, ValueError):
            return {}
        return noted

    def _note_pids(self) -> None:
        """A full disk must neither end the site nor leave half of a note."""
        draft = self._pids.with_suffix(".new")
        with contextlib.suppress(OSError):
            draft.write_text(json.dumps({name: child.pid for name, child in self._children.items()}))
            draft.replace(self._pids)

    def start(self, name: str, command: Sequence[str], *, pipe: bool = False) -> subprocess.Popen[str]:
        with self.log_of(name).open("a") as log:
            child = subprocess.Popen(  # noqa: S603 - our own commands
                list(command),
                env=self.env,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipe else log,
                stderr=log,
                start_new_session=True,
                text=True,
            )
        self._children[name] = child
        self._commands[name] = list(command)
        self._note_pids()
        return child

    def start_again(self, name: str) -> None:
        """With what is left of its group gone, since an orphan may hold a port. Raises OSError when it can't be started now."""
        self._kill(self._children[name])
        self.start(name, self._commands[name])

    def run(self, *arguments: str, stdin: str = "") -> str:
        """Runs a management command to its end and gives what it printed. Raises StartError when it fails."""
        done = subprocess.run(  # noqa: S603 - our own commands
            [*MANAGE, *arguments], env=self.env, cwd=ROOT, input=stdin, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise StartError(f"manage.py {arguments[0]} failed: {(done.stderr or done.stdout).strip()[-1500:]}")
        return done.stdout

    def stop(self, name: str) -> None:
        """SIGTERM, then SIGKILL for the whole group."""
        child = self._children.pop(name, None)
        if child is None:
            return
        _signal(child.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(STOP_SECONDS)
        self._kill(child)

    def kill(self, name: str) -> None:
        """SIGKILL for the whole group, as a crash of the machine would."""
        self._kill(self._children.pop(name))

    def _kill(self, child: "subprocess.Popen[str]") -> None:
        _signal(child.pid, signal.SIGKILL)
        child.wait()
        if child.stdout:
            child.stdout.close()

    def dead(self) -> list[str]:
        """Names of the children that ended by themselves."""
        return [name for name, child in self._children.items() if child.poll() is not None]

    def log_of(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def last_words(self, name: str) -> str:
        log = self.log_of(name)
        return log.read_text(errors="replace")[-1500:] if log.exists() else ""

    def start_sandbox(self, *arguments: str) -> dict[str, str]:
        """The fake CRMs. Returns slug → address."""
        child = self.start("sandbox", [*MANAGE, "crm_sandbox", "--json", *arguments], pipe=True)
        line = child.stdout.readline() if child.stdout else ""
        if not line:
            raise StartError(f"The sandbox did not start. {self.last_words('sandbox')}")
        addresses: dict[str, str] = json.loads(line)
        return addresses

    def start_web(self, port: int, *, host: str = "127.0.0.1", workers: int = 1) -> str:
        command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", host, "--port", str(port)]
        command += ["--workers", str(workers), "--blocking-threads", "8", "--no-ws"]
        command += ["--respawn-failed-workers", "config.wsgi:application"]
        self.start("web", command)
        url = f"http://127.0.0.1:{port}"
        self.wait_for("web", f"{url}/readyz")
        return url

    def start_worker(self, name: str = "worker") -> None:
        self.start(name, [*MANAGE, "qcluster"])

    def start_listener(self, name: str = "listener") -> None:
        self.start(name, [*MANAGE, "listen_changes"])

    def wait_for(self, name: str, url: str, seconds: float = START_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._children[name].poll() is not None:
                raise StartError(f"The {name} process ended. {self.last_words(name)}")
            if _answers(url):
                return
            time.sleep(0.1)
        raise StartError(f"The {name} process does not answer at {url}. {self.last_words(name)}")


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Stopping takes some seconds: whoever presses Ctrl-C again must not be left with half of the processes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in held.items():
            signal.signal(number, handler or signal.SIG_DFL)


def _command_line(pid: int) -> str:
    """Empty where it can't be told."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def free_ports(preferred: int, count: int) -> int:
    """The first of `count` neighbouring preferred ports when all are free, else 0: let each take any."""
    wanted = range(preferred, preferred + count)
    return preferred if all(free_port(port) == port for port in wanted) else 0


def free_port(preferred: int) -> int:
    """The preferred port if nobody listens there, else any free one."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise StartError("No free port was found.")


def sandbox_env(addresses: Mapping[str, str]) -> dict[str, str]:
    """The environment that points every CRM at its sandbox, and may reach nothing else on loopback."""
    return {"CRM_ALLOWED_HOSTS": ",".join(url.split("//")[1] for url in addresses.values())}
