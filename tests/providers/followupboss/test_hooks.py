"""Registering webhooks, and what the fake service sends: signed, twice, split, late, and for every kind of change."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from integrations import errors
from integrations.providers.followupboss.hooks import EVENTS
from integrations.providers.followupboss.provider import Provider
from integrations.providers.followupboss.sandbox import Sandbox, seed
from integrations.records.events import Change, Delivery, RemoteEvent, Trust
from integrations.sandbox.server import SandboxServer
from tests.providers.followupboss.conftest import Ask, Connect, Ear, sandbox_of


def hooks(server: SandboxServer) -> list[tuple[str, str, str]]:
    return sorted((one["event"], one["url"], one["status"]) for one in server.service.store.all("webhooks"))


def events(ear: Ear, count: int) -> list[RemoteEvent]:
    """The events of so many deliveries, each verified."""
    found = []
    for headers, body in ear.wait(count):
        one = Delivery("POST", ear.url(), headers, body, datetime.now(UTC))
        Provider.verify(one, Trust())
        found += Provider.read_delivery(one, Trust())
    return found


@pytest.fixture
def listening(connected: Connect, ear: Ear) -> Ear:
    assert connected()[0].subscribe(ear.url()) == []
    return ear


# --- registering ------------------------------------------------------------------------------------------------------


def test_one_webhook_is_registered_for_each_event_and_again_changes_nothing(
    server: SandboxServer, connected: Connect
) -> None:
    url = "https://dialer.example/webhooks/followupboss/token-1/"
    provider, api = connected()
    assert provider.subscribe(url) == []
    assert hooks(server) == sorted((event, url, "Active") for event in EVENTS)
    before = len(api.calls)
    assert provider.subscribe(url) == []
    assert api.calls[before:] == ["GET /webhooks"]


def test_the_events_that_people_need_are_among_them() -> None:
    assert {"peopleCreated", "peopleUpdated", "peopleDeleted", "peopleStageUpdated", "peopleTagsCreated"} <= set(EVENTS)
    assert {"callsCreated", "notesCreated", "tasksCreated", "tasksUpdated", "customFieldsCreated"} <= set(EVENTS)


def test_a_webhook_that_was_switched_off_is_switched_on(server: SandboxServer, connected: Connect) -> None:
    url = "https://dialer.example/webhooks/followupboss/token-1/"
    provider, _ = connected()
    provider.subscribe(url)
    (hook, *_) = server.service.store.all("webhooks")
    server.service.store.put("webhooks", str(hook["id"]), {**hook, "status": "Disabled"})
    assert provider.subscribe(url) == []
    assert {status for _, _, status in hooks(server)} == {"Active"}


@pytest.mark.parametrize(
    "old",
    ["https://old.example/webhooks/followupboss/token-1/", "https://dialer.example/webhooks/followupboss/token-0/"],
    ids=["moved to another host", "another token"],
)
def test_what_is_left_of_an_earlier_address_is_replaced(server: SandboxServer, connected: Connect, old: str) -> None:
    provider, _ = connected()
    provider.subscribe(old)
    provider.hooks.create("dealsCreated", old)
    provider.subscribe("https://dialer.example/webhooks/followupboss/token-1/")
    assert {url for _, url, _ in hooks(server)} == {"https://dialer.example/webhooks/followupboss/token-1/"}
    assert len(hooks(server)) == len(EVENTS)


def test_a_twin_of_ours_goes_away(server: SandboxServer, connected: Connect) -> None:
    url = "https://dialer.example/webhooks/followupboss/token-1/"
    provider, _ = connected()
    for _ in range(2):
        provider.hooks.create("peopleUpdated", url)
    assert provider.subscribe(url) == []
    assert len(hooks(server)) == len(EVENTS)


def test_other_installations_are_left_alone_and_a_full_house_is_told(server: SandboxServer, connected: Connect) -> None:
    provider, _ = connected()
    for name in ("staging", "elsewhere"):
        provider.hooks.create("peopleUpdated", f"https://{name}.example/hooks")
    (warning,) = provider.subscribe("https://dialer.example/webhooks/followupboss/token-1/")
    assert "2 webhooks for peopleUpdated" in warning
    assert "Disconnect this account there" in warning
    assert len(hooks(server)) == len(EVENTS) - 1 + 2


@pytest.mark.parametrize("key", [seed.ADMIN_KEY, seed.AGENT_KEY], ids=["admin", "agent"])
def test_only_the_owner_may_and_others_are_told(server: SandboxServer, connected: Connect, key: str) -> None:
    (warning,) = connected(key)[0].subscribe("https://dialer.example/webhooks/followupboss/t/")
    assert "only the account's owner" in warning
    assert "Connect with the owner's API key" in warning
    assert hooks(server) == []


def test_an_unregistered_system_is_told_what_to_set(connected: Connect, settings: Settings) -> None:
    settings.FOLLOWUPBOSS_SYSTEM_KEY = ""
    (warning,) = connected()[0].subscribe("https://dialer.example/webhooks/followupboss/t/")
    assert "FOLLOWUPBOSS_SYSTEM_KEY" in warning


def test_an_address_without_https_is_a_warning(connected: Connect) -> None:
    (warning,) = connected()[0].subscribe("http://dialer.example/webhooks/followupboss/t/")
    assert "over https" in warning


def test_disconnecting_takes_back_ours_alone(server: SandboxServer, connected: Connect, settings: Settings) -> None:
    settings.PUBLIC_URL = "https://dialer.example"
    provider, _ = connected()
    provider.hooks.create("peopleUpdated", "https://elsewhere.example/hooks")
    provider.subscribe("https://dialer.example/webhooks/followupboss/token-1/")
    provider.unsubscribe()
    assert hooks(server) == [("peopleUpdated", "https://elsewhere.example/hooks", "Active")]
    provider.unsubscribe()


def test_hooks_are_listed_by_event_and_state(connected: Connect) -> None:
    provider, _ = connected()
    provider.subscribe("https://dialer.example/webhooks/followupboss/token-1/")
    (one,) = provider.hooks.listed(event="peopleUpdated", status="Active")
    assert one["event"] == "peopleUpdated"
    assert provider.hooks.listed(status="Disabled") == []


# --- what the service sends ------------------------------------------------------------------------------------------------

Do = Callable[[Sandbox], Any]


@pytest.mark.parametrize(
    ("do", "expected"),
    [
        (lambda crm: crm.edit("people", "1001", {"lastName": "X"}), [("people", Change.UPDATED, ("1001",))]),
        (lambda crm: crm.add("people", {"firstName": "X"}), [("people", Change.CREATED, ("2251",))]),
        (lambda crm: crm.remove("people", "1001"), [("people", Change.DELETED, ("1001",))]),
        (
            lambda crm: crm.edit("people", "1001", {"stage": "Trash", "tags": ["a"]}),
            [("people", Change.UPDATED, ("1001",))] * 3,
        ),
        (
            lambda crm: crm.add("calls", {"personId": 1001, "phone": "4155550123", "isIncoming": True}),
            [("calls", Change.CREATED, ("1",))],
        ),
        (lambda crm: crm.add("notes", {"personId": 1001, "body": "x"}), [("notes", Change.CREATED, ("1",))]),
        (lambda crm: crm.add("tasks", {"personId": 1001, "name": "x"}), [("tasks", Change.CREATED, ("1",))]),
        (
            lambda crm: crm.add("customFields", {"label": "New", "type": "text"}),
            [("customFields", Change.CREATED, ("7",))],
        ),
        (lambda crm: crm.edit("stages", "2", {"name": "Suspect"}), [("stages", Change.UPDATED, ("2",))]),
        (lambda crm: crm.remove("customFields", "1"), [("customFields", Change.DELETED, ("1",))]),
    ],
    ids=["edit", "add", "remove", "stage and tag", "call", "note", "task", "field added", "stage", "field removed"],
)
def test_what_people_do_by_hand_is_told(server: SandboxServer, listening: Ear, do: Do, expected: list[Any]) -> None:
    with server.service.store.lock:
        do(sandbox_of(server))
    found = [(one.object_type, one.change, one.record_ids) for one in events(listening, len(expected))]
    assert sorted(found) == sorted(expected)


def test_what_programs_do_is_told_as_well(listening: Ear, ask: Ask) -> None:
    ask("PUT", "/people/1001", json={"lastName": "X"})
    ask("POST", "/calls", json={"personId": 1001, "phone": "4155550123", "isIncoming": False})
    ask("DELETE", "/people/1002")
    found = {(one.object_type, one.change) for one in events(listening, 3)}
    assert found == {("people", Change.UPDATED), ("calls", Change.CREATED), ("people", Change.DELETED)}


def test_a_body_escapes_its_slashes_and_a_deletion_has_no_address(server: SandboxServer, listening: Ear) -> None:
    with server.service.store.lock:
        server.service.remove("people", "1001")
        server.service.edit("people", "1002", {"lastName": "Ünal"})
    bodies = {json.loads(body)["event"]: body for _, body in listening.wait(2)}
    assert rb"https:\/\/api.followupboss.com\/v1\/people?id=1002" in bodies["peopleUpdated"]
    assert json.loads(bodies["peopleDeleted"])["uri"] is None


def test_a_bulk_change_is_split_over_several_deliveries(server: SandboxServer, listening: Ear) -> None:
    ids = [str(number) for number in range(1001, 1013)]
    with server.service.store.lock:
        server.service.edit("people", ",".join(ids), {"assignedUserId": 4})
    found = events(listening, 3)
    assert sorted(one for event in found for one in event.record_ids) == ids
    assert len({event.dedupe_key for event in found}) == 3


def test_a_delivery_may_come_twice_under_one_key(server: SandboxServer, listening: Ear) -> None:
    server.service.faults.set([{"kind": "webhook_twice"}])
    with server.service.store.lock:
        server.service.edit("people", "1001", {"lastName": "X"})
    first, second = events(listening, 2)
    assert first.dedupe_key == second.dedupe_key


def test_a_delivery_that_fails_comes_again(server: SandboxServer, listening: Ear) -> None:
    listening.answers = [500, 503, 404]
    sandbox_of(server).sender.pace = 0.0001
    with server.service.store.lock:
        server.service.edit("people", "1001", {"lastName": "X"})
    assert len({one.dedupe_key for one in events(listening, 4)}) == 1


def test_a_delivery_that_is_answered_too_late_comes_again(server: SandboxServer, listening: Ear) -> None:
    listening.delays = [0.4]
    sandbox_of(server).sender.timeout, sandbox_of(server).sender.pace = 0.1, 0.0001
    with server.service.store.lock:
        server.service.edit("people", "1001", {"lastName": "X"})
    assert len({one.dedupe_key for one in events(listening, 2)}) == 1


@pytest.mark.parametrize("status", [406, 410])
def test_some_answers_delete_the_webhook(server: SandboxServer, listening: Ear, status: int) -> None:
    listening.answers = [status]
    with server.service.store.lock:
        server.service.edit("people", "1001", {"lastName": "X"})
    listening.wait(1)
    sandbox_of(server).sender._pool.shutdown(wait=True)
    assert "peopleUpdated" not in {event for event, _, _ in hooks(server)}
    assert len(hooks(server)) == len(EVENTS) - 1


def test_a_webhook_that_fails_for_days_is_switched_off(server: SandboxServer, listening: Ear) -> None:
    sandbox = sandbox_of(server)
    hook = next(one for one in server.service.store.all("webhooks") if one["event"] == "peopleUpdated")
    sandbox._heard(str(hook["id"]), 500)
    sandbox._heard(str(hook["id"]), 0)
    assert ("peopleUpdated", listening.url(), "Active") in hooks(server)
    server.service.clock.advance(10 * 86400)
    sandbox._heard(str(hook["id"]), 500)
    assert ("peopleUpdated", listening.url(), "Disabled") in hooks(server)


def test_a_lost_event_can_be_asked_for(server: SandboxServer, connected: Connect, listening: Ear) -> None:
    server.service.faults.set([{"kind": "webhook_lost"}])
    with server.service.store.lock:
        server.service.edit("people", "1001", {"stage": "Nurture"})
    told = next(one for one in server.service.store.all("webhookevents") if one["event"] == "peopleStageUpdated")
    event = connected()[0].hooks.lost(told["eventId"])
    assert (event.dedupe_key, event.values, event.record_ids) == (told["eventId"], {"stage": "Nurture"}, ("1001",))
    assert event.occurred_at is not None
    assert listening.heard == []
    with pytest.raises(errors.Gone):
        connected()[0].hooks.lost("unknown")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"event": "peopleUpdated", "url": "http://dialer.example/"}, 400),
        ({"event": "taskCreated", "url": "https://dialer.example/"}, 400),
        ({"event": "peopleUpdated"}, 400),
        ({"event": "peopleUpdated", "url": "https://dialer.example/"}, 201),
    ],
    ids=["not https", "not an event", "no address", "good"],
)
def test_the_service_is_strict_about_webhooks(ask: Ask, body: dict[str, str], status: int) -> None:
    assert ask("POST", "/webhooks", json=body).status_code == status


def test_the_service_takes_two_webhooks_of_an_event_and_shows_no_secret(ask: Ask) -> None:
    body = {"event": "peopleUpdated", "url": "https://dialer.example/", "secret": "mine"}
    made = [ask("POST", "/webhooks", json=body) for _ in range(3)]
    assert [one.status_code for one in made] == [201, 201, 400]
    assert set(made[0].json()) == {"id", "status", "event", "url"}
    assert ask("GET", f"/webhooks/{made[0].json()['id']}").json() == made[0].json()


@pytest.mark.parametrize(
    ("options", "status"),
    [({"headers": {}}, 403), ({"key": seed.ADMIN_KEY}, 403), ({}, 200)],
    ids=["unregistered", "admin", "owner"],
)
def test_webhooks_are_for_the_owner_and_a_registered_system(ask: Ask, options: dict[str, Any], status: int) -> None:
    assert ask("GET", "/webhooks", **options).status_code == status
