"""Many machines: two web and three worker hosts on one PostgreSQL and one Redis, of which some are lost while they work.

First the growth: with one, two and three worker hosts, calls to a CRM that answers slowly and lets out so many requests a second.
Then the loss: calls to all CRMs by two web hosts, one of them behind PgBouncer, while a web host and a worker host are unplugged
and Redis is killed. In the end the CRMs' own books are compared with what the dialer was promised.

`BENCH_MACHINES` is how many seconds the second part posts (45), `BENCH_LATENCY` how long an answer takes in the first (0.15).
With `BENCH_SYSTEM=no` the CRM of the first part lets out half as many requests, as it does to who is not registered with it.
"""

import signal

from tests.machines.growth import show_growth
from tests.machines.loss import show_loss
from tests.machines.site import Site, running_site, say
from tests.redis_server import MISSING, redis_server

SHARED = {"DATABASE_PREPARED": "false", "DATABASE_ROLE": ""}
"""What a web process needs behind a pooler that shares sessions."""
_SIZES = """
SELECT relname, reltuples::bigint, (pg_total_relation_size(oid) / reltuples)::bigint FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND reltuples >= 500 ORDER BY pg_total_relation_size(oid) DESC
"""


def bench_machines() -> None:
    """Growth with worker hosts, and what is left after some were lost."""
    if redis_server() is None:
        raise SystemExit(MISSING)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends this leaves no host behind
    with running_site() as site:
        site.add_web()
        pooled = {"DATABASE_URL": site.bouncer.url, **SHARED} if site.bouncer else {}
        site.add_web(**pooled)
        way = (
            "through PgBouncer in transaction mode, without row-level security"
            if pooled
            else "directly, as there is no pgbouncer here"
        )
        say(f"web-1 reaches PostgreSQL directly, web-2 {way}")
        site.add_worker()
        site.load_people()
        show_growth(site)
        show_loss(site)
        _show_sizes(site)


def _show_sizes(site: Site) -> None:
    """Bytes a row with its indexes, for tables that have enough rows to tell."""
    site.ask("ANALYZE")
    rows = site.ask(_SIZES)
    say(
        "bytes a row, indexes included: " + ", ".join(f"{table} {size} ({count:,} rows)" for table, count, size in rows)
    )
