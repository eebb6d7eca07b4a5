"""Notes, tasks, text messages, calls and events as records: described, read, written once."""

from datetime import UTC, datetime
from typing import Any

import pytest

from integrations import errors
from integrations.providers.followupboss.activities import CALLS, KINDS, NOTES, TASK_TYPES, TASKS, TEXTS
from integrations.providers.followupboss.marking import marker_of
from integrations.providers.followupboss.provider import Provider
from integrations.records.remote import RecordWrite, Written
from integrations.sandbox.server import SandboxServer
from tests.providers.followupboss.conftest import Ask, Connect
from tests.providers.followupboss.test_calls import call

NOTE = {"personId": 1001, "subject": "Call Summary", "body": "Motivated seller.\n\nWants to list <b>soon</b> & fast."}
TASK = {"personId": "1001", "name": "Send CMA", "type": "Follow Up", "dueDate": "2026-01-23"}
TEXT = {"personId": 1001, "message": "On my way", "toNumber": "+19075550142", "fromNumber": "+19075550100"}
WRITES: list[tuple[str, dict[str, Any]]] = [("notes", NOTE), ("tasks", TASK), ("textMessages", TEXT)]
EACH = pytest.mark.parametrize(("kind", "values"), WRITES, ids=[kind for kind, _ in WRITES])


def write(connected: Connect, kind: str, values: dict[str, Any], **options: Any) -> Written:
    (written,) = connected()[0].write(kind, [RecordWrite("k1", values, **options)])
    return written


def held(server: SandboxServer, kind: str) -> list[dict[str, Any]]:
    return list(server.service.store.all(kind))


@EACH
def test_one_is_written_on_its_person(
    server: SandboxServer, connected: Connect, kind: str, values: dict[str, Any]
) -> None:
    written = write(connected, kind, values)
    (kept,) = held(server, kind)
    assert (written.id, written.created, written.error) == (str(kept["id"]), True, None)
    assert kept["personId"] == 1001


@EACH
@pytest.mark.parametrize("fault", ["drop_after", "drop_before"], ids=["written, answer lost", "never arrived"])
def test_one_without_an_answer_is_written_once(
    server: SandboxServer, connected: Connect, kind: str, values: dict[str, Any], fault: str
) -> None:
    server.service.faults.set([{"kind": fault, "match": f"POST /v1/{kind}", "times": 1}])
    started = datetime.now(UTC)
    with pytest.raises(errors.OutcomeUnknown):
        write(connected, kind, values)
    written = write(connected, kind, values, first_attempt_at=started)
    (kept,) = held(server, kind)
    assert (written.id, written.created) == (str(kept["id"]), fault == "drop_before")


def test_a_note_keeps_its_text_as_it_is_and_ends_in_our_marker(server: SandboxServer, connected: Connect) -> None:
    write(connected, "notes", NOTE)
    (kept,) = held(server, "notes")
    assert kept["body"] == f"{NOTE['body']}\n{marker_of('k1')}"
    assert kept["isHtml"] is False


def test_another_note_with_the_same_words_is_another_note(server: SandboxServer, connected: Connect) -> None:
    write(connected, "notes", NOTE)
    connected()[0].write("notes", [RecordWrite("k2", NOTE, first_attempt_at=datetime.now(UTC))])
    assert len(held(server, "notes")) == 2


def test_a_note_is_changed_and_deleted(server: SandboxServer, connected: Connect) -> None:
    first = write(connected, "notes", NOTE)
    changed = write(connected, "notes", {"body": "Better."}, record_id=first.id)
    assert (changed.id, changed.created) == (first.id, False)
    assert held(server, "notes")[0]["body"].startswith("Better.")
    provider, _ = connected()
    for _ in range(2):
        assert provider.delete("notes", [first.id])[0].error is None
    assert held(server, "notes") == []
    assert isinstance(write(connected, "notes", {"body": "x"}, record_id=first.id).error, errors.Gone)


def test_a_task_goes_to_the_user_with_that_address(server: SandboxServer, connected: Connect) -> None:
    written = write(connected, "tasks", {**TASK, "assignedTo": "priya@harborview.example"})
    (kept,) = held(server, "tasks")
    assert (kept["assignedUserId"], kept["type"], kept["dueDate"]) == (4, "Follow Up", "2026-01-23")
    write(connected, "tasks", {"isCompleted": True}, record_id=written.id)
    assert held(server, "tasks")[0]["isCompleted"] is True
    found = connected()[0].fetch("tasks", [written.id], []).records[0]
    assert (found.fields["assignedTo"], found.fields["isCompleted"]) == ("Priya Nair", 1)


@pytest.mark.parametrize("kind", TASK_TYPES)
def test_every_task_type_is_taken(connected: Connect, kind: str) -> None:
    assert write(connected, "tasks", {**TASK, "type": kind}).error is None


def test_tasks_are_picked_by_their_state(connected: Connect, ask: Ask) -> None:
    for done in (True, False):
        write(connected, "tasks", {**TASK, "isCompleted": done})
    reader = connected()[0].activities
    assert len(reader.of_person(TASKS, "1001")) == 2
    assert len(reader.of_person(TASKS, "1001", isCompleted="true")) == 1
    assert ask("POST", "/tasks", json={**TASK, "personId": 1001, "type": "Lunch"}).status_code == 400


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        ("notes", {"body": "x"}, "personId"),
        ("notes", {"personId": "x-1", "body": "x"}, "whole number"),
        ("tasks", {**TASK, "type": "Lunch"}, "Follow Up, Call, Text"),
        ("tasks", {**TASK, "assignedTo": "nobody@example.com"}, "no active user"),
        ("textMessages", {"personId": 1001}, "message, toNumber, fromNumber"),
        ("events", {"message": "x"}, "type"),
        ("events", {"type": "Call", "person": {"id": 1001}}, "no event type"),
    ],
    ids=["nobody", "no id", "task type", "user", "text", "event", "event type"],
)
def test_what_does_not_fit_is_that_records_error(
    connected: Connect, kind: str, values: dict[str, Any], words: str
) -> None:
    error = write(connected, kind, values).error
    assert isinstance(error, errors.FixData)
    assert words in error.message


