"""A meeting that a later stage takes back: cancelled in the CRM once, whatever breaks on the way, and told here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from activities.models import Call, DispositionEffect
from activities.person import of_contact
from activities.person_erasing import erase
from integrations import errors, tenancy
from integrations.models import CrmConnection
from integrations.records.activities import Agreed, Meeting
from integrations.records.remote import Written
from sync import queue
from sync.models import Contact, SyncJob, SyncRecord
from sync.work import work
from tests import factories
from tests.fake_crm.provider import Provider

URL = "/api/v1/calls/"
MEETING = {"starts_at": "2026-02-01T09:00:00Z", "duration_minutes": 30, "title": "Demo"}
OTHER = {**MEETING, "starts_at": "2026-02-03T09:00:00Z"}


class Killed(BaseException):
    """The worker is gone, and wrote nothing down."""


@dataclass
class Diary:
    """The CRM's meetings. What is cancelled is deleted, or stays marked (`keeps`)."""

    keeps: bool = False
    held: dict[str, Meeting] = field(default_factory=dict)
    marked: set[str] = field(default_factory=set)
    booked: list[Meeting] = field(default_factory=list)
    cancelled: list[Agreed] = field(default_factory=list)
    stumbles: list[BaseException] = field(default_factory=list)
    """Raised one by one, after what was asked for is done."""

    def standing(self) -> list[Meeting]:
        return [one for number, one in self.held.items() if number not in self.marked]

    def book(self, some: Sequence[Meeting]) -> list[Written]:
        written = [Written(one.key, id=self._put(one), url="https://fakecrm.example/d") for one in some]
        self.booked += some
        return self._answer(written)

    def _put(self, one: Meeting) -> str:
        number = one.crm_record_id or (self._find(one) if one.first_attempt_at else "") or f"d{len(self.booked) + 1}"
        if one.crm_record_id and number not in self.held:
            raise AssertionError("A meeting was to be changed that is not there any more.")
        self.held[number] = one
        if one.renewed:
            self.marked.discard(number)
        return number

    def cancel(self, some: Sequence[Agreed]) -> list[Written]:
        self.cancelled += some
        return self._answer([Written(one.key, id=self._end(one)) for one in some])

    def _end(self, one: Agreed) -> str:
        number = one.crm_record_id or (self._find(one) if one.first_attempt_at else "")
        if number not in self.held:
            return ""
        if self.keeps:
            self.marked.add(number)
            return number
        del self.held[number]
        return ""

    def _find(self, one: Agreed) -> str:
        return next((number for number, held in self.held.items() if held.key == one.key), "")

    def _answer(self, written: list[Written]) -> list[Written]:
        if self.stumbles:
            raise self.stumbles.pop(0)
        return written


