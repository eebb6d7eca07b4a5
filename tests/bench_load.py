"""One table of all that comes in and goes out: webhooks, posted calls, a first load, updates, and the admin's pages.

Whatever has a bare floor is told as a ratio to it. That of a page is Django's own admin, unthemed, with the list of the same rows
(for pages that are no list, that of contacts), asked in turn. `BENCH_WORLD` is contacts×tenants of the pages.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from django.test import Client, override_settings

from tests.bench_table import Figure, percentiles, say

CONTACTS, TENANTS = (int(one) for one in os.environ.get("BENCH_WORLD", "50000x50").split("x"))
TIMES = int(os.environ.get("BENCH_TIMES", "20"))
LISTS = {
    "contacts": "/admin/sync/contact/", "jobs": "/admin/sync/syncjob/", "inbox": "/admin/sync/inboxevent/",
    "runs": "/admin/sync/syncrun/",
}  # fmt: skip


def bench_load() -> None:
    """What is posted, loaded, written and looked at."""
    from tests import bench_http, bench_sync

    bench_http.bench_webhooks()
    bench_http.bench_ingest()
    bench_sync.bench_load()
    bench_sync.bench_outbound()
    bench_admin()


def bench_admin() -> None:
    """The pages that people open most, for somebody of one tenant and for support."""
    from tests.bench_pages import FEW, MOST_MS, MOST_QUERIES, addresses, as_served, measured, people
    from tests.bench_world import grow

    grow(CONTACTS, TENANTS)
    pages, clients = addresses(), people()
    half = max(1, TIMES // 2)
    with as_served():
        for who, client in clients.items():
            for name in FEW:
                first, floor = measured(client, who, name, pages[name], half), _floor(client, name, half)
                second = measured(client, who, name, pages[name], half)
                p50, p95, p99 = percentiles(first.times + second.times)
                say(
                    Figure(
                        "page", f"{name} ({who})", ratio=median(floor) / p50, of="plain admin", rate=1000 / p50,
                        p50=p50, p95=p95, p99=p99,
                        work=(first.work + second.work) / 2, most=MOST_MS, count=first.queries, highest=MOST_QUERIES,
                    )
                )  # fmt: skip


def _floor(client: Client, name: str, times: int) -> list[float]:
    url = LISTS.get(name, LISTS["contacts"])
    with _plain_admin():
        if client.get(url).status_code != 200:
            raise RuntimeError(f"Django's own admin does not show {url}.")
        return [_milliseconds(client, url) for _ in range(times)]


def _milliseconds(client: Client, url: str) -> float:
    started = time.perf_counter()
    client.get(url)
    return (time.perf_counter() - started) * 1000


@contextmanager
def _plain_admin() -> Iterator[None]:
    from tests import bench_floor

    with override_settings(ROOT_URLCONF=bench_floor.__name__, TEMPLATES=bench_floor.TEMPLATES):
        yield
