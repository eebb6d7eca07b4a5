"""Lead intake, callers whom nobody knows, and calls in the form of events."""

from datetime import UTC, datetime
from typing import Any

import pytest

from integrations import errors
from integrations.providers.followupboss.call_events import activity_of
from integrations.providers.followupboss.events import TYPES
from integrations.providers.followupboss.marking import marker_of
from integrations.records.activities import Direction
from integrations.records.remote import RecordWrite
from integrations.sandbox.server import SandboxServer
from tests.providers.followupboss.conftest import Ask, Connect
from tests.providers.followupboss.test_calls import KEY, again, call, log, logged

NOW = datetime(2026, 1, 21, 15, tzinfo=UTC)
PAYLOAD: dict[str, Any] = {
    "source": "YourDialer",
    "type": "Call",
    "person": {"emails": ["john.nobody@example.com"], "phones": ["+19075550142"]},
    "message": "Outbound call - discussed pricing. Prospect interested in scheduling a showing.",
    "description": "Call Duration: 5:42 | Disposition: Connected | AI Score: 87/100",
    "metadata": {
        "callDuration": 342,
        "callDirection": "outbound",
        "disposition": "Connected",
        "recordingUrl": "https://recordings.example.com/rec_abc123.mp3",
        "aiScore": 87,
        "sentiment": "positive",
        "callSid": "CAxxxxxxxxxx",
    },
}
UNKNOWN = "+19075550177"


def told(server: SandboxServer) -> list[dict[str, Any]]:
    return list(server.service.store.all("events"))


def caller(**values: Any) -> Any:
    return call(direction=Direction.INBOUND, record_id="", phone=UNKNOWN, **values)


# --- events -----------------------------------------------------------------------------------------------------------


def test_a_new_person_a_known_one_and_an_archived_rule_are_told_apart(
    server: SandboxServer, connected: Connect
) -> None:
    events = connected()[0].events
    lead = {"type": "Registration", "person": {"firstName": "Ida", "emails": [{"value": "ida.lead@example.com"}]}}
    first = events.send(lead)
    assert first.created
    assert server.service.store.get("people", first.person_id)["firstName"] == "Ida"  # type: ignore[index]
    second = events.send(lead)
    assert (second.person_id, second.created) == (first.person_id, False)
    server.service.faults.set([{"kind": "lead_flow_archived"}])
    assert events.send(lead).person_id == ""


def test_an_unknown_person_id_is_gone(connected: Connect) -> None:
    with pytest.raises(errors.Gone):
        connected()[0].events.send({"type": "Inquiry", "person": {"id": 999999}})


@pytest.mark.parametrize("kind", ["Call", "Note", "Text Message", "Email", "Property Visit", "Other"])
def test_types_that_the_service_does_not_have_are_not_sent(connected: Connect, ask: Ask, kind: str) -> None:
    provider, api = connected()
    with pytest.raises(errors.FixData, match="It takes: Registration"):
        provider.events.send({"type": kind, "person": {"id": 1001}})
    assert api.calls == []
    assert ask("POST", "/events", json={"type": kind, "person": {"id": 1001}}).status_code == 400


@pytest.mark.parametrize("kind", TYPES)
def test_every_real_type_is_taken(connected: Connect, kind: str) -> None:
    assert connected()[0].events.send({"type": kind, "person": {"id": 1001}}).person_id == "1001"


def test_events_work_when_the_account_has_expired(server: SandboxServer, connected: Connect) -> None:
    server.service.faults.set([{"kind": "account_expired"}])
    assert connected()[0].events.send({"type": "Inquiry", "person": {"id": 1001}}).person_id == "1001"


@pytest.mark.parametrize(
    "change",
    [{"metadata": {}}, {"person": {"emails": ["a@example.com"]}}, {"person": None}],
    ids=["metadata", "strings", "nobody"],
)
def test_the_service_refuses_other_forms(ask: Ask, change: dict[str, Any]) -> None:
    assert ask("POST", "/events", json={"type": "Inquiry", "person": {"id": 1001}, **change}).status_code == 400


def test_reading_events_has_a_small_quota_and_sending_none(connected: Connect, ask: Ask) -> None:
    for _ in range(30):
        assert ask("POST", "/events", json={"type": "Inquiry", "person": {"id": 1001}}).ok
    answers = [ask("GET", "/events") for _ in range(21)]
    assert [one.status_code for one in answers] == [200] * 20 + [429]
    assert answers[-1].headers["X-RateLimit-Context"] == "GET.events"