@pytest.fixture(params=[False, True], ids=["deleted there", "marked there"])
def diary(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Diary:
    kept = Diary(keeps=request.param)
    monkeypatch.setattr(Provider, "meeting_type", "meetings", raising=False)
    monkeypatch.setattr(Provider, "book_meetings", kept.book)
    monkeypatch.setattr(Provider, "cancel_meetings", kept.cancel)
    return kept


@pytest.fixture(autouse=True)
def _scope(contact: Contact) -> Iterator[None]:
    with tenancy.scope(contact.tenant_id):
        yield


@dataclass
class Talk:
    """A call that booked a meeting, and what the dialer says of it."""

    client: APIClient
    connection: CrmConnection
    id: str

    def says(self, **said: Any) -> None:
        assert self.client.patch(f"{URL}{self.id}/", said).status_code == 200
        self.work()

    def work(self) -> None:
        """What the call leaves on its person is another matter, and waits."""
        SyncJob.objects.filter(state="ready").exclude(kind="push").update(
            not_before=timezone.now() - timedelta(seconds=1)
        )
        work(self.connection.pk)

    def meeting(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"{URL}{self.id}/").json()["syncs"][0]["meeting"]
        return found


@pytest.fixture
def talk(client: APIClient, connection: CrmConnection, body: Any, diary: Diary) -> Talk:
    posted = client.post(URL, {**body, "meeting": MEETING})
    made = Talk(client, connection, posted.json()["id"])
    made.work()
    assert len(diary.standing()) == 1
    return made


def test_a_meeting_that_is_taken_back_is_cancelled_in_the_crm_and_here(talk: Talk, diary: Diary) -> None:
    talk.says(meeting=None)
    assert diary.standing() == []
    assert [one.crm_record_id for one in diary.cancelled] == ["d1"]
    assert talk.meeting()["status"] == "cancelled"
    assert talk.meeting()["crm_record_id"] == ("d1" if diary.keeps else None)


def test_until_it_is_cancelled_it_is_told_as_waiting(talk: Talk, diary: Diary) -> None:
    talk.client.patch(f"{URL}{talk.id}/", {"meeting": None})
    assert talk.meeting()["status"] == "pending"
    assert len(diary.standing()) == 1


def test_the_page_of_the_call_says_so(talk: Talk) -> None:
    talk.says(meeting=None)
    browser = Client()
    browser.force_login(factories.support())
    assert "Cancelled" in browser.get(f"/admin/activities/call/{talk.id}/change/").content.decode()


def test_a_disposition_that_books_none_takes_it_back_and_one_that_does_books_it_again(
    talk: Talk, diary: Diary, contact: Contact
) -> None:
    DispositionEffect.objects.create(tenant_id=contact.tenant_id, disposition="Not Interested", books_meeting=False)
    talk.says(disposition="Not Interested")
    assert (diary.standing(), talk.meeting()["status"]) == ([], "cancelled")
    talk.says(disposition="Meeting Booked")
    assert len(diary.standing()) == 1
    assert talk.meeting()["status"] == "logged"
    assert SyncRecord.objects.filter(local_table="call_meetings").count() == 1


def test_another_meeting_in_its_place_is_booked(talk: Talk, diary: Diary) -> None:
    talk.says(meeting=None)
    talk.says(meeting=OTHER)
    assert [one.starts_at.day for one in diary.standing()] == [3]
    assert (talk.meeting()["status"], len(diary.cancelled)) == ("logged", 1)


def test_what_comes_later_asks_the_crm_nothing_about_a_cancelled_meeting(talk: Talk, diary: Diary) -> None:
    talk.says(meeting=None)
    talk.says(disposition="No Answer")
    talk.says(summary="Never mind.")
    assert (len(diary.booked), len(diary.cancelled)) == (1, 1)
    assert talk.meeting()["status"] == "cancelled"


def test_effects_that_changed_since_cancel_nothing_by_themselves(talk: Talk, diary: Diary, contact: Contact) -> None:
    DispositionEffect.objects.create(tenant_id=contact.tenant_id, disposition="Connected", books_meeting=False)
    talk.says(summary="They meet on Sunday.")
    assert (len(diary.standing()), diary.cancelled) == (1, [])


def test_a_meeting_that_was_taken_back_before_it_was_booked_is_asked_of_nobody(
    client: APIClient, connection: CrmConnection, body: Any, diary: Diary
) -> None:
    talk = Talk(client, connection, client.post(URL, {**body, "meeting": MEETING}).json()["id"])
    talk.says(meeting=None)
    assert (diary.booked, diary.cancelled) == ([], [])
    assert talk.meeting()["status"] == "cancelled"


@pytest.mark.parametrize("then", [None, OTHER], ids=["and stays so", "and is booked again"])
@pytest.mark.parametrize(
    "stumble", [errors.OutcomeUnknown("No answer."), Killed()], ids=["answer lost", "worker killed"]
)
def test_a_cancellation_that_breaks_off_is_gone_through_again(
    talk: Talk, diary: Diary, stumble: BaseException, then: Any
) -> None:
    diary.stumbles.append(stumble)
    if isinstance(stumble, Killed):
        with pytest.raises(Killed):
            talk.says(meeting=None)
        SyncJob.objects.filter(state="leased").update(lease_until=timezone.now() - timedelta(seconds=1))
        if then:
            talk.client.patch(f"{URL}{talk.id}/", {"meeting": then})
        queue.release_expired()
        talk.work()
    else:
        talk.says(meeting=None)
        talk.says(meeting=then)
        talk.work()
    assert [one.starts_at.day for one in diary.standing()] == ([3] if then else [])
    assert talk.meeting()["status"] == ("logged" if then else "cancelled")
    assert not SyncJob.objects.filter(state__in=["ready", "leased", "dead"]).exclude(kind="push").exists()


def test_a_booking_without_an_answer_is_looked_up_and_cancelled(
    client: APIClient, connection: CrmConnection, body: Any, diary: Diary
) -> None:
    diary.stumbles.append(errors.OutcomeUnknown("No answer."))
    talk = Talk(client, connection, client.post(URL, {**body, "meeting": MEETING}).json()["id"])
    talk.work()
    assert len(diary.standing()) == 1
    talk.says(meeting=None)
    assert (diary.standing(), talk.meeting()["status"]) == ([], "cancelled")
    assert diary.cancelled[0].first_attempt_at is not None


def test_a_booking_that_was_given_up_without_an_answer_is_looked_up_too(
    client: APIClient, connection: CrmConnection, body: Any, diary: Diary
) -> None:
    diary.stumbles += [errors.OutcomeUnknown("No answer.") for _ in range(20)]
    talk = Talk(client, connection, client.post(URL, {**body, "meeting": MEETING}).json()["id"])
    for _try in range(20):
        talk.work()
    assert SyncJob.objects.get(kind="book_meeting").state == "dead"
    diary.stumbles.clear()
    talk.says(meeting=None)
    assert (diary.standing(), talk.meeting()["status"]) == ([], "cancelled")


def test_a_cancellation_that_the_crm_refuses_waits_for_a_person(talk: Talk, diary: Diary) -> None:
    diary.stumbles.append(errors.FixConfig("You may not delete this.", cause="permission"))
    talk.says(meeting=None)
    assert (talk.meeting()["status"], talk.meeting()["error"]) == ("failed", "You may not delete this.")


def test_an_erased_persons_meeting_is_not_cancelled_by_what_comes_later(talk: Talk, diary: Diary) -> None:
    call = Call.objects.get(pk=talk.id)
    assert call.contact is not None
    erase(of_contact(call.contact), "sam")
    talk.client.patch(f"{URL}{talk.id}/", {"disposition": "No Answer"})
    talk.work()
    assert diary.cancelled == []
