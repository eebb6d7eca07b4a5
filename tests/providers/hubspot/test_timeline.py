"""Timeline events and custom behavioural events of calls: each once, switched by the connection, never in a call's way."""

import itertools
import logging
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import responses
from pytest_django import Settings

from integrations import errors
from integrations.providers.hubspot import timeline
from integrations.providers.hubspot.provider import Provider
from integrations.providers.hubspot.sandbox.consent import GRANTED
from integrations.providers.hubspot.sandbox.portal import ACCESS_TOKEN, PORTAL_ID, PRIVATE_TOKEN
from integrations.records.activities import CallActivity, Direction
from integrations.records.connections import Connection, Credential
from tests.providers.harness import PlainApi
from tests.providers.hubspot.conftest import World

HOST = "https://api.hubapi.com"
NOON = datetime(2026, 1, 21, 14, 30, tzinfo=UTC)
BOTH = {"timeline": {"template_id": "123456"}, "custom_events": {"name": "dialer_call"}}
TIMELINE_ONLY = {"timeline": {"template_id": "123456"}}
EVENTS_ONLY = {"custom_events": {"name": "dialer_call"}}
DIALER_EVENTS = ["voicemail_drop", "ai_coaching_trigger", "disposition_change", "call_score"]
_numbers = itertools.count()


class Portal:
    def __init__(self, world: World) -> None:
        self.world = world
        self.prepared = world.connect().prepare()

    def connect(self, settings: dict[str, Any], token: str = ACCESS_TOKEN) -> Provider:
        """A connection of its own, so that none remembers what another was refused."""
        credential = Credential(auth="oauth", access_token=token, refresh_token="r")
        connection = Connection(
            id=f"timeline-{next(_numbers)}",
            tenant_id="t1",
            account_id=str(PORTAL_ID),
            settings=settings,
            metadata=self.prepared,
        )
        return Provider(connection, PlainApi(Provider, credential, self.world.server.url))

    def call(self, **more: Any) -> CallActivity:
        standard = CallActivity(
            key=str(uuid.uuid4()),
            object_type="contacts",
            record_id=self.world.contact_ids()[3],
            direction=Direction.OUTBOUND,
            started_at=NOON,
            duration_seconds=342,
            disposition="Meeting Booked",
            outcome={},
            subject="Call",
            notes="",
            metadata={"ai_score": 87, "sentiment": "positive", "talk_ratio": 0.4},
        )
        return replace(standard, **more)

    def held(self, what: str) -> list[dict[str, Any]]:
        with self.world.portal.store.lock:
            return list(self.world.portal.store.all(what))


@pytest.fixture
def portal(world: World) -> Portal:
    return Portal(world)


@pytest.fixture
def enterprise(portal: Portal) -> Portal:
    portal.world.portal.keep_token(ACCESS_TOKEN, None, [*GRANTED, "analytics.behavioral_events.send"])
    return portal


def asked(provider: Provider) -> list[str]:
    assert isinstance(provider.api, PlainApi)
    return [one for one in provider.api.calls if "timeline" in one or "/events" in one]


# --- beside a logged call -------------------------------------------------------------------------------------------


def test_a_logged_call_stands_on_the_timeline_with_its_numbers(portal: Portal) -> None:
    call = portal.call()
    (written,) = portal.connect(TIMELINE_ONLY).log_calls([call])
    assert written.error is None
    (event,) = portal.held("timeline_events")
    assert (event["eventTemplateId"], event["id"], event["objectId"]) == ("123456", f"call-{call.key}", call.record_id)
    assert event["timestamp"] == "2026-01-21T14:30:00.000Z"
    assert event["tokens"] == {
        "callDuration": "5:42",
        "disposition": "Meeting Booked",
        "aiScore": "87",
        "sentiment": "positive",
    }


def test_a_logged_call_becomes_a_custom_event_of_the_portal(enterprise: Portal) -> None:
    call = enterprise.call()
    enterprise.connect(EVENTS_ONLY).log_calls([call])
    (event,) = enterprise.held("custom_events")
    assert (event["eventName"], event["uuid"]) == ("pe4411223_dialer_call", call.key)
    assert (event["objectId"], event["occurredAt"]) == (call.record_id, "2026-01-21T14:30:00.000Z")
    assert event["properties"] == {
        "duration_seconds": "342",
        "direction": "outbound",
        "disposition": "Meeting Booked",
        "ai_score": "87",
        "sentiment": "positive",
    }
    assert enterprise.held("timeline_events") == []


def test_what_a_call_does_not_know_is_left_out(portal: Portal) -> None:
    portal.connect(TIMELINE_ONLY).log_calls([portal.call(metadata={}, disposition="", duration_seconds=0)])
    assert portal.held("timeline_events")[0]["tokens"] == {"callDuration": "0:00"}


