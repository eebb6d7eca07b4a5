"""What becomes of the cost of things as an installation grows, to 1,000,000 contacts and 1,000 tenants.

`BENCH_GROWTH` lists the sizes as contacts×tenants, each larger than the one before; the last is what the aims hold for. The rest of
the installation grows with them: of a million contacts hang 100,000 dead jobs, and as many failed for each of 20 causes.
"""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from statistics import median
from typing import TYPE_CHECKING, Any

from django.db import connection as database
from django.db import transaction
from django.test.utils import CaptureQueriesContext

from tests.bench_table import Figure, percentiles, say

if TYPE_CHECKING:
    from tests.bench_pages import Asked

SIZES = [
    (int(contacts), int(tenants))
    for contacts, _, tenants in (
        one.partition("x")
        for one in os.environ.get("BENCH_GROWTH", "4000x30,40000x100,250000x300,1000000x1000").split(",")
    )
]
TIMES = int(os.environ.get("BENCH_TIMES", "5"))
BEND = 0.5
"""The pace that must be left at the largest size of what it was at the smallest."""
TICK_QUERIES = 60
LOOKED_UP = 200


def bench_growth() -> None:
    """Curves: one line for each thing and size, with its pace of that at the first size; then every page at the last size."""
    from tests.bench_world import grow

    first: dict[str, float] = {}
    curves: dict[str, list[str]] = {name: [] for name in THINGS}
    for contacts, tenants in SIZES:
        took = grow(contacts, tenants)
        print(f"growth     {contacts:,} contacts, {tenants:,} tenants, made in {took:.0f} s", flush=True)
        _curves(f"{contacts:,} × {tenants:,}", first, curves, last=(contacts, tenants) == SIZES[-1])
    _print_table(curves)
    _pages()


def _print_table(curves: dict[str, list[str]]) -> None:
    """As docs/benchmarks.md has it."""
    heads = [f"{contacts:,} contacts, {tenants:,} tenants" for contacts, tenants in SIZES]
    rows = [["What", *heads], ["---"] * (len(heads) + 1), *([name, *cells] for name, cells in curves.items())]
    print("\n".join(f"| {' | '.join(row)} |" for row in rows), flush=True)


def _curves(size: str, first: dict[str, float], curves: dict[str, list[str]], *, last: bool) -> None:
    for name, work in THINGS.items():
        times, statements = _measured(work)
        curves[name].append(f"{percentiles(times)[0]:,.0f} ms, {statements} statements")
        p50, p95, p99 = percentiles(times)
        ratio = first.setdefault(name, p50) / p50
        highest = TICK_QUERIES if name == "minute's tick" else None
        say(
            Figure(
                "growth", f"{name}, {size}", ratio=ratio, of="the first size", aim=BEND if last and name in FLAT else None,
                p50=p50, p95=p95, p99=p99, count=statements, highest=highest,
            )
        )  # fmt: skip


def _measured(work: Callable[[], object]) -> tuple[list[float], int]:
    """Milliseconds of each time, and the statements of the first."""
    with CaptureQueriesContext(database) as seen:
        work()
    times = []
    for _ in range(TIMES):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1000)
    return times, len(seen)


def _pages() -> None:
    """The named ones each by itself. Of those that the registry has besides, only the dearest, and whichever is over a limit."""
    from tests.bench_found import found, meet
    from tests.bench_pages import addresses, as_served, ask, glanced, people

    named = addresses()
    _forget_mapping()
    meet()
    clients = people()
    others = {who: found(client, set(named.values())) for who, client in clients.items()}
    with as_served():
        for who, client in clients.items():
            for asked in ask(named, client, who, TIMES):
                say(_figure(asked))
            glances = (glanced(client, who, address) for address in others[who])
            seen = [_figure(asked) for asked in glances if asked]
            for one in seen:
                if one.is_under:
                    say(one)
            dearest = max(seen, key=lambda one: one.work or 0.0)
            say(replace(dearest, what=f"dearest of {len(seen)} others: {dearest.what}"))


