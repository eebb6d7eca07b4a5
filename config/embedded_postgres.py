"""The PostgreSQL we bring along for a first look, for tests and for small sites without DATABASE_URL.

Everything lives in one root directory: `postgres-<major>` (the data, with the socket inside), `postgres.log` and
`postgres.lock`. There is no TCP port and no password: whoever may enter the 0700 data directory is trusted.
A server is up when its socket answers; a postmaster.pid alone proves nothing, as its number may belong to another
process by now. The server outlives whoever started it, and even `kill -9` of it loses no committed row.

This module needs neither Django nor, but for `ensure_database`, anything beyond the standard library.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from config.postgres_home import Account, binaries, data_dirs, make_directory, open_own_file, prepare, socket_dir

__all__ = ["Cluster", "binaries", "ensure_database", "ensure_running", "main", "stop", "stop_if_idle"]

PORT = 5432
ROOT = Path(__file__).resolve().parent.parent / ".data"
LAUNCHES = 6
START_SECONDS = 60
LOG_LIMIT = 5_000_000
NOT_RUNNING = 3

# The log keeps no statement and no row: errors reach the client that caused them, and their texts hold people's data.
SETTINGS = {
    "listen_addresses": "",
    "port": PORT,
    "unix_socket_permissions": "0700",
    "max_connections": 200,
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
    "dynamic_shared_memory_type": "mmap",  # /dev/shm is tiny in a container and swept at logout by systemd
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


@dataclass(frozen=True)
class Cluster:
    """A server, or the place of one. The port only names the socket file."""

    data_dir: Path
    socket_dir: Path
    port: int = PORT

    def url(self, database: str) -> str:
        host = quote(str(self.socket_dir), safe="")
        return f"postgresql://postgres@/{quote(database, safe='')}?host={host}&port={self.port}"


def ensure_running(root: Path) -> Cluster:
    """The server of this root directory, which accepts connections by then. Safe from many processes at once.

    Raises RuntimeError with a sentence for the operator.
    """
    root = root.resolve()
    try:
        _trim(root / "postgres.log")
        return next(filter(_is_ready, _clusters(root)), None) or _start(root)
    except OSError as error:
        raise RuntimeError(
            f"The embedded PostgreSQL in {root} cannot be used: {error}."
            " Make that directory writable for this user, or set DATABASE_URL."
        ) from error


def ensure_database(cluster: Cluster, name: str) -> None:
    """Idempotent, and safe from many processes at once."""
    import psycopg

    with psycopg.connect(cluster.url("postgres"), autocommit=True) as connection:
        if connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
            with suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))


def stop(root: Path, *, timeout: float = 10) -> bool:
    """Whether a server was running. It has `timeout` seconds to write everything out and is then made to end at once,
    which loses no committed row either.
    """
    root = root.resolve()
    if not _clusters(root):
        return False
    with _locked(root):
        running = [cluster for cluster in _clusters(root) if _lives(cluster)]
        for cluster in running:
            _end(cluster, timeout)
        return bool(running)


def stop_if_idle(root: Path) -> bool:
    """Stops the server unless somebody else is connected. Whether it was stopped."""
    import psycopg

    ready = next(filter(_is_ready, _clusters(root.resolve())), None)
    if ready is None:
        return False
    with psycopg.connect(ready.url("postgres"), autocommit=True) as connection:
        others = "SELECT FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        if connection.execute(others).fetchone() is not None:
            return False
    return stop(root)


def _clusters(root: Path) -> list[Cluster]:
    return [_cluster(data_dir) for data_dir in data_dirs(root)]


def _cluster(data_dir: Path) -> Cluster:
    owner = data_dir.stat().st_uid
    if os.geteuid() not in {0, owner}:
        raise RuntimeError(
            f"The database in {data_dir} belongs to user number {owner}, and this process runs as {os.geteuid()}."
            " Run it as that user or as root, or set DATABASE_URL."
        )
    return Cluster(data_dir, socket_dir(data_dir))


def _reply(cluster: Cluster) -> bytes:
    """What the server says to a client that logs in and leaves; empty when nobody listens."""
    login = b"user\0postgres\0database\0postgres\0\0"
    reply = b""
    with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(2)
        client.connect(str(cluster.socket_dir / f".s.PGSQL.{cluster.port}"))
        client.sendall(struct.pack("!ii", len(login) + 8, 196608) + login + b"X\0\0\0\4")
        while part := client.recv(4096):
            reply += part
    return reply


def _is_ready(cluster: Cluster) -> bool:
    reply = _reply(cluster)
    return bool(reply) and b"57P03" not in reply  # cannot_connect_now: it starts up or shuts down


def _lives(cluster: Cluster) -> bool:
    """A server in another container on the same volume has no process here, but answers."""
    return _server_pid(cluster) is not None or bool(_reply(cluster))


def _server_pid(cluster: Cluster) -> int | None:
    pid = _noted_pid(cluster)
    return pid if pid is not None and _serves(pid, cluster) else None


def _noted_pid(cluster: Cluster) -> int | None:
    try:
        return abs(int((cluster.data_dir / "postmaster.pid").read_text().partition("\n")[0]))
    except (FileNotFoundError, ValueError):
        return None


def _serves(pid: int, cluster: Cluster) -> bool:
    """False for a zombie: it has no command line. (/proc/<pid>/exe takes a capability that containers withhold.)"""
    command = _command_line(pid) + b" "
    return b"postgres" in command and b" -D " + os.fsencode(cluster.data_dir) + b" " in command


def _command_line(pid: int) -> bytes:
    if not Path("/proc/self/cmdline").exists():
        return os.fsencode(Account().run("ps", "-ww", "-o", "command=", "-p", str(pid))[1].strip())
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
    except OSError:
        return b""


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    make_directory(root)
    lock = open_own_file(root / "postgres.lock")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _start(root: Path) -> Cluster:
    with _locked(root):
        for attempt in range(LAUNCHES):
            # The children of a killed server hold its memory for a moment, and PostgreSQL will not start beside them.
            time.sleep(0.5 if attempt else 0)
            cluster = next(filter(_lives, _clusters(root)), None) or _launch(root)
            if _becomes_ready(cluster):
                return cluster
    raise RuntimeError(f"PostgreSQL did not start on {cluster.data_dir}. {_last_words(root)}")


def _launch(root: Path) -> Cluster:
    place = prepare(root)
    cluster = _cluster(place.data_dir)
    log = open_own_file(root / "postgres.log")
    try:
        # The shell leaves at once, so the server is no child of ours that would end with us or linger as a zombie.
        background = ("/bin/sh", "-c", '"$@" >&2 & echo $!', "sh")
        server = (str(place.programs / "postgres"), "-D", str(cluster.data_dir), *_options(cluster))
        _, pid = place.account.run(*background, *server, log=log, variables=_past_stale_files(cluster))
    finally:
        os.close(log)
    while _server_pid(cluster) is None and _serves(int(pid), cluster):
        time.sleep(0.01)
    return cluster


def _options(cluster: Cluster) -> list[str]:
    # "." goes with the directory: a server whose data were deleted cannot remove the socket of the one after it.
    sockets = "." if cluster.socket_dir == cluster.data_dir else str(cluster.socket_dir)
    settings = {**SETTINGS, "unix_socket_directories": sockets}
    return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]


def _past_stale_files(cluster: Cluster) -> dict[str, str]:
    """Called when no server lives, under the lock. PostgreSQL would trust a left-over file whose number is in use
    again, unless the number is its grandparent's; it still checks by itself that nobody uses the data.
    """
    (cluster.socket_dir / f".s.PGSQL.{cluster.port}.lock").unlink(missing_ok=True)
    if (stale := _noted_pid(cluster)) is not None:
        return {"PG_GRANDPARENT_PID": str(stale)}
    (cluster.data_dir / "postmaster.pid").unlink(missing_ok=True)  # empty or garbled, which PostgreSQL refuses
    return {}


def _becomes_ready(cluster: Cluster) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while not _is_ready(cluster):
        if not _lives(cluster):
            return False
        if time.monotonic() > deadline:
            raise RuntimeError(
                f"PostgreSQL runs on {cluster.data_dir} but has not accepted connections for {START_SECONDS} seconds."
                " Wait if it is recovering a large database (see postgres.log); otherwise stop it and start again."
            )
        time.sleep(0.02)
    return True


def _end(cluster: Cluster, timeout: float) -> None:
    pid = _server_pid(cluster)
    if pid is None:
        raise RuntimeError(
            f"A PostgreSQL answers on {cluster.data_dir}, but its process cannot be seen from here."
            " Stop it in the container that started it."
        )
    for number, patience in ((signal.SIGINT, timeout), (signal.SIGQUIT, 10)):
        deadline = time.monotonic() + patience
        if _serves(pid, cluster):
            os.kill(pid, number)
        while _serves(pid, cluster) and time.monotonic() < deadline:
            time.sleep(0.02)
    if _serves(pid, cluster):
        raise RuntimeError(f"PostgreSQL on {cluster.data_dir} does not stop. End process {pid} by hand.")


def _trim(log: Path) -> None:
    with suppress(OSError):
        if log.stat().st_size > LOG_LIMIT:
            os.truncate(log, 0)  # a running server goes on at the new end


def _last_words(root: Path) -> str:
    lines = (root / "postgres.log").read_text(errors="replace").splitlines()[-4:]
    return f"The end of {root / 'postgres.log'}: {' | '.join(lines)}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m config.embedded_postgres")
    parser.add_argument("command", choices=("start", "stop", "status", "url"))
    parser.add_argument("--root", type=Path, default=ROOT, metavar="DIR", help="default: %(default)s")
    parser.add_argument("--database", default="postgres", metavar="NAME", help="the one the URL names")
    options = parser.parse_args(argv)
    try:
        return _obey(options.command, options.root.resolve(), options.database)
    except (RuntimeError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


def _obey(command: str, root: Path, database: str) -> int:
    if command == "stop":
        print("PostgreSQL was stopped." if stop(root) else "PostgreSQL was not running.")
        return 0
    if command == "start":
        print(ensure_running(root).url(database))
        return 0
    ready = next(filter(_is_ready, _clusters(root)), None)
    if ready is None:
        print(f"PostgreSQL does not run in {root}.", file=sys.stderr)
        return NOT_RUNNING
    print(ready.url(database) if command == "url" else f"PostgreSQL runs on {ready.data_dir}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