@pytest.mark.parametrize(
    "chosen",
    [{}, {"timeline": {}}, {"timeline": {"template_id": ""}}, {"timeline": True}, {"custom_events": {"names": "x"}}],
    ids=["nothing", "empty", "no id", "no table", "mistyped"],
)
def test_both_are_off_unless_they_are_switched_on(portal: Portal, chosen: dict[str, Any]) -> None:
    provider = portal.connect(chosen)
    assert provider.log_calls([portal.call()])[0].error is None
    assert asked(provider) == []


def test_many_calls_cost_one_request_of_each_kind(enterprise: Portal) -> None:
    provider = enterprise.connect(BOTH)
    calls = [enterprise.call() for _ in range(20)]
    assert all(one.error is None for one in provider.log_calls(calls))
    assert asked(provider) == ["POST /integrators/timeline/v3/events/batch/create", "POST /events/v3/send/batch"]
    assert {event["id"] for event in enterprise.held("timeline_events")} == {f"call-{call.key}" for call in calls}
    assert {event["uuid"] for event in enterprise.held("custom_events")} == {call.key for call in calls}


def test_a_repeated_call_is_told_of_once(enterprise: Portal) -> None:
    calls = [enterprise.call() for _ in range(3)]
    enterprise.connect(BOTH).log_calls(calls[:2])
    again = [replace(call, first_attempt_at=datetime.now(UTC)) for call in calls]
    provider = enterprise.connect(BOTH)
    assert all(one.error is None for one in provider.log_calls(again))
    assert provider.timeline.announce_calls(again, provider.log_calls(again)) == []
    assert len(enterprise.held("timeline_events")) == len(enterprise.held("custom_events")) == 3


def test_later_stages_of_a_call_tell_nothing_since_events_never_change(portal: Portal) -> None:
    call = portal.call()
    provider = portal.connect(TIMELINE_ONLY)
    (written,) = provider.log_calls([call])
    before = asked(provider)
    assert provider.log_calls([replace(call, crm_record_id=written.id, disposition="DNC")])[0].error is None
    assert asked(provider) == before


def test_a_call_that_was_not_logged_is_not_told_of(portal: Portal) -> None:
    provider = portal.connect(TIMELINE_ONLY)
    (written,) = provider.log_calls([portal.call(record_id="999999999")])
    assert written.error is not None
    assert asked(provider) == []


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "chosen", "scope"),
    [
        pytest.param(PRIVATE_TOKEN, TIMELINE_ONLY, "timeline", id="a private app has no timeline"),
        pytest.param(ACCESS_TOKEN, EVENTS_ONLY, "analytics.behavioral_events.send", id="not of this edition"),
    ],
)
def test_a_refused_right_switches_the_feature_off_and_the_calls_are_logged(
    portal: Portal, caplog: pytest.LogCaptureFixture, token: str, chosen: dict[str, Any], scope: str
) -> None:
    caplog.set_level(logging.WARNING)
    provider = portal.connect(chosen, token)
    assert provider.log_calls([portal.call()])[0].error is None
    assert len(asked(provider)) == 1, "no second try"
    assert scope in caplog.text
    assert provider.log_calls([portal.call()])[0].error is None
    assert len(asked(provider)) == 1, "nobody asks again"
    other = portal.connect(TIMELINE_ONLY)
    assert other.log_calls([portal.call()])[0].error is None
    assert len(asked(other)) == 1, "another connection is another matter"


