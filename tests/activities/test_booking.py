"""What was agreed in calls, on its way into a CRM."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from activities import booking
from activities.models import Call, DispositionEffect
from activities.targets import Target
from integrations import errors, tenancy
from integrations.models import CrmConnection
from integrations.records.activities import FollowUp, Meeting
from integrations.records.remote import Written
from sync.models import Contact, SyncJob, SyncRecord
from sync.work import work
from tests.fake_crm.provider import Provider

STARTED = datetime(2026, 1, 21, 14, 30, tzinfo=UTC)
MEETING = {"starts_at": "2026-02-01T09:00:00Z", "ends_at": "2026-02-01T09:45:00Z", "title": "Demo", "location": "Zoom"}
FOLLOW_UP = {"due_at": "2026-01-28T08:00:00Z", "title": "Ask for the contract"}


@pytest.fixture
def diary(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the fake CRM was given, by key; it keeps meetings and follow-ups here."""
    held: dict[str, Any] = {}

    def write(_provider: Provider, some: Sequence[Any]) -> list[Written]:
        written = []
        for one in some:
            held[one.key] = one
            written.append(Written(one.key, id=one.crm_record_id or f"d{len(held)}", url="https://fakecrm.example/d"))
        return written

    monkeypatch.setattr(Provider, "meeting_type", "meetings", raising=False)
    monkeypatch.setattr(Provider, "follow_up_type", "tasks", raising=False)
    monkeypatch.setattr(Provider, "book_meetings", write)
    monkeypatch.setattr(Provider, "set_follow_ups", write)
    return held


@pytest.fixture(autouse=True)
def _everyone(contact: Contact) -> Iterator[None]:
    with tenancy.scope(contact.tenant_id):
        yield


def made(contact: Contact, number: int = 1, **more: Any) -> Call:
    usual: dict[str, Any] = {
        "external_id": f"d-{number}",
        "contact": contact,
        "direction": "outbound",
        "duration_seconds": 60,
        "started_at": STARTED,
        "summary": "Wants a demo",
        "agent_email": "ann@example.com",
    }
    call: Call = Call.objects.create(tenant_id=contact.tenant_id, **{**usual, **more})
    return call


def enqueue(connection: CrmConnection, *calls: Call) -> None:
    booking.enqueue(calls, {call.pk: [Target(connection.pk, "people", "7")] for call in calls})


def test_a_booked_meeting_reaches_the_crm_and_is_linked(
    connection: CrmConnection, contact: Contact, diary: dict[str, Any]
) -> None:
    call = made(contact, meeting=MEETING)
    enqueue(connection, call)
    work(connection.pk)
    (one,) = diary.values()
    assert isinstance(one, Meeting)
    assert (one.key, one.record_id, one.title, one.location) == (f"{call.pk}:meeting", "7", "Demo", "Zoom")
    assert (one.starts_at, one.ends_at) == (
        datetime(2026, 2, 1, 9, 0, tzinfo=UTC),
        datetime(2026, 2, 1, 9, 45, tzinfo=UTC),
    )
    assert (one.description, one.agent_email) == ("Wants a demo", "ann@example.com")
    link = SyncRecord.objects.get(local_table="call_meetings")
    assert (link.local_record_id, link.crm_record_id, link.crm_object_type) == (call.pk, "d1", "meetings")
    assert SyncJob.objects.get(kind="book_meeting").state == "done"


def test_a_later_stage_moves_the_same_meeting(
    connection: CrmConnection, contact: Contact, diary: dict[str, Any]
) -> None:
    call = made(contact, meeting=MEETING)
    enqueue(connection, call)
    work(connection.pk)
    call.meeting = {**MEETING, "starts_at": "2026-02-02T09:00:00Z", "ends_at": "2026-02-02T09:30:00Z"}
    call.save()
    enqueue(connection, call)
    work(connection.pk)
    (one,) = diary.values()
    assert (one.starts_at.day, one.crm_record_id) == (2, "d1")
    assert SyncRecord.objects.filter(local_table="call_meetings").count() == 1


def test_a_follow_up_of_its_own_goes_before_that_of_the_disposition(
    connection: CrmConnection, contact: Contact, diary: dict[str, Any]
) -> None:
    DispositionEffect.objects.create(
        tenant_id=contact.tenant_id, disposition="Call Back", follow_up_days=3, follow_up_title="Call again"
    )
    by_effect = made(contact, 1, disposition="call  back")
    by_itself = made(contact, 2, disposition="Call Back", follow_up=FOLLOW_UP)
    enqueue(connection, by_effect, by_itself)
    work(connection.pk)
    one, other = (diary[f"{call.pk}:follow-up"] for call in (by_effect, by_itself))
    assert isinstance(one, FollowUp)
    assert (one.title, one.due_at) == ("Call again", datetime(2026, 1, 24, 14, 31, tzinfo=UTC))
    assert (other.title, other.due_at) == ("Ask for the contract", datetime(2026, 1, 28, 8, 0, tzinfo=UTC))
    assert SyncRecord.objects.filter(local_table="call_follow_ups").count() == 2


