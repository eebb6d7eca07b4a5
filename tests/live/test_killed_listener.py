"""A listener may die at any moment: between the event and its commit, between commit and wake-up, anywhere."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from config.processes import MANAGE, ROOT
from integrations import tenancy
from integrations.models import CrmConnection
from integrations.sandbox.server import SandboxServer
from integrations.transport.client import Patience
from mapping.publishing import add_defaults
from sync.models import Contact, FeedCursor, FieldChange, InboxEvent, SyncJob, SyncRecord, WorkerBeat
from sync.work import work
from tests.fake_crm.events import CHANNEL
from tests.fake_crm.provider import FakeService
from tests.live.system import database_url
from tests.sync.processes import living, wait_until

pytestmark = [pytest.mark.live, pytest.mark.django_db(transaction=True)]
POINTS = [(statement, when) for statement in range(1, 6) for when in ("before", "after")]
"""1 lease, 2 events and jobs, 3 position; then the commit; 4 wake-up noted, 5 wake-up sent."""
ROUNDS = 5
RANDOM_KILLS = 50
SEED = 11
PATIENCE = Patience(turn=3, retry=1)


@pytest.fixture
def environment(fake_crm: SandboxServer, tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "DATABASE_URL": database_url(),
        "DATA_DIR": str(tmp_path),
        "DEBUG": "true",
        "SECRET_KEY": settings.SECRET_KEY,
        "FIELD_ENCRYPTION_KEYS": ",".join(settings.FIELD_ENCRYPTION_KEY),
        "DJANGO_SETTINGS_MODULE": "tests.live.fakecrm_settings",
        "CRM_ALLOWED_HOSTS": fake_crm.url.removeprefix("http://"),
        "PYTHONPATH": str(ROOT),
        "LOG_LEVEL": "ERROR",
    }


@pytest.fixture
def crm(connection: CrmConnection) -> Iterator[CrmConnection]:
    with tenancy.scope(connection.tenant_id):
        add_defaults(connection)
        yield connection


class Nursery:
    def __init__(self, environment: dict[str, str]) -> None:
        self.pids: list[int] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.live.nursery"],
            cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def start(self, statement: int | None = None, when: str = "") -> int:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({"statement": statement, "when": when}) + "\n")
        self.process.stdin.flush()
        self.pids.append(int(self.process.stdout.readline()))
        return self.pids[-1]

    def close(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        for pid in living(*self.pids[-1:]):
            os.kill(pid, signal.SIGKILL)
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(10)


@pytest.fixture
def nursery(environment: dict[str, str]) -> Iterator[Nursery]:
    made = Nursery(environment)
    yield made
    made.close()


class Hand:
    """Somebody who works in the CRM, at random but the same each time."""

    def __init__(self, service: FakeService) -> None:
        self.service = service
        self.random = random.Random(SEED)
        self.people: list[str] = []

    def act(self) -> None:
        with self.service.store.lock:
            choice = self.random.random()
            if choice < 0.3 or not self.people:
                number = len(self.people)
                fields = {"first": "Ann", "last": f"Lee{number}", "email": f"ann{number}@example.com"}
                self.people.append(self.service.add("people", fields))
            elif choice < 0.9 or len(self.people) < 5:
                company = f"Company {self.random.random()}"
                self.service.edit("people", self.random.choice(self.people[-8:]), {"company": company})
            else:
                self.service.remove("people", self.people.pop(self.random.randrange(len(self.people))))


@pytest.mark.thorough
def test_a_listener_killed_100_times_loses_no_event_and_applies_none_twice(
    crm: CrmConnection, fake_crm: SandboxServer, nursery: Nursery, environment: dict[str, str]
) -> None:
    service: Any = fake_crm.service
    FeedCursor.objects.create(tenant_id=crm.tenant_id, connection=crm, feed=f"stream:{CHANNEL}", value={"position": 0})
    hand, chance, kills = Hand(service), random.Random(SEED), 0
    for statement, when in [*POINTS * ROUNDS, *[(None, "")] * RANDOM_KILLS]:
        hand.act()
        pid = nursery.start(statement, when)
        if statement is None:
            time.sleep(chance.uniform(0.0, 0.35))
            hand.act()
            time.sleep(chance.uniform(0.0, 0.05))
            os.kill(pid, signal.SIGKILL)
        wait_for_the_end(pid, f"the kill {when} statement {statement}")
        kills += 1
        FeedCursor.objects.filter(feed="stream").update(held_until=None)  # as if the dead one's lease had run out
        if kills % 4 == 0:
            work(crm.pk, patience=PATIENCE)
    assert kills == 100
    stored_before = InboxEvent.objects.count()
    assert stored_before > 0
    listen_to_the_end(environment, service)
    work_to_the_end(crm)
    assert_nothing_is_lost(service)
    assert_the_contacts_are_the_crms(service, hand)
    assert_nothing_was_applied_twice()


def wait_for_the_end(pid: int, what: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.005)
    raise AssertionError(f"not within 60 s: {what}")


def listen_to_the_end(environment: dict[str, str], service: FakeService) -> None:
    """With the real command."""
    done = subprocess.run(
        [*MANAGE, "listen_changes", "--once-seconds", "4", "--json"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["streams"] == 1


def work_to_the_end(crm: CrmConnection) -> None:
    for _ in range(10):
        SyncJob.objects.filter(state="ready").update(not_before="2026-01-01T00:00:00Z")
        if not work(crm.pk, patience=PATIENCE):
            break
    assert set(SyncJob.objects.values_list("state", flat=True)) == {"done"}


def assert_nothing_is_lost(service: FakeService) -> None:
    told = sorted(one["key"] for one in service.store.all("changes"))
    stored = sorted(InboxEvent.objects.values_list("dedupe_key", flat=True))
    assert stored == told
    assert set(InboxEvent.objects.values_list("state", flat=True)) == {"worked"}


def assert_the_contacts_are_the_crms(service: FakeService, hand: Hand) -> None:
    people = {one["id"]: one["fields"] for one in service.store.all("people")}
    assert set(people) == set(hand.people)
    links = {one.crm_record_id: one for one in SyncRecord.objects.all()}
    contacts = Contact.objects.in_bulk()
    for record_id, fields in people.items():
        contact = contacts[links[record_id].local_record_id]
        assert (contact.email, contact.company) == (fields["email"], fields.get("company", ""))
    for record_id, link in links.items():
        assert ("deleted_at" in link.metadata) == (record_id not in people)


def assert_nothing_was_applied_twice() -> None:
    for contact in Contact.objects.all():
        story = list(FieldChange.objects.filter(contact=contact).order_by("pk"))
        assert [one.field for one in story].count("*") == 1
        changes = [one for one in story if one.field == "company"]
        assert all(one.old != one.new for one in changes)
        assert all(later.old == earlier.new for earlier, later in pairwise(changes))
        assert contact.version == 1 + len(changes)


@pytest.mark.thorough
def test_the_command_stops_within_seconds_when_asked_and_gives_its_streams_back(
    crm: CrmConnection, environment: dict[str, str]
) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        process = subprocess.Popen(
            [*MANAGE, "listen_changes", "--json"],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_until(lambda: FeedCursor.objects.filter(feed="stream").exclude(holder="").exists(), "a stream")
        assert WorkerBeat.objects.get().kind == "listener"
        process.send_signal(number)
        out, problem = process.communicate(timeout=15)
        assert (process.returncode, json.loads(out)["streams"]) == (0, 1), problem
        assert FeedCursor.objects.get(feed="stream").holder == ""
        assert not WorkerBeat.objects.exists()
