"""Benchmarks of the sync engine: first loads against a bare floor, matching among many contacts, and cost as tables grow.

Each takes about a minute on an idle machine. `BENCH_CONTACTS` sets the size of the large table, `BENCH_LOAD` the number of people
of a first load, `BENCH_UPDATES` that of the updates; docs/benchmarks.md has the sizes of its figures.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from statistics import median
from typing import Any

from django.test import override_settings

from tests.bench_bulk import COPY, STORE, bulk_pull, empty

LARGE = int(os.environ.get("BENCH_CONTACTS", "50000"))
SMALL = 10_000
LOAD = int(os.environ.get("BENCH_LOAD", "5000"))
PAGE = 100
PAGES = int(os.environ.get("BENCH_PAGES", "20"))
PAIRS = int(os.environ.get("BENCH_PAIRS", "3"))
RECORDS = 1000
UPDATES = int(os.environ.get("BENCH_UPDATES", "2000"))

# As many names as large countries have in common use: few people share both names and the company's beginning.
FILL = """
WITH people AS (
    SELECT gen_random_uuid() AS id, n,
        (ARRAY['Ann','Bob','Carla','Dmitri','Eva','Frank','Grace','Henry','Ines','Jack','Karen','Leo','Mia','Nina','Oscar','Paula'])
            [1 + (hashint4(n) & 15)] || (ARRAY['','a','e','ia','o','us','ie','el'])[1 + (hashint4(n) >> 4 & 7)]
            || (ARRAY['','lyn','bert','rose'])[1 + (hashint4(n) >> 7 & 3)] AS first_name,
        (ARRAY['Lee','Smith','Jones','Garcia','Miller','Davis','Lopez','Wilson','Moore','Taylor','White','Harris','Martin','Clark',
            'Lewis','Walker'])[1 + (hashint4(n + 7) & 15)] || (ARRAY['','s','son','man','berg','field','ton','wood'])
            [1 + (hashint4(n + 7) >> 4 & 7)] || (ARRAY['','er','ez','ov','ini','sen','ian','ski'])[1 + (hashint4(n + 7) >> 7 & 7)]
            AS last_name,
        (ARRAY['North','South','Blue','Green','Prime','Metro','Alpha','Delta','River','Summit','Union','Pioneer','Golden','Silver',
            'Harbor','Valley'])[1 + (hashint4(n + 3) & 15)] || ' ' || (ARRAY['Foods','Steel','Media','Energy','Trading','Systems',
            'Health','Motors'])[1 + (hashint4(n + 3) >> 4 & 7)] || ' ' || (hashint4(n + 3) >> 7 & 255) || ' Ltd' AS company
    FROM generate_series(%(start)s::int, %(end)s::int - 1) AS n
), made AS (
    INSERT INTO contacts (id, tenant_id, first_name, last_name, email, phone, mobile_phone, company, title, lead_status,
        owner_email, do_not_call, last_disposition, call_count, custom, version)
    SELECT id, %(tenant)s, first_name, last_name, 'p' || n || '@example.com', '+1' || 2025550000 + n, '', company, '', 'NEW', '',
        false, '', 0, '{}', 1 FROM people
)
INSERT INTO crm_sync_records (tenant_id, connection_id, crm_provider, crm_object_type, crm_record_id, local_record_id, local_table,
    sync_direction, sync_status, last_crm_modified_at, base)
SELECT %(tenant)s, %(connection)s, 'hubspot', 'contacts', n::text, id, 'contacts', 'inbound', 'synced', '2026-01-01T00:00:00Z',
    jsonb_build_object('first_name', first_name, 'last_name', last_name, 'email', 'p' || n || '@example.com',
        'phone', '+1' || 2025550000 + n, 'company', company, 'lead_status', 'NEW')
