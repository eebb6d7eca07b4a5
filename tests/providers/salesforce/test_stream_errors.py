"""Each error of the streaming server, and what we do about it: subscribe again, renew, wait, poll, or tell somebody."""

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import requests

from integrations import errors
from integrations.providers.salesforce import stream
from integrations.providers.salesforce.provider import Provider
from integrations.providers.salesforce.sandbox.cometd import MAX_BODY
from integrations.providers.salesforce.stream import Stream
from integrations.records.events import StreamPage
from tests.providers.salesforce.listening import Ear
from tests.providers.salesforce.test_cdc import message
from tests.providers.salesforce.world import World

ALL, LEADS = "/data/ChangeEvents", "/data/LeadChangeEvent"
AGAIN = {"reconnect": "handshake", "interval": 0}
NEVER = {"reconnect": "none", "interval": 0}
INVALID = (
    "400::The replayId {1234} you provided was invalid.  Please provide a valid ID, -2 to replay all events, or -1 to "
    "replay only new events."
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "BACKOFF", 0.01)
    monkeypatch.setattr(stream, "SILENT_PAUSE", 0.01)


@pytest.fixture
def ear(world: World) -> Iterator[Ear]:
    world.sandbox.stream.hold = 0.3
    found = Ear(world)
    yield found
    found.close()


def dial(channel: str, error: str, *, times: int | None = 1, **more: Any) -> dict[str, Any]:
    return {"kind": "bayeux", "match": channel, "times": times, "body": {"error": error, **more}}


# --- the session is lost, and another one goes on -------------------------------------------------------------------------

LOST = [
    ("/meta/connect", "403::Unknown client", {"advice": AGAIN}),
    ("/meta/connect", "403::Unknown client", {}),
    ("/meta/subscribe", "403::Unknown client", {"advice": AGAIN}),
    ("/meta/connect", "402::Unknown client", {"advice": AGAIN}),
    ("/meta/connect", "400::Invalid connection type", {"advice": NEVER}),
    (
        "/meta/connect",
        "400::The client x established a session, but no BAYEUX_BROWSER cookie was found",
        {"advice": NEVER},
    ),
    ("/meta/connect", "", {"advice": NEVER}),
    ("/meta/connect", "", {"successful": True, "advice": AGAIN}),
    ("/meta/connect", "", {"successful": True, "advice": NEVER}),
    ("/meta/connect", "500::Something new", {}),
    ("/meta/handshake", "500::Something new", {"advice": NEVER}),
    ("/meta/handshake", "403::Handshake denied", {"advice": NEVER}),
]


@pytest.mark.parametrize(("channel", "error", "more"), LOST, ids=[f"{one[0]} {one[1] or one[2]}"[:60] for one in LOST])
def test_a_lost_session_is_followed_by_another_from_the_stored_position(
    world: World, ear: Ear, channel: str, error: str, more: dict[str, Any]
) -> None:
    first = ear.listen()
    world.sandbox.edit("Lead", world.lead(0), {"City": "Rome"})
    first.wait_for_events(1)
    first.close()
    world.dial(dial(channel, error, **more))
    second = ear.open(first.positions())
    second.wait(lambda _: world.sandbox.faults.dials[0].kept)
    world.sandbox.edit("Lead", world.lead(1), {"City": "Oslo"})
    assert [event.values["City"] for event in second.wait_for_events(1)] == ["Oslo"]
    assert not second.missed


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "drop_before"},
        {"kind": "drop_after"},
        {"kind": "html502"},
        {"kind": "status", "status": 503},
        {"kind": "status", "status": 420},
        {"kind": "status", "status": 200, "body": "<html>maintenance</html>"},
        {"kind": "status", "status": 200, "body": {"not": "a list"}},
        {"kind": "status", "status": 200, "body": ["no message"]},
        {"kind": "status", "status": 403, "body": "<html>Forbidden</html>"},
    ],
    ids=lambda fault: " ".join(str(value) for value in fault.values())[:40],
)
def test_a_stumble_of_the_service_is_got_over(world: World, ear: Ear, fault: dict[str, Any]) -> None:
    listener = ear.listen()
    world.sandbox.edit("Lead", world.lead(0), {"City": "Rome"})
    listener.wait_for_events(1)
    world.dial({**fault, "match": "POST /cometd", "times": 2})
    listener.wait(lambda _: world.sandbox.faults.dials[0].kept == 2)
    world.sandbox.edit("Lead", world.lead(1), {"City": "Oslo"})
    assert [event.values["City"] for event in listener.wait_for_events(2)] == ["Rome", "Oslo"]


