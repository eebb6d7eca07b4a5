"""Meetings and tasks, and what an activity was about."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integrations.providers.hubspot.lookup import mark
from integrations.providers.hubspot.provider import Provider
from integrations.records.activities import FollowUp, Meeting
from tests.providers.hubspot.conftest import World, sent
from tests.providers.hubspot.test_calls import call

START = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)


def meeting(contact: str, number: int = 1, **more: Any) -> Meeting:
    usual: dict[str, Any] = {
        "key": f"c-{number}:meeting",
        "object_type": "contacts",
        "record_id": contact,
        "title": "Demo",
        "starts_at": START,
        "ends_at": START + timedelta(minutes=30),
        "description": "Prices < 5k\n& dates",
    }
    return Meeting(**{**usual, **more})


def follow_up(contact: str, **more: Any) -> FollowUp:
    usual: dict[str, Any] = {"key": "c-1:follow-up", "object_type": "contacts", "record_id": contact}
    return FollowUp(**{**usual, "title": "Ask again", "due_at": START, **more})


def stored(world: World, kind: str) -> list[dict[str, str]]:
    return [world.held(kind, one) for one in world.ids(kind)]


def test_a_meeting_is_written_as_hubspot_wants_it(world: World) -> None:
    provider = world.prepared()
    owner = next(user for user in provider.users() if user.active)
    contact = world.contact_ids()[0]
    (written,) = provider.book_meetings([meeting(contact, agent_id=owner.id, location="Zoom")])
    assert (written.error, written.created) == (None, True)
    assert written.url.endswith(f"/record/0-47/{written.id}")
    (held,) = stored(world, "meetings")
    expected = {
        "hs_timestamp": "2026-12-01T09:00:00.000Z",
        "hs_meeting_start_time": "2026-12-01T09:00:00.000Z",
        "hs_meeting_end_time": "2026-12-01T09:30:00.000Z",
        "hs_meeting_title": "Demo",
        "hs_meeting_body": "Prices &lt; 5k<br>&amp; dates",
        "hs_meeting_location": "Zoom",
        "hs_meeting_outcome": "SCHEDULED",
        "hubspot_owner_id": owner.id,
        "dialer_meeting_id": "c-1:meeting",
    }
    assert {name: held[name] for name in expected} == expected


def test_a_hundred_meetings_take_two_writes(world: World) -> None:
    provider = world.prepared()
    some = [meeting(contact, number) for number, contact in enumerate(world.contact_ids()[:100])]
    assert all(one.error is None for one in provider.book_meetings(some))
    assert len([request for request in sent(provider) if request.startswith("POST")]) == 2


def test_a_task_is_open_and_due(world: World) -> None:
    provider = world.prepared()
    provider.set_follow_ups([follow_up(world.contact_ids()[0])])
    (held,) = stored(world, "tasks")
    expected = {"hs_timestamp": "2026-12-01T09:00:00.000Z", "hs_task_status": "NOT_STARTED", "hs_task_type": "TODO"}
    assert {name: held[name] for name in expected} == expected


def test_what_people_did_with_it_is_not_undone(world: World) -> None:
    provider = world.prepared()
    one = follow_up(world.contact_ids()[0])
    (written,) = provider.set_follow_ups([one])
    with world.portal.store.lock:
        document = world.portal.store.get("tasks", written.id)
        assert document
        world.portal.change(document, {"hs_task_status": "COMPLETED"})
    for later in (replace(one, crm_record_id=written.id), replace(one, first_attempt_at=datetime.now(UTC))):
        (again,) = world.prepared().set_follow_ups([replace(later, title="Ask sooner")])
        assert (again.id, again.error) == (written.id, None)
    (held,) = stored(world, "tasks")
    assert (held["hs_task_status"], held["hs_task_subject"]) == ("COMPLETED", "Ask sooner")


def test_without_the_property_a_mark_tells_it_again(world: World) -> None:
    provider: Provider = world.checking()
    one = meeting(world.contact_ids()[0])
    (first,) = provider.book_meetings([one])
    (again,) = world.checking().book_meetings([replace(one, first_attempt_at=datetime.now(UTC))])
    assert (again.id, again.created) == (first.id, False)
    (held,) = stored(world, "meetings")
    assert held["hs_meeting_body"].endswith(mark(one.key))


def test_a_meeting_that_somebody_deleted_stays_deleted(world: World) -> None:
    provider = world.prepared()
    one = meeting(world.contact_ids()[0])
    (written,) = provider.book_meetings([one])
    with world.portal.store.lock:
        document = world.portal.store.get("meetings", written.id)
        assert document
        world.portal.archive(document)
    (again,) = provider.book_meetings([replace(one, crm_record_id=written.id)])
    assert again.error is not None
    assert len(world.ids("meetings")) == 1


def test_a_meeting_that_somebody_deleted_needs_no_cancelling(world: World) -> None:
    provider = world.prepared()
    one, other = meeting(world.contact_ids()[0]), meeting(world.contact_ids()[1], 2)
    ids = [written.id for written in provider.book_meetings([one, other])]
    with world.portal.store.lock:
        document = world.portal.store.get("meetings", ids[0])
        assert document
        world.portal.archive(document)
    known = [replace(some, crm_record_id=found) for some, found in zip((one, other), ids, strict=True)]
    gone, marked = provider.cancel_meetings(known)
    assert (gone.error, gone.id) == (None, "")
    assert (marked.error, marked.id) == (None, ids[1])
    assert world.held("meetings", ids[1])["hs_meeting_outcome"] == "CANCELED"


@pytest.mark.parametrize(("kind", "form"), [("deals", "{}"), ("deals", "deals:{}"), ("companies", "company:{}")])
def test_a_call_is_tied_to_what_it_was_about(world: World, kind: str, form: str) -> None:
    provider = world.prepared()
    about = world.ids(kind)[0]
    (written,) = provider.log_calls([call(1, world.contact_ids()[0], related_to=form.format(about))])
    assert written.error is None
    assert list(world.portal.links["calls", written.id][kind]) == [about]


@pytest.mark.parametrize("about", ["999999999", "006Hs00000AbCdEAAV", "deals:1"])
def test_what_is_not_there_costs_only_the_tie(world: World, about: str) -> None:
    (written,) = world.prepared().log_calls([call(1, world.contact_ids()[0], related_to=about)])
    assert written.error is None