FROM people WHERE %(linked)s
"""
ANALYSED = ("contacts", "crm_sync_records")


@contextmanager
def _tenant() -> Iterator[Any]:
    """A tenant with a connection and its mapping."""
    from integrations import tenancy
    from integrations.models import CrmConnection, Tenant
    from mapping.publishing import add_defaults

    with tenancy.everyone():
        tenant = Tenant.objects.create(slug=f"bench-{time.time_ns()}", name="Bench")
        row = CrmConnection.objects.create(tenant=tenant, provider="hubspot", access_token="x")
        add_defaults(row)
        try:
            yield row
        finally:
            empty(tenant)


def _fill(row: Any, start: int, end: int, *, linked: bool) -> None:
    """Contacts with these numbers, linked to the connection or not. In parts, as a transaction must not grow too large."""
    from django.db import connection

    order = {"tenant": row.tenant_id, "connection": row.pk, "linked": linked}
    with connection.cursor() as sql:
        for at in range(start, end, 50_000):
            sql.execute(FILL, {**order, "start": at, "end": min(at + 50_000, end)})
        for table in ANALYSED:
            sql.execute(f"VACUUM ANALYZE {table}")


def _each(work: Callable[[], object], count: int) -> float:
    """Milliseconds for each of `count`."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000 / count


# --- loading --------------------------------------------------------------------------------------------------------


def bench_load() -> None:
    """A first load over HTTP by a bulk query, against fetching the same pages and copying them raw into one table."""
    pairs = [(bulk_pull(LOAD, STORE), bulk_pull(LOAD, COPY)) for _ in range(PAIRS)]
    ratio = median(ours["records_per_second"] / floor["records_per_second"] for ours, floor in pairs)
    fastest = [max(side["records_per_second"] for side in sides) for sides in zip(*pairs, strict=True)]
    print(
        f"load       {ratio:5.2f} of the floor   {LOAD:,} people: {fastest[0]:,}/s, fetched and copied raw {fastest[1]:,}/s; "
        f"peak {pairs[0][0]['peak_mb']} MB"
    )


def bench_memory() -> None:
    """The peak of a process that loads so many people, against one that loads twice as many."""
    small, large = bulk_pull(LOAD, STORE), bulk_pull(2 * LOAD, STORE)
    ratio = small["peak_mb"] / large["peak_mb"]
    print(
        f"memory     {ratio:5.2f} of twice as many   {large['records']:,} people stored: peak {large['peak_mb']} MB; "
        f"half of them: {small['peak_mb']} MB"
    )


# --- writing to the CRM ----------------------------------------------------------------------------------------------


