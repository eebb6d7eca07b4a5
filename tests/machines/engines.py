"""What all hosts share, outside of them: PostgreSQL over TCP, PgBouncer where there is one, and the fake CRMs."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import requests

from config import postgres_home
from config.processes import Processes, StartError, free_port
from tests.machines.pooler import pgbouncer

# Of a host that vanished without a word: else its locks stay for two hours.
FORGET_THE_LOST = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
DATABASE = "dialbridge"


class PostgresServer:
    """A server of its own that listens on TCP and trusts the bench's network."""

    def __init__(self, folder: Path, host: str) -> None:
        folder.chmod(0o755)
        self._place = postgres_home.prepare(folder)
        self.host, self.port = host, free_port(0)
        network = f"{host.rpartition('.')[0]}.0/24"
        with (self._place.data_dir / "pg_hba.conf").open("a") as rules:
            rules.write(f"\nhost all all {network} trust\n")
        self._pid = 0

    def start(self) -> None:
        settings = {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
        }
        settings |= {
            "dynamic_shared_memory_type": "mmap",
            "max_wal_size": "512MB",
            "timezone": "UTC",
            **FORGET_THE_LOST,
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        server = (str(self._place.programs / "postgres"), "-D", str(self._place.data_dir), *options)
        with (self._place.data_dir.parent / "server.log").open("a") as log:
            background = ("/bin/sh", "-c", '"$@" >&2 & echo $!', "sh")
            _, said = self._place.account.run(*background, *server, log=log.fileno())
        self._pid = int(said)
        _wait(lambda: self.connect("postgres").close(), psycopg.OperationalError, "PostgreSQL")
        with self.connect("postgres") as line:
            line.execute(f"CREATE DATABASE {DATABASE}")

    def stop(self) -> None:
        if self._pid:
            subprocess.run(["kill", f"-{int(signal.SIGINT)}", str(self._pid)], check=False)
            for _ in range(200):
                if not Path(f"/proc/{self._pid}/cmdline").exists():
                    return
                time.sleep(0.05)

    def url(self, host: str = "", port: int = 0) -> str:
        return f"postgresql://postgres@{host or self.host}:{port or self.port}/{DATABASE}"

    def connect(self, database: str = DATABASE) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(self.url().rpartition("/")[0] + f"/{database}", autocommit=True)


class PgBouncer:
    """In transaction mode: a server connection belongs to a client only for a transaction."""

    def __init__(self, folder: Path, server: PostgresServer) -> None:
        self._folder, self._server, self.port = folder, server, free_port(0)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self._server.url(port=self.port)

    def start(self) -> None:
        (self._folder / "users.txt").write_text('"postgres" ""\n')
        ini = self._folder / "pgbouncer.ini"
        ini.write_text(
            f"[databases]\n{DATABASE} = host={self._server.host} port={self._server.port} dbname={DATABASE} user=postgres\n"
            f"[pgbouncer]\nlisten_addr = {self._server.host}\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = any\nauth_file = {self._folder / 'users.txt'}\npool_mode = transaction\n"
            "default_pool_size = 10\nmax_client_conn = 200\n"
        )
        command = [str(pgbouncer()), str(ini)]
        user = "nobody" if os.geteuid() == 0 else None  # it refuses to be root
        with (self._folder / "pgbouncer.log").open("a") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, user=user)
        _wait(lambda: psycopg.connect(self.url).close(), psycopg.OperationalError, "PgBouncer")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def start_sandboxes(processes: Processes, host: str) -> dict[str, str]:
    """The fake CRMs on this address. Returns slug → address, and has the environment point at them."""
    addresses = processes.start_sandbox("--host", host, "--port", "0")
    processes.env["CRM_ALLOWED_HOSTS"] = ",".join(url.removeprefix("http://") for url in addresses.values())
    for url in addresses.values():
        processes.env.update(requests.get(f"{url}/_sandbox/connect", timeout=30).json()["environment"])
    return addresses


def seed(processes: Processes, addresses: dict[str, str]) -> list[dict[str, str]]:
    processes.run("migrate", "--verbosity", "0")
    made: list[dict[str, str]] = json.loads(processes.run("seed_demo", "--json", "--sandboxes", json.dumps(addresses)))[
        "tenants"
    ]
    return made


def web_command(host: str, port: int) -> list[str]:
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", host, "--port", str(port)]
    return [*command, "--workers", "1", "--blocking-threads", "8", "--no-ws", "config.wsgi:application"]


def _wait(call: Callable[[], object], error: type[Exception], what: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            call()
        except error as problem:
            if time.monotonic() > deadline:
                raise StartError(f"{what} did not start: {problem}") from problem
            time.sleep(0.1)
        else:
            return
