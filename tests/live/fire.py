"""Calls on their way while everything goes wrong: what is posted, what rages meanwhile, and what the CRMs hold in the end."""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any

import requests
from django.db import connection as database

from activities.booking import FOLLOW_UP, MEETING
from activities.summary_notes import NOTE
from config.demo import story
from config.demo.story import DemoTenant, PostedCall
from integrations import tenancy
from integrations.registry import provider_class
from sync.models import SyncJob
from tests.live.system import System

WRITES = r"^(POST|PUT|PATCH) (?!.*(search|/read|token|introspect))"
"""What changes something in a CRM; the rest of what is posted asks."""
FAULTS: list[dict[str, object]] = [
    {"kind": "status", "status": 429, "rate": 0.03, "headers": {"Retry-After": "1"}},
    {"kind": "status", "status": 500, "rate": 0.05},
    {"kind": "drop_after", "match": WRITES, "rate": 0.3},
]
PAUSE_SECONDS = 4.0
"""Until a lost answer is looked up: longer than the sandbox's indexes lag behind."""
KINDS = ("log_call", MEETING, FOLLOW_UP, NOTE)
AT_ONCE = 500
WITH_MEETING, WITH_FOLLOW_UP, WITH_SUMMARY = 5, 7, 4
"""Of so many calls one has one. Summaries are fewer because a CRM may take few notes."""
TOLD_BY_AI = ("summary", "key_points", "next_steps")


@dataclass
class Posted:
    """The calls of one tenant."""

    calls: list[PostedCall] = field(default_factory=list)
    meetings: dict[str, str] = field(default_factory=dict)
    """Key of what was agreed → the record it is about."""
    follow_ups: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    taken_back: set[str] = field(default_factory=set)
    """Meetings that must not take place in the end."""


def body_of(tenant: DemoTenant, number: int, record_id: str, prefix: str, agreed: bool) -> dict[str, Any]:
    started = story.FIRST_CALL + timedelta(minutes=number)
    body = story.call_body(tenant, number, record_id)
    body |= {"external_id": f"{prefix}-{number:05}", "started_at": started.isoformat()}
    later = (started + timedelta(days=365)).isoformat()
    if number % WITH_SUMMARY:
        body = {name: value for name, value in body.items() if name not in TOLD_BY_AI}
    if agreed and number % WITH_MEETING == 0:
        body["meeting"] = {"starts_at": later, "duration_minutes": 30, "title": f"Demo {number}"}
    if agreed and number % WITH_FOLLOW_UP == 0:
        body["follow_up"] = {"due_at": later, "title": f"Send offer {number}"}
    return body


def dialable(contacts: Sequence[Mapping[str, Any]]) -> list[str]:
    """The ids in the CRM of those who have a number."""
    return [one["links"][0]["crm_record_id"] for one in contacts if one["phone"] or one["mobile_phone"]]


