"""Meetings that are taken back, run for every CRM of the registry: gone or marked there, once, whatever got lost on the way."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from integrations import errors
from integrations.records.activities import Agreed, Meeting
from integrations.records.remote import Written
from tests.providers.case import Case

NOON = datetime(2026, 12, 14, 12, 0, tzinfo=UTC)
CHANGES = "POST|PATCH|PUT|DELETE"


def meeting(case: Case, **more: Any) -> Meeting:
    object_type, record_id = case.record()
    return Meeting(
        key=f"{uuid4()}:meeting", object_type=object_type, record_id=record_id, title="Demo", starts_at=NOON,
        ends_at=NOON + timedelta(minutes=30), **more,
    )  # fmt: skip


def booked(case: Case, one: Meeting) -> Meeting:
    (written,) = case.provider.book_meetings([one])
    assert written.error is None
    return replace(one, crm_record_id=written.id)


def order(one: Meeting, **more: Any) -> Agreed:
    known = {"key": one.key, "object_type": one.object_type, "record_id": one.record_id}
    return Agreed(**{**known, "crm_record_id": one.crm_record_id, **more})


def cancelled(case: Case, one: Agreed) -> Written:
    """What the job table does with a lost answer: it asks again."""
    try:
        (written,) = case.provider.cancel_meetings([one])
    except errors.Retry as error:
        written = Written(one.key, error=error)
    if written.error is not None:
        (written,) = case.provider.cancel_meetings([replace(one, first_attempt_at=datetime.now(UTC))])
    return written


def standing(case: Case, one: Meeting) -> int:
    """How many of it the CRM shows as a meeting that takes place."""
    service = case.server.service
    return len([row for row in service.meetings() if row.key == service.key_of(one.key) and not row.cancelled])


def test_a_meeting_that_was_cancelled_stands_no_more_and_its_neighbour_does(case: Case) -> None:
    one, other = booked(case, meeting(case)), booked(case, meeting(case))
    assert cancelled(case, order(one)).error is None
    assert (standing(case, one), standing(case, other)) == (0, 1)


def test_cancelling_twice_is_cancelling_once(case: Case) -> None:
    one = booked(case, meeting(case))
    first, again = cancelled(case, order(one)), cancelled(case, order(one))
    assert (first.error, again.error, again.id) == (None, None, first.id)
    assert standing(case, one) == 0


@pytest.mark.parametrize("kind", ["drop_after", "drop_before"])
def test_a_lost_answer_leaves_none(case: Case, kind: str) -> None:
    one = booked(case, meeting(case))
    case.server.service.faults.set([{"kind": kind, "match": CHANGES, "times": 2}])
    assert cancelled(case, order(one)).error is None
    assert standing(case, one) == 0


def test_one_whose_booking_got_no_answer_is_found_and_cancelled(case: Case) -> None:
    one, first = meeting(case), datetime.now(UTC)
    case.provider.book_meetings([one])
    assert standing(case, one) == 1
    assert cancelled(case, order(one, first_attempt_at=first)).error is None
    assert standing(case, one) == 0


def test_one_that_never_was_is_no_error(case: Case) -> None:
    written = cancelled(case, order(meeting(case), first_attempt_at=datetime.now(UTC)))
    assert (written.error, written.id) == (None, "")


def test_what_was_cancelled_can_be_booked_again(case: Case) -> None:
    one = booked(case, meeting(case))
    left = cancelled(case, order(one))
    again = replace(one, crm_record_id=left.id, renewed=True, first_attempt_at=datetime.now(UTC))
    (written,) = case.provider.book_meetings([again])
    assert written.error is None
    assert standing(case, one) == 1
