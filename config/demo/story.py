"""The demo's traffic and its audit, seen from outside: our REST interface on one side, the sandbox's own books on the other."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

DISPOSITIONS = ("Connected", "No Answer", "Voicemail", "Meeting Booked", "Not Interested", "DNC")
FIRST_CALL = datetime(2026, 1, 5, 14, 0, tzinfo=UTC)
TIMEOUT = 30
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class DemoTenant:
    """A tenant of the demo with one CRM. `sandbox` is the address of that CRM's fake."""

    slug: str
    provider: str
    api_key: str
    sandbox: str


@dataclass(slots=True)
class Audit:
    """What one CRM holds of the calls that were posted for it."""

    tenant: DemoTenant
    contacts: int
    posted: int = 0
    once: int = 0
    missing: int = 0
    doubled: int = 0
    wrong_record: int = 0
    wrong_outcome: int = 0
    total: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.posted > 0 and self.once == self.posted and not (self.wrong_record or self.wrong_outcome)


class Client:
    """The dialer's side of one tenant."""

    def __init__(self, web: str, tenant: DemoTenant) -> None:
        self.tenant = tenant
        self._base = f"{web}/api/v1"
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {tenant.api_key}"

    def contacts(self) -> Iterator[dict[str, Any]]:
        """One pass of the change feed."""
        cursor = ""
        while True:
            page = self._get("/contacts/", {"cursor": cursor, "limit": "1000"})
            yield from page["results"]
            if not page["has_more"]:
                return
            cursor = page["cursor"]

    def post_call(self, body: Mapping[str, Any]) -> str:
        answer = self._session.post(f"{self._base}/calls/", json=dict(body), timeout=TIMEOUT)
        answer.raise_for_status()
        return str(answer.json()["id"])

    def add_stage(self, call_id: str, said: Mapping[str, Any]) -> None:
        answer = self._session.patch(f"{self._base}/calls/{call_id}/", json=dict(said), timeout=TIMEOUT)
        answer.raise_for_status()

    def call(self, call_id: str) -> dict[str, Any]:
        return self._get(f"/calls/{call_id}/", {})

    def _get(self, path: str, params: Mapping[str, str]) -> dict[str, Any]:
        answer = self._session.get(self._base + path, params=params, timeout=TIMEOUT)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


@dataclass(frozen=True, slots=True)
class PostedCall:
    id: str
    record_id: str
    disposition: str


def wait_for_contacts(client: Client, wanted: int, say: Say, seconds: float = 180.0) -> list[dict[str, Any]]:
    """The tenant's contacts that are linked to its CRM, once there are enough and no more arrive."""
    deadline, before = time.monotonic() + seconds, -1
    while True:
        found = [one for one in client.contacts() if one["links"]]
        say(f"{client.tenant.slug}: {len(found):,} contacts")
        if len(found) >= wanted and len(found) == before:
            return sorted(found, key=lambda one: _record_key(one["links"][0]["crm_record_id"]))
        if time.monotonic() > deadline:
            return found
        before = len(found)
        time.sleep(1.0)


def post_calls(client: Client, contacts: Sequence[Mapping[str, Any]], count: int) -> list[PostedCall]:
    """The same calls every time: number i goes to the i-th contact, by its record in the CRM."""
    posted = []
    dialable = [one for one in contacts if one["phone"] or one["mobile_phone"]]
    for number in range(count):
        contact = dialable[(number * 7) % len(dialable)]
        body = call_body(client.tenant, number, contact["links"][0]["crm_record_id"])
        posted.append(PostedCall(client.post_call(body), body["crm_record_id"], body["disposition"]))
    return posted


def call_body(tenant: DemoTenant, number: int, record_id: str) -> dict[str, Any]:
    seconds = 20 + (number * 37) % 600
    return {
        "external_id": f"demo-{number:04}",
        "provider": tenant.provider,
        "crm_record_id": record_id,
        "direction": "outbound" if number % 5 else "inbound",
        "duration_seconds": seconds,
        "started_at": (FIRST_CALL + timedelta(minutes=7 * number)).isoformat(),
        "disposition": DISPOSITIONS[number % len(DISPOSITIONS)],
        "notes": f"Demo call number {number}: they asked for the price list <in euros> & a call back.",
        "summary": "Spoke about the current contract and when it ends.",
        "key_points": ["Contract ends in the second quarter", "Budget is confirmed"],
        "next_steps": ["Send the price list", "Call back on Tuesday"],
        "recording_url": f"https://recordings.example.com/demo-{number:04}.mp3",
        "metadata": {"ai_score": 50 + number % 50, "sentiment": "positive", "talk_ratio": 0.38},
    }


def wait_for_logging(
    clients: Mapping[str, Client], posted: Mapping[str, Sequence[PostedCall]], say: Say, seconds: float = 240.0
) -> None:
    """Returns when every call is logged or has failed for good, or when time is up; the audit then tells."""
    open_calls = {slug: [one.id for one in calls] for slug, calls in posted.items()}
    whole = sum(len(ids) for ids in open_calls.values())
    deadline = time.monotonic() + seconds
    while any(open_calls.values()) and time.monotonic() < deadline:
        for slug, ids in open_calls.items():
            open_calls[slug] = [one for one in ids if not _is_settled(clients[slug].call(one))]
        say(f"{whole - sum(len(ids) for ids in open_calls.values())} of {whole} calls are in their CRM")
        time.sleep(0.5)


def _is_settled(call: Mapping[str, Any]) -> bool:
    return bool(call["syncs"]) and all(sync["status"] in {"logged", "failed"} for sync in call["syncs"])


def audit(tenant: DemoTenant, contacts: int, posted: Sequence[PostedCall]) -> Audit:
    """Compares what was posted with what the CRM itself holds. Our own tables are not asked."""
    result = Audit(tenant, contacts, posted=len(posted))
    answer = requests.post(
        f"{tenant.sandbox}/_sandbox/calls", json={"ids": [one.id for one in posted]}, timeout=TIMEOUT
    )
    answer.raise_for_status()
    books = answer.json()
    result.total = books["total"]
    for call in posted:
        _compare(result, call, books["found"][call.id], books["outcomes"][call.disposition])
    return result


def _compare(result: Audit, call: PostedCall, held: Sequence[Mapping[str, str]], outcome: str) -> None:
    result.once += len(held) == 1
    result.missing += not held
    result.doubled += len(held) > 1
    for one in held:
        result.wrong_record += one["record_id"] != call.record_id
        if one["outcome"] != outcome:
            result.wrong_outcome += 1
            result.problems.append(f"{call.id}: {one['outcome']!r} instead of {outcome!r}")


def table(audits: Sequence[Audit]) -> str:
    """The summary that the demo ends with."""
    head = (
        "tenant",
        "CRM",
        "contacts",
        "posted",
        "once",
        "missing",
        "doubled",
        "wrong record",
        "wrong outcome",
        "held",
        "",
    )
    rows = [
        (one.tenant.slug, one.tenant.provider, one.contacts, one.posted, one.once, one.missing, one.doubled,
         one.wrong_record, one.wrong_outcome, one.total, "ok" if one.ok else "NOT OK")
        for one in audits
    ]  # fmt: skip
    cells = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _record_key(record_id: str) -> tuple[int, str]:
    return (int(record_id), "") if record_id.isdigit() else (0, record_id)
