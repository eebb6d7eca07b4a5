"""What goes wrong: processes killed, the database and the queue lost, a full disk, wrong clocks. `crm_shocks` has the CRMs' own.

Each shock takes some seconds and returns what it did, in words; none helps the product back on its feet.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from random import Random

from config.processes import MANAGE, ROOT, StartError, free_port
from tests.faults.site import Site
from tests.faults.traffic import Traffic

Shock = Callable[[Site, Random], str]
SESSIONS = "pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
COMES_BACK_WITHIN = 30.0
SKEWS = (-300, 300)
SKEWED_FOR = 25.0
FULL_FOR = (3.0, 8.0)
FULL_UP_TO = 64 * 1024
"""Bytes that are left: enough for nothing."""


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _kill_in(site: Site, draw: Random, name: str) -> str:
    """One of its processes, whichever; the first of them is the one that guards the others."""
    until = time.monotonic() + COMES_BACK_WITHIN
    while time.monotonic() < until:  # it may have been killed a moment ago
        pids = site.parts(name)
        if pids and _kill(victim := draw.choice(pids)):
            return f"process {pids.index(victim) + 1} of {len(pids)}"
        time.sleep(0.5)
    return ""


def web_killed(site: Site, draw: Random) -> str:
    return _kill_in(site, draw, "web")


def worker_killed(site: Site, draw: Random) -> str:
    one = _kill_in(site, draw, "worker")
    if draw.random() < 0.5:
        return one
    return f"{one}, then the other {sum(map(_kill, site.parts('worker')))}"


def listener_killed(site: Site, draw: Random) -> str:
    return _kill_in(site, draw, "listener")


def database_killed(site: Site, _draw: Random) -> str:
    """All of it: its other processes end with the first."""
    pid = site.postmaster()
    return "the postmaster" if pid and _kill(pid) else ""


def backend_killed(site: Site, draw: Random) -> str:
    """PostgreSQL then ends all of its sessions and recovers by itself."""
    rows = site.ask(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    return "one of its processes" if rows and _kill(draw.choice(rows)[0]) else ""


def sessions_ended(site: Site, _draw: Random) -> str:
    rows = site.ask(f"SELECT pg_terminate_backend(pid) FROM {SESSIONS}")
    return f"{len(rows)} sessions" if rows else ""


def broker_lost(site: Site, draw: Random) -> str:
    if not site.redis_port:
        site.ask("DELETE FROM django_q_ormq")
        return "the queue's table emptied"
    site.processes.kill("redis")
    time.sleep(draw.uniform(0.5, 6.0))
    site.start_redis()
    return "Redis killed, and empty when it came back"


def disk_full(site: Site, draw: Random) -> str:
    if not site.own_disk:
        return ""
    ballast = site.data / "ballast"
    try:
        with ballast.open("wb") as file:
            until = time.monotonic() + draw.uniform(*FULL_FOR)
            while time.monotonic() < until:  # what the product frees meanwhile is taken, too
                place = os.statvfs(site.data)
                spare = place.f_bavail * place.f_frsize - FULL_UP_TO
                with contextlib.suppress(OSError):
                    if spare > 0:
                        os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), spare)
                        file.seek(0, os.SEEK_END)
                time.sleep(0.1)
    finally:
        ballast.unlink(missing_ok=True)
    return "the database's disk full"


def machine_lost(site: Site, draw: Random) -> str:
    """Everything of the product at one moment, and then the machine boots."""
    site.kill_all()
    time.sleep(draw.uniform(0.5, 3.0))
    site.start()
    return "everything killed, started again"


def worker_with_a_wrong_clock(site: Site, draw: Random) -> str:
    if not site.clock_library:
        return ""
    skew = draw.choice(SKEWS)
    site.start_skewed("worker with a wrong clock", [*MANAGE, "qcluster"], skew)
    time.sleep(SKEWED_FOR)
    site.stop_extra("worker with a wrong clock")
    return f"{skew:+d} s"


def web_with_a_wrong_clock(traffics: list[Traffic]) -> Shock:
    """The traffic and the CRMs' deliveries go to this one, too."""

    def strike(site: Site, draw: Random) -> str:
        if not site.clock_library:
            return ""
        skew, port, name = draw.choice(SKEWS), free_port(0), "web with a wrong clock"
        granian = [str(ROOT / ".venv/bin/python"), "-m", "granian", "--interface", "wsgi", "--port", str(port)]
        site.start_skewed(name, [*granian, "--blocking-threads", "4", "--no-ws", "config.wsgi:application"], skew)
        url, lists = f"http://127.0.0.1:{port}", [site.wire.webs, *(one.webs for one in traffics)]
        try:
            site.processes.wait_for(name, f"{url}/readyz")
            for webs in lists:
                webs.append(url)
            time.sleep(SKEWED_FOR)
        except StartError as error:
            return f"did not start: {str(error)[-200:]}"
        finally:
            for webs in lists:
                webs[:] = webs[:1]
            site.stop_extra(name)
        return f"{skew:+d} s"

    return strike


def of_the_machine(traffics: list[Traffic]) -> Mapping[str, tuple[Shock, int]]:
    """Name → shock and weight."""
    return {
        "web killed": (web_killed, 6),
        "worker killed": (worker_killed, 8),
        "listener killed": (listener_killed, 4),
        "database killed": (database_killed, 4),
        "a process of the database killed": (backend_killed, 3),
        "all database sessions ended": (sessions_ended, 2),
        "broker lost": (broker_lost, 5),
        "disk full": (disk_full, 3),
        "machine lost": (machine_lost, 1),
        "worker with a wrong clock": (worker_with_a_wrong_clock, 2),
        "web with a wrong clock": (web_with_a_wrong_clock(traffics), 2),
    }