def shares(tenants: Sequence[DemoTenant], calls: int, *, singly: int) -> dict[str, int]:
    """How many of the calls each tenant has. Who sends each by itself gets one in `singly`."""
    slow = [one.slug for one in tenants if provider_class(one.provider).call_batch_size == 1]
    fast = [one.slug for one in tenants if one.slug not in slow]
    parts = dict.fromkeys(slow, calls // singly // len(slow))
    rest = calls - sum(parts.values())
    return parts | {slug: rest // len(fast) + (place < rest % len(fast)) for place, slug in enumerate(fast)}


def post(
    system: System,
    tenant: DemoTenant,
    contacts: Sequence[Mapping[str, Any]],
    wanted: int,
    *,
    prefix: str = "fire",
    agreed: bool = True,
) -> Posted:
    """Every call is posted twice, as by a dialer that lost the first answer. Some bring a meeting or a follow-up if `agreed`."""
    on = dialable(contacts)
    bodies = [body_of(tenant, number, on[(number * 7) % len(on)], prefix, agreed) for number in range(wanted)]
    posted = Posted()
    for start in range(0, wanted, AT_ONCE):
        part = bodies[start : start + AT_ONCE]
        first, second = (_post_part(system, tenant, part) for _ in range(2))
        assert first == second
        for call_id, body in zip(first, part, strict=True):
            _note(posted, call_id, body, noted=bool(provider_class(tenant.provider).note_type))
    return posted


def _post_part(system: System, tenant: DemoTenant, bodies: Sequence[Mapping[str, Any]]) -> list[str]:
    answer = requests.post(
        f"{system.web}/api/v1/calls/bulk/",
        json={"calls": bodies},
        headers={"Authorization": f"Bearer {tenant.api_key}"},
        timeout=120,
    )
    answer.raise_for_status()
    return [str(one["id"]) for one in answer.json()["results"]]


def _note(posted: Posted, call_id: str, body: Mapping[str, Any], *, noted: bool) -> None:
    on = body["crm_record_id"]
    posted.calls.append(PostedCall(call_id, on, body["disposition"]))
    if "meeting" in body:
        posted.meetings[f"{call_id}:meeting"] = on
    if "follow_up" in body:
        posted.follow_ups[f"{call_id}:follow-up"] = on
    if noted and "summary" in body:
        posted.notes[f"{call_id}:note"] = on


def take_back(system: System, tenant: DemoTenant, posted: Posted, *, every: int) -> None:
    """Of so many meetings one is called off by a later stage of its call."""
    for key in list(posted.meetings)[::every]:
        system.client(tenant).add_stage(key.partition(":")[0], {"meeting": None})
        posted.taken_back.add(key)


# --- the fire ---------------------------------------------------------------------------------------------------------


def look_up_soon(seconds: float = PAUSE_SECONDS) -> None:
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE crm_credentials SET settings = settings || %s::jsonb",
            [json.dumps({"unknown_outcome_pause": seconds})],
        )


def burn(system: System, *, seconds: float, kill_every: float, kills: int) -> int:
    """Until all jobs of calls have ended, or time is up: two clusters work, and the older one is killed again and again.

    Returns how often. A breaker that opened is closed: waiting its minute would prove nothing here.
    """
    names = (f"worker-{number}" for number in count())
    alive = [next(names), next(names)]
    for name in alive:
        system.processes.start_worker(name)
    deadline, killed = time.monotonic() + seconds, 0
    next_kill = time.monotonic() + 2 * kill_every
    while open_jobs() and time.monotonic() < deadline:
        close_breakers()
        if killed < kills and time.monotonic() >= next_kill:
            system.processes.kill(alive.pop(0))
            alive.append(next(names))
            system.processes.start_worker(alive[-1])
            killed, next_kill = killed + 1, time.monotonic() + kill_every
        time.sleep(0.3)
    for name in alive:
        system.processes.kill(name)
    return killed


def open_jobs(kinds: Sequence[str] = KINDS) -> int:
    with tenancy.everyone():
        return SyncJob.objects.filter(kind__in=kinds).exclude(state__in=["done", "dead"]).count()


def dead_jobs() -> dict[tuple[str, str, str, str], int]:
    """How many there are by CRM, kind, cause and detail."""
    with tenancy.everyone():
        rows = SyncJob.objects.filter(state="dead")
        return dict(Counter(rows.values_list("connection__provider", "kind", "cause", "error_detail")))


def close_breakers() -> None:
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE circuit_breakers SET failures = 0, opened_at = NULL, probe_until = NULL WHERE opened_at IS NOT NULL"
        )
        cursor.execute("UPDATE sync_jobs SET not_before = now() WHERE state = 'ready' AND cause = 'breaker_open'")


# --- what the CRMs hold -----------------------------------------------------------------------------------------------


def agreed_wrong(tenant: DemoTenant, posted: Posted) -> list[str]:
    """What is wrong with the meetings, follow-ups and notes, by the sandbox's own books."""
    wanted = {"meetings": posted.meetings, "follow_ups": posted.follow_ups, "notes": posted.notes}
    ids = [key for keys in wanted.values() for key in keys]
    answer = requests.post(f"{tenant.sandbox}/_sandbox/agreed", json={"ids": ids}, timeout=120)
    answer.raise_for_status()
    books = answer.json()
    return [
        f"{tenant.slug}: {key} {len(found)} times, on {found} instead of {right}"
        for kind, keys in wanted.items()
        for key, on in keys.items()
        for found in [[one["record_id"] for one in books[kind]["found"][key] if not one["cancelled"]]]
        for right in [[] if key in posted.taken_back else [on]]
        if found != right
    ]


def struck(system: System) -> Counter[str]:
    """How often each fault did."""
    found: Counter[str] = Counter()
    for tenant in system.tenants:
        for dial in requests.get(f"{tenant.sandbox}/_sandbox/faults", timeout=30).json():
            found[f"{dial['kind']} {dial['status']}" if dial["kind"] == "status" else dial["kind"]] += dial["kept"]
    return found
