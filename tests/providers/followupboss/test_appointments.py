"""Appointments, tasks in their place, and follow-ups."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integrations import errors
from integrations.providers.followupboss.marking import marker_of
from integrations.providers.followupboss.sandbox import seed
from integrations.records.activities import Agreed, FollowUp, Meeting
from integrations.sandbox.server import SandboxServer
from tests.providers.followupboss.conftest import Connect
from tests.providers.followupboss.test_calls import call

START = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)


def meeting(**more: Any) -> Meeting:
    usual: dict[str, Any] = {
        "key": "c-1:meeting",
        "object_type": "people",
        "record_id": "1001",
        "title": "Demo",
        "starts_at": START,
        "ends_at": START + timedelta(minutes=30),
        "description": "Bring <prices>",
    }
    return Meeting(**{**usual, **more})


def follow_up(**more: Any) -> FollowUp:
    usual: dict[str, Any] = {"key": "c-1:follow-up", "object_type": "people", "record_id": "1001"}
    return FollowUp(**{**usual, "title": "Ask again", "due_at": START, **more})


def held(server: SandboxServer, collection: str) -> list[dict[str, Any]]:
    return list(server.service.store.all(collection))


def test_a_meeting_is_an_appointment_with_the_person_and_the_agent(server: SandboxServer, connected: Connect) -> None:
    provider, _ = connected()
    agent = next(user for user in provider.users() if user.active)
    (written,) = provider.book_meetings([meeting(agent_id=agent.id, location="Zoom")])
    (stored,) = held(server, "appointments")
    assert (written.id, written.created) == (str(stored["id"]), True)
    assert (stored["title"], stored["location"]) == ("Demo", "Zoom")
    assert (stored["start"], stored["end"]) == ("2026-12-01T09:00:00Z", "2026-12-01T09:30:00Z")
    assert stored["invitees"] == [{"personId": 1001}, {"userId": int(agent.id)}]
    assert stored["description"] == f"Bring <prices>\n{marker_of('c-1:meeting')}"


@pytest.mark.parametrize("status", [404, 403])
def test_an_account_without_appointments_gets_a_task_once(
    server: SandboxServer, connected: Connect, status: int
) -> None:
    server.service.faults.set([{"kind": "no_appointments", "status": status, "match": "appointments"}])
    provider, _ = connected()
    (written,) = provider.book_meetings([meeting()])
    again = connected()[0].book_meetings([meeting(first_attempt_at=datetime.now(UTC))])[0]
    later = connected()[0].book_meetings([replace(meeting(), crm_record_id=written.id, title="Longer demo")])[0]
    (task,) = held(server, "tasks")
    assert written.id == again.id == later.id == f"tasks/{task['id']}"
    assert (task["type"], task["dueDateTime"]) == ("Appointment", "2026-12-01T09:00:00Z")
    assert task["name"] == f"Longer demo {marker_of('c-1:meeting')}"


def test_a_meeting_that_became_a_task_is_completed_when_it_is_cancelled(
    server: SandboxServer, connected: Connect
) -> None:
    server.service.faults.set([{"kind": "no_appointments", "match": "appointments"}])
    (written,) = connected()[0].book_meetings([meeting()])
    order = Agreed(key="c-1:meeting", object_type="people", record_id="1001", crm_record_id=written.id)
    for _time in range(2):
        (cancelled,) = connected()[0].cancel_meetings([order])
        assert (cancelled.id, cancelled.error) == (written.id, None)
    (task,) = held(server, "tasks")
    assert (task["name"], task["isCompleted"]) == (f"Cancelled: Demo {marker_of('c-1:meeting')}", True)
    connected()[0].book_meetings([meeting(crm_record_id=written.id, renewed=True)])
    (task,) = held(server, "tasks")
    assert (task["name"], task["isCompleted"]) == (f"Demo {marker_of('c-1:meeting')}", False)


def test_a_person_who_is_gone_is_no_reason_to_give_up_appointments(server: SandboxServer, connected: Connect) -> None:
    provider, _ = connected()
    gone, good = provider.book_meetings([meeting(record_id="999999")])[0], provider.book_meetings([meeting()])[0]
    assert isinstance(gone.error, errors.Gone)
    assert good.error is None
    assert (len(held(server, "appointments")), len(held(server, "tasks"))) == (1, 0)


def test_a_due_date_that_the_service_keeps_is_told_in_the_name(server: SandboxServer, connected: Connect) -> None:
    provider, _ = connected()
    (written,) = provider.set_follow_ups([follow_up()])
    later = follow_up(crm_record_id=written.id, due_at=START + timedelta(days=2))
    assert provider.set_follow_ups([later])[0].error is None
    (task,) = held(server, "tasks")
    assert task["name"] == f"Ask again (moved to 2026-12-03 09:00 UTC) {marker_of('c-1:follow-up')}"
    assert len(task["name"]) <= 255


def test_a_change_confirmed_without_a_word_is_looked_at(server: SandboxServer, connected: Connect) -> None:
    provider, _ = connected()
    (written,) = provider.set_follow_ups([follow_up()])
    server.service.faults.set([{"kind": "empty_answers"}])
    later = follow_up(crm_record_id=written.id, due_at=START + timedelta(days=2))
    assert provider.set_follow_ups([later])[0].error is None
    (task,) = held(server, "tasks")
    assert "moved to 2026-12-03" in task["name"]


def test_an_agents_credential_writes_in_its_own_name_only(server: SandboxServer, connected: Connect) -> None:
    other = next(user for user in connected()[0].users() if user.active and user.id != "3")
    mine = next(str(one["id"]) for one in server.service.store.all("people") if one["assignedUserId"] == 3)
    provider, _ = connected(seed.AGENT_KEY)
    (written,) = provider.set_follow_ups([follow_up(record_id=mine, agent_id=other.id)])
    assert written.error is None
    assert [task["assignedUserId"] for task in held(server, "tasks")] == [3]


def test_what_a_call_was_about_stands_in_its_note(server: SandboxServer, connected: Connect) -> None:
    provider, _ = connected()
    assert provider.log_calls([call(related_to="77")])[0].error is None
    (stored,) = held(server, "calls")
    assert "Related deal: 77" in stored["note"]
