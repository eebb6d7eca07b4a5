"""Processes spend the quotas of all three CRMs, as each really counts: how much of what it would allow, and what it refused.

The sandboxes count as the vendors do and keep their own books: a request too many is refused, and counted. How full a window was
is the mean over all moments after it can first have been full. One process does what must not wait, for which a part is kept; the
others log calls. Loads stop at 70 % by design, and people's edits at 95 % of a day.

`python -m tests.bench_limits SECONDS LANE CONNECTION METHOD PATH …` is one of the processes.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from integrations.models import Tenant
    from integrations.sandbox.server import SandboxServer

PROCESSES = int(os.environ.get("BENCH_PROCESSES", "4"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "24"))
ROOM_OF_A_DAY = 150
DO_NOT_CALL, CALLS, EDITS = 0, 10, 20


@dataclass(frozen=True, slots=True)
class Line:
    """One published window, and a request that it counts."""

    slug: str
    name: str
    method: str
    path: str
    quota: int
    window: float
    shape: str = ""
    """How the sandbox's books call it, where ids are blanked."""
    body: str = "null"
    lane: int = CALLS

    @property
    def counted(self) -> str:
        return f"{self.method} {self.shape or self.path.partition('?')[0]}"


FIRST = (
    Line("hubspot", "190 in any 10 s", "GET", "/crm/v3/owners", 190, 10.0),
    Line("hubspot", "5 searches in any second", "POST", "/crm/v3/objects/contacts/search", 5, 1.0, body='{"limit": 1}'),
    Line("followupboss", "notes: 10 in any 10 s", "POST", "/notes", 10, 10.0, shape="/v1/notes",
         body='{"personId": "{person}", "subject": "bench", "body": "bench"}'),
    Line("followupboss", "reading events: 20 in any 10 s", "GET", "/events?limit=1", 20, 10.0, shape="/v1/events"),
    Line("followupboss", "changing people: 25 in any 10 s", "PUT", "/people/{person}", 25, 10.0, shape="/v1/people/{id}",
         body='{"background": "bench"}'),
)  # fmt: skip
SECOND = (
    Line("followupboss", "account: 250 in any 10 s", "GET", "/people?limit=1", 250, 10.0, shape="/v1/people"),
    Line("salesforce", "a day's requests, people's edits", "GET", "/services/data/v59.0/limits", 0, 0.0, lane=EDITS),
)


def bench_limits() -> None:
    """Each window's use of what the CRM would allow, and how often a sandbox had to refuse."""
    for lines in (FIRST, SECOND):
        _spend(lines)


def _spend(lines: Sequence[Line]) -> None:
    from tests.bench_table import Figure, say
    from tests.fullness import mean_use

    slugs = sorted({one.slug for one in lines})
    with _connected(slugs) as (servers, rows, env):
        time.sleep(max((one.window for one in lines), default=0.0))  # what connecting asked has left the windows
        days = {slug: _day_begins(server) for slug, server in servers.items() if slug == "salesforce"}
        refused = {slug: _refusals(server) for slug, server in servers.items()}
        seen = _watched(lines, servers, _spenders(lines, rows, servers, env))
        until = min(times[0] for times in seen.values()) + SECONDS
        for line, times in seen.items():
            if line.window:
                ratio = mean_use(times, line.quota, line.window, until)
            else:
                ratio = _all_used(servers[line.slug]) / days[line.slug]
            rate = len(times) / max(times[-1] - times[0], 1.0)
            say(Figure("limits", f"{line.slug}: {line.name}", ratio=ratio, of="the limit", aim=0.95, rate=rate))
        for slug, server in servers.items():
            count = _refusals(server) - refused[slug]
            say(Figure("limits", f"{slug}: refused by the sandbox", count=count, highest=0))


