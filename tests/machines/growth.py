"""With one, two and three worker hosts: calls to a CRM that answers slowly and lets out so many requests a second."""

import os
import time
from statistics import mean

import requests

from config.demo.story import DemoTenant
from tests.machines.site import Site, say, wait_for
from tests.machines.traffic import Dialer, RoundRobin

LATENCY = float(os.environ.get("BENCH_LATENCY", "0.15"))
SETTLE, MEASURE = 8.0, 15.0
BACKLOG = 2000
SLOW: list[dict[str, object]] = [{"kind": "slow", "seconds": LATENCY, "rate": 1.0}]
SINGLY = "followupboss"
"""The CRM where each call is a request of its own."""
HOSTS = 3
_BOUND = "SELECT max(quota / seconds) FROM rate_windows WHERE key LIKE '%global%' AND quota IS NOT NULL"
_BUSY = "SELECT count(DISTINCT lease_token) FROM sync_jobs WHERE state = 'leased' AND kind = 'log_call'"
HARMLESS = "Connected"
"""A call that only has to be logged: a "do not call" is told to the CRM before any call is logged."""


def show_growth(site: Site) -> None:
    """One backlog, ever more hosts."""
    tenant = site.tenant(SINGLY)
    dialer = Dialer(RoundRobin([one.url for one in site.webs]), site.people, prefix="growth")
    site.set_faults(SLOW)
    dialer.backlog(tenant, BACKLOG, disposition=HARMLESS)
    wait_for(lambda: _logged(tenant) >= 20, "the first calls", 120, site.workers[0].last_words)
    found = [_rate(site, tenant)]
    while len(site.workers) < HOSTS:
        site.add_worker()
        found.append(_rate(site, tenant))
    bound = float(site.ask(_BOUND)[0][0])
    say(f"calls a second to {SINGLY}, whose answers take {LATENCY * 1000:.0f} ms and which lets out {bound:.1f}/s:")
    for place, (rate, busy) in enumerate(found, 1):
        say(f"  {place} worker hosts {rate:5.1f}/s  {busy:3.1f} workers at it  {'█' * round(2 * rate)}")
    rates = [rate for rate, _ in found]
    growth = " and ".join(f"{rate / rates[0]:.2f}" for rate in rates[1:])
    say(f"  {growth} times one host; {max(rates) / bound:.2f} of the CRM's limit; load {os.getloadavg()[0]:.1f}")
    site.drain()
    site.audit({tenant.slug: dialer.posted[tenant.slug]})


def _rate(site: Site, tenant: DemoTenant) -> tuple[float, float]:
    """Requests that log a call, a second, once those that a fresh window lets out at once are gone; and workers busy with them."""
    time.sleep(SETTLE)
    before, started, busy = _logged(tenant), time.monotonic(), []
    while time.monotonic() - started < MEASURE:
        busy.append(site.number(_BUSY))
        time.sleep(0.25)
    return (_logged(tenant) - before) / (time.monotonic() - started), mean(busy)


def _logged(tenant: DemoTenant) -> int:
    found: dict[str, int] = requests.get(f"{tenant.sandbox}/_sandbox/requests", timeout=60).json()
    return sum(number for shape, number in found.items() if shape.startswith("POST") and shape.endswith("/calls"))