def bench_outbound() -> None:
    """What thousands of updates cost in requests, counted by the sandbox of each CRM that takes them in batches."""
    from integrations import tenancy
    from integrations.connecting import connect
    from integrations.models import Tenant
    from integrations.registry import sandbox_class
    from tests.live.test_outbound_cost import IN_BATCHES, cost
    from tests.providers.case import Case
    from tests.providers.harness import serve

    for slug in IN_BATCHES:
        server = serve(sandbox_class(slug))
        ours = {**server.service.environment(server.url), "CRM_ALLOWED_HOSTS": [server.url.removeprefix("http://")]}
        tenant = Tenant.objects.create(slug=f"bench-{time.time_ns()}", name="Bench")
        with override_settings(**ours), tenancy.scope(tenant.pk):
            credential = server.service.credential(server.url)
            row, _account = connect(tenant, slug, credential)
            calls, slices, seconds = cost(Case(slug, server, tenant, credential, row), 1000, UPDATES // 1000)
        with tenancy.everyone():
            empty(tenant)
        server.close()
        print(
            f"outbound   {calls - slices} requests for {UPDATES:,} updates   {slug}, {slices} more for its fields, {seconds:.0f} s"
        )


# --- matching -------------------------------------------------------------------------------------------------------


def bench_matching() -> None:
    """A thousand new records against many contacts: by id, e-mail and phone, and by name and company."""
    with _tenant() as row:
        _fill(row, 0, LARGE, linked=False)
        exact = median(_exact(row, turn) for turn in range(5))
        fuzzy = median(_fuzzy(row, turn) for turn in range(3))
    print(
        f"matching   {exact:5.2f} ms a record exact, {fuzzy:.2f} ms fuzzy   {RECORDS:,} records against {LARGE:,} contacts, "
        "aims 1 ms and 20 ms"
    )


def _exact(row: Any, turn: int) -> float:
    from sync import candidates
    from sync.matching import Index

    people = {str(n): _values(n) for n in _sample(turn)}

    def work() -> None:
        index = Index(candidates.exact(row, people))
        found = [index.match(one, key) for key, one in people.items()]
        if not all(one.id for one in found):
            raise RuntimeError("Somebody was not found again.")

    return _each(work, RECORDS)


def _fuzzy(row: Any, turn: int) -> float:
    """With a typing error in each last name, and nothing else in common."""
    from sync import candidates

    people = _misspelt(row, turn)
    found: list[Any] = []

    def work() -> None:
        for start in range(0, len(people), PAGE):
            found.extend(candidates.alike(row, people[start : start + PAGE], 0.85))

    each = _each(work, len(people))
    if len(found) < 0.9 * len(people):
        raise RuntimeError(f"Only {len(found)} of {len(people)} were found.")
    return each


def _misspelt(row: Any, turn: int) -> list[dict[str, Any]]:
    from sync.models import Contact

    emails = [f"p{n}@example.com" for n in _sample(turn)[: RECORDS // 5]]
    rows = Contact.objects.filter(tenant_id=row.tenant_id, email__in=emails)
    return [
        {"first_name": first, "last_name": f"{last[:2]}x{last[3:]}", "company": company}
        for first, last, company in rows.values_list("first_name", "last_name", "company")
    ]


def _sample(turn: int) -> list[int]:
    return [(turn * 7919 + at * (LARGE // RECORDS)) % LARGE for at in range(RECORDS)]


def _values(number: int) -> dict[str, Any]:
    return {"email": f"p{number}@example.com", "phone": f"+1{2025550000 + number}"}


# --- growth ---------------------------------------------------------------------------------------------------------


def bench_growth() -> None:
    """What a page costs in a small and in a large table: of new people, of changed people, of people that are as they were."""
    with _tenant() as row:
        _fill(row, 0, SMALL, linked=True)
        small = _costs(row, SMALL, 10_000_000)
        _fill(row, SMALL, LARGE, linked=True)
        large = _costs(row, LARGE, 20_000_000)
    for name, before in small.items():
        print(
            f"growth     {before / large[name]:5.2f} of the pace   {name} people: {large[name]:.2f} ms each among {LARGE:,}, "
            f"{before:.2f} ms among {SMALL:,}"
        )


def _costs(row: Any, size: int, free: int) -> dict[str, float]:
    """Milliseconds a record, by kind. `free` is where unused numbers begin."""
    pages = [list(range(free + at * PAGE, free + (at + 1) * PAGE)) for at in range(PAGES)]
    step = size // (PAGE * PAGES)
    held = [list(range(at * PAGE * step, (at + 1) * PAGE * step, step)) for at in range(PAGES)]
    _apply(row, [_people(numbers, "warm") for numbers in held[:2]])
    new = _apply(row, [_people(numbers, "new") for numbers in pages])
    changed = _apply(row, [_people(numbers, f"changed {size}") for numbers in held])
    same = _apply(row, [_people(numbers, f"changed {size}") for numbers in held])
    return {"new": new, "changed": changed, "unchanged": same}


def _people(numbers: Sequence[int], title: str) -> list[Any]:
    from integrations.records.remote import RemoteRecord

    now = datetime.now(UTC)
    return [RemoteRecord("contacts", str(n), _person(n, title), now, url="https://crm.example/person") for n in numbers]


def _person(number: int, title: str) -> dict[str, str]:
    return {
        "firstname": f"First{number % 1789}", "lastname": f"Last{number % 2347}", "email": f"p{number}@example.com",
        "phone": f"+1{2025550000 + number % 7_000_000}", "mobilephone": "", "company": f"Company {number % 5003} Ltd",
        "jobtitle": title, "hs_lead_status": "NEW",
    }  # fmt: skip


def _apply(row: Any, pages: Sequence[Sequence[Any]]) -> float:
    """Milliseconds a record: the median of the pages."""
    from integrations.records.remote import ChangePage
    from mapping.publishing import compiled
    from sync.inbound import PageWriter
    from sync.models import SyncRun

    mapping = compiled(row, "contacts")
    run = SyncRun.objects.create(tenant=row.tenant, connection=row, kind="initial", object_type="contacts")
    times, held, feed = [], None, f"poll:{run.pk}"
    with mapping.engine.session() as session:
        writer = PageWriter(row, run, session)
        for at, records in enumerate(pages, 1):
            started = time.perf_counter()
            writer.apply(ChangePage(records, {"at": at}), feed, held)
            times.append((time.perf_counter() - started) * 1000 / len(records))
            held = {"at": at}
    run.delete()
    return median(times)
