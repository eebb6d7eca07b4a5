"""Meetings and follow-ups, run for every CRM of the registry against its sandbox, over real HTTP and the real transport."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integrations import errors
from integrations.records.activities import FollowUp, Meeting
from integrations.records.remote import Written
from integrations.registry import provider_class
from integrations.sandbox.http import Agreed
from tests.providers.case import Case

NOON = datetime(2026, 12, 14, 12, 0, tzinfo=UTC)
NOBODY = {"Lead": "00Q000000000000AAA"}
WRITES = "POST|PATCH|PUT"


@dataclass
class Diary:
    """A case, seen as a place where one kind of thing is agreed."""

    case: Case
    kind: str

    def one(self, **more: Any) -> Any:
        object_type, record_id = self.case.record()
        usual: dict[str, Any] = {
            "key": f"{uuid.uuid4()}:{self.kind}",
            "object_type": object_type,
            "record_id": record_id,
            "title": "Demo for five people",
            "description": "Wants <b>prices</b> & a date\nsecond line – naïve 🙂",
        }
        if self.kind == "meeting":
            return Meeting(**{**usual, "starts_at": NOON, "ends_at": NOON + timedelta(minutes=30), **more})
        return FollowUp(**{**usual, "due_at": NOON, **more})

    def moved(self, one: Any, by: timedelta) -> Any:
        if isinstance(one, Meeting):
            return replace(one, starts_at=one.starts_at + by, ends_at=one.ends_at + by)
        return replace(one, due_at=one.due_at + by)

    def write(self, some: Sequence[Any]) -> list[Written]:
        provider = self.case.provider
        return provider.book_meetings(some) if self.kind == "meeting" else provider.set_follow_ups(some)

    def write_until_known(self, one: Any, first: datetime | None = None) -> Written:
        """What the job table does with a lost answer."""
        try:
            (written,) = self.write([one])
        except errors.Retry as error:
            written = Written(one.key, error=error)
        if written.error is not None:
            (written,) = self.write([replace(one, first_attempt_at=first or datetime.now(UTC))])
        return written

    def held(self, key: str) -> list[Agreed]:
        service = self.case.server.service
        listed = service.meetings() if self.kind == "meeting" else service.follow_ups()
        return [one for one in listed if one.key == service.key_of(key)]


@pytest.fixture(params=["meeting", "follow-up"])
def diary(request: pytest.FixtureRequest, case: Case) -> Diary:
    return Diary(case, request.param)


def test_what_was_agreed_stands_on_its_person_at_its_time(diary: Diary) -> None:
    one = diary.one()
    (written,) = diary.write([one])
    assert (written.key, written.error, written.created) == (one.key, None, True)
    assert written.id
    assert written.url.startswith("http")
    (held,) = diary.held(one.key)
    assert (held.record_id, held.title) == (one.record_id, "Demo for five people")
    assert held.at.startswith("2026-12-14")


def test_a_second_write_after_a_crash_makes_no_second_one(diary: Diary) -> None:
    one = diary.one()
    (first,) = diary.write([one])
    (again,) = diary.write([replace(one, first_attempt_at=datetime.now(UTC))])
    assert (again.id, again.error) == (first.id, None)
    assert len(diary.held(one.key)) == 1


@pytest.mark.parametrize("kind", ["drop_after", "drop_before"])
def test_a_lost_answer_leaves_exactly_one(diary: Diary, kind: str) -> None:
    one = diary.one()
    diary.case.server.service.faults.set([{"kind": kind, "match": WRITES, "times": 1}])
    assert diary.write_until_known(one).error is None
    assert len(diary.held(one.key)) == 1


def test_a_retry_after_days_finds_what_the_first_try_wrote(diary: Diary) -> None:
    one, clock = diary.one(), diary.case.server.service.clock
    first = datetime.now(UTC) - timedelta(days=6)
    clock.advance(-timedelta(days=6).total_seconds())
    try:
        (written,) = diary.write([one])
    finally:
        clock.advance(timedelta(days=6).total_seconds())
    (again,) = diary.write([replace(one, first_attempt_at=first)])
    assert (again.id, again.error) == (written.id, None)
    assert len(diary.held(one.key)) == 1


def test_a_later_stage_moves_and_renames_it_in_place(diary: Diary) -> None:
    one = diary.one()
    (written,) = diary.write([one])
    later = replace(diary.moved(one, timedelta(days=2)), title="Longer demo", crm_record_id=written.id)
    (changed,) = diary.write([later])
    assert (changed.id, changed.error, changed.created) == (written.id, None, False)
    (held,) = diary.held(one.key)
    assert held.title.startswith("Longer demo")
    assert "2026-12-16" in held.at + held.title


def test_somebody_who_is_gone_is_told_and_stops_nobody(diary: Diary) -> None:
    size = min(provider_class(diary.case.slug).call_batch_size, 10)
    good = [diary.one() for _ in range(size - 1)]
    bad = diary.one(record_id=NOBODY.get(diary.case.record()[0], "999999999"))
    written = {one.key: one for one in diary.write([*good, bad])}
    assert isinstance(written[bad.key].error, errors.Gone | errors.FixData)
    assert all(written[one.key].error is None and len(diary.held(one.key)) == 1 for one in good)


@pytest.mark.parametrize(
    "who",
    [{"agent_email": "nobody@nowhere.example"}, {"agent_id": "9999999"}, {"agent_id": "005000000000ZZZAAA"}],
    ids=["strange address", "strange number", "strange id"],
)
def test_an_agent_whom_the_crm_does_not_know_costs_only_the_owner(diary: Diary, who: dict[str, str]) -> None:
    one = diary.one(**who)
    (written,) = diary.write([one])
    assert written.error is None
    assert len(diary.held(one.key)) == 1


def test_a_user_that_was_named_wins_over_the_address(diary: Diary) -> None:
    users = [user for user in diary.case.provider.users() if user.active and user.email]
    named, other = users[1], users[2]
    one = diary.one(agent_id=named.id, agent_email=other.email)
    assert diary.write([one])[0].error is None
    assert diary.held(one.key)[0].owner == named.id


def test_over_long_and_hostile_text_is_kept_within_bounds(diary: Diary) -> None:
    one = diary.one(title="Tea\n" + "🙂" * 900, description="<script>alert('x')</script>\n" + "🙂 & <" * 40_000)
    (written,) = diary.write([one])
    assert written.error is None
    (held,) = diary.held(one.key)
    assert held.title.startswith("Tea 🙂")
    if diary.case.slug == "hubspot":  # the only one that renders HTML
        assert "<script>" not in held.text


def test_the_same_title_for_another_call_is_another_one(diary: Diary) -> None:
    one, twin = diary.one(), diary.one()
    diary.write([one])
    (written,) = diary.write([replace(twin, first_attempt_at=datetime.now(UTC))])
    assert written.created
    assert (len(diary.held(one.key)), len(diary.held(twin.key))) == (1, 1)
