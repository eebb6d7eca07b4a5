"""How much memory and time the first load of a large Salesforce organisation takes, sandbox and puller each in a process.

`python -m tests.bench_bulk [LEADS] [--how read|copy|store]` measures on a test database and prints one line. `bulk_pull` is the
same for a caller that has a database already.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django

TABLES = (
    "record_snapshots", "field_changes", "match_reviews", "sent_values", "crm_sync_records", "sync_jobs", "contacts",
)  # fmt: skip
LOOK_AGAIN = 0.3  # seconds; the sandbox's jobs are done sooner than real ones


READ, COPY, STORE = "read", "copy", "store"
"""What is done with the leads: nothing, a bare COPY of each page into a table, or all that the sync engine does."""


def bulk_pull(leads: int, how: str = READ) -> dict[str, Any]:
    """Reads so many leads by a bulk query through the transport, and does with them what `how` says.

    Returns records, seconds, records_per_second, peak_mb and start_mb of the pulling process, and requests. Needs a committed
    database, and leaves it as it was.
    """
    from integrations import tenancy
    from integrations.models import Tenant

    with _sandbox(leads) as url, tenancy.everyone():
        tenant = Tenant.objects.create(slug=f"bench-{time.time_ns()}", name="Bench")
        try:
            return _measure(tenant, url, how)
        finally:
            empty(tenant)


def bench_bulk() -> None:
    """A first load by a bulk job, without our database: its memory at one size against twice the size."""
    small, large = bulk_pull(20_000), bulk_pull(40_000)
    ratio = small["peak_mb"] / large["peak_mb"]
    print(
        f"bulk       {ratio:5.2f} of twice as many   {large['records']:,} leads at {large['records_per_second']:,.0f}/s, "
        f"peak {large['peak_mb']:.0f} MB; half of them {small['peak_mb']:.0f} MB"
    )


def _measure(tenant: Any, url: str, how: str) -> dict[str, Any]:
    import requests
    from django.test import override_settings

    from integrations.connecting import connect
    from tests.live.system import database_url

    asked = requests.get(f"{url}/_sandbox/connect", timeout=30).json()
    ours = {**asked["environment"], "CRM_ALLOWED_HOSTS": url.removeprefix("http://")}
    with override_settings(**{**ours, "CRM_ALLOWED_HOSTS": [ours["CRM_ALLOWED_HOSTS"]]}):
        row, _account = connect(tenant, "salesforce", asked["credential"])
    command = [sys.executable, "-m", "tests.bench_bulk", "--pull", str(row.pk), "--how", how]
    env = {**os.environ, **ours, "DEBUG": "true", "DATABASE_URL": database_url()}
    done = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def empty(tenant: Any) -> None:
    """Takes a tenant away again without reading a million rows first."""
    from django.db import connection

    with connection.cursor() as sql:
        sql.execute("DROP TABLE IF EXISTS bench_raw")
        for table in TABLES:
            sql.execute(f"DELETE FROM {table} WHERE tenant_id = %s", [tenant.pk])
    tenant.delete()


@contextmanager
def _sandbox(leads: int) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.bench_bulk", "--serve", str(leads)]
    env = {**os.environ, "DEBUG": "true"}
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


# --- the two processes ----------------------------------------------------------------------------------------------


def serve(leads: int) -> None:
    """A Salesforce with so many leads, until the end of its input."""
    from integrations.providers.salesforce.sandbox import Sandbox
    from integrations.sandbox.clock import Clock
    from integrations.sandbox.faults import Faults
    from integrations.sandbox.server import SandboxServer
    from integrations.sandbox.store import Store

    service = Sandbox(Store(), Clock(), Faults())
    server = SandboxServer(service).start()
    with service.store.lock:
        service.grow(leads - service.store.count("Lead"))
    print(server.url, flush=True)
    sys.stdin.read()


def pull(connection_id: str, how: str) -> None:
    from django.conf import settings

    from integrations import tenancy
    from integrations.crm import open_crm
    from integrations.models import CrmConnection
    from integrations.transport.client import COMMAND

    settings.DEBUG = False  # as in production: otherwise Django keeps the text of its last 9,000 statements
    with tenancy.everyone():
        row = CrmConnection.objects.select_related("tenant").get(pk=connection_id)
    with tenancy.scope(row.tenant_id):
        start_mb, started = _peak_mb(), time.perf_counter()
        provider, api = open_crm(row, COMMAND)
        records, asked = _store_all(row) if how == STORE else _read_all(row, provider, api, copied=how == COPY)
        took = time.perf_counter() - started
    figures = {"records": records, "seconds": round(took, 1), "records_per_second": round(records / took)}
    memory = {"start_mb": round(start_mb), "peak_mb": round(_peak_mb())}
    print(json.dumps({**figures, **memory, "requests": asked}))


def _read_all(row: Any, provider: Any, api: Any, *, copied: bool) -> tuple[int, int]:
    from integrations.errors import NotReady
    from mapping.publishing import compiled

    paths, cursor, seen = compiled(row, "Lead").engine.crm_fields, None, 0
    while True:
        try:
            for page in provider.changes("Lead", cursor, paths):
                cursor, seen = page.cursor, seen + len(page.records)
                if copied:
                    _copy(page.records)
        except NotReady:
            time.sleep(LOOK_AGAIN)
        else:
            return seen, api.calls


def _copy(records: Any) -> None:
    """The least that keeping a page can be: its records as they are, in a table with a key."""
    from django.db import connection, transaction

    with transaction.atomic(), connection.cursor() as sql:
        sql.execute("CREATE TABLE IF NOT EXISTS bench_raw (id text PRIMARY KEY, modified_at timestamptz, fields jsonb)")
        with sql.copy("COPY bench_raw FROM STDIN") as target:
            for one in records:
                target.write_row([one.id, one.modified_at, json.dumps(one.fields)])


def _store_all(row: Any) -> tuple[int, int]:
    from integrations.transport.client import COMMAND
    from sync.pull import pull as pull_slice

    pulled = pull_slice(row, "Lead", COMMAND, full=True)
    while not pulled.finished:
        time.sleep(LOOK_AGAIN)
        pulled = pull_slice(row, "Lead", COMMAND, run=pulled.run)
    run = pulled.run
    return run.created + run.updated + run.unchanged + run.skipped, run.api_calls


def _peak_mb() -> float:
    """The most memory that this process ever held. (getrusage would name its parent's.)"""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise OSError("This system does not tell how much memory a process held at most.")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("leads", nargs="?", type=int, default=200_000)
    parser.add_argument("--how", choices=[READ, COPY, STORE], default=READ, help="what to do with the leads")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--pull", help=argparse.SUPPRESS)
    order = parser.parse_args()
    django.setup()
    if order.serve:
        serve(order.serve)
    elif order.pull:
        pull(order.pull, order.how)
    else:
        print(json.dumps(_on_a_test_database(order.leads, order.how)))
    return 0


def _on_a_test_database(leads: int, how: str) -> dict[str, Any]:
    from django.conf import settings
    from django.test.utils import get_runner, setup_test_environment

    setup_test_environment()
    databases = get_runner(settings)(verbosity=0, interactive=False).setup_databases()
    try:
        return bulk_pull(leads, how)
    finally:
        for database, old_name, _destroy in databases:
            database.creation.destroy_test_db(old_name, verbosity=0)


if __name__ == "__main__":
    raise SystemExit(main())
