"""Calls from the dialer to the CRMs, by the processes of a running system: how soon, at what cost, and what a fire leaves of them.

`BENCH_CALLS` is how many go through the fire (10,000), of which one tenth goes where each call is a request of its own.
"""

import os
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from config.demo.story import DemoTenant
    from tests.live.system import System

CALLS = int(os.environ.get("BENCH_CALLS", "10000"))
LONGEST_FIRE = 600.0
KILL_EVERY = 6.0
SINGLE, BACKLOG, BACKLOG_SINGLY = 40, 1000, 100
LOOK_EVERY = 0.01
NOTES = ("/notes", "/notes/{id}")
PATIENCE = 180.0
People = dict[str, list[dict[str, Any]]]


def bench_calls() -> None:
    """Seconds until a call is in its CRM, requests for each call, and calls among lost answers, refusals and killed workers."""
    print(f"calls      {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    with _system(JOB_LEASE_SECONDS="10") as (system, people):
        system.processes.start_worker("steady")
        _latency(system, people)
        _cost(system, people)
        system.processes.stop("steady")
        _fire(system, people)


@contextmanager
def _system(**env: str) -> "Iterator[tuple[System, People]]":
    from config.demo import story
    from tests.live.system import running_system

    with tempfile.TemporaryDirectory() as folder, running_system(Path(folder), **env) as system:
        for tenant in system.tenants:
            system.processes.run("sync_now", tenant.slug, "--json")
        people = {one.slug: story.wait_for_contacts(system.client(one), 1000, lambda _: None) for one in system.tenants}
        yield system, people


# --- how soon -------------------------------------------------------------------------------------------------------


def _latency(system: "System", people: People) -> None:
    """From the beginning of the POST until the CRM holds the call. One after the other, so that no queue is ever long."""
    from tests.live.fire import dialable

    times: dict[str, list[float]] = {one.slug: [] for one in system.tenants}
    for number in range(SINGLE + 3):
        for tenant in system.tenants:
            on = dialable(people[tenant.slug])
            times[tenant.slug].append(_one(system, tenant, number, on[number % len(on)]))
    for tenant in system.tenants:
        warm = times[tenant.slug][3:]
        p95 = quantiles(warm, n=20)[-1]
        print(
            f"calls      {tenant.provider}: in the CRM {median(warm) * 1000:.0f} ms after the POST began (p50), "
            f"{p95 * 1000:.0f} ms (p95), {max(warm) * 1000:.0f} ms at most, of {len(warm)}"
        )


def _one(system: "System", tenant: "DemoTenant", number: int, on: str) -> float:
    from config.demo import story

    body = {**story.call_body(tenant, number, on), "external_id": f"single-{number}"}
    client, started = system.client(tenant), time.perf_counter()
    call_id = client.post_call(body)
    while time.perf_counter() - started < PATIENCE:
        books = requests.post(f"{tenant.sandbox}/_sandbox/calls", json={"ids": [call_id]}, timeout=30).json()
        if books["found"][call_id]:
            return time.perf_counter() - started
        time.sleep(LOOK_EVERY)
    raise RuntimeError(f"A call has not reached {tenant.provider} in {PATIENCE:.0f} s.")


# --- at what cost ---------------------------------------------------------------------------------------------------


def _cost(system: "System", people: People) -> None:
    from integrations.registry import provider_class

    for tenant in system.tenants:
        batch = provider_class(tenant.provider).call_batch_size
        calls = BACKLOG if batch > 1 else BACKLOG_SINGLY
        _wait(pushes=True)
        before = _requests(tenant)
        started = time.perf_counter()
        notes = _backlog(system, tenant, people[tenant.slug], calls)
        _wait(pushes=False, kinds=["log_call"])
        took = time.perf_counter() - started
        made, for_notes = _asked(tenant, before, notes=False), ""
        if notes:
            _wait(pushes=False)
            for_notes = f", {sum(_asked(tenant, before, notes=True).values()) / notes:.3f} a note of {notes}"
        print(
            f"calls      {tenant.provider}: {sum(made.values()) / calls:.3f} requests a call{for_notes} "
            f"({calls:,} calls at once, {calls / took:.0f}/s): {_told(made)}"
        )


def _backlog(system: "System", tenant: "DemoTenant", people: list[dict[str, Any]], calls: int) -> int:
    """How many notes beside calls are to come of it."""
    from tests.live import fire

    return len(fire.post(system, tenant, people, calls, prefix="backlog", agreed=False).notes)


def _asked(tenant: "DemoTenant", before: dict[str, int], *, notes: bool) -> dict[str, int]:
    """What was asked since: for notes beside calls, or for all else."""
    since = {name: count - before.get(name, 0) for name, count in _requests(tenant).items()}
    return {name: count for name, count in since.items() if count and name.endswith(NOTES) == notes}


def _requests(tenant: "DemoTenant") -> dict[str, int]:
    found: dict[str, int] = requests.get(f"{tenant.sandbox}/_sandbox/requests", timeout=30).json()
    return found


def _told(made: dict[str, int]) -> str:
    return ", ".join(f"{count} {re.sub(r'/services/data/v[0-9.]+', '', name)}" for name, count in made.items())


def _wait(*, pushes: bool, kinds: Sequence[str] = ()) -> None:
    """Until all calls are there. What they change on their people is another matter: it waits meanwhile, or is waited for."""
    from django.db import connection as database

    from integrations import tenancy
    from sync.models import SyncJob
    from tests.live import fire

    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with tenancy.everyone(), database.cursor() as cursor:
            jobs = SyncJob.objects.filter(state__in=["ready", "leased"], kind="push")
            cursor.execute(
                "UPDATE sync_jobs SET not_before = now() + make_interval(secs => %s) WHERE kind = 'push' AND state = 'ready'",
                [0 if pushes else 60],
            )
            if not fire.open_jobs(kinds or fire.KINDS) and not (pushes and jobs.exists()):
                return
        time.sleep(0.5 if pushes else 0.1)
    raise RuntimeError("The calls have not reached their CRM.")


# --- when all goes wrong ----------------------------------------------------------------------------------------------


def _fire(system: "System", people: People) -> None:
    from config.demo import story
    from tests.live import fire

    shares = fire.shares(system.tenants, CALLS, singly=10)
    held = sum(story.audit(one, 0, []).total for one in system.tenants)
    fire.look_up_soon()
    system.set_faults(fire.FAULTS)
    started = time.monotonic()
    posted = {one.slug: fire.post(system, one, people[one.slug], shares[one.slug]) for one in system.tenants}
    stored = time.monotonic() - started
    killed = fire.burn(system, seconds=LONGEST_FIRE, kill_every=KILL_EVERY, kills=10_000)
    took = time.monotonic() - started
    struck = ", ".join(f"{count:,} × {name}" for name, count in fire.struck(system).items())
    audits = [story.audit(one, len(people[one.slug]), posted[one.slug].calls) for one in system.tenants]
    wrong = [line for one in system.tenants for line in fire.agreed_wrong(one, posted[one.slug])]
    new = sum(one.total for one in audits) - held
    print(
        f"calls      {sum(one.once for one in audits):,} of {CALLS:,} once, {new:,} new in the CRMs, in {took:.0f} s "
        f"({stored:.0f} s of posting each twice), {killed} clusters killed, {struck}"
    )
    agreed = sum(len(one.meetings) + len(one.follow_ups) + len(one.notes) for one in posted.values())
    print(
        f"calls      {agreed - len(wrong):,} of {agreed:,} meetings, follow-ups and notes once; dead: {fire.dead_jobs() or 'none'}"
    )
    print(story.table(audits), flush=True)
    print("\n".join(wrong[:20]))
