"""Hosts on one machine: each with a network, a name, folders and an environment of its own, and a cable that can be pulled.

As root on Linux a host is a network namespace on a bridge; elsewhere it is a group of processes on loopback. Which processes are
a host's is told by a mark in their environment, so that nobody is missed who left the group.
"""

import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from config.processes import ROOT, StartError, free_port

MARK = "BENCH_HOST"


def namespaces_work() -> bool:
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("unshare"):
        return False
    name = f"dlbtry{os.getpid() % 100000}"
    if not _ip("netns", "add", name, check=False):
        return False
    works = _ip("netns", "exec", name, "unshare", "--uts", "true", check=False)
    _ip("netns", "del", name)
    return works


class Network:
    """A bridge on which this process is the address `.1`. Leaving the `with` block ends every host and takes all away."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.folder, self.env = folder, dict(env)
        self.real = namespaces_work()
        self._number = os.getpid() % 250
        self.bridge = f"dlb{os.getpid() % 100000}"
        self.here = f"10.213.{self._number}.1" if self.real else "127.0.0.1"
        self.hosts: list[Host] = []
        self._stack = ExitStack()

    def __enter__(self) -> "Network":
        if self.real:
            _ip("link", "add", self.bridge, "type", "bridge")
            self._stack.callback(_ip, "link", "del", self.bridge, check=False)
            _ip("addr", "add", f"{self.here}/24", "dev", self.bridge)
            _ip("link", "set", self.bridge, "up")
        return self

    def __exit__(self, *_: object) -> None:
        for host in self.hosts:
            host.kill()
        self._stack.close()

    def host(self, name: str) -> "Host":
        host = Host(self, name, len(self.hosts) + 11)
        self.hosts.append(host)
        return host

    def plug_in(self, host: "Host") -> None:
        if not self.real:
            return
        _ip("netns", "add", host.namespace)
        self._stack.callback(_ip, "netns", "del", host.namespace, check=False)
        _ip("link", "add", host.cable, "type", "veth", "peer", "name", "eth0", "netns", host.namespace)
        _ip("link", "set", host.cable, "master", self.bridge, "up")
        for words in (("addr", "add", f"{host.address}/24", "dev", "eth0"), ("link", "set", "eth0", "up")):
            _ip("-n", host.namespace, *words)
        _ip("-n", host.namespace, "link", "set", "lo", "up")


class Host:
    def __init__(self, network: Network, name: str, number: int) -> None:
        self.name = name
        self.namespace, self.cable = f"{network.bridge}-{number}", f"{network.bridge}v{number}"
        self.address = f"10.213.{network._number}.{number}" if network.real else "127.0.0.1"
        self.port = 8000 if network.real else free_port(0)
        self.lost = False
        self._mark = f"{name}-{uuid.uuid4().hex}"
        self._network = network
        self._folder = network.folder / name
        self._children: list[subprocess.Popen[bytes]] = []
        for part in ("data", "tmp", "home"):
            (self._folder / part).mkdir(parents=True)
        network.plug_in(self)

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}"

    def start(self, what: str, command: Sequence[str], **env: str) -> None:
        own = {"DATA_DIR": "data", "TMPDIR": "tmp", "HOME": "home"}
        folders = {name: str(self._folder / part) for name, part in own.items()}
        inherited = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
        launcher: list[str] = []
        if self._network.real:
            launcher = ["ip", "netns", "exec", self.namespace, "unshare", "--uts"]
            launcher += ["sh", "-c", 'hostname "$0" && exec "$@"', self.name]
        with self._log(what).open("a") as log:
            child = subprocess.Popen(
                [*launcher, *command],
                env={**inherited, **self._network.env, **folders, MARK: self._mark, **env},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._children.append(child)

    def lose(self) -> None:
        """First the cable, so that nobody is told; then the power."""
        self.lost = True
        if self._network.real:
            _ip("link", "set", self.cable, "down")
        self.kill()

    def kill(self) -> None:
        while pids := self._pids():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        for child in self._children:
            child.wait()

    def dead(self) -> bool:
        return any(child.poll() is not None for child in self._children)

    def last_words(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-1500:] for path in self._folder.glob("*.log"))

    def _log(self, what: str) -> Path:
        return self._folder / f"{what}.log"

    def _pids(self) -> list[int]:
        """Living processes, by the mark in their environment; a zombie has none."""
        wanted, found = f"{MARK}={self._mark}".encode(), []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if wanted in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
        return found


def _ip(*words: str, check: bool = True) -> bool:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise StartError(f"ip {' '.join(words)} failed: {done.stderr.strip()}")
    return done.returncode == 0
