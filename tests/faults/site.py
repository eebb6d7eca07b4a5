"""A whole installation to be maltreated: three fake CRMs, and what `manage.py serve` runs on a database of its own.

Nobody here helps it back on its feet: whatever the shocks kill is brought back by the product or not at all. Only what is not
the product's is started again by us: Redis, and `serve` itself, as a machine that boots would.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import requests
from cryptography.fernet import Fernet

from config import embedded_postgres
from config.demo.story import DemoTenant
from config.embedded_postgres import Cluster
from config.postgres_home import data_dirs, socket_dir
from config.processes import MANAGE, ROOT, Processes, StartError, free_port, sandbox_env
from tests.faults.wire import Wire
from tests.sync.processes import processes as living

DISK_MB = 900
RENEWABLE = {
    "hubspot": {
        "auth": "oauth",
        "access_token": "sandbox-hubspot-access-0001",
        "refresh_token": "sandbox-hubspot-refresh-0001",
    }
}
"""Instead of the credential that the sandbox offers, which never expires."""
PRODUCTION = ["/usr/bin/env", "DEBUG=false"]
STARTED_AGAIN_WITHIN = 600.0


@dataclass
class Site:
    folder: Path
    processes: Processes
    wire: Wire
    sandboxes: dict[str, str]
    tenants: list[DemoTenant]
    port: int
    redis_port: int = 0
    own_disk: bool = False
    clock_library: str = ""
    """What makes a process's clock wrong; empty where there is no C compiler to make it."""
    database_url: str = ""
    """Of a database that is not its own; then nobody kills that."""
    extras: list[str] = field(default_factory=list)
    """Workers and web servers that we started beside those of `serve`."""

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def web(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # --- looking ----------------------------------------------------------------------------------------------------

    def ask(self, statement: str, *values: Any, patience: float = 60.0) -> list[tuple[Any, ...]]:
        """Straight to the database, without bringing it back. Raises when it stays away."""
        until = time.monotonic() + patience
        while True:
            try:
                url = self.database_url or self._cluster().url("dialbridge")
                with psycopg.connect(url, autocommit=True, connect_timeout=5) as line:
                    done = line.execute(statement.encode(), values or None)
                    return list(done.fetchall()) if done.description else []
            except (psycopg.OperationalError, OSError):
                if time.monotonic() > until:
                    raise
                time.sleep(0.5)

    def _cluster(self) -> Cluster:
        found = next(iter(data_dirs(self.data)))
        return Cluster(found, socket_dir(found))

    def postmaster(self) -> int | None:
        """None while it is down."""
        try:
            pid = int((self._cluster().data_dir / "postmaster.pid").read_text().partition("\n")[0])
        except (OSError, ValueError):
            return None
        return pid if pid in living() else None

    def parts(self, name: str) -> list[int]:
        """Pids of the part of this name (web, worker, listener): its first process, then the processes below it."""
        noted = Processes({}, self.data / "logs").noted().get(name)
        table = living()
        found = [noted] if noted in table else []
        for pid in found:
            found += [child for child, parent in table.items() if parent == pid]
        return found

    def answers(self) -> bool:
        try:
            return requests.get(f"{self.web}/readyz", timeout=15).ok
        except requests.RequestException:
            return False

    # --- the CRMs ---------------------------------------------------------------------------------------------------

    def set_faults(self, slug: str, dials: Sequence[dict[str, object]]) -> None:
        requests.put(f"{self.sandboxes[slug]}/_sandbox/faults", json=list(dials), timeout=60).raise_for_status()

    def struck(self, slug: str) -> int:
        dials = requests.get(f"{self.sandboxes[slug]}/_sandbox/faults", timeout=60).json()
        return sum(int(dial["kept"]) for dial in dials)

    def connect(self, tenant: DemoTenant) -> None:
        credential = json.dumps(_credential(tenant.provider, tenant.sandbox))
        self.processes.run("connect_crm", tenant.slug, tenant.provider, "--json", stdin=credential)

    def furnish(self) -> None:
        """Makes, connects and loads the tenants."""
        orders = {slug: _credential(slug, url) for slug, url in self.sandboxes.items()}
        done = subprocess.run(
            [sys.executable, "-m", "tests.faults.furnish"],
            env={**self.processes.env, "DJANGO_SETTINGS_MODULE": "config.settings"},
            cwd=ROOT,
            input=json.dumps(orders),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise StartError(f"The tenants could not be made: {done.stderr[-1500:]}")
        keys = json.loads(done.stdout.strip().splitlines()[-1])
        self.tenants += [DemoTenant(f"of-{slug}", slug, keys[slug], url) for slug, url in self.sandboxes.items()]

    # --- the processes ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.processes.start("serve", [*PRODUCTION, *MANAGE, "serve", "--port", str(self.port)])
        self.processes.wait_for("serve", f"{self.web}/readyz", seconds=STARTED_AGAIN_WITHIN)

    def kill_all(self) -> None:
        """As a power cut: everything of the product at one moment, the database included."""
        victims = [pid for name in ("web", "worker", "listener") for pid in self.parts(name)]
        self.processes.kill("serve")
        for pid in [*victims, *([self.postmaster()] if self.postmaster() else [])]:
            with contextlib.suppress(ProcessLookupError, TypeError):
                os.kill(pid, signal.SIGKILL)  # type: ignore[arg-type]

    def start_skewed(self, name: str, command: Sequence[str], seconds: int) -> None:
        """A process whose clock is wrong by so many seconds; how long something takes it still measures rightly."""
        skew = [f"LD_PRELOAD={self.clock_library}", f"CLOCK_SKEW={seconds}"]
        self.processes.start(name, [*PRODUCTION, *skew, *command])
        self.extras.append(name)

    def stop_extra(self, name: str) -> None:
        self.extras.remove(name)
        self.processes.kill(name)

    def start_redis(self) -> None:
        server = shutil.which("redis-server") or ""
        self.processes.start("redis", [server, "--port", str(self.redis_port), "--save", "", "--bind", "127.0.0.1"])


def _credential(slug: str, sandbox: str) -> dict[str, Any]:
    offered: dict[str, Any] = requests.get(f"{sandbox}/_sandbox/connect", timeout=60).json()["credential"]
    return RENEWABLE.get(slug, offered)


@contextlib.contextmanager
def standing(
    seed: int,
    *,
    folder: Path,
    database_url: str = "",
    with_redis: bool = False,
    own_disk: bool = False,
    lease: int = 0,
) -> Iterator[Site]:
    """Three tenants, one for each CRM, connected and loaded; web, workers and listener are up.

    Without a `database_url` it has a PostgreSQL of its own, which needs a folder that everybody may enter.
    """
    data, port, wire_port = folder / "data", free_port(0), free_port(0)
    data.mkdir()
    own_disk = own_disk and _mounted(data)
    redis_port = free_port(0) if with_redis and shutil.which("redis-server") else 0
    env = _environment(data, wire_port, redis_port) | {"DATABASE_URL": database_url}
    env |= {"JOB_LEASE_SECONDS": str(lease)} if lease else {}
    try:
        with Processes(env, folder / "logs") as processes, Wire(wire_port, [f"http://127.0.0.1:{port}"], seed) as wire:
            sandboxes = processes.start_sandbox("--port", "0")
            processes.env.update(sandbox_env(sandboxes))
            for url in sandboxes.values():
                processes.env.update(requests.get(f"{url}/_sandbox/connect", timeout=60).json()["environment"])
            site = Site(folder, processes, wire, sandboxes, [], port, redis_port, own_disk, database_url=database_url)
            site.clock_library = _clock_library(folder)
            if redis_port:
                site.start_redis()
            site.furnish()
            site.start()
            yield site
            processes.kill("sandbox")  # else it takes its time to end
    finally:
        embedded_postgres.stop(data)
        _clear(folder, own_disk)


def _clear(folder: Path, own_disk: bool) -> None:
    if os.environ.get("BENCH_FAULTS_KEEP"):
        shutil.copytree(folder / "data", folder / "kept", ignore=shutil.ignore_patterns("postgres-*"))
    if own_disk:
        subprocess.run(["umount", "--lazy", str(folder / "data")], check=False)


def _environment(data: Path, wire_port: int, redis_port: int) -> dict[str, str]:
    return {
        "DATA_DIR": str(data), "DEBUG": "true", "ALLOWED_HOSTS": "127.0.0.1",
        "PUBLIC_URL": f"http://127.0.0.1:{wire_port}", "API_RATE": "1000000/min", "EMAIL_URL": "dummymail://",
        "BROKER_URL": f"redis://127.0.0.1:{redis_port}/0" if redis_port else "",
        "SECRET_KEY": secrets.token_urlsafe(50), "FIELD_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    }  # fmt: skip


def _mounted(place: Path) -> bool:
    """A small disk of its own, so that filling it up hurts nobody else. Needs root."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        return False
    order = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=0755", "dialbridge-faults", str(place)]
    return subprocess.run(order, check=False, capture_output=True).returncode == 0


def _clock_library(folder: Path) -> str:
    """Made here: libfaketime's sleep fails in some versions of Python."""
    compiler, made = shutil.which("cc"), folder / "skew.so"
    if not compiler:
        return ""
    order = [compiler, "-shared", "-fPIC", "-O1", "-o", str(made), str(Path(__file__).with_name("skew.c")), "-ldl"]
    return str(made) if subprocess.run(order, check=False, capture_output=True).returncode == 0 else ""