# --- callers whom nobody knows ---------------------------------------------------------------------------------------------


def test_an_unknown_caller_becomes_a_person_with_the_call(server: SandboxServer, connected: Connect) -> None:
    written = log(connected, caller())
    (event,), (kept,) = told(server), logged(server)
    assert (event["type"], event["personId"], event["source"]) == ("Incoming Call", kept["personId"], "Dialbridge")
    assert (written.id, written.error) == (str(kept["id"]), None)
    assert written.url.endswith(f"/{kept['personId']}")
    assert kept["isIncoming"] is True


def test_a_known_caller_gets_the_call_without_an_event(server: SandboxServer, connected: Connect) -> None:
    person = server.service.add("people", {"firstName": "Known", "phones": [{"value": "(907) 555-0177"}]})
    log(connected, caller())
    assert [one["personId"] for one in logged(server)] == [int(person)]
    assert told(server) == []


def test_a_caller_whose_call_got_no_answer_is_not_made_twice(server: SandboxServer, connected: Connect) -> None:
    before = server.service.store.count("people")
    server.service.faults.set([{"kind": "drop_after", "match": "POST /v1/events", "times": 1}])
    with pytest.raises(errors.OutcomeUnknown):
        log(connected, caller())
    written = log(connected, caller(first_attempt_at=NOW))
    assert written.created
    assert server.service.store.count("people") == before + 1
    assert (len(told(server)), len(logged(server))) == (1, 1)


def test_a_dropped_caller_is_told_with_what_to_do(server: SandboxServer, connected: Connect) -> None:
    server.service.faults.set([{"kind": "lead_flow_archived"}])
    error = log(connected, caller()).error
    assert isinstance(error, errors.FixData)
    assert "Lead Flow" in error.message


def test_an_outgoing_call_without_a_person_makes_nobody(server: SandboxServer, connected: Connect) -> None:
    error = log(connected, call(record_id="")).error
    assert isinstance(error, errors.FixData)
    assert told(server) == []


# --- people made a moment ago -----------------------------------------------------------------------------------------------


def test_a_fresh_person_is_tried_again_and_an_old_one_is_gone(server: SandboxServer, connected: Connect) -> None:
    person = server.service.add("people", {"firstName": "Fresh"})
    server.service.faults.set([{"kind": "fresh_person", "seconds": 10.0}])
    with pytest.raises(errors.Retry, match="new person") as early:
        log(connected, call(record_id=person))
    assert early.value.after == 5
    assert type(early.value) is errors.Retry
    with pytest.raises(errors.Retry, match="new person"):
        connected()[0].write("notes", [RecordWrite("n", {"personId": person, "body": "x"})])
    server.service.clock.advance(11)
    assert log(connected, call(record_id=person)).created
    server.service.faults.set([{"kind": "status", "status": 404, "match": "POST /v1/calls"}])
    server.service.clock.advance(600)
    assert isinstance(log(connected, call(record_id=person)).error, errors.Gone)


# --- payloads in the form of an event of type Call ---------------------------------------------------------------------------


def test_such_a_payload_becomes_a_call_on_a_person(server: SandboxServer, connected: Connect) -> None:
    provider, _ = connected()
    written = provider.log_event(PAYLOAD, received_at=NOW)
    (kept,) = logged(server)
    person = server.service.store.get("people", str(kept["personId"])) or {}
    assert person["emails"][0]["value"] == "john.nobody@example.com"
    assert (kept["duration"], kept["isIncoming"], kept["outcome"]) == (342, False, None)
    assert kept["recordingUrl"] == "https://recordings.example.com/rec_abc123.mp3"
    assert "Disposition: Connected" in kept["note"]
    assert "AI Score: 87 | Sentiment: positive" in kept["note"]
    assert written.key == "CAxxxxxxxxxx"
    assert told(server) == []


def test_the_same_payload_again_is_the_same_call(server: SandboxServer, connected: Connect) -> None:
    provider, _ = connected()
    first = provider.log_event(PAYLOAD, received_at=NOW)
    second = provider.log_event(PAYLOAD, received_at=NOW, first_attempt_at=datetime.now(UTC))
    assert (second.id, len(logged(server))) == (first.id, 1)


