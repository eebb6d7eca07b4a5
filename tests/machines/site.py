"""A site of several hosts, its engines and its people, and what is asked of all of them."""

import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from cryptography.fernet import Fernet

from config.demo import story
from config.demo.story import Client, DemoTenant
from config.processes import MANAGE, Processes, StartError, free_port
from tests.machines.engines import PgBouncer, PostgresServer, seed, start_sandboxes, web_command
from tests.machines.network import Host, Network
from tests.machines.pooler import pgbouncer
from tests.redis_server import RedisServer

WORKERS = "2"
"""Processes that work, on each worker host."""
LEASE = "15"
OPEN = "SELECT count(*) FROM sync_jobs WHERE state IN ('ready', 'leased')"
CALLS = "kind = 'log_call'"
PEOPLE = 1000
UNREGISTERED = dict.fromkeys(
    ["FOLLOWUPBOSS_SYSTEM", "FOLLOWUPBOSS_SYSTEM_KEY"] if os.environ.get("BENCH_SYSTEM") == "no" else [], ""
)
"""Without a registered system Follow Up Boss lets out half of what it does otherwise."""


def say(text: str) -> None:
    print(f"machines   {text}", flush=True)


@dataclass
class Site:
    network: Network
    database: PostgresServer
    redis: RedisServer
    bouncer: PgBouncer | None
    tenants: list[DemoTenant]
    webs: list[Host] = field(default_factory=list)
    workers: list[Host] = field(default_factory=list)
    people: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._line = self.database.connect()

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        answer = self._line.execute(query.encode())
        return answer.fetchall() if answer.description else []

    def number(self, query: str) -> int:
        return int(self.ask(query)[0][0])

    def tenant(self, provider: str) -> DemoTenant:
        return next(one for one in self.tenants if one.provider == provider)

    # --- hosts

    def add_web(self, **env: str) -> Host:
        host = self.network.host(f"web-{len(self.webs) + 1}")
        host.start("web", web_command(host.address, host.port), **env)
        wait_for(lambda: _answers(f"{host.url}/readyz"), "a web host", 120, host.last_words)
        self.webs.append(host)
        return host

    def add_worker(self) -> Host:
        host = self.network.host(f"worker-{len(self.workers) + 1}")
        host.start("worker", [*MANAGE, "qcluster"])
        self.workers.append(host)
        beats = "SELECT count(*) FROM worker_beats WHERE kind = 'worker' AND beaten_at > now() - interval '15 s'"
        wait_for(lambda: self.number(beats) >= len(self.workers), "a worker host", 120, host.last_words)
        return host

    # --- the CRMs

    def set_faults(self, faults: Sequence[Mapping[str, object]]) -> None:
        for tenant in self.tenants:
            requests.put(f"{tenant.sandbox}/_sandbox/faults", json=faults, timeout=60).raise_for_status()

    def load_people(self) -> None:
        for tenant in self.tenants:
            client = Client(self.webs[0].url, tenant)
            self.people[tenant.slug] = story.wait_for_contacts(client, PEOPLE, lambda _: None, seconds=300)
        wait_for(lambda: not self.number(OPEN), "the end of the first loads", 300, self.workers[0].last_words)

    def drain(self) -> float:
        """Until no call waits. Returns the seconds that took."""
        self.set_faults([])
        started = time.monotonic()
        log = "\n".join
        wait_for(
            lambda: not self.number(f"{OPEN} AND {CALLS}"), "the end of the work", 600,
            lambda: log(one.last_words() for one in self.workers),
        )  # fmt: skip
        return time.monotonic() - started

    def audit(self, posted: Mapping[str, Sequence[story.PostedCall]]) -> None:
        """Prints what the CRMs hold by their own books. Raises StartError unless each call is there once, on its record."""
        asked = [one for one in self.tenants if posted.get(one.slug)]
        audits = [story.audit(one, len(self.people[one.slug]), posted[one.slug]) for one in asked]
        print(story.table(audits), flush=True)
        dead = self.number(f"SELECT count(*) FROM sync_jobs WHERE {CALLS} AND state = 'dead'")
        if dead or not all(audit.ok for audit in audits):
            raise StartError(f"Calls were lost, doubled or wrong, or died ({dead}): see the table.")


@contextmanager
def running_site() -> Iterator[Site]:
    """Engines and fake CRMs are up, and every tenant is connected; hosts are the caller's to add and to lose."""
    with tempfile.TemporaryDirectory(prefix="machines-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        env = _environment()
        network = stack.enter_context(Network(folder, env))
        kind = (
            "network namespaces" if network.real else "process groups on loopback, as this user can't make namespaces"
        )
        say(f"hosts are {kind}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
        database = PostgresServer(_made(folder / "database"), network.here)
        stack.callback(database.stop)
        database.start()
        redis = RedisServer(free_port(0), _made(folder / "redis"), network.here)
        stack.callback(redis.kill)
        redis.start()
        env |= {"DATABASE_URL": database.url(), "BROKER_URL": redis.url}
        operator = {**env, "DATA_DIR": str(folder / "operator"), "DEBUG": "true"}
        processes = stack.enter_context(Processes(operator, folder / "operator" / "logs"))
        addresses = start_sandboxes(processes, network.here)
        tenants = [
            DemoTenant(one["slug"], one["provider"], one["api_key"], one["sandbox"])
            for one in seed(processes, addresses)
        ]
        told = {key: value for key, value in processes.env.items() if key not in {*os.environ, *operator}}
        network.env |= {**told, **env, **UNREGISTERED, "DEBUG": "false"}
        bouncer = PgBouncer(_made(folder / "pgbouncer"), database) if pgbouncer() else None
        if bouncer is not None:
            stack.callback(bouncer.stop)
            bouncer.start()
        yield Site(network, database, redis, bouncer, tenants)


def _environment() -> dict[str, str]:
    keys = {"SECRET_KEY": secrets.token_urlsafe(50), "FIELD_ENCRYPTION_KEYS": Fernet.generate_key().decode()}
    return {
        **keys,
        "ALLOWED_HOSTS": "*",
        "DATABASE_ROLE": "dialbridge_web",
        "API_RATE": "1000000/min",
        "JOB_LEASE_SECONDS": LEASE,
        "WORKERS": WORKERS,
    }


def _made(folder: Path) -> Path:
    folder.mkdir()
    folder.chmod(0o777)
    return folder


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=3).ok
    except requests.RequestException:
        return False


def wait_for(condition: Callable[[], object], what: str, seconds: float, log: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise StartError(f"Waited {seconds:.0f} s in vain for {what}.\n{log()}")
        time.sleep(0.2)
