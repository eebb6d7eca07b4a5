"""The admin's pages as the server makes them, for somebody of one tenant and for support: time and statements of each."""

import gc
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from django.db import connection as database
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

MOST_MS, MOST_QUERIES = 200.0, 14
FIRST = "bench-0"
"""The tenant with most of the rows."""

PAGES: dict[str, str] = {
    "first page": "/admin/",
    "connections": "/admin/integrations/crmconnection/",
    "one connection": "/admin/integrations/crmconnection/{connection}/change/",
    "contacts": "/admin/sync/contact/",
    "contacts, page 100": "/admin/sync/contact/?p=100",
    "contacts by e-mail": "/admin/sync/contact/?q=p5@example.com",
    "contacts by name": "/admin/sync/contact/?q=Carla+Smith",
    "contacts by last name's beginning": "/admin/sync/contact/?q=Smi",
    "do not call": "/admin/sync/contact/?do_not_call__exact=1",
    "search everywhere": "/admin/sync/contact/find/?q=p5@example.com",
    "one contact": "/admin/sync/contact/{contact}/change/",
    "calls": "/admin/activities/call/",
    "one call": "/admin/activities/call/{call}/change/",
    "jobs": "/admin/sync/syncjob/",
    "dead jobs": "/admin/sync/syncjob/?state__exact=dead",
    "one job": "/admin/sync/syncjob/{job}/change/",
    "causes": "/admin/sync/syncjob/causes/",
    "one cause": "/admin/sync/syncjob/cause/?cause=000000000000000000000001",
    "inbox": "/admin/sync/inboxevent/",
    "failed events": "/admin/sync/inboxevent/?state__exact=failed",
    "one event": "/admin/sync/inboxevent/{event}/change/",
    "runs": "/admin/sync/syncrun/",
    "one run": "/admin/sync/syncrun/{run}/change/",
    "conflicts": "/admin/sync/conflict/",
    "conflict desk": "/admin/sync/conflict/desk/",
    "same people?": "/admin/sync/matchreview/",
    "links": "/admin/sync/syncrecord/",
    "links with problems": "/admin/sync/syncrecord/?sync_status__exact=error",
    "changes": "/admin/sync/fieldchange/",
    "requests": "/admin/integrations/apiexchange/",
    "audit": "/admin/integrations/auditentry/",
    "alerts": "/admin/sync/alert/",
    "tenants": "/admin/integrations/tenant/",
}
FEW = (
    "first page", "contacts", "contacts by name", "one contact", "jobs", "causes", "inbox", "runs", "conflict desk",
)  # fmt: skip


@dataclass(slots=True)
class Asked:
    """What one page cost, in milliseconds and statements."""

    who: str
    page: str
    times: list[float] = field(default_factory=list)
    work: float = 0.0
    """Milliseconds of processor, ours and that of the database's process for us: the median of all times."""
    queries: int = 0
    slowest: tuple[float, str] = (0.0, "")
    status: int = 200


def people() -> dict[str, Client]:
    """An admin of the first tenant, and support."""
    from django.contrib.auth.models import User

    from integrations import tenancy
    from integrations.models import Tenant
    from tests import factories

    with tenancy.everyone():
        tenant = Tenant.objects.get(slug=FIRST)
    made: dict[str, Callable[[], Any]] = {
        "admin-of-bench-0": lambda: factories.tenant_admin(tenant), "support": factories.support,
    }  # fmt: skip
    clients = {}
    for name, make in made.items():
        client = Client(raise_request_exception=False)
        client.force_login(User.objects.filter(username=name).first() or make())
        clients["tenant admin" if name != "support" else name] = client
    return clients


def rows() -> dict[str, Any]:
    """Ids of rows of the first tenant, by their place in an address."""
    found = {}
    with database.cursor() as sql:
        for name, table in (
            ("contact", "contacts"), ("call", "call_activities"), ("job", "sync_jobs"), ("event", "inbox_events"),
            ("run", "sync_runs"),
        ):  # fmt: skip
            sql.execute(
                f"SELECT t.id FROM {table} t JOIN bench_owners o ON o.tenant_id = t.tenant_id WHERE o.k = 0 LIMIT 1"
            )
            found[name] = sql.fetchone()[0]
        sql.execute("SELECT connection_id FROM bench_owners WHERE k = 0")
        found["connection"] = sql.fetchone()[0]
    return found


def addresses() -> dict[str, str]:
    """Of the pages with a name."""
    ids = rows()
    return {name: address.format(**ids) for name, address in PAGES.items()}


@contextmanager
def as_served() -> Iterator[None]:
    """As a web process answers: behind row-level security, without the notes that Django takes for developers, and with what was
    loaded once kept from the collector of garbage (see config/wsgi.py)."""
    from integrations.row_security import role

    options = database.settings_dict["OPTIONS"]
    database.close()
    options["assume_role"] = role()
    gc.collect()
    gc.freeze()
    try:
        with override_settings(DEBUG=False):
            yield
    finally:
        gc.unfreeze()
        del options["assume_role"]
        database.close()


def ask(pages: Mapping[str, str], client: Client, who: str, times: int) -> Iterator[Asked]:
    """Each page twice to warm up and to count, then so many times."""
    for name, address in pages.items():
        yield measured(client, who, name, address, times)


def measured(client: Client, who: str, name: str, url: str, times: int) -> Asked:
    asked = Asked(who, name)
    client.get(url)
    with CaptureQueriesContext(database) as seen:
        asked.status = client.get(url).status_code
    asked.queries = len(seen)
    asked.slowest = max(((float(one["time"]) * 1000, one["sql"]) for one in seen), default=(0.0, ""))
    works = []
    for _ in range(times):
        worked, started = time.thread_time() + _database_seconds(), time.perf_counter()
        client.get(url)
        asked.times.append((time.perf_counter() - started) * 1000)
        works.append((time.thread_time() + _database_seconds() - worked) * 1000)
    asked.work = median(works)
    return asked


def glanced(client: Client, who: str, url: str) -> Asked | None:
    """One of very many, asked for once more after it was warm, and measured where that took long; None where it doesn't open for
    this person."""
    if client.get(url).status_code != 200:
        return None
    worked, started = time.thread_time() + _database_seconds(), time.perf_counter()
    with CaptureQueriesContext(database) as seen:
        client.get(url)
    took = (time.perf_counter() - started) * 1000
    work = (time.thread_time() + _database_seconds() - worked) * 1000
    slowest = max(((float(one["time"]) * 1000, one["sql"]) for one in seen), default=(0.0, ""))
    return Asked(who, url, [took], work, len(seen), slowest) if work <= MOST_MS else measured(client, who, url, url, 3)


def _database_seconds() -> float:
    """Of processor, used so far by the database's process that serves us; 0 where it is on another machine."""
    with database.cursor() as sql:
        sql.execute("SELECT pg_backend_pid()")
        stat = Path(f"/proc/{sql.fetchone()[0]}/stat")
    ticks = stat.read_text().rpartition(")")[2].split()[11:13] if stat.exists() else ()
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