def test_one_on_somebody_who_is_gone_is_gone(connected: Connect) -> None:
    assert isinstance(write(connected, "notes", {**NOTE, "personId": 999999}).error, errors.Gone)


def test_an_event_is_written_as_lead_intake_and_found_again(server: SandboxServer, connected: Connect) -> None:
    values = {"type": "Inquiry", "message": "About Elm St", "person": {"id": 1001}}
    assert write(connected, "events", values).id == "1001"
    write(connected, "events", values, first_attempt_at=datetime.now(UTC))
    assert len(held(server, "events")) == 1


@pytest.mark.parametrize(
    ("kind", "options"),
    [("calls", {}), ("textMessages", {"record_id": "1"}), ("events", {"record_id": "1"})],
    ids=["calls are logged", "texts stay", "events stay"],
)
def test_what_cannot_be_written_says_so(connected: Connect, kind: str, options: dict[str, str]) -> None:
    with pytest.raises(errors.Unsupported):
        write(connected, kind, {"personId": 1001}, **options)


@pytest.mark.parametrize("kind", ["calls", "tasks", "textMessages", "events"])
def test_what_cannot_be_deleted_says_so(connected: Connect, kind: str) -> None:
    with pytest.raises(errors.Unsupported, match="delete"):
        connected()[0].delete(kind, ["1"])


def test_a_text_message_needs_a_registered_system(connected: Connect, ask: Ask) -> None:
    answer = ask("POST", "/textMessages", json=TEXT, headers={})
    assert answer.status_code == 403
    assert Provider.classify(answer).cause == "system_not_registered"  # type: ignore[union-attr]


# --- reading ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_object_type_is_described_and_fetched_by_id(server: SandboxServer, connected: Connect, kind: str) -> None:
    provider, _ = connected()
    assert kind in Provider.object_types
    assert all(spec.label for spec in provider.describe(kind))
    with server.service.store.lock:
        server.service.add(kind, {"personId": 1001, "message": "x"}) if kind != "events" else None
    if kind == "events":
        provider.events.send({"type": "Inquiry", "person": {"id": 1001}})
    fetched = provider.fetch(kind, ["1", "99", "x"], [])
    assert [one.id for one in fetched.records] == ["1"]
    assert fetched.missing == ("99", "x")
    assert fetched.records[0].modified_at.year > 2000
    assert fetched.records[0].raw["personId"] == 1001


@pytest.mark.parametrize("kind", ["calls", "tasks", "events"])
def test_new_ones_are_read_by_their_ids(server: SandboxServer, connected: Connect, kind: str) -> None:
    provider, _ = connected()
    for number in range(1, 131):
        one = {"id": number, "personId": 1001, "created": "2026-01-21T12:00:00Z"}
        server.service.store.put(kind, str(number), one)
    pages = list(provider.changes(kind, None, ()))
    assert [len(page.records) for page in pages] == [100, 30]
    server.service.store.put(kind, "131", {"id": 131, "personId": 1001, "created": "2026-01-21T12:00:00Z"})
    (page,) = provider.changes(kind, pages[-1].cursor, ())
    assert [one.id for one in page.records] == ["131"]
    (page,) = provider.changes(kind, page.cursor, ())
    assert (page.records, page.cursor) == ([], {"last": 131})


@pytest.mark.parametrize("kind", ["notes", "textMessages"])
def test_what_is_listed_by_person_only_says_so(server: SandboxServer, connected: Connect, ask: Ask, kind: str) -> None:
    provider, _ = connected()
    with pytest.raises(errors.Unsupported, match="by person only"):
        list(provider.changes(kind, None, ()))
    assert ask("GET", f"/{kind}").status_code == 400


def test_text_messages_are_read_by_person_and_a_hidden_one_has_no_text(
    server: SandboxServer, connected: Connect
) -> None:
    write(connected, "textMessages", TEXT)
    reader = connected()[0].activities
    assert [one["message"] for one in reader.of_person(TEXTS, "1001")] == ["On my way"]
    text = held(server, "textMessages")[0]
    server.service.store.put("textMessages", "1", {**text, "message": "Content is hidden for privacy reasons."})
    assert connected()[0].fetch("textMessages", ["1"], []).records[0].fields["message"] is None


def test_a_hidden_recording_is_not_taken_for_an_address(server: SandboxServer, connected: Connect) -> None:
    provider, _ = connected()
    (written,) = provider.log_calls([call()])
    kept = held(server, "calls")[0]
    server.service.store.put("calls", written.id, {**kept, "recordingUrl": "Content is hidden for privacy reasons."})
    assert provider.fetch("calls", [written.id], []).records[0].fields["recordingUrl"] is None
    assert len(provider.activities.of_person(CALLS, "1001")) == 1


def test_notes_of_a_person_are_listed(connected: Connect) -> None:
    write(connected, "notes", NOTE)
    assert [one["subject"] for one in connected()[0].activities.of_person(NOTES, "1001")] == ["Call Summary"]
