"""Logging calls exactly once, against the fake service over real HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integrations import errors
from integrations.providers.followupboss.marking import marker_of, note_of
from integrations.providers.followupboss.provider import Provider
from integrations.providers.followupboss.sandbox import seed
from integrations.records.activities import CallActivity, Direction
from integrations.records.remote import Written
from integrations.sandbox.server import SandboxServer
from tests.providers.followupboss.conftest import Connect

KEY = "3f9c01ab-77de-4c1b-9a55-2f8f0a9d3c22"


def call(**values: Any) -> CallActivity:
    usual: dict[str, Any] = {
        "key": KEY,
        "object_type": "people",
        "record_id": "1001",
        "direction": Direction.OUTBOUND,
        "started_at": datetime(2026, 1, 21, 14, 30, tzinfo=UTC),
        "duration_seconds": 42,
        "disposition": "No Answer",
        "outcome": {"type": "Call", "outcome": "No Answer"},
        "subject": "Call: No Answer",
        "notes": "Nobody picked up.",
        "phone": "+14155550123",
        "from_number": "+14155550100",
        "recording_url": "https://dialer.example.com/api/recordings/9f2/play",
    }
    return CallActivity(**{**usual, **values})


def logged(server: SandboxServer) -> list[dict[str, Any]]:
    return list(server.service.store.all("calls"))


def log(connected: Connect, activity: CallActivity, **options: Any) -> Written:
    (written,) = connected(**options)[0].log_calls([activity])
    return written


def again(**values: Any) -> CallActivity:
    return call(first_attempt_at=datetime.now(UTC) - timedelta(seconds=40), **values)


def test_a_call_is_logged_with_everything_the_timeline_shows(server: SandboxServer, connected: Connect) -> None:
    written = log(connected, call())
    (kept,) = logged(server)
    assert (written.key, written.id, written.created, written.error) == (KEY, str(kept["id"]), True, None)
    assert written.url.endswith("/2/people/view/1001")
    assert {
        key: kept[key] for key in ("personId", "phone", "isIncoming", "outcome", "duration", "fromNumber", "toNumber")
    } == {
        "personId": 1001,
        "phone": "+14155550123",
        "isIncoming": False,
        "outcome": "No Answer",
        "duration": 42,
        "fromNumber": "+14155550100",
        "toNumber": "+14155550123",
    }
    assert kept["recordingUrl"] == "https://dialer.example.com/api/recordings/9f2/play"
    assert kept["note"].splitlines() == [
        "Disposition: No Answer",
        "Started 2026-01-21 14:30 UTC, 0:42",
        "Nobody picked up.",
        marker_of(KEY),
    ]


def test_an_incoming_call_has_its_sides_turned_round(server: SandboxServer, connected: Connect) -> None:
    log(connected, call(direction=Direction.INBOUND))
    (kept,) = logged(server)
    assert (kept["isIncoming"], kept["fromNumber"], kept["toNumber"]) == (True, "+14155550123", "+14155550100")


@pytest.mark.parametrize(
    ("word", "outcome"),
    [
        ("Connected", None),
        ("No Answer", "No Answer"),
        ("no-answer", "No Answer"),
        ("Left Voicemail", "Left Message"),
        ("Voicemail", "Left Message"),
        ("busy", "Busy"),
        ("Wrong Number", "Bad Number"),
        ("Appointment Set", "Interested"),
        ("Interested", "Interested"),
        ("Not Interested", "Not Interested"),
        ("DNC", "Not Interested"),
        ("Callback on Tuesday", None),
    ],
)
def test_outcomes_are_translated_to_the_six_the_service_knows(
    server: SandboxServer, connected: Connect, word: str, outcome: str | None
) -> None:
    written = log(connected, call(outcome={"type": "Call", "outcome": word}, disposition="The tenant's word"))
    (kept,) = logged(server)
    assert written.error is None
    assert kept["outcome"] == outcome
    assert kept["note"].startswith("Disposition: The tenant's word\n")


def test_every_default_disposition_is_accepted(server: SandboxServer, connected: Connect) -> None:
    provider, _ = connected()
    for disposition, outcome in Provider.default_dispositions.items():
        (written,) = provider.log_calls([call(key=disposition, disposition=disposition, outcome=outcome)])
        assert written.error is None
    assert len(logged(server)) == 6


@pytest.mark.parametrize("fault", ["drop_after", "drop_before"], ids=["written, answer lost", "never arrived"])
def test_a_call_without_an_answer_is_logged_once_by_the_next_try(
    server: SandboxServer, connected: Connect, fault: str
) -> None:
    server.service.faults.set([{"kind": fault, "match": "POST /v1/calls", "times": 1}])
    with pytest.raises(errors.OutcomeUnknown):
        log(connected, call())
    written = log(connected, again())
    (kept,) = logged(server)
    assert (written.id, written.created, written.error) == (str(kept["id"]), fault == "drop_before", None)


def test_a_call_that_both_workers_tried_is_logged_once(server: SandboxServer, connected: Connect) -> None:
    first = log(connected, call())
    assert [log(connected, again()).id for _ in range(3)] == [first.id] * 3
    assert len(logged(server)) == 1


def test_another_call_to_the_same_person_is_not_mistaken_for_it(server: SandboxServer, connected: Connect) -> None:
    first = log(connected, call())
    other = log(connected, again(key="another-call"))
    assert other.created
    assert other.id != first.id


def test_the_look_up_reads_all_pages(server: SandboxServer, connected: Connect) -> None:
    mine = log(connected, call())
    (kept,) = logged(server)
    for number in range(100, 330):
        server.service.store.put("calls", str(number), {**kept, "id": number, "note": "another"})
    provider, api = connected()
    (written,) = provider.log_calls([again()])
    assert written.id == mine.id
    assert api.calls.count("GET /calls") == 3


def test_an_adopted_call_gets_what_changed_meanwhile(server: SandboxServer, connected: Connect) -> None:
    log(connected, call())
    provider, api = connected()
    provider.log_calls([again()])
    assert not [one for one in api.calls if one.startswith("PUT")]
    provider.log_calls([again(notes="A better summary.", duration_seconds=43)])
    (kept,) = logged(server)
    assert ("A better summary." in kept["note"], kept["duration"]) == (True, 43)
    assert marker_of(KEY) in kept["note"]


def test_a_call_that_is_known_is_updated_in_place(server: SandboxServer, connected: Connect) -> None:
    first = log(connected, call())
    second = log(
        connected, call(crm_record_id=first.id, notes="Spoke after all.", disposition="DNC", outcome={"outcome": "DNC"})
    )
    (kept,) = logged(server)
    assert (second.id, second.created) == (first.id, False)
    assert kept["outcome"] == "Not Interested"
    assert "Spoke after all." in kept["note"]


def test_a_known_call_that_was_deleted_there_is_gone(connected: Connect) -> None:
    assert isinstance(log(connected, call(crm_record_id="77")).error, errors.Gone)


def test_a_hidden_note_is_matched_by_the_calls_traits(server: SandboxServer, connected: Connect) -> None:
    first = log(connected, call())
    server.service.faults.set([{"kind": "hide_notes"}])
    assert log(connected, again()).id == first.id
    assert log(connected, again(key="longer", duration_seconds=99)).created
    assert len(logged(server)) == 2


def test_two_hidden_calls_that_could_be_it_are_left_to_a_person(server: SandboxServer, connected: Connect) -> None:
    log(connected, call(key="one"))
    log(connected, call(key="two"))
    server.service.faults.set([{"kind": "hide_notes"}])
    error = log(connected, again()).error
    assert isinstance(error, errors.FixData)
    assert (error.cause, len(logged(server))) == ("ambiguous_call", 2)


# --- whose call it is -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "email", "user"),
    [
        (seed.OWNER_KEY, "PRIYA@harborview.example", 4),
        (seed.ADMIN_KEY, "priya@harborview.example", 4),
        (seed.OWNER_KEY, "nobody@harborview.example", 1),
        (seed.OWNER_KEY, "gone@harborview.example", 1),
        (seed.OWNER_KEY, "", 1),
        (seed.AGENT_KEY, "priya@harborview.example", 3),
    ],
    ids=["owner for agent", "admin for agent", "unknown agent", "deleted agent", "no agent", "agent may not"],
)
def test_a_call_belongs_to_its_agent_where_our_role_allows(
    server: SandboxServer, connected: Connect, key: str, email: str, user: int
) -> None:
    written = log(connected, call(record_id="1007", agent_email=email), key=key)
    assert (written.error, logged(server)[0]["userId"]) == (None, user)


def test_a_call_is_logged_in_our_own_name_when_our_role_was_taken_away(
    server: SandboxServer, connected: Connect
) -> None:
    activity = call(record_id="1007", agent_email="priya@harborview.example")
    written = log(connected, activity, key=seed.AGENT_KEY, metadata={"sees_everybody": True})
    assert written.created
    assert [kept["userId"] for kept in logged(server)] == [3]


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind", "words"),
    [
        ({"record_id": "999999"}, errors.Gone, "does not have this record"),
        ({"record_id": "00Q-lead"}, errors.FixData, "Link it to a contact"),
        ({"phone": ""}, errors.FixData, "phone number"),
        ({"duration_seconds": -1}, errors.FixData, "duration must be"),
    ],
    ids=["person gone", "no person's id", "no phone", "bad value"],
)
def test_what_is_wrong_with_one_call_stands_in_its_own_answer(
    connected: Connect, values: dict[str, Any], kind: type[Exception], words: str
) -> None:
    written = log(connected, call(**values))
    assert isinstance(written.error, kind)
    assert words in str(written.error)
    assert written.id == ""


def test_a_lapsed_account_concerns_every_call(server: SandboxServer, connected: Connect) -> None:
    server.service.faults.set([{"kind": "account_expired"}])
    with pytest.raises(errors.FixConfig, match="lapsed"):
        log(connected, call(), metadata={"sees_everybody": True})


@pytest.mark.parametrize(
    ("match", "raised"), [("", True), ("POST /v1/calls", False)], ids=["all refused", "one refused"]
)
def test_a_refusal_without_words_is_tested_on_people(
    server: SandboxServer, connected: Connect, match: str, raised: bool
) -> None:
    server.service.faults.set([{"kind": "status", "status": 403, "match": match}])
    if raised:
        with pytest.raises(errors.FixConfig):
            log(connected, call())
    else:
        error = log(connected, call()).error
        assert isinstance(error, errors.FixConfig)
        assert error.cause == "permission"
    assert logged(server) == []


def test_a_stumbling_service_leaves_the_outcome_unknown(server: SandboxServer, connected: Connect) -> None:
    server.service.faults.set([{"kind": "html502", "match": "POST"}])
    with pytest.raises(errors.OutcomeUnknown):
        log(connected, call())


def test_a_used_up_quota_is_raised_and_nothing_is_written(server: SandboxServer, connected: Connect) -> None:
    server.service.faults.set([{"kind": "status", "status": 429, "headers": {"Retry-After": "7"}}])
    with pytest.raises(errors.Throttled) as caught:
        log(connected, call())
    assert (caught.value.after, logged(server)) == (7, [])


# --- words ----------------------------------------------------------------------------------------------------------


def test_the_start_is_told_in_the_tenants_own_time() -> None:
    note = note_of(call(duration_seconds=3725), "America/Chicago")
    assert "Started 2026-01-21 08:30 CST, 1:02:05" in note
    assert "Started 2026-01-21 14:30 UTC" in note_of(call(), "Nowhere/Land")


def test_a_marker_is_the_same_for_the_same_call_and_another_for_another() -> None:
    assert marker_of(KEY) == marker_of(KEY) != marker_of(KEY[:-1])
    assert len(marker_of(KEY)) == len("[ref:dlr-3f9c01ab77de]")