@contextmanager
def _connected(slugs: Sequence[str]) -> Iterator[tuple[dict[str, "SandboxServer"], dict[str, Any], dict[str, str]]]:
    from django.test import override_settings

    from integrations import tenancy
    from integrations.connecting import connect
    from integrations.models import Tenant
    from integrations.registry import sandbox_class
    from tests.bench_bulk import empty
    from tests.live.system import database_url
    from tests.providers.harness import serve

    with ExitStack() as stack:
        servers = {slug: serve(sandbox_class(slug)) for slug in slugs}
        ours: dict[str, Any] = {}
        for server in servers.values():
            stack.callback(server.close)
            ours |= server.service.environment(server.url)
        hosts = [server.url.removeprefix("http://") for server in servers.values()]
        stack.enter_context(override_settings(**ours, CRM_ALLOWED_HOSTS=hosts))
        with tenancy.everyone():
            tenant: Tenant = Tenant.objects.create(slug=f"bench-{time.time_ns()}", name="Bench")
        stack.callback(_in_scope, empty, tenant)
        with tenancy.scope(tenant.pk):
            rows = {slug: connect(tenant, slug, one.service.credential(one.url))[0] for slug, one in servers.items()}
        told = {name: ",".join(value) if isinstance(value, list) else str(value) for name, value in ours.items()}
        env = {
            **os.environ,
            **told,
            "DEBUG": "true",
            "DATABASE_URL": database_url(),
            "CRM_ALLOWED_HOSTS": ",".join(hosts),
        }
        yield servers, rows, env


def _in_scope(work: Any, tenant: "Tenant") -> None:
    from integrations import tenancy

    with tenancy.everyone():
        work(tenant)


def _spenders(lines: Sequence[Line], rows: Any, servers: Any, env: dict[str, str]) -> list[subprocess.Popen[bytes]]:
    spenders = []
    for place in range(PROCESSES):
        orders = [
            [
                DO_NOT_CALL if line.window and not place else line.lane,
                str(rows[line.slug].pk),
                line.method,
                *_filled(line, _person(servers[line.slug])),
            ]
            for line in lines
        ]
        command = [sys.executable, "-m", "tests.bench_limits", str(SECONDS), json.dumps(orders)]
        spenders.append(subprocess.Popen(command, env=env))
    return spenders


def _watched(
    lines: Sequence[Line], servers: Any, spenders: Sequence[subprocess.Popen[bytes]]
) -> dict[Line, list[float]]:
    """When each line's requests came, by the sandbox's books."""
    times: dict[Line, list[float]] = {line: [] for line in lines}
    before = {line: servers[line.slug].counts[line.counted] for line in lines}
    while any(one.poll() is None for one in spenders):
        now = time.monotonic()
        for line in lines:
            came = servers[line.slug].counts[line.counted] - before[line]
            times[line] += [now] * (came - len(times[line]))
        time.sleep(0.01)
    if any(one.returncode for one in spenders) or not all(times.values()):
        raise RuntimeError("One of the spending processes failed; its words stand above.")
    return times


def _filled(line: Line, person: str) -> tuple[str, Any]:
    return line.path.replace("{person}", person), json.loads(line.body.replace('"{person}"', person or '""'))


def _person(server: Any) -> str:
    return str(next(iter(server.service.store.all("people")))["id"]) if server.service.slug == "followupboss" else ""


def _day_begins(server: Any) -> int:
    """Leaves so much room in the day that it can be used up, and gives the whole of it."""
    server.service.daily_limit = server.service._used + ROOM_OF_A_DAY
    return int(server.service.daily_limit)


def _all_used(server: Any) -> int:
    return int(server.service._used)


def _refusals(server: Any) -> int:
    return int(server.statuses[429] + server.statuses[403])


# --- one of the processes -----------------------------------------------------------------------------------------------


def spend(seconds: float, orders: Sequence[Sequence[Any]]) -> None:
    """A thread for each line: asks as often as the limiter lets it."""
    ends = time.monotonic() + seconds
    threads = [threading.Thread(target=_ask, args=(ends, *order)) for order in orders]
    for one in threads:
        one.start()
    for one in threads:
        one.join()


def _ask(ends: float, lane: int, connection_id: str, method: str, path: str, body: Any) -> None:
    from integrations import errors, tenancy
    from integrations.crm import open_crm
    from integrations.exchanges import noted
    from integrations.models import CrmConnection
    from integrations.transport.client import WORKER
    from sync.lanes import patience_for

    with tenancy.everyone():
        row = CrmConnection.objects.select_related("tenant").get(pk=connection_id)
        _provider, api = open_crm(row, patience_for(lane, WORKER))
        with noted():  # as around every batch of a worker's
            while time.monotonic() < ends:
                try:
                    api.request(method, path, json=body, repeatable=True)
                except errors.Throttled as told:
                    time.sleep(min(told.after or 1.0, max(0.0, ends - time.monotonic())))


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    spend(float(sys.argv[1]), json.loads(sys.argv[2]))
