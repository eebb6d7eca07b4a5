"""The `ingest` and `webhooks` benchmarks: what is posted over HTTP, against a bare view with one INSERT.

Both views run in one server, behind the same middleware, and get the same bodies in turn; a body is made and signed before its
time is taken.
"""

import base64
import hashlib
import hmac
import json
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench_table import Figure, percentiles, say

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
AT_ONCE = 8
AIMS = {"ingest": 0.5, "webhooks": 0.6}
FLOOR = "/api/v1/floor/"
PUBLIC_URL = "https://dialer.example"
CLIENT_SECRET, SYSTEM_KEY = secrets.token_hex(16), secrets.token_hex(16)
PORTAL, ORGANIZATION = 123456, "00DD0000000abcdMAA"


@dataclass(frozen=True, slots=True)
class Post:
    """A request that is ready to be sent."""

    path: str
    body: bytes
    headers: Mapping[str, str]
    wanted: int = 201


Making = Callable[[int], Post]
"""Makes the post of a number that no other post has."""


# --- the server and its traffic -----------------------------------------------------------------------------------------


@contextmanager
def _server() -> Iterator[int]:
    """Its port."""
    from cryptography.fernet import Fernet
    from django.db import connection

    from config.processes import Processes, free_port
    from integrations.row_security import role
    from tests.live.system import database_url

    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS bench_calls (id bigserial PRIMARY KEY, body jsonb)")
        cursor.execute(f'GRANT INSERT ON bench_calls TO "{role()}"')
        cursor.execute(f'GRANT USAGE ON SEQUENCE bench_calls_id_seq TO "{role()}"')
    env = {
        "DATABASE_URL": database_url(), "DEBUG": "false", "ALLOWED_HOSTS": "127.0.0.1", "API_RATE": "1000000/min",
        "SECRET_KEY": secrets.token_urlsafe(50), "FIELD_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "PUBLIC_URL": PUBLIC_URL, "HUBSPOT_CLIENT_SECRET": CLIENT_SECRET, "FOLLOWUPBOSS_SYSTEM_KEY": SYSTEM_KEY,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, Processes(env, Path(folder)) as processes:
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
        try:
            yield port
        except RuntimeError:
            print(processes.last_words("web"), file=sys.stderr)
            raise


def _send(port: int, posts: Sequence[Post]) -> list[float]:
    """How many seconds each took, one after the other on one connection."""
    line = HTTPConnection("127.0.0.1", port, timeout=60)
    took = []
    for one in posts:
        started = time.perf_counter()
        line.request("POST", one.path, one.body, dict(one.headers))
        answer = line.getresponse()
        told = answer.read()
        took.append(time.perf_counter() - started)
        if answer.status != one.wanted:
            raise RuntimeError(f"{answer.status} {told.decode()}")
    line.close()
    return took


def _send_at_once(port: int, posts: Sequence[Post], at_once: int) -> tuple[float, list[float]]:
    """The seconds all of them took, and each."""
    shares = [posts[place::at_once] for place in range(at_once)]
    started = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        took = [seconds for share in pool.map(lambda share: _send(port, share), shares) for seconds in share]
    return time.perf_counter() - started, took


def _race(name: str, port: int, making: Making, times: int, at_once: int, what: str) -> None:
    """Says the median of the ratios floor/ours; both in turn, so that a busy machine slows both."""
    ratios: list[float] = []
    rates: list[float] = []
    ours: list[float] = []
    floor: list[float] = []
    for turn in range(ROUNDS + 1):
        posts = [making(next(_numbers)) for _ in range(times)]
        mine, mine_each = _send_at_once(port, posts, at_once)
        bare_posts = [replace(one, path=FLOOR, wanted=201) for one in posts]
        bare, bare_each = _send_at_once(port, bare_posts, at_once)
        if turn:  # the first warms both
            ratios.append(bare / mine)
            rates.append(times / mine)
            ours += mine_each
            floor += bare_each
    pace = "one after the other" if at_once == 1 else f"{at_once} at once"
    ratio, rate = median(ratios), median(rates)
    p50, p95, p99 = percentiles([one * 1000 for one in ours])
    aim = AIMS[name] if at_once > 1 else None
    say(Figure(name, f"{what}, {pace}", ratio, "floor", aim, rate=rate, p50=p50, p95=p95, p99=p99))
    p50, p95, p99 = percentiles([one * 1000 for one in floor])
    say(Figure(name, f"… its floor, {pace}", p50=p50, p95=p95, p99=p99))


_numbers = count()


# --- posted calls -------------------------------------------------------------------------------------------------------


def bench_ingest() -> None:
    """Posting a call over HTTP, eight at once and one after the other."""
    with _tenant("hubspot") as (tenant, rows), _server() as port:
        posted = _calls_of(tenant, rows["hubspot"])
        _race("ingest", port, posted, 400, AT_ONCE, "a posted call")
        _race("ingest", port, posted, 100, 1, "a posted call")


def _calls_of(tenant: Any, crm: Any) -> Making:
    from integrations import tenancy
    from integrations.models import ApiKey
    from sync.models import Contact, SyncRecord

    with tenancy.everyone():
        _key, text = ApiKey.issue(tenant, "bench")
        people = [Contact(tenant=tenant, first_name="Ann") for _ in range(200)]
        Contact.objects.bulk_create(people)
        SyncRecord.objects.bulk_create(
            SyncRecord(
                tenant=tenant, connection=crm, crm_provider=crm.provider, crm_object_type="contacts", crm_record_id=str(place),
                local_record_id=person.pk, local_table="contacts", sync_direction="inbound",
            )
            for place, person in enumerate(people)
        )  # fmt: skip
    headers = {"Authorization": f"Bearer {text}", "Content-Type": "application/json"}

    def made(number: int) -> Post:
        body = {
            "external_id": str(number), "contact_id": str(people[number % 200].pk), "duration_seconds": 1,
            "started_at": "2026-01-01T00:00:00Z", "disposition": "Connected", "notes": "Wants a demo.",
        }  # fmt: skip
        return Post("/api/v1/calls/", json.dumps(body).encode(), headers)

    return made


@contextmanager
def _tenant(*providers: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    """A tenant with connections to these CRMs."""
    from integrations import tenancy
    from integrations.models import CrmConnection, Tenant

    accounts = {"hubspot": str(PORTAL), "salesforce": ORGANIZATION}
    with tenancy.everyone():
        tenant = Tenant.objects.create(slug=f"bench-{time.time_ns()}", name="Bench")
        rows = {
            slug: CrmConnection.objects.create(
                tenant=tenant, provider=slug, access_token="x", account_id=accounts.get(slug, "1")
            )
            for slug in providers
        }
    try:
        yield tenant, rows
    finally:
        with tenancy.everyone():
            tenant.delete()


# --- webhooks -----------------------------------------------------------------------------------------------------------


def bench_webhooks() -> None:
    """Signed deliveries of the three CRMs, of one event or record and of ten."""
    from integrations import tenancy
    from integrations.providers.salesforce.sandbox.callouts import make_certificate
    from integrations.providers.salesforce.sandbox.org import Org
    from integrations.sandbox.clock import Clock
    from integrations.sandbox.store import Store

    pair = make_certificate(Org(Store(), Clock()))
    with _tenant("hubspot", "followupboss", "salesforce") as (_tenant_row, rows), _server() as port:
        with tenancy.everyone():
            rows["salesforce"].settings = {"webhook_certificates": [pair["certificate"]]}
            rows["salesforce"].save()
        deliveries: dict[str, Callable[[int], Making]] = {
            "HubSpot": _from_hubspot,
            "Follow Up Boss": lambda many: _from_followupboss(rows["followupboss"], many),
            "Salesforce": lambda many: _from_salesforce(rows["salesforce"], pair["key"], many),
        }
        for label, delivered in deliveries.items():
            for many in (1, 10):
                _race("webhooks", port, delivered(many), 240, AT_ONCE, f"a delivery of {label} about {many}")


def _from_hubspot(many: int) -> Making:
    from integrations.providers.hubspot.signatures import TIMESTAMP, V3, signature_v3

    path = "/webhooks/hubspot/"

    def made(number: int) -> Post:
        now = str(int(time.time() * 1000))
        events = [
            {
                "eventId": number * 100 + place, "subscriptionId": 501, "portalId": PORTAL, "appId": 9001, "occurredAt": int(now),
                "subscriptionType": "contact.propertyChange", "attemptNumber": 0, "changeSource": "CRM_UI",
                "sourceId": "userId:77", "objectId": 512 + place, "propertyName": "phone", "propertyValue": "+14155551234",
            }
            for place in range(many)
        ]  # fmt: skip
        body = json.dumps(events).encode()
        signature = signature_v3(CLIENT_SECRET, "POST", PUBLIC_URL + path, body, now)
        return Post(path, body, {"Content-Type": "application/json", V3: signature, TIMESTAMP: now}, 200)

    return made


def _from_followupboss(row: Any, many: int) -> Making:
    def made(number: int) -> Post:
        told = {
            "eventId": f"152d60c0-79b7-4b2c-b3b8-{number:012}", "eventCreated": datetime.now(UTC).isoformat(),
            "event": "peopleUpdated", "resourceIds": list(range(12345, 12345 + many)),
            "uri": "https://api.followupboss.com/v1/people?id=12345",
        }  # fmt: skip
        body = json.dumps(told).encode()
        signature = hmac.new(SYSTEM_KEY.encode(), base64.b64encode(body), hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "FUB-Signature": signature}
        return Post(f"/webhooks/followupboss/{row.webhook_token}/", body, headers, 200)

    return made


def _from_salesforce(row: Any, key_text: str, many: int) -> Making:
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding

    key: Any = serialization.load_pem_private_key(key_text.encode(), None)

    def made(number: int) -> Post:
        leads = [f"00QD0000{number % 10**6:06}{place}MAA"[:18] for place in range(many)]
        header = {"entityName": "Lead", "recordIds": leads, "changeType": "UPDATE", "changedFields": ["Phone"]}
        told = {
            "eventId": f"e-{number}", "timestamp": datetime.now(UTC).isoformat(),
            "payload": {"ChangeEventHeader": header, "Phone": "+14155550123"},
        }  # fmt: skip
        body = json.dumps(told).encode()
        signature = base64.b64encode(key.sign(body, padding.PKCS1v15(), hashes.SHA256())).decode()
        headers = {"Content-Type": "application/json", "X-Salesforce-Signature": signature}
        return Post(f"/webhooks/salesforce/{row.webhook_token}/", body, headers, 200)

    return made
