"""The summary of a call as a note beside it: from the dialer's post to what Follow Up Boss holds, over real HTTP."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from activities import retention
from activities.forgetting import forget_calls
from activities.models import Call, CallSettings, DialerMessage
from activities.summary_notes import NOTE, TABLE
from integrations import tenancy
from integrations.exchanges_reading import about_record
from integrations.models import CrmConnection, Tenant
from integrations.providers.followupboss.marking import marker_of
from integrations.sandbox import people
from integrations.sandbox.server import SandboxServer
from integrations.transport import limits
from integrations.transport.client import Patience
from sync import queue
from sync.models import Lane, SyncJob, SyncRecord
from sync.work import work
from tests import factories
from tests.providers.connected import connected

URL = "/api/v1/calls/"
SAID = {
    "summary": "Spoke with <b>John</b> & liked it",
    "key_points": ["Relocating for work"],
    "next_steps": ["Send CMA by Friday"],
}
STATE = {"status", "crm_record_id", "url", "error", "attempts", "provider"}
"""What dialers are told of a call in a CRM."""
LONG = Patience(turn=600, retry=3)


class World:
    """A tenant with Follow Up Boss, as its dialer sees it."""

    def __init__(self, server: SandboxServer, row: CrmConnection, dialer: APIClient) -> None:
        self.server, self.row, self.dialer = server, row, dialer

    def post(self, **more: Any) -> str:
        body = {
            "external_id": "d-1",
            "provider": "followupboss",
            "crm_record_id": "1001",
            "phone": "+14155550101",
            "direction": "outbound",
            "duration_seconds": 342,
            "started_at": "2026-01-21T14:30:00Z",
            "disposition": "Connected",
            "notes": "Wants to sell",
            "metadata": {"ai_score": 87, "sentiment": "positive"},
        }
        answer = self.dialer.post(URL, {**body, **more}, format="json")
        assert answer.status_code in {200, 201}, answer.content
        return str(answer.json()["id"])

    def say(self, call_id: str, **said: Any) -> None:
        assert self.dialer.patch(f"{URL}{call_id}/", said, format="json").status_code == 200

    def work(self) -> None:
        """All that is to be done for calls, now."""
        with tenancy.everyone():
            SyncJob.objects.filter(kind__in=("log_call", NOTE), state="ready").update(not_before=timezone.now())
            SyncJob.objects.exclude(kind__in=("log_call", NOTE)).delete()
        work(self.row.pk, patience=LONG)

    def held(self, kind: str) -> list[dict[str, Any]]:
        return list(self.server.service.store.all(kind))

    def asked(self) -> list[tuple[str, int]]:
        return sorted((name, count) for name, count in self.server.counts.items() if "/notes" in name)

    def jobs(self) -> list[tuple[str, str]]:
        with tenancy.everyone():
            return list(SyncJob.objects.filter(kind=NOTE).order_by("pk").values_list("state", "cause"))

    def settle(self, **settings: Any) -> None:
        with tenancy.everyone():
            CrmConnection.objects.filter(pk=self.row.pk).update(settings={**self.row.settings, **settings})


@pytest.fixture
def world(tenant: Tenant, api_key: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(people, "SHARE", 0.1)
    with tenancy.scope(tenant.pk):
        server, row, _credential = connected(tenant, "followupboss", settings)
    dialer = APIClient()
    dialer.credentials(HTTP_AUTHORIZATION=f"Bearer {api_key}")
    yield World(server, row, dialer)
    server.close()


def test_a_call_with_a_summary_is_one_call_and_one_note_beside_it(world: World) -> None:
    call_id = world.post(**SAID)
    world.work()
    (call,), (note,) = world.held("calls"), world.held("notes")
    assert (note["personId"], note["subject"], note["isHtml"]) == (1001, "Call Summary — AI Generated", False)
    *text, marker = note["body"].splitlines()
    assert marker == marker_of(f"{call_id}:note")
    assert [line for line in text if line] == [
        "--- Call Summary (AI Generated) ---", "Spoke with <b>John</b> & liked it",
        "--- Agent Notes ---", "Wants to sell",
        "--- Key Points ---", "- Relocating for work",
        "--- Next Steps ---", "- [ ] Send CMA by Friday",
        "--- Call Metrics ---", "Duration: 5:42 | AI Score: 87/100 | Sentiment: Positive",
    ]  # fmt: skip
    assert SAID["summary"] in call["note"]
    assert note["created"] >= call["created"]


def test_without_a_summary_the_note_has_a_plainer_subject(world: World) -> None:
    world.post(next_steps=["Send CMA by Friday"])
    world.work()
    assert [note["subject"] for note in world.held("notes")] == ["Call Notes"]


def test_a_call_with_nothing_but_the_agents_notes_has_none(world: World) -> None:
    world.post()
    world.work()
    assert (len(world.held("calls")), world.held("notes"), world.jobs()) == (1, [], [])


def test_a_connection_may_do_without(world: World) -> None:
    world.settle(call_summary_note=False)
    world.post(**SAID)
    world.work()
    assert (len(world.held("calls")), world.held("notes"), world.jobs()) == (1, [], [])


def test_the_note_is_by_the_tenants_template(world: World, tenant: Tenant) -> None:
    factories.call_settings(tenant, note_template="{{disposition}}: {{summary}}")
    call_id = world.post(**SAID)
    world.work()
    (note,) = world.held("notes")
    assert note["body"] == f"Connected: {SAID['summary']}\n{marker_of(f'{call_id}:note')}"


def test_an_over_long_summary_is_cut_and_keeps_its_marker(world: World) -> None:
    call_id = world.post(summary="🙂" * 15_000)
    world.work()
    (note,) = world.held("notes")
    assert len(note["body"]) < 10_100
    assert note["body"].endswith(f"…\n{marker_of(f'{call_id}:note')}")


def test_a_summary_that_comes_later_is_written_then_and_updated_in_place(world: World) -> None:
    call_id = world.post()
    world.work()
    world.say(call_id, summary="First try")
    world.work()
    (first,) = world.held("notes")
    world.say(call_id, summary="Second try", key_points=["Budget"])
    world.work()
    (second,) = world.held("notes")
    assert (second["id"], len(world.held("calls"))) == (first["id"], 1)
    assert "Second try" in second["body"]
    assert "First try" not in second["body"]


def test_a_summary_that_is_taken_back_leaves_the_note(world: World) -> None:
    call_id = world.post(summary="Said by mistake")
    world.work()
    world.say(call_id, summary="")
    world.work()
    (note,) = world.held("notes")
    assert note["subject"] == "Call Notes"
    assert "mistake" not in note["body"]


def test_a_stage_that_changes_nothing_of_it_asks_nothing_of_the_notes(world: World) -> None:
    call_id = world.post(**SAID)
    world.work()
    before = world.asked()
    world.say(call_id, recording_url="https://recordings.example.com/1.mp3")
    world.work()
    assert world.asked() == before != []
    assert len(world.jobs()) == 1


@pytest.mark.parametrize("kind", ["drop_after", "drop_before"])
def test_a_lost_answer_leaves_one_note_that_says_what_was_said_last(world: World, kind: str) -> None:
    world.server.service.faults.set([{"kind": kind, "match": "POST /v1/notes", "times": 1}])
    call_id = world.post(**SAID)
    world.work()
    assert world.jobs() == [("ready", "outcome_unknown")]
    world.say(call_id, summary="Said meanwhile")
    world.work()
    (note,) = world.held("notes")
    assert "Said meanwhile" in note["body"]
    assert ("done", "") in world.jobs()


def test_a_worker_that_dies_before_it_wrote_anything_down_leaves_one_note(world: World) -> None:
    world.post(**SAID)
    world.work()
    with tenancy.everyone():
        SyncRecord.objects.filter(local_table=TABLE).delete()
        past = timezone.now() - timedelta(minutes=1)
        SyncJob.objects.filter(kind=NOTE).update(state="leased", lease_until=past, first_attempt_at=past)
    queue.release_expired()
    world.work()
    assert (len(world.held("notes")), world.jobs()) == (1, [("done", "")])


def test_a_call_posted_and_worked_twice_has_one_note(world: World) -> None:
    for _time in range(2):
        world.post(**SAID)
        world.work()
    with tenancy.everyone():
        SyncJob.objects.filter(kind="log_call").update(state="ready", finished_at=None)
    world.work()
    assert (len(world.held("calls")), len(world.held("notes"))) == (1, 1)


def test_a_call_that_was_looked_for_has_its_note_looked_for_too(world: World) -> None:
    """As after a restore of the database to the moment before the call was logged."""
    world.post(**SAID)
    world.work()
    with tenancy.everyone():
        SyncRecord.objects.exclude(local_table="contacts").delete()
        SyncJob.objects.filter(kind=NOTE).delete()
        SyncJob.objects.filter(kind="log_call").update(
            state="ready", finished_at=None, first_attempt_at=timezone.now() - timedelta(minutes=1)
        )
    world.work()
    assert (len(world.held("calls")), len(world.held("notes"))) == (1, 1)


def test_a_limit_of_the_notes_holds_up_notes_and_no_calls(world: World) -> None:
    limits.close(str(world.row.pk), ["notes"], 300)
    for number in range(3):
        world.post(external_id=f"d-{number}", **SAID)
    world.work()
    world.work()
    assert (len(world.held("calls")), world.held("notes")) == (3, [])
    with tenancy.everyone():
        waiting = SyncJob.objects.filter(kind=NOTE)
        assert {(job.state, job.lane, job.attempts) for job in waiting} == {("ready", Lane.EDITS, 0)}
        assert any(job.cause == "rate_limited" and job.not_before > timezone.now() for job in waiting)


def test_a_person_who_is_gone_is_told_and_gets_neither(world: World) -> None:
    world.post(crm_record_id="999999", **SAID)
    world.work()
    assert (world.held("calls"), world.held("notes"), world.jobs()) == ([], [], [])


def test_a_person_who_went_between_call_and_note_stops_the_note_alone(world: World) -> None:
    world.server.service.faults.set([{"kind": "status", "status": 404, "match": "POST /v1/notes", "times": 1}])
    world.post(**SAID)
    world.work()
    ((state, _cause),) = world.jobs()
    assert (state, len(world.held("calls"))) == ("dead", 1)


@pytest.mark.parametrize(("also_there", "left"), [(False, True), (True, False)], ids=["stays", "is shortened too"])
def test_what_is_forgotten_here_stays_in_the_note_unless_the_tenant_says_so(
    world: World, tenant: Tenant, also_there: bool, left: bool
) -> None:
    call_id = world.post(**SAID)
    world.work()
    with tenancy.everyone():
        CallSettings.objects.create(tenant=tenant, texts_kept_days=30, forget_in_crms=also_there)
    retention.forget_for_all()
    world.work()
    world.say(call_id, metadata={"ai_score": 12})
    world.work()
    (note,) = world.held("notes")
    assert (SAID["summary"] in note["body"]) is left


def test_a_note_that_still_waits_when_its_person_is_erased_is_not_written(world: World, tenant: Tenant) -> None:
    limits.close(str(world.row.pk), ["notes"], 300)
    world.post(**SAID)
    world.work()
    with tenancy.scope(tenant.pk):
        forget_calls(Call.objects.all())
    world.work()
    assert (world.held("notes"), world.jobs()) == ([], [("done", "")])


def test_a_change_that_still_waits_when_the_texts_are_forgotten_is_not_written(world: World, tenant: Tenant) -> None:
    call_id = world.post(**SAID)
    world.work()
    limits.close(str(world.row.pk), ["notes"], 300)
    world.say(call_id, summary="Said later")
    world.work()
    with tenancy.everyone():
        CallSettings.objects.create(tenant=tenant, texts_kept_days=30)
    retention.forget_for_all()
    world.work()
    (note,) = world.held("notes")
    assert SAID["summary"] in note["body"]
    assert world.jobs() == [("done", ""), ("done", "")]


def test_what_was_said_to_the_crm_is_forgotten_with_the_call(world: World, tenant: Tenant) -> None:
    call_id = world.post(**SAID)
    world.work()
    with tenancy.scope(tenant.pk):
        assert _told(call_id)
        forget_calls(Call.objects.all())
        assert not _told(call_id)


def _told(call_id: str) -> list[Any]:
    return list(about_record([f"{call_id}:note"]))


def test_a_dialer_is_not_told_of_a_note_that_failed(world: World, tenant: Tenant) -> None:
    factories.dialer_endpoint(tenant, events=[])
    world.server.service.faults.set([{"kind": "status", "status": 404, "match": "POST /v1/notes", "times": 1}])
    call_id = world.post(**SAID)
    world.work()
    assert [state for state, _cause in world.jobs()] == ["dead"]
    world.say(call_id, disposition="Voicemail")
    world.work()
    with tenancy.everyone():
        told = list(DialerMessage.objects.values_list("event", "payload"))
    assert [event for event, _payload in told] == ["call.logged", "call.logged"]
    assert {name for _event, payload in told for one in payload["data"]["syncs"] for name in one} == STATE


def test_people_see_the_note_beside_its_call_and_dialers_hear_what_is_documented(world: World, tenant: Tenant) -> None:
    call_id = world.post(**SAID)
    world.work()
    (sync,) = world.dialer.get(f"{URL}{call_id}/").json()["syncs"]
    assert set(sync) == STATE
    browser = Client()
    browser.force_login(User.objects.get(pk=factories.tenant_admin(tenant).pk))
    page = browser.get(f"/admin/activities/call/{call_id}/change/").content.decode()
    assert "Note with the summary" in page
    assert str(world.held("notes")[0]["id"]) in page