@pytest.mark.parametrize(("books", "expected"), [(True, 1), (False, 0)], ids=["books", "books none"])
def test_the_disposition_says_whether_a_meeting_is_booked(
    connection: CrmConnection, contact: Contact, diary: dict[str, Any], books: bool, expected: int
) -> None:
    DispositionEffect.objects.create(tenant_id=contact.tenant_id, disposition="Interested", books_meeting=books)
    enqueue(connection, made(contact, meeting=MEETING, disposition="Interested"))
    assert SyncJob.objects.filter(kind="book_meeting").count() == expected


def test_a_crm_that_keeps_neither_gets_nothing(connection: CrmConnection, contact: Contact) -> None:
    enqueue(connection, made(contact, meeting=MEETING, follow_up=FOLLOW_UP))
    assert not SyncJob.objects.exists()


def test_what_was_taken_back_before_it_was_written_is_not_written(
    connection: CrmConnection, contact: Contact, diary: dict[str, Any]
) -> None:
    call = made(contact, meeting=MEETING)
    enqueue(connection, call)
    Call.objects.filter(pk=call.pk).update(meeting=None)
    work(connection.pk)
    assert not diary
    assert SyncJob.objects.get().state == "done"


def test_a_refused_one_lies_aside_and_the_others_are_booked(
    connection: CrmConnection, contact: Contact, diary: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = [made(contact, number, meeting=MEETING) for number in range(3)]
    bad = f"{calls[1].pk}:meeting"

    def write(_provider: Provider, some: Sequence[Any]) -> list[Written]:
        return [
            Written(one.key, error=errors.FixData("No.")) if one.key == bad else Written(one.key, id=one.key)
            for one in some
        ]

    monkeypatch.setattr(Provider, "book_meetings", write)
    enqueue(connection, *calls)
    work(connection.pk)
    states = dict(SyncJob.objects.values_list("local_record_id", "state"))
    assert [states[call.pk] for call in calls] == ["done", "dead", "done"]
    assert SyncRecord.objects.filter(local_table="call_meetings").count() == 2


def test_a_try_whose_answer_was_lost_comes_again_marked_as_tried(
    connection: CrmConnection, contact: Contact, diary: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Meeting] = []

    def write(_provider: Provider, some: Sequence[Meeting]) -> list[Written]:
        seen.extend(some)
        if len(seen) == 1:
            raise errors.OutcomeUnknown("No answer.")
        return [Written(one.key, id="d1") for one in some]

    monkeypatch.setattr(Provider, "book_meetings", write)
    enqueue(connection, made(contact, meeting=MEETING))
    work(connection.pk)
    SyncJob.objects.update(not_before=STARTED)
    work(connection.pk)
    assert [one.first_attempt_at is not None for one in seen] == [False, True]


def test_many_calls_cost_as_many_queries_as_one(
    connection: CrmConnection, contact: Contact, diary: dict[str, Any]
) -> None:
    def cost(calls: Sequence[Call]) -> int:
        with CaptureQueriesContext(
            database,
        ) as queries:
            booking.jobs(calls, {call.pk: [Target(connection.pk, "people", "7")] for call in calls})
        return len(queries)

    calls = [made(contact, number, meeting=MEETING, disposition="Connected") for number in range(20)]
    assert cost(calls) == cost(calls[:1]) <= 2
    assert cost([made(contact, 99)]) == 0


def test_a_follow_up_may_be_of_the_same_kind_as_the_call_itself_in_the_crm(
    connection: CrmConnection, contact: Contact, diary: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Provider, "follow_up_type", Provider.call_type)
    call = made(contact, follow_up=FOLLOW_UP)
    logged = SyncRecord.objects.create(
        tenant_id=call.tenant_id,
        connection=connection,
        crm_provider=connection.provider,
        crm_object_type=Provider.call_type,
        crm_record_id="c1",
        local_record_id=call.pk,
        local_table=Call._meta.db_table,
        sync_direction="outbound",
    )
    enqueue(connection, call)
    assert work(connection.pk) == {"done": 1}
    links = SyncRecord.objects.filter(local_record_id=call.pk, crm_object_type=Provider.call_type)
    assert set(links.values_list("crm_record_id", flat=True)) == {logged.crm_record_id, "d1"}
