"""An hour's worth of work squeezed into minutes: what the web, a worker and the listener hold in memory afterwards, against before.

Real processes, but for the worker, which takes its turns in one process that is never renewed: `python -m tests.bench_memory`.
A fifth of the work warms up. `BENCH_MEMORY` is how much of an hour is done (1.0).
"""

import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from tests.live.system import System

SHARE = float(os.environ.get("BENCH_MEMORY", "1.0"))
REQUESTS, TURNS, EVENTS = int(3600 * SHARE), int(2000 * SHARE), int(3000 * SHARE)
WARM = 0.2
AT_ONCE = 4
PATIENCE = 200.0 + 1800.0 * SHARE  # on a busy machine the work of an hour takes half of one
MB = 1024 * 1024
PAGES = (
    "/admin/",
    "/admin/sync/contact/",
    "/admin/sync/syncjob/",
    "/admin/sync/inboxevent/",
    "/admin/activities/call/",
)


@dataclass(slots=True)
class Held:
    """Megabytes of a process and its children, once it was warm and at the end."""

    warm: float = 0.0
    end: float = 0.0


def bench_memory() -> None:
    """Ratio of what is held once warm to what is held at the end; 1 is flat."""
    from tests.bench_table import Figure, say

    with _system() as (system, people):
        traffic = _Traffic(system, people)
        held = traffic.run()
        done = traffic.done()
    for name, one in held.items():
        words = f"{name}: {one.warm:.0f} MB warm, {one.end:.0f} MB after {done[name]}"
        say(Figure("memory", words, ratio=one.warm / one.end, of="warm/end", aim=0.95))


@contextmanager
def _system() -> "Iterator[tuple[System, dict[str, list[str]]]]":
    from config.demo import story
    from tests.live.fire import dialable
    from tests.live.system import running_system

    env = {"API_RATE": "1000000/min", "LOG_LEVEL": "WARNING"}
    with tempfile.TemporaryDirectory() as folder, running_system(Path(folder), **env) as system:
        for tenant in system.tenants:
            system.processes.run("sync_now", tenant.slug, "--json")
        people = {
            one.slug: dialable(story.wait_for_contacts(system.client(one), 500, lambda _: None))
            for one in system.tenants
        }
        system.processes.start("worker", [sys.executable, "-m", "tests.bench_memory", str(Path(folder) / "turns.json")])
        system.processes.start_listener()
        yield system, people


class _Traffic:
    """Calls posted, the feed read, pages looked at, and people changed in the CRM that streams."""

    def __init__(self, system: "System", people: dict[str, list[str]]) -> None:
        self.system, self.people = system, people
        self.requests = self.events = 0
        self.cookies = _signed_in()
        self._numbers = iter(range(10**9))
        self._lock = threading.Lock()
        self._streaming = next(one for one in system.tenants if one.provider in _streaming())

    def run(self) -> dict[str, Held]:
        held = {name: Held() for name in ("web", "worker", "listener")}
        ends, warmed = time.monotonic() + PATIENCE, False
        with ThreadPoolExecutor(AT_ONCE) as pool:
            while self.left() > 0 and time.monotonic() < ends:
                list(pool.map(lambda _: self._round(), range(AT_ONCE)))
                if not warmed and self.left() <= 1 - WARM:
                    warmed = True
                    self._look(held, "warm")
        self._look(held, "end")
        if self.left() > 0:
            raise RuntimeError(f"Not done in {PATIENCE:.0f} s: {self.done()}. A smaller BENCH_MEMORY would do.")
        return held

    def left(self) -> float:
        """Of the slowest."""
        return 1 - min(self.requests / REQUESTS, self._turns() / TURNS, _stored_events() / EVENTS, 1.0)

    def done(self) -> dict[str, str]:
        return {
            "web": f"{self.requests:,} requests", "worker": f"{self._turns():,} turns",
            "listener": f"{_stored_events():,} events",
        }  # fmt: skip

    def _turns(self) -> int:
        path = self.system.processes.logs.parent / "turns.json"
        return int(path.read_text() or 0) if path.exists() else 0

    def _look(self, held: dict[str, Held], when: str) -> None:
        pids: dict[str, int] = json.loads((self.system.processes.logs / "pids.json").read_text())
        for name, one in held.items():
            setattr(one, when, _megabytes(pids[name]))

    def _round(self) -> None:
        with self._lock:
            number = next(self._numbers)
        tenant = self.system.tenants[number % len(self.system.tenants)]
        line = requests.Session()
        line.headers["Authorization"] = f"Bearer {tenant.api_key}"
        base = self.system.web
        for step in range(4):
            _call(line, base, tenant, number * 4 + step, self.people[tenant.slug])
        line.get(f"{base}/api/v1/contacts/", params={"limit": "100"}, timeout=60).raise_for_status()
        page = next(_pages)
        requests.get(base + page, cookies=self.cookies, timeout=60).raise_for_status()
        who = self.people[self._streaming.slug]
        for step in range(5):
            _change(self._streaming.sandbox, who[(number * 5 + step) % len(who)], number * 5 + step)
        with self._lock:
            self.requests += 6


_pages = cycle(PAGES)


def _call(line: requests.Session, base: str, tenant: Any, number: int, people: list[str]) -> None:
    from config.demo import story

    body = {**story.call_body(tenant, number, people[number % len(people)]), "external_id": f"hour-{number}"}
    line.post(f"{base}/api/v1/calls/", json=body, timeout=60).raise_for_status()


def _change(sandbox: str, record_id: str, number: int) -> None:
    kind = "Lead" if record_id.startswith("00Q") else "Contact"
    order = {"object": kind, "id": record_id, "fields": {"Title": f"Title {number}"}}
    requests.post(f"{sandbox}/_sandbox/edit", json=order, timeout=60).raise_for_status()


def _streaming() -> list[str]:
    from sync.listening import streaming_providers

    return streaming_providers()


def _stored_events() -> int:
    from integrations import tenancy
    from sync.models import InboxEvent

    with tenancy.everyone():
        return InboxEvent.objects.filter(source="stream").count()


def _signed_in() -> dict[str, str]:
    """The cookie of somebody of support."""
    from django.conf import settings
    from django.test import Client

    from tests import factories

    client = Client()
    client.force_login(factories.support())
    return {settings.SESSION_COOKIE_NAME: client.cookies[settings.SESSION_COOKIE_NAME].value}


def _megabytes(pid: int) -> float:
    import psutil

    whole = psutil.Process(pid)
    return sum(float(one.memory_info().rss) for one in (whole, *whole.children(recursive=True))) / MB


# --- the worker ---------------------------------------------------------------------------------------------------------


def take_turns(count_in: Path) -> None:
    """For ever, as a worker of the cluster would, and counts the turns."""
    from sync import lanes, work

    turns = 0
    next_turn = lanes.next_turn

    def counted() -> Any:
        nonlocal turns
        found = next_turn()
        turns += found is not None
        return found

    lanes.next_turn = counted
    while True:
        if not work.serve(seconds=2.0):
            time.sleep(0.02)
        count_in.write_text(json.dumps(turns))


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    take_turns(Path(sys.argv[1]))