def test_a_service_that_stays_down_is_told_to_the_caller(world: World, ear: Ear) -> None:
    world.dial({"kind": "html502", "match": "POST /cometd"})
    error = ear.open().ended()
    assert isinstance(error, errors.Retry)
    assert world.sandbox.faults.dials[0].kept == stream.TRIES


def test_a_busy_server_is_asked_again_after_its_pause(world: World, ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    world.dial(dial("/meta/handshake", "503::Server is too busy", times=None, ext={"sfdc": {"failureReason": "503::"}}))
    provider, _ = world.connect()
    opened = provider.open_stream({})
    assert isinstance(opened, Stream)
    monkeypatch.setattr(opened._closed, "wait", waits.append)
    with pytest.raises(errors.Retry, match="busy"):
        list(opened.pages())
    assert waits == [30.0] * (stream.TRIES - 1)


def test_the_pauses_between_sessions_grow_and_differ(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    monkeypatch.setattr(stream, "BACKOFF", 1.0)
    waits: list[float] = []
    world.dial({"kind": "html502", "match": "POST /cometd"})
    provider, _ = world.connect()
    opened = provider.open_stream({})
    assert isinstance(opened, Stream)
    monkeypatch.setattr(opened._closed, "wait", waits.append)
    with pytest.raises(errors.Retry):
        list(opened.pages())
    assert [low <= wait <= 2 * low for wait, low in zip(waits, (0.5, 1.0, 2.0, 4.0), strict=True)] == [True] * 4
    assert max(waits) <= stream.MAX_BACKOFF


def test_a_bare_403_makes_a_data_service_look_at_the_token(world: World, ear: Ear) -> None:
    """Only there does a dead token get the 401 that renews it."""
    listener = ear.listen()
    world.dial(
        {"kind": "status", "status": 403, "body": "<html>Forbidden</html>", "match": "POST /cometd", "times": 1},
        {"kind": "expire_session", "match": "/limits", "times": 1},
    )
    listener.wait(lambda _: world.sandbox.faults.dials[1].kept)
    alive = len(listener.alive)
    listener.wait(lambda one: len(one.alive) > alive + 1)
    assert ear.apis[0].credential != world.credential


def test_a_403_that_stays_is_a_matter_of_rights(world: World, ear: Ear) -> None:
    world.dial({"kind": "status", "status": 403, "body": "<html>Forbidden</html>", "match": "POST /cometd"})
    assert isinstance(ear.open().ended(), errors.FixConfig)


# --- the token --------------------------------------------------------------------------------------------------------------

REFUSED = [
    [{"channel": "/meta/connect", "id": "3", "successful": False, "error": "401::Authentication invalid"}],
    [{"channel": "/meta/subscribe", "id": "2", "successful": False, "error": "401::Request requires authentication"}],
    [
        {
            "channel": "/meta/handshake",
            "id": "1",
            "successful": False,
            "error": "403::Handshake denied",
            "ext": {"sfdc": {"failureReason": "401::Authentication invalid"}},
        }
    ],
]


@pytest.mark.parametrize("body", REFUSED, ids=["connect", "subscribe", "handshake"])
def test_a_dead_token_in_the_body_of_a_200_is_seen_by_the_transport(body: list[dict[str, Any]]) -> None:
    problem = Provider.classify(answer(body))
    assert isinstance(problem, errors.Reconnect)
    assert problem.status == 401


@pytest.mark.parametrize(
    "body",
    [
        [message()],
        [message(), *REFUSED[0]],
        [{"channel": "/meta/connect", "successful": True, "id": "3"}],
        [{"channel": "/meta/connect", "successful": False, "error": "403::Unknown client"}],
        [{"channel": "/meta/connect", "successful": True, "note": "401::"}],
        {"401::": "no list"},
    ],
    ids=["event", "event beside the error", "alive", "unknown client", "only words", "no list"],
)
def test_nothing_else_in_a_200_is_an_error_to_the_transport(body: Any) -> None:
    assert Provider.classify(answer(body)) is None


def test_a_401_elsewhere_than_on_the_stream_is_judged_by_its_status_alone() -> None:
    assert Provider.classify(answer(REFUSED[0], "/services/data/v59.0/query")) is None
    assert isinstance(Provider.classify(answer("<html>Unauthorized</html>", status=401)), errors.Reconnect)


def test_a_token_that_no_renewal_helps_ends_the_stream(world: World, ear: Ear) -> None:
    listener = ear.listen()
    world.dial({"kind": "expire_session", "match": "/cometd/"})
    assert isinstance(listener.ended(), errors.Reconnect)


# --- what somebody has to change, or wait for -----------------------------------------------------------------------------

STOPS = [
    ("/meta/subscribe", "403::Organization total events daily limit exceeded", errors.Throttled, "stream_quota"),
    ("/meta/subscribe", "403::Restricted channel", errors.Throttled, "stream_restricted"),
    ("/meta/handshake", "403::Organization concurrent user limit exceeded", errors.Throttled, "stream_crowded"),
    ("/meta/connect", "403::Too many simultaneous connections", errors.Throttled, "stream_crowded"),
    ("/meta/connect", "403::Organization total events daily limit exceeded", errors.Throttled, "stream_quota"),
    (
        "/meta/subscribe",
        "403::User not allowed to subscribe CDC without View All Data permissions",
        errors.FixConfig,
        "stream_permission",
    ),
    (
        "/meta/subscribe",
        "403::User cannot subscribe without required permissions",
        errors.FixConfig,
        "stream_permission",
    ),
    (
        "/meta/subscribe",
        "400::The channel you requested to subscribe to does not exist",
        errors.FixConfig,
        "stream_disabled",
    ),
    ("/meta/subscribe", "404::Channel {/data/X} doesn't exist", errors.FixConfig, "stream_disabled"),
    ("/meta/subscribe", "400::Something nobody has seen", errors.FixConfig, "stream_refused"),
]


@pytest.mark.parametrize(("channel", "error", "kind", "cause"), STOPS, ids=[f"{one[0]} {one[1][:40]}" for one in STOPS])
def test_what_only_people_or_time_can_mend_is_told_and_polling_takes_over(
    world: World, ear: Ear, channel: str, error: str, kind: type[errors.CrmError], cause: str
) -> None:
    world.dial(dial(channel, error, times=None))
    found = ear.open().ended()
    assert type(found) is kind
    assert isinstance(found, errors.CrmError)
    assert found.cause == cause
    assert "polled" in found.message
    assert len(found.message.split()) > 8
    assert getattr(found, "after", 1)


def test_an_object_that_is_not_selected_says_what_to_click(ear: Ear) -> None:
    error = ear.open(stream_channel="/data/AccountChangeEvent").ended()
    assert isinstance(error, errors.FixConfig)
    assert "Change Data Capture" in error.message
    assert "/data/AccountChangeEvent" in error.message


def test_a_missing_right_is_told_for_one_object_and_silent_for_all(world: World, ear: Ear) -> None:
    world.sandbox.deny("Lead", "view_all")
    error = ear.open(stream_channel=LEADS).ended()
    assert isinstance(error, errors.FixConfig)
    assert "View All Records" in error.message
    listener = ear.listen()
    world.sandbox.edit("Lead", world.lead(), {"City": "Rome"})
    world.sandbox.edit("Contact", world.contact(), {"MailingCity": "Bern"})
    assert [event.object_type for event in listener.wait_for_events(1)] == ["Contact"]


def test_the_days_events_can_run_out(world: World, ear: Ear) -> None:
    world.sandbox.stream.daily_events = 0
    error = ear.open().ended()
    assert isinstance(error, errors.Throttled)
    assert error.after == 3600


def test_an_organisation_has_room_for_so_many_clients(world: World, ear: Ear) -> None:
    world.sandbox.stream.max_clients = 1
    ear.listen()
    error = ear.open().ended()
    assert isinstance(error, errors.Throttled)
    assert error.after == 300


def test_a_server_without_replay_is_a_matter_for_the_operator(world: World, ear: Ear) -> None:
    world.dial({"kind": "bayeux", "match": "/meta/handshake", "body": {"successful": True, "clientId": "x", "ext": {}}})
    error = ear.open().ended()
    assert isinstance(error, errors.FixConfig)
    assert "SALESFORCE_API_VERSION" in error.message


@pytest.mark.parametrize("spaces", [INVALID, INVALID.replace(".  ", ". "), INVALID.replace("replayId", "replay Id")])
def test_an_invalid_position_starts_again_with_all_that_is_kept(world: World, ear: Ear, spaces: str) -> None:
    world.sandbox.edit("Lead", world.lead(0), {"City": "Rome"})
    world.dial(dial("/meta/subscribe", spaces))
    listener = ear.open()
    assert listener.wait_for_events(1)[0].values["City"] == "Rome"
    assert [(page.channel, page.missed) for page in listener.missed] == [(ALL, True)]


# --- odd answers, from a script -------------------------------------------------------------------------------------------


def answer(body: Any, path: str = "/cometd/59.0", status: int = 200) -> requests.Response:
    found = requests.Response()
    found.status_code = status
    found.url = f"https://acme.my.salesforce.com{path}"
    found._content = (body if isinstance(body, str) else json.dumps(body)).encode()
    return found


class Script:
    """Answers each message with what stands next in the script; `{id}` is filled in."""

    def __init__(self, *answers: Sequence[dict[str, Any]]) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def request(self, method: str, path: str, **more: Any) -> requests.Response:
        (asked,) = more["json"]
        self.asked.append(asked)
        replies = self.answers.pop(0)
        told = [{**one, "id": asked["id"]} if one["channel"].startswith("/meta/") else one for one in replies]
        return answer(told)


HELLO = {"channel": "/meta/handshake", "successful": True, "clientId": "c1", "ext": {"replay": True}}
ALIVE = {"channel": "/meta/connect", "successful": True}


def subscribed(channel: str = LEADS) -> dict[str, Any]:
    return {"channel": "/meta/subscribe", "successful": True, "subscription": channel}


def event(replay: int, channel: str = LEADS, **header: Any) -> dict[str, Any]:
    found = message(sequenceNumber=replay, **{"commitTimestamp": int(time.time() * 1000), **header})
    return {"channel": channel, "data": {**found["data"], "event": {"replayId": replay}}}


def run(script: Script, positions: dict[str, Any], pages: int, channels: Sequence[str] = (LEADS,)) -> list[StreamPage]:
    opened = Stream(script, positions, channels)
    found = []
    for page in opened.pages():
        found.append(page)
        if len(found) == pages:
            break
    return found


AT = {"replay": 5, "at": "2999-01-01T00:00:00+00:00"}


def test_events_before_between_and_after_replies_are_all_kept() -> None:
    script = Script([HELLO], [event(6), subscribed(), event(7)], [event(8), ALIVE, event(9)])
    pages = run(script, {LEADS: AT}, 3)
    assert [[one.raw["data"]["event"]["replayId"] for one in page.events] for page in pages] == [[6, 7], [8, 9], []]
    assert [page.position and page.position["replay"] for page in pages] == [7, 9, None]
    assert script.asked[1]["ext"] == {"replay": {LEADS: 5}}


def test_events_beside_a_dead_token_are_kept_before_the_session_is_begun_anew() -> None:
    dead = {"channel": "/meta/connect", "successful": False, "error": "401::Authentication invalid"}
    script = Script([HELLO], [subscribed()], [event(6), dead], [HELLO], [subscribed()], [ALIVE])
    pages = run(script, {LEADS: AT}, 2)
    assert [len(page.events) for page in pages] == [1, 0]
    assert script.asked[4]["ext"] == {"replay": {LEADS: 6}}


def test_events_of_one_channel_beside_the_refusal_of_another_are_kept() -> None:
    contacts = "/data/ContactChangeEvent"
    refused = {"channel": "/meta/subscribe", "successful": False, "subscription": contacts, "error": INVALID}
    script = Script([HELLO], [subscribed()], [event(6), refused], [subscribed(contacts)], [ALIVE])
    pages = run(script, {LEADS: AT, contacts: AT}, 3, (LEADS, contacts))
    assert [(page.channel, len(page.events), page.missed) for page in pages] == [
        (LEADS, 1, False),
        (contacts, 0, True),
        ("", 0, False),
    ]
    assert script.asked[3]["ext"] == {"replay": {contacts: -2}}


def test_events_of_two_channels_are_two_pages_with_a_position_each() -> None:
    contacts = "/data/ContactChangeEvent"
    mixed = [event(6), event(90, contacts), event(7), ALIVE]
    script = Script([HELLO], [subscribed()], [subscribed(contacts)], mixed)
    pages = run(script, {LEADS: AT, contacts: AT}, 2, (LEADS, contacts))
    assert [(page.channel, len(page.events), page.position["replay"]) for page in pages] == [
        (LEADS, 2, 7),
        (contacts, 1, 90),
    ]


@pytest.mark.parametrize(
    "position",
    [{"replay": 7, "at": "2020-01-01T00:00:00+00:00"}, {"replay": "x"}, {"at": "now", "replay": 7}, "odd", None, 5],
    ids=["old", "no number", "no time", "text", "nothing", "number"],
)
def test_a_position_that_is_too_old_or_unreadable_is_not_even_tried(position: Any) -> None:
    script = Script([HELLO], [subscribed(), event(9)])
    pages = run(script, {LEADS: position}, 2)
    assert script.asked[1]["ext"] == {"replay": {LEADS: -2}}
    assert [(page.missed, len(page.events)) for page in pages] == [(True, 0), (False, 1)]


def test_an_old_event_in_between_does_not_move_the_position_back() -> None:
    script = Script([HELLO], [subscribed()], [event(9), event(8), ALIVE])
    assert run(script, {LEADS: AT}, 1)[0].position["replay"] == 9


def test_events_of_channels_that_nobody_asked_for_are_left_out() -> None:
    script = Script([HELLO], [subscribed()], [event(6, "/data/AccountChangeEvent"), ALIVE])
    assert [page.channel for page in run(script, {LEADS: AT}, 1)] == [""]


def test_all_kept_events_are_asked_for_again_until_the_first_one_has_been_stored() -> None:
    script = Script([HELLO], [subscribed()], [ALIVE])
    pages = run(script, {LEADS: {"replay": -2, "at": "2999-01-01T00:00:00+00:00"}}, 1)
    assert script.asked[1]["ext"] == {"replay": {LEADS: -2}}
    assert [(page.channel, page.missed) for page in pages] == [("", False)]


def test_a_server_that_refuses_even_all_kept_events_is_tried_anew_and_then_told() -> None:
    refused = {"channel": "/meta/subscribe", "successful": False, "subscription": LEADS, "error": INVALID}
    script = Script(*[[HELLO], [refused], [refused]] * stream.TRIES)
    with pytest.raises(errors.Retry):
        run(script, {LEADS: AT}, 1)


# --- the sandbox's server is as strict as the real one --------------------------------------------------------------------


def bayeux(world: World, *messages: dict[str, Any], cookie: str = "") -> requests.Response:
    headers = {"Cookie": cookie} if cookie else {}
    return world.ask("POST", "/cometd/59.0", json=list(messages), headers=headers)


def hello(world: World, **more: Any) -> tuple[dict[str, Any], str]:
    asked = {"channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": ["long-polling"], "id": "1"}
    found = bayeux(world, {**asked, **more})
    return found.json()[0], found.headers.get("Set-Cookie", "").partition(";")[0]


def test_the_server_wants_its_cookie_back(world: World) -> None:
    reply, cookie = hello(world)
    subscribe = {"channel": "/meta/subscribe", "clientId": reply["clientId"], "subscription": ALL, "id": "2"}
    assert "no BAYEUX_BROWSER cookie" in bayeux(world, subscribe).json()[0]["error"]
    assert bayeux(world, subscribe, cookie=cookie).json()[0]["successful"] is True


def test_the_server_takes_long_polling_only(world: World) -> None:
    assert hello(world, supportedConnectionTypes=["websocket"])[0]["error"] == "400::Invalid connection type"


def test_the_server_refuses_bodies_that_are_too_large_or_no_array(world: World) -> None:
    assert bayeux(world, {"channel": "x" * MAX_BODY}).status_code == 413
    assert world.ask("POST", "/cometd/59.0", json={"channel": "/meta/handshake"}).status_code == 400
    assert world.ask("POST", "/cometd/59.0", data=b"{").status_code == 400


def test_the_server_forgets_a_client_that_stays_away(world: World) -> None:
    reply, cookie = hello(world)
    world.sandbox.clock.advance(41)
    connect = {"channel": "/meta/connect", "clientId": reply["clientId"], "connectionType": "long-polling", "id": "2"}
    found = bayeux(world, connect, cookie=cookie).json()[0]
    assert (found["error"], found["advice"]["reconnect"]) == ("403::Unknown client", "handshake")


def test_the_first_connect_is_answered_at_once_with_advice(world: World) -> None:
    world.sandbox.stream.hold = 30
    reply, cookie = hello(world)
    connect = {"channel": "/meta/connect", "clientId": reply["clientId"], "connectionType": "long-polling", "id": "2"}
    found = bayeux(world, connect, cookie=cookie).json()[0]
    assert found["advice"] == {"reconnect": "retry", "interval": 0, "timeout": 110_000}


def test_five_objects_can_be_selected_and_no_sixth(world: World) -> None:
    world.sandbox.stream.select("Account", "Opportunity", "Task")
    with pytest.raises(ValueError, match="up to 5 entities"):
        world.sandbox.stream.select("Event")