def test_objects_and_a_person_id_are_read_as_well(server: SandboxServer, connected: Connect) -> None:
    provider, _ = connected()
    person = {"id": 1003, "phones": [{"value": "+19075550142", "type": "mobile"}]}
    provider.log_event({**PAYLOAD, "person": person}, received_at=NOW)
    assert [(one["personId"], one["phone"]) for one in logged(server)] == [(1003, "+19075550142")]


def test_what_the_metadata_does_not_say_is_read_from_the_description() -> None:
    bare = {**PAYLOAD, "metadata": {}, "description": "Call Duration: 1:05:42 | Disposition: Voicemail | AI Score: 8"}
    found = activity_of(bare, record_id="1", received_at=NOW)
    assert (found.duration_seconds, found.disposition, found.started_at) == (3942, "Voicemail", NOW)
    assert found.key == activity_of(dict(bare), record_id="1", received_at=NOW).key != KEY
    timed = activity_of({**bare, "occurredAt": "2026-01-20T10:00:00Z"}, record_id="1", received_at=NOW)
    assert timed.started_at == datetime(2026, 1, 20, 10, tzinfo=UTC)


@pytest.mark.parametrize("kind", ["Note", "Email", "Property Visit", "Other", "Text Message"])
def test_other_types_become_notes_and_start_no_automation(server: SandboxServer, connected: Connect, kind: str) -> None:
    written = connected()[0].log_event({**PAYLOAD, "type": kind, "person": {"id": 1001}}, received_at=NOW)
    (note,) = server.service.store.all("notes")
    assert (written.id, note["subject"], note["personId"]) == (str(note["id"]), kind, 1001)
    assert note["body"].startswith("Outbound call - discussed")
    assert told(server) == []


def test_a_text_message_with_both_numbers_becomes_one(server: SandboxServer, connected: Connect) -> None:
    metadata = {"toNumber": "+19075550142", "fromNumber": "+19075550100", "direction": "outbound"}
    payload = {"type": "Text Message", "person": {"id": 1001}, "message": "On my way", "metadata": metadata}
    assert connected()[0].log_event(payload, received_at=NOW).created
    (text,) = server.service.store.all("textMessages")
    assert (text["message"], text["toNumber"], text["isIncoming"]) == ("On my way", "+19075550142", False)


def test_a_payload_about_nobody_is_refused(connected: Connect) -> None:
    with pytest.raises(errors.FixData, match="names nobody"):
        connected()[0].log_event({**PAYLOAD, "person": {}}, received_at=NOW)
    with pytest.raises(errors.FixData, match="is no call"):
        activity_of({**PAYLOAD, "type": "Note"}, record_id="1", received_at=NOW)


# --- sending calls as events, where a connection asks for it ------------------------------------------------------------------

AS_EVENTS = {"settings": {"call_form": "event"}}


def test_calls_are_calls_unless_the_connection_says_otherwise(server: SandboxServer, connected: Connect) -> None:
    log(connected, call())
    assert (len(logged(server)), told(server)) == (1, [])


def test_a_service_that_takes_them_gets_the_call_as_an_event(server: SandboxServer, connected: Connect) -> None:
    server.service.faults.set([{"kind": "takes_call_events"}])
    written = log(connected, call(metadata={"aiScore": 87}), **AS_EVENTS)
    (event,) = told(server)
    assert (written.id, written.created, written.error) == (marker_of(KEY), True, None)
    assert (event["type"], event["personId"], logged(server)) == ("Call", 1001, [])
    assert event["metadata"] == {
        "aiScore": 87,
        "callDuration": 42,
        "callDirection": "outbound",
        "disposition": "No Answer",
        "recordingUrl": "https://dialer.example.com/api/recordings/9f2/play",
    }
    assert marker_of(KEY) in event["description"]


def test_a_call_sent_as_an_event_is_sent_once(server: SandboxServer, connected: Connect) -> None:
    server.service.faults.set(
        [{"kind": "takes_call_events"}, {"kind": "drop_after", "match": "POST /v1/events", "times": 1}]
    )
    with pytest.raises(errors.OutcomeUnknown):
        log(connected, call(), **AS_EVENTS)
    assert log(connected, again(), **AS_EVENTS).id == marker_of(KEY)
    assert log(connected, call(crm_record_id=marker_of(KEY)), **AS_EVENTS).created is False
    assert len(told(server)) == 1


def test_the_real_service_refuses_them_and_the_call_says_so(connected: Connect) -> None:
    error = log(connected, call(), **AS_EVENTS).error
    assert isinstance(error, errors.FixData)
    assert "Invalid type" in error.message