def _forget_mapping() -> None:
    """That the curves gave the first tenant: the world of the pages brings its own."""
    from integrations import tenancy
    from mapping.models import FieldMapping, MappingVersion

    with tenancy.everyone():
        for model in (FieldMapping, MappingVersion):
            model.objects.filter(tenant=_connection().tenant).delete()


def _figure(asked: "Asked") -> Figure:
    from tests.bench_pages import MOST_MS, MOST_QUERIES

    if asked.status >= 400:
        raise RuntimeError(f"{asked.page} answered {asked.status} to {asked.who}.")
    p50, p95, p99 = percentiles(asked.times)
    return Figure(
        "growth", f"{asked.page} ({asked.who})", rate=1000 / median(asked.times), p50=p50, p95=p95, p99=p99,
        work=asked.work, most=MOST_MS, count=asked.queries, highest=MOST_QUERIES,
    )  # fmt: skip


# --- the things ---------------------------------------------------------------------------------------------------------


def _connection() -> Any:
    from integrations.models import CrmConnection

    return CrmConnection.objects.select_related("tenant").get(tenant__slug="bench-0")


def _look_ups() -> None:
    """New records of one page by id, e-mail and phone."""
    from integrations import tenancy
    from sync import candidates

    people = {
        f"new-{n}": {"email": f"p{n * 37}@example.com", "phone": f"+1{2025550000 + n * 37}"} for n in range(LOOKED_UP)
    }
    with tenancy.everyone():
        row = _connection()
    with tenancy.scope(row.tenant_id):
        candidates.exact(row, people)


def _claim() -> None:
    """One job of the first tenant, given back at once."""
    from integrations import tenancy
    from sync import queue

    with tenancy.everyone():
        row = _connection()
        claimed = queue.claim(row.pk, "push", 1)
        with transaction.atomic():
            queue.settle(claimed, [queue.Outcome(job, "ready", counts=False) for job in claimed.jobs])


def _turn() -> None:
    """Who is next among all that wait, and back into the line."""
    from integrations import tenancy
    from sync import lanes

    with tenancy.everyone(), database.cursor() as sql:
        sql.execute("UPDATE crm_credentials SET wake_requested_at = now() WHERE wake_requested_at IS NULL")
        lanes.next_turn()


def _wake_due() -> None:
    """What the supervisor asks every second when all are on their way."""
    from sync import queue

    queue.wake_due()


def _tick() -> None:
    """The clock's minute: hours counted, conditions looked at, notices sent; lost work found."""
    from sync import queue
    from sync.alerting import watching

    watching.minute()
    queue.release_expired()


def _cards() -> None:
    from integrations import tenancy
    from sync import health

    with tenancy.everyone():
        health.cards(most=60)


def _new_people() -> None:
    """A page of a hundred people whom nobody knows."""
    from integrations import tenancy
    from mapping.models import FieldMapping
    from mapping.publishing import add_defaults
    from tests.bench_sync import _apply, _people

    with tenancy.everyone():
        row = _connection()
        if not FieldMapping.objects.filter(tenant=row.tenant).exists():
            add_defaults(row)
        start = next(_unused)
        _apply(row, [_people(range(start, start + 100), "new")])


_unused = count(10_000_000, 100)


def _post() -> None:
    """A changed contact of the first tenant: its row, its history and the job for its CRM."""
    from integrations import tenancy
    from sync import editing
    from sync.models import Contact

    with tenancy.everyone():
        tenant_id = _connection().tenant_id
    with tenancy.scope(tenant_id):
        person = Contact.objects.filter(tenant_id=tenant_id).order_by("last_name", "first_name", "pk")[0]
        editing.edit(
            person.pk, {"title": str(time.time_ns())}, editing.Author("person", "bench"), expected_version=None
        )


THINGS: dict[str, Callable[[], object]] = {
    "200 look-ups": _look_ups,
    "claim of a job": _claim,
    "choice of the next turn": _turn,
    "wake-up of who is due": _wake_due,
    "edit of a contact": _post,
    "page of 100 new people": _new_people,
    "cards": _cards,
    "minute's tick": _tick,
}
FLAT = {"200 look-ups", "claim of a job", "edit of a contact", "page of 100 new people"}
"""What no number of contacts or tenants may make dearer. The others look at every connection."""