def test_a_refused_feature_is_asked_for_again_after_an_hour(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("integrations.providers.hubspot.timeline.monotonic", lambda: now[0])
    provider = portal.connect(EVENTS_ONLY)
    written = provider.log_calls([call := portal.call()])
    assert provider.timeline.announce_calls([call], written) == []
    now[0] += 3601
    (warning,) = provider.timeline.announce_calls([call], written)
    assert "custom events" in warning
    assert "analytics.behavioral_events.send" in warning


@pytest.mark.parametrize(
    "dial",
    [
        *({"kind": kind} for kind in ("drop_before", "drop_after", "html502", "throttled", "locked")),
        {"kind": "status", "status": 503},
    ],
    ids=lambda dial: dial["kind"],
)
def test_whatever_happens_to_an_event_the_call_counts_as_logged(portal: Portal, dial: dict[str, Any]) -> None:
    provider = portal.connect(TIMELINE_ONLY)
    portal.world.portal.faults.set([{**dial, "match": "timeline", "times": 1}])
    call = portal.call()
    (written,) = provider.log_calls([call])
    assert written.error is None
    assert len(portal.world.calls()) == 1
    assert provider.timeline.announce_calls([call], [written]) == [], "the next one works again"
    assert len(portal.held("timeline_events")) == 1


def test_an_unknown_template_is_a_warning_and_no_more(portal: Portal) -> None:
    provider = portal.connect({"timeline": {"template_id": "999"}})
    (written,) = provider.log_calls([call := portal.call()])
    assert written.error is None
    assert len(provider.timeline.announce_calls([call], [written])) == 1


# --- the two requests by themselves ---------------------------------------------------------------------------------


def test_a_timeline_event_may_be_sent_twice_and_stays_as_it_was(portal: Portal) -> None:
    line = portal.connect({}).timeline
    contact = portal.world.contact_ids()[3]
    first = timeline.timeline_event("123456", "call-1", contact, {"disposition": "DNC"}, NOON)
    line.send_timeline_event(first)
    line.send_timeline_event({**first, "tokens": {"disposition": "Connected"}})
    assert [event["tokens"] for event in portal.held("timeline_events")] == [{"disposition": "DNC"}]


def test_a_repeated_event_spoils_no_batch(portal: Portal) -> None:
    line, contact = portal.connect({}).timeline, portal.world.contact_ids()[3]
    events = [timeline.timeline_event("123456", f"call-{n}", contact, {}, NOON) for n in range(3)]
    line.send_timeline_event(events[1])
    line.send_timeline_events(events)
    assert {event["id"] for event in portal.held("timeline_events")} == {"call-0", "call-1", "call-2"}


@pytest.mark.parametrize(
    "broken",
    [{"tokens": {"unheard": "x"}}, {"objectId": ""}],
    ids=["a token that the template lacks", "nobody to put it on"],
)
def test_a_bad_timeline_event_says_what_is_wrong(portal: Portal, broken: dict[str, Any]) -> None:
    event = timeline.timeline_event("123456", "call-9", portal.world.contact_ids()[3], {}, NOON)
    with pytest.raises(errors.FixData):
        portal.connect({}).timeline.send_timeline_event({**event, **broken})


@pytest.mark.parametrize("name", DIALER_EVENTS)
def test_each_action_of_a_dialer_can_be_a_custom_event(enterprise: Portal, name: str) -> None:
    line, contact = enterprise.connect({}).timeline, enterprise.world.contact_ids()[3]
    full = timeline.event_name(name, str(PORTAL_ID))
    event = timeline.custom_event(full, "uuid-1", contact, {"reason": "x"}, NOON)
    line.send_custom_event(event)
    line.send_custom_event({**event, "properties": {"reason": "later"}})
    assert [held["properties"] for held in enterprise.held("custom_events")] == [{"reason": "x"}], "the first one wins"


def test_the_portals_number_stands_before_an_events_name_once() -> None:
    assert timeline.event_name("call", "44") == "pe44_call"
    assert timeline.event_name("pe44_call", "44") == "pe44_call"
    assert timeline.event_name("pe45_call", "44") == "pe44_pe45_call"


@pytest.mark.parametrize(
    ("choice", "single", "batch"),
    [
        ("", "/integrators/timeline/v3/events", "/integrators/timeline/v3/events/batch/create"),
        (
            "timeline=2026-03",
            "/integrators/timeline/2026-03/events",
            "/integrators/timeline/2026-03/events/batch/create",
        ),
        ("timeline=crm-v3", "/crm/v3/timeline/events", "/crm/v3/timeline/events/batch/create"),
    ],
    ids=["v3", "dated", "the old alias"],
)
def test_the_timeline_lives_at_the_chosen_address(
    portal: Portal, settings: Settings, choice: str, single: str, batch: str
) -> None:
    settings.HUBSPOT_API_VERSIONS = [choice] if choice else []
    provider = portal.connect(TIMELINE_ONLY)
    provider.log_calls([portal.call()])
    provider.log_calls([portal.call(), portal.call()])
    assert asked(provider) == [f"POST {single}", f"POST {batch}"]
    assert len(portal.held("timeline_events")) == 3


@pytest.mark.parametrize("choice", ["", "events=2026-09"], ids=["v3", "dated"])
def test_custom_events_live_at_the_chosen_address(enterprise: Portal, settings: Settings, choice: str) -> None:
    settings.HUBSPOT_API_VERSIONS = [choice] if choice else []
    enterprise.connect(EVENTS_ONLY).log_calls([enterprise.call()])
    enterprise.connect(EVENTS_ONLY).log_calls([enterprise.call(), enterprise.call()])
    assert len(enterprise.held("custom_events")) == 3


@responses.activate
def test_a_batch_that_was_taken_in_part_is_finished_one_by_one() -> None:
    api = PlainApi(Provider, Credential(auth="oauth", access_token="a"), HOST)
    line = timeline.Timeline(api, Connection(id="partial", tenant_id="t"))
    told = {"status": "COMPLETE", "results": [], "numErrors": 1, "errors": [{"message": "An event already exists"}]}
    responses.post(f"{HOST}/integrators/timeline/v3/events/batch/create", status=207, json=told)
    again = {"status": "error", "message": "An event with this id already exists", "category": "VALIDATION_ERROR"}
    responses.post(f"{HOST}/integrators/timeline/v3/events", status=400, json=again)
    responses.post(f"{HOST}/integrators/timeline/v3/events", status=201, json={})
    line.send_timeline_events([{"id": "a"}, {"id": "b"}])
    assert len(responses.calls) == 3
