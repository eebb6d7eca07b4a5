"""Benchmarks as ratios to a bare floor, alternately in one run: `script/bench [NAME …]`. docs/benchmarks.md tells the names."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django

from tests import bench_calls, bench_sync
from tests.bench_model import bench_model

ROUNDS = 5
AT_ONCE = 8


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compare(name: str, ours: Callable[[], object], floor: Callable[[], object], what: str) -> None:
    """Runs both in turn, so that a busy machine slows both, and prints the median of the ratios floor/ours."""
    ours(), floor()
    pairs = [(seconds(ours), seconds(floor)) for _ in range(ROUNDS)]
    ratio = median(bare / mine for mine, bare in pairs)
    fastest, bare = median(mine for mine, _ in pairs), median(bare for _, bare in pairs)
    print(f"{name:<10} {ratio:5.2f} of the floor   ours {fastest * 1000:8.1f} ms, floor {bare * 1000:8.1f} ms   {what}")


def bench_mapping() -> None:
    """The compiled mapping against a function written by hand for the same twelve fields."""
    from integrations.registry import provider_class
    from mapping.compiled import CompiledMapping, MappingRow
    from mapping.transforms import TRANSFORMS, Context

    rows = [
        MappingRow(one.dialer_field, "contacts", one.crm_field, one.direction, one.transform, dict(one.options))
        for one in provider_class("hubspot").default_mappings
    ]
    engine = CompiledMapping.compile(rows, object_type="contacts")
    records = [
        {
            "firstname": f"First{i}", "lastname": f"Last{i}", "email": f"Person{i}@Example.com", "phone": f"(415) 555-{i:04}",
            "mobilephone": "", "company": "Company Ltd", "jobtitle": "Buyer", "hs_lead_status": "NEW",
            "hubspot_owner_id": "rep@example.com",
        }
        for i in range(2000)
    ]  # fmt: skip
    phone = TRANSFORMS["phone_e164"].build("inbound", {}, Context())

    def by_hand() -> list[dict[str, Any]]:
        return [
            {
                "first_name": one["firstname"] or None, "last_name": one["lastname"] or None,
                "email": one["email"].strip().lower() or None, "phone": phone(one["phone"], one),
                "mobile_phone": phone(one["mobilephone"], one) if one["mobilephone"] else None, "company": one["company"] or None,
                "title": one["jobtitle"] or None, "lead_status": one["hs_lead_status"] or None,
                "owner_email": one["hubspot_owner_id"] or None,
            }
            for one in records
        ]  # fmt: skip

    def ours() -> list[Any]:
        with engine.session() as session:
            return [session.inbound(one) for one in records]

    compare("mapping", ours, by_hand, "2,000 records, nine inbound fields, against a function written by hand")


def bench_ingest() -> None:
    """Posting a call over HTTP against a bare view with one INSERT, in the same server behind the same middleware."""
    import json
    import sys
    import tempfile
    from concurrent.futures import ThreadPoolExecutor
    from http.client import HTTPConnection
    from pathlib import Path

    from django.db import connection

    from config.processes import Processes, free_port
    from integrations import tenancy
    from integrations.models import ApiKey, CrmConnection, Tenant
    from sync.models import Contact, SyncRecord
    from tests.live.system import database_url

    with tenancy.everyone():
        tenant = Tenant.objects.create(slug=f"bench-{time.time_ns()}", name="Bench")
        _key, text = ApiKey.issue(tenant, "bench")
        crm = CrmConnection.objects.create(tenant=tenant, provider="hubspot", access_token="x")
        people = [Contact(tenant=tenant, first_name="Ann") for _ in range(200)]
        Contact.objects.bulk_create(people)
        SyncRecord.objects.bulk_create(
            SyncRecord(
                tenant=tenant, connection=crm, crm_provider="hubspot", crm_object_type="contacts", crm_record_id=str(place),
                local_record_id=person.pk, local_table="contacts", sync_direction="inbound",
            )
            for place, person in enumerate(people)
        )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS bench_calls (id bigserial PRIMARY KEY, body jsonb)")
    number = iter(range(10**9))

    def body() -> dict[str, Any]:
        place = next(number)
        return {
            "external_id": str(place), "contact_id": str(people[place % 200].pk), "duration_seconds": 1,
            "started_at": "2026-01-01T00:00:00Z", "disposition": "Connected", "notes": "Wants a demo.",
        }  # fmt: skip

    env = {"DATABASE_URL": database_url(), "DEBUG": "false", "ALLOWED_HOSTS": "127.0.0.1", "API_RATE": "1000000/min"}
    with tempfile.TemporaryDirectory() as folder, Processes({**env, **_secrets()}, Path(folder)) as processes:
        port = free_port(0)
        command = [
            sys.executable,
            "-m",
            "granian",
            "--interface",
            "wsgi",
            "--port",
            str(port),
            "--blocking-threads",
            "8",
        ]
        processes.start("web", [*command, "--no-ws", "tests.bench_web:application"])
        processes.wait_for("web", f"http://127.0.0.1:{port}/readyz")

        def send(path: str, times: int) -> None:
            line = HTTPConnection("127.0.0.1", port, timeout=30)
            headers = {"Authorization": f"Bearer {text}", "Content-Type": "application/json"}
            for _ in range(times):
                line.request("POST", path, json.dumps(body()), headers)
                answer = line.getresponse()
                told = answer.read()
                if answer.status != 201:
                    raise RuntimeError(told.decode())
            line.close()

        def at_once(path: str) -> None:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(lambda _: send(path, 400 // AT_ONCE), range(AT_ONCE)))

        calls, floor = "/api/v1/calls/", "/api/v1/floor/"
        for path in (calls, floor):
            at_once(path)
        about = "against a bare view with one INSERT, both over HTTP to one server"
        compare(
            "ingest", lambda: at_once(calls), lambda: at_once(floor), f"400 posted calls, {AT_ONCE} at once, {about}"
        )
        compare(
            "ingest",
            lambda: send(calls, 100),
            lambda: send(floor, 100),
            f"100 posted calls, one after the other, {about}",
        )
    with tenancy.everyone():
        tenant.delete()


def _secrets() -> dict[str, str]:
    """What a server outside of debugging insists on."""
    import secrets

    from cryptography.fernet import Fernet

    return {"SECRET_KEY": secrets.token_urlsafe(50), "FIELD_ENCRYPTION_KEYS": Fernet.generate_key().decode()}


def bench_limits() -> None:
    """How much of a quota of 200 per second the limiter lets out, against an ideal that uses all of it."""
    from integrations import tenancy
    from integrations.models import CrmConnection, Tenant
    from integrations.records import RateLimit
    from integrations.transport import limits

    with tenancy.everyone():
        tenant = Tenant.objects.create(slug=f"bench-{time.time_ns()}", name="Bench")
        row = CrmConnection.objects.create(tenant=tenant, provider="hubspot", access_token="x")
    limit, wanted = RateLimit("bench", 200, 1.0), 800
    started = time.perf_counter()
    for _ in range(wanted):
        time.sleep(max(0.0, limits.take(str(row.pk), [limit], max_wait=5).wait))
    took = time.perf_counter() - started
    ideal = (wanted - 200) / 200
    print(f"limits     {ideal / took:5.2f} of the quota   {wanted} requests took {took:.2f} s, ideal {ideal:.2f} s")
    with tenancy.everyone():
        tenant.delete()


def bench_bulk() -> None:
    """A first load by a bulk job, without our database: its memory at one size against twice the size."""
    from tests.bench_bulk import bulk_pull

    small, large = bulk_pull(20_000), bulk_pull(40_000)
    ratio = small["peak_mb"] / large["peak_mb"]
    print(
        f"bulk       {ratio:5.2f} of twice as many   {large['records']:,} leads at {large['records_per_second']:,.0f}/s, "
        f"peak {large['peak_mb']:.0f} MB; half of them {small['peak_mb']:.0f} MB"
    )


BENCHES = {
    "mapping": bench_mapping,
    "ingest": bench_ingest,
    "limits": bench_limits,
    "bulk": bench_bulk,
    "load": bench_sync.bench_load,
    "memory": bench_sync.bench_memory,
    "outbound": bench_sync.bench_outbound,
    "matching": bench_sync.bench_matching,
    "growth": bench_sync.bench_growth,
    "calls": bench_calls.bench_calls,
    "model": bench_model,
}
ONLY_BY_NAME = {"calls", "model"}
"""They take a quarter of an hour."""


def main(names: Sequence[str]) -> int:
    unknown = sorted(set(names) - set(BENCHES))
    if unknown:
        print(f"There is no benchmark {', '.join(unknown)}. There are: {', '.join(BENCHES)}.", file=sys.stderr)
        return 2
    django.setup()
    from django.conf import settings
    from django.test.utils import get_runner, setup_test_environment

    setup_test_environment()
    databases = get_runner(settings)(verbosity=0, interactive=False).setup_databases()
    try:
        for name in names or [one for one in BENCHES if one not in ONLY_BY_NAME]:
            BENCHES[name]()
    finally:
        for database, old_name, _destroy in databases:
            database.creation.destroy_test_db(old_name, verbosity=0)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
