"""HubSpot's webhooks: what an event means, how the app is set up, and deliveries as they really come."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
import requests
from pytest_django import Settings

from integrations import errors
from integrations.providers.hubspot import subscriptions
from integrations.providers.hubspot.provider import Provider
from integrations.providers.hubspot.sandbox.consent import APP_ID
from integrations.providers.hubspot.sandbox.portal import CLIENT_SECRET, PRIVATE_TOKEN
from integrations.providers.hubspot.sandbox.webhooks import DEVELOPER_KEY, OTHER_PORTAL_ID
from integrations.records.events import Change, Delivery, RemoteEvent, Trust
from integrations.transport.trial import TrialApi
from tests.providers.hubspot.conftest import World

NOW = datetime(2026, 1, 21, 13, tzinfo=UTC)
ADDRESS = "https://dialer.example/webhooks/hubspot/"


def told(*events: Any) -> Delivery:
    return Delivery("POST", ADDRESS, {}, json.dumps(list(events)).encode(), NOW)


def read(*events: Any, trust: Trust | None = None) -> list[RemoteEvent]:
    return Provider.read_delivery(told(*events), trust or Trust())


def event(kind: str = "contact.propertyChange", **more: Any) -> dict[str, Any]:
    standard = {
        "eventId": 100,
        "subscriptionId": 501,
        "portalId": 123456,
        "appId": 9001,
        "occurredAt": 1769000000000,
        "subscriptionType": kind,
        "attemptNumber": 0,
        "changeSource": "CRM_UI",
        "sourceId": "userId:77",
    }
    return {**standard, **({} if "fromObjectId" in more else {"objectId": 512}), **more}


# --- what an event means --------------------------------------------------------------------------------------------


def test_a_changed_property_is_told_with_its_value() -> None:
    (found,) = read(event(propertyName="phone", propertyValue="+14155551234"))
    assert (found.change, found.object_type, found.record_ids) == (Change.UPDATED, "contacts", ("512",))
    assert (found.account_id, found.changed) == ("123456", ("phone",))
    assert found.values == {"phone": "+14155551234"}
    assert found.occurred_at == datetime(2026, 1, 21, 12, 53, 20, tzinfo=UTC)
    assert found.dedupe_key == "123456|contact.propertyChange|512|phone|1769000000000|100"
    assert found.raw["subscriptionId"] == 501
    assert not found.ours


@pytest.mark.parametrize(
    ("kind", "more", "change", "object_type", "ids"),
    [
        ("contact.creation", {"changeFlag": "CREATED"}, Change.CREATED, "contacts", ("512",)),
        ("contact.deletion", {"changeFlag": "DELETED"}, Change.DELETED, "contacts", ("512",)),
        ("contact.restore", {}, Change.RESTORED, "contacts", ("512",)),
        ("contact.privacyDeletion", {}, Change.ERASED, "contacts", ("512",)),
        ("company.propertyChange", {"propertyName": "name"}, Change.UPDATED, "companies", ("512",)),
        ("deal.creation", {}, Change.CREATED, "deals", ("512",)),
        ("ticket.deletion", {}, Change.DELETED, "tickets", ("512",)),
        ("product.creation", {}, Change.CREATED, "products", ("512",)),
        ("line_item.creation", {}, Change.CREATED, "line_items", ("512",)),
        ("conversation.newMessage", {}, Change.UPDATED, "conversations", ("512",)),
        ("object.creation", {"objectTypeId": "0-48"}, Change.CREATED, "calls", ("512",)),
        ("object.propertyChange", {"objectTypeId": "0-1", "propertyName": "x"}, Change.UPDATED, "contacts", ("512",)),
        ("object.deletion", {"objectTypeId": "2-777"}, Change.DELETED, "2-777", ("512",)),
        ("contact.somethingNew", {}, Change.UPDATED, "contacts", ("512",)),
        ("event.completed", {"objectId": None}, Change.UPDATED, "event", ()),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_each_type_of_event_has_its_meaning(
    kind: str, more: dict[str, Any], change: Change, object_type: str, ids: tuple[str, ...]
) -> None:
    (found,) = read(event(kind, **more))
    assert (found.change, found.object_type, found.record_ids) == (change, object_type, ids)


def test_a_merge_that_makes_a_third_record_leads_both_to_it() -> None:
    (found,) = read(
        event("contact.merge", objectId=900, primaryObjectId=512, mergedObjectIds=[513, 514], newObjectId=900)
    )
    assert (found.change, found.record_ids, found.moved_to) == (Change.MERGED, ("512", "513", "514"), "900")


def test_a_merge_into_the_first_record_leads_the_others_to_it() -> None:
    (found,) = read(event("company.merge", primaryObjectId=512, mergedObjectIds=[513], newObjectId=512))
    assert (found.record_ids, found.moved_to) == (("513",), "512")
    (older,) = read(event("deal.merge", primaryObjectId=512, mergedObjectIds=[513]))
    assert (older.record_ids, older.moved_to) == (("513",), "512")


@pytest.mark.parametrize(
    ("kind", "ends", "record"),
    [
        ("contact", {"fromObjectTypeId": "0-1", "toObjectTypeId": "0-3"}, "5"),
        ("contact", {"fromObjectTypeId": "0-3", "toObjectTypeId": "0-1"}, "9"),
        ("contact", {}, "5"),
        ("ticket", {"fromObjectTypeId": "0-5", "toObjectTypeId": "0-1"}, "5"),
    ],
    ids=["from here", "to here", "types unknown", "a kind we know no number of"],
)
def test_a_changed_link_is_an_update_of_its_end_on_our_side(kind: str, ends: dict[str, str], record: str) -> None:
    linked = event(f"{kind}.associationChange", fromObjectId=5, toObjectId=9, associationTypeId=4, **ends)
    (found,) = read(linked)
    assert (found.change, found.record_ids) == (Change.UPDATED, (record,))
    (undone,) = read({**linked, "associationRemoved": True})
    assert undone.dedupe_key != found.dedupe_key


@pytest.mark.parametrize(
    ("more", "ours"),
    [
        ({"changeSource": "INTEGRATION", "sourceId": "9001"}, True),
        ({"changeSource": "API", "sourceId": "9001"}, True),
        ({"changeSource": "API", "sourceId": "appId:9001"}, True),
        ({"changeSource": "API", "sourceId": 9001}, True),
        ({"changeSource": "API", "sourceId": "8000", "appId": None}, True),
        ({"changeSource": "INTEGRATION", "sourceId": "4444"}, False),
        ({"changeSource": "CRM_UI", "sourceId": "9001"}, False),
        ({"changeSource": "API", "sourceId": "", "appId": ""}, False),
        ({"changeSource": "API", "sourceId": None}, False),
    ],
)
def test_our_own_writes_are_known_by_the_apps_mark(settings: Settings, more: dict[str, Any], ours: bool) -> None:
    settings.HUBSPOT_APP_ID = "8000"
    (found,) = read(event(propertyName="phone", **more))
    assert found.ours is ours


def test_no_app_id_of_ours_makes_no_write_ours(settings: Settings) -> None:
    settings.HUBSPOT_APP_ID = ""
    (found,) = read(event(changeSource="API", sourceId=None, appId=None))
    assert not found.ours


def test_every_attempt_to_deliver_an_event_has_the_same_key_and_every_event_its_own() -> None:
    first = event(propertyName="phone")
    again = {**first, "attemptNumber": 3, "subscriptionId": 999}
    others = [
        {**first, name: value}
        for name, value in {
            "portalId": 2,
            "objectId": 3,
            "propertyName": "email",
            "occurredAt": 1769000000001,
            "eventId": 101,
            "subscriptionType": "contact.creation",
        }.items()
    ]
    keys = [found.dedupe_key for found in read(first, again, *others)]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 7


def test_a_key_is_never_longer_than_the_contract_allows() -> None:
    long, other = read(event(propertyName="p" * 300), event(propertyName="p" * 301))
    assert len(long.dedupe_key) <= 200
    assert long.dedupe_key != other.dedupe_key


def test_a_hundred_events_of_two_portals_are_told_apart() -> None:
    found = read(*[event(portalId=1 + number % 2, objectId=number) for number in range(100)])
    assert len(found) == 100
    assert [one.account_id for one in found[:4]] == ["1", "2", "1", "2"]


def test_the_address_of_a_connection_hears_of_its_own_portal_only() -> None:
    found = read(event(portalId=1, objectId=5), event(portalId=2, objectId=6), trust=Trust(account_id="2"))
    assert [one.record_ids for one in found] == [("6",)]
    (nameless,) = read({"eventType": "contact.creation", "objectId": 7}, trust=Trust(account_id="2"))
    assert (nameless.account_id, nameless.change) == ("2", Change.CREATED)


def test_a_single_event_outside_a_list_is_read_too() -> None:
    delivery = replace(told(), body=json.dumps(event("contact.creation")).encode())
    assert [one.change for one in Provider.read_delivery(delivery, Trust())] == [Change.CREATED]


@pytest.mark.parametrize(
    ("given", "kept"),
    [("x", {"p": "x"}), ("", {"p": None}), (None, {"p": None}), (7, {"p": "7"}), (True, {"p": "true"})],
)
def test_values_are_texts_and_nothing_is_none(given: Any, kept: dict[str, Any]) -> None:
    (found,) = read(event(propertyName="p", propertyValue=given))
    assert found.values == kept
    (silent,) = read(event(propertyName="p"))
    assert silent.values == {}, "a sensitive property is told without its value"


@pytest.mark.parametrize("moment", [None, "soon", 1e300, -(10**40), [], "1769000000000"])
def test_a_strange_time_spoils_no_event(moment: Any) -> None:
    (found,) = read(event("contact.creation", occurredAt=moment))
    assert found.record_ids == ("512",)
    assert (found.occurred_at is None) == (moment != "1769000000000")


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"\xff\xfe", b"null", b'"text"', b"[1]", b"[{}]", b'[{"portalId": 1}]', b"[[]]", b"[" * 100_000),
        *(b'[{"eventType": "contact.creation", "occurredAt": NaN}]', b"9" * 5000),
    ],
    ids=lambda body: f"{body[:24]!r}",
)
def test_what_is_no_list_of_events_is_refused_as_unreadable(body: bytes) -> None:
    with pytest.raises(errors.FixData):
        Provider.read_delivery(replace(told(), body=body), Trust())


def test_an_empty_list_tells_nothing() -> None:
    assert read() == []


# --- setting the app up ---------------------------------------------------------------------------------------------


@pytest.fixture
def developer(world: World, settings: Settings) -> World:
    settings.HUBSPOT_APP_ID, settings.HUBSPOT_DEVELOPER_API_KEY = str(APP_ID), DEVELOPER_KEY
    settings.CRM_ALLOWED_HOSTS = [world.server.url.removeprefix("http://")]
    return world


def set_up(url: str = ADDRESS) -> list[str]:
    """What the command does."""
    return Provider.subscribe_app(TrialApi(Provider, Provider.app_credential()), url)


def stored(world: World) -> dict[tuple[str, str], dict[str, Any]]:
    with world.portal.store.lock:
        every = list(world.portal.store.all("webhook_subscriptions"))
    return {(one["eventType"], one.get("propertyName", "")): one for one in every}


@pytest.mark.parametrize("version", ["v3", "2026-03", "2026-09"])
def test_the_app_is_made_to_send_everything_we_use(developer: World, settings: Settings, version: str) -> None:
    settings.HUBSPOT_API_VERSIONS = [f"webhooks={version}"]
    done = set_up()
    held = developer.portal.store.get("webhook_settings", str(APP_ID))
    assert held
    assert (held["targetUrl"], held["throttling"]) == (ADDRESS, {"maxConcurrentRequests": 10})
    kinds = stored(developer)
    lifecycle = {f"contact.{what}" for what in ("creation", "deletion", "merge", "restore", "privacyDeletion")}
    assert lifecycle == {kind for kind, name in kinds if not name}
    watched = {name for kind, name in kinds if kind == "contact.propertyChange" and name}
    assert {"phone", "mobilephone", "email", "hubspot_owner_id", "hs_lead_status"} <= watched
    assert not {"last_call_date", "num_calls", "ai_call_score"} & watched, "only we write these"
    assert all(one["active"] for one in kinds.values()), "a subscription is asleep unless told otherwise"
    assert len(done) == 1 + len(kinds)
    assert any("phone" in sentence for sentence in done)


def test_setting_up_again_changes_nothing(developer: World) -> None:
    set_up()
    before = stored(developer)
    developer.server.counts.clear()
    assert set_up() == []
    assert stored(developer) == before
    assert {shape.partition(" ")[0] for shape in developer.server.counts} == {"GET"}


def test_a_subscription_that_sleeps_is_woken_with_all_others_in_one_request(developer: World) -> None:
    set_up()
    asleep = list(stored(developer).values())[:3]
    for one in asleep:
        developer.portal.store.put("webhook_subscriptions", one["id"], {**one, "active": False})
    developer.server.counts.clear()
    assert len(set_up()) == 3
    assert all(one["active"] for one in stored(developer).values())
    assert sum(count for shape, count in developer.server.counts.items() if shape.startswith("POST")) == 1


def test_a_moved_installation_moves_the_address_and_keeps_the_throttle(developer: World) -> None:
    set_up()
    held = developer.portal.store.get("webhook_settings", str(APP_ID)) or {}
    developer.portal.store.put("webhook_settings", str(APP_ID), {**held, "throttling": {"maxConcurrentRequests": 5}})
    (sentence,) = set_up("https://elsewhere.example/webhooks/hubspot/")
    assert "elsewhere.example" in sentence
    moved = developer.portal.store.get("webhook_settings", str(APP_ID)) or {}
    assert (moved["targetUrl"], moved["throttling"]) == (
        "https://elsewhere.example/webhooks/hubspot/",
        {"maxConcurrentRequests": 5},
    )


def test_more_subscriptions_than_an_app_may_have_are_refused_before_any_is_made(developer: World) -> None:
    for number in range(995):
        held = {"id": str(number), "eventType": "deal.propertyChange", "propertyName": f"p{number}", "active": True}
        developer.portal.store.put("webhook_subscriptions", str(number), held)
    with pytest.raises(errors.FixConfig, match="995 of 1000"):
        set_up()
    assert developer.portal.store.count("webhook_subscriptions") == 995


@pytest.mark.parametrize(
    ("name", "value"),
    [("HUBSPOT_DEVELOPER_API_KEY", "wrong-s3cret-key"), ("HUBSPOT_APP_ID", "1234")],
    ids=["wrong key", "wrong app"],
)
def test_a_refused_developer_is_told_what_to_check_and_shows_no_key(
    developer: World, settings: Settings, name: str, value: str
) -> None:
    setattr(settings, name, value)
    with pytest.raises(errors.FixConfig, match="HUBSPOT_APP_ID and HUBSPOT_DEVELOPER_API_KEY") as refusal:
        set_up()
    shown = f"{refusal.value.message} {refusal.value.detail}"
    assert "s3cret" not in shown
    assert DEVELOPER_KEY not in shown


def test_a_developer_key_in_an_address_reaches_no_error(settings: Settings) -> None:
    settings.HUBSPOT_APP_ID, settings.HUBSPOT_DEVELOPER_API_KEY = "1", "very-s3cret"
    settings.HUBSPOT_API_URL, settings.CRM_ALLOWED_HOSTS = "http://127.0.0.1:9", ["127.0.0.1:9"]
    with pytest.raises(errors.Retry) as refusal:
        set_up()
    assert "s3cret" not in f"{refusal.value.message} {refusal.value.detail}"
    assert "hapikey" in refusal.value.detail, "or this test proves nothing"


@pytest.mark.parametrize("missing", ["HUBSPOT_APP_ID", "HUBSPOT_DEVELOPER_API_KEY"])
def test_missing_settings_of_the_app_are_named(settings: Settings, missing: str) -> None:
    settings.HUBSPOT_APP_ID, settings.HUBSPOT_DEVELOPER_API_KEY = "1", "k"
    setattr(settings, missing, "")
    with pytest.raises(errors.FixConfig, match=missing):
        Provider.app_credential()


def test_the_developers_key_is_no_bearer_token(settings: Settings) -> None:
    settings.HUBSPOT_APP_ID, settings.HUBSPOT_DEVELOPER_API_KEY = "1", "k3y"
    credential = Provider.app_credential()
    assert Provider.auth_headers(credential) == {}
    assert not Provider.renewable(credential)
    assert "k3y" not in repr(credential)
    assert len(subscriptions.wanted()) < 1000


@pytest.mark.parametrize(
    "order",
    [
        {"eventType": "contact.unheard", "active": True},
        {"eventType": "contact.propertyChange", "active": True},
        {"eventType": "contact.creation", "propertyName": "phone"},
        {"eventType": "contact.propertyChange", "propertyName": "hs_lastmodifieddate"},
        {"eventType": "object.creation"},
    ],
    ids=["unknown type", "no property", "a property too many", "the modified date", "which object"],
)
def test_the_fake_app_refuses_what_hubspot_refuses(developer: World, order: dict[str, Any]) -> None:
    url = f"{developer.server.url}/webhooks/v3/{APP_ID}/subscriptions"
    assert requests.post(url, params={"hapikey": DEVELOPER_KEY}, json=order, timeout=10).status_code == 400
    tenant = {"Authorization": f"Bearer {PRIVATE_TOKEN}"}
    assert requests.get(url, headers=tenant, timeout=10).status_code == 401


def test_a_subscription_sleeps_by_default_and_can_be_switched_and_dropped(developer: World) -> None:
    url, key = f"{developer.server.url}/webhooks/v3/{APP_ID}", {"hapikey": DEVELOPER_KEY}
    order = {"eventType": "object.propertyChange", "objectTypeId": "0-48", "propertyName": "hs_call_title"}
    made = requests.post(f"{url}/subscriptions", params=key, json=order, timeout=10)
    assert (made.status_code, made.json()["active"]) == (201, False)
    one = f"{url}/subscriptions/{made.json()['id']}"
    assert requests.patch(one, params=key, json={"active": True}, timeout=10).json()["active"] is True
    assert requests.delete(one, params=key, timeout=10).status_code == 204
    assert requests.get(f"{url}/subscriptions", params=key, timeout=10).json() == {"results": []}
    few = {"targetUrl": ADDRESS, "throttling": {"maxConcurrentRequests": 4}}
    assert requests.put(f"{url}/settings", params=key, json=few, timeout=10).status_code == 400
    assert requests.get(f"{url}/settings", params=key, timeout=10).status_code == 404
    requests.put(f"{url}/settings", params=key, json={"targetUrl": ADDRESS}, timeout=10)
    assert requests.delete(f"{url}/settings", params=key, timeout=10).status_code == 204


# --- deliveries as they come ----------------------------------------------------------------------------------------


class Inbox:
    """Somebody who listens where the app sends to, and how they answer."""

    QUERY = "?tenant=acme&next=%2Fa%3Ab%2Cc%40d&plus=%2B&space=%20x"

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.answers: list[int] = []
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                url = f"{inbox.host}{self.path}"
                inbox.deliveries.append(Delivery("POST", url, headers, body, datetime.now(UTC)))
                self.send_response(inbox.answers.pop(0) if inbox.answers else 200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing to say."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.url = f"{self.host}/webhooks/hubspot/{self.QUERY}"
        Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def events(self) -> list[RemoteEvent]:
        """Of every delivery, once its signature has been checked."""
        for delivery in self.deliveries:
            Provider.verify(delivery, Trust())
        return [one for delivery in self.deliveries for one in Provider.read_delivery(delivery, Trust())]

    def wait(self, done: Callable[[], Any]) -> None:
        until = time.monotonic() + 8
        while not done():
            assert time.monotonic() < until, f"{len(self.deliveries)} deliveries came"
            time.sleep(0.02)


@pytest.fixture
def inbox(developer: World) -> Iterator[Inbox]:
    inbox = Inbox()
    developer.portal.sender.pace = 0.02
    set_up(inbox.url)
    yield inbox
    inbox.server.shutdown()
    inbox.server.server_close()


def edit(world: World, record_id: str, **fields: str) -> None:
    with world.portal.store.lock:
        world.portal.edit("contacts", record_id, fields)


def test_an_edit_by_hand_arrives_signed_for_an_address_with_escapes(developer: World, inbox: Inbox) -> None:
    contact = developer.contact_ids()[3]
    edit(developer, contact, phone="+14155550199", firstname="Zoë")
    inbox.wait(lambda: len(inbox.deliveries) == 1)
    (delivery,) = inbox.deliveries
    assert delivery.url == inbox.url, "the query came as it was configured"
    assert {"x-hubspot-signature", "x-hubspot-signature-v3", "x-hubspot-request-timestamp"} <= set(delivery.headers)
    assert delivery.headers["x-hubspot-signature-version"] == "v1"
    found = {one.changed: one for one in inbox.events()}
    assert found[("phone",)].values == {"phone": "+14155550199"}
    assert found[("firstname",)].values == {"firstname": "Zoë"}
    assert {one.record_ids for one in found.values()} == {(contact,)}
    assert {one.account_id for one in found.values()} == {"4411223"}
    assert not any(one.ours for one in found.values())
    older = {name: value for name, value in delivery.headers.items() if not name.endswith(("-v3", "-timestamp"))}
    Provider.verify(replace(delivery, headers=older), Trust(secrets={"client_secret": CLIENT_SECRET}))


def test_an_array_is_unordered_and_tells_something_twice(developer: World, inbox: Inbox) -> None:
    first, second = developer.contact_ids()[3:5]
    with developer.portal.store.lock:
        edit(developer, first, phone="+14155550101")
        developer.portal.clock.advance(2)
        edit(developer, second, phone="+14155550102")
    inbox.wait(lambda: inbox.deliveries)
    times = [one.occurred_at for one in inbox.events() if one.occurred_at]
    assert times != sorted(times)
    keys = [one.dedupe_key for one in inbox.events()]
    assert len(set(keys)) < len(keys)


def test_a_life_by_hand_is_told_from_birth_to_restoration(developer: World, inbox: Inbox) -> None:
    with developer.portal.store.lock:
        made = developer.portal.add("contacts", {"lastname": "Newcomer", "phone": "+14155550100"})
        developer.portal.remove("contacts", made)
        developer.portal.restore("contacts", made)
    inbox.wait(lambda: inbox.deliveries)
    changes = {one.change for one in inbox.events() if one.record_ids == (made,)}
    assert changes == {Change.CREATED, Change.UPDATED, Change.DELETED, Change.RESTORED}


@pytest.mark.parametrize("fault", ["", "merge_makes_new"])
def test_a_merge_tells_where_everybody_went(developer: World, inbox: Inbox, fault: str) -> None:
    if fault:
        developer.fault(fault)
    winner, loser = developer.contact_ids()[3:5]
    body = {"primaryObjectId": winner, "objectIdToMerge": loser}
    headers = {"Authorization": f"Bearer {PRIVATE_TOKEN}"}
    url = f"{developer.server.url}/crm/v3/objects/contacts/merge"
    left = requests.post(url, json=body, headers=headers, timeout=10).json()["id"]
    inbox.wait(lambda: any(one.change == Change.MERGED for one in inbox.events()))
    merged = next(one for one in inbox.events() if one.change == Change.MERGED)
    assert merged.moved_to == left
    assert set(merged.record_ids) == {winner, loser} - {left}


def test_an_erasure_comes_with_a_deletion(developer: World, inbox: Inbox) -> None:
    contact = developer.contact_ids()[3]
    url = f"{developer.server.url}/crm/v3/objects/contacts/gdpr-delete"
    headers = {"Authorization": f"Bearer {PRIVATE_TOKEN}"}
    assert requests.post(url, json={"objectId": contact}, headers=headers, timeout=10).status_code == 204
    inbox.wait(lambda: inbox.deliveries)
    assert {one.change for one in inbox.events() if one.record_ids == (contact,)} == {Change.ERASED, Change.DELETED}


@pytest.mark.parametrize(("token", "ours"), [("sandbox-hubspot-access-0001", True), (PRIVATE_TOKEN, False)])
def test_writes_of_the_app_come_back_with_its_mark(developer: World, inbox: Inbox, token: str, ours: bool) -> None:
    contact = developer.contact_ids()[3]
    url = f"{developer.server.url}/crm/v3/objects/contacts/{contact}"
    headers = {"Authorization": f"Bearer {token}"}
    requests.patch(url, json={"properties": {"phone": "+14155550188"}}, headers=headers, timeout=10)
    inbox.wait(lambda: inbox.deliveries)
    assert {one.ours for one in inbox.events()} == {ours}


def test_each_attempt_has_its_number_its_time_and_its_signature(developer: World, inbox: Inbox) -> None:
    inbox.answers = [500, 404, 503]
    edit(developer, developer.contact_ids()[3], phone="+14155550177")
    inbox.wait(lambda: len(inbox.deliveries) == 4)
    attempts = [{one["attemptNumber"] for one in json.loads(delivery.body)} for delivery in inbox.deliveries]
    assert attempts == [{0}, {1}, {2}, {3}]
    for header in ("x-hubspot-request-timestamp", "x-hubspot-signature-v3"):
        assert len({delivery.headers[header] for delivery in inbox.deliveries}) == 4
    assert len({one.dedupe_key for one in inbox.events()}) == 1


def test_other_portals_of_the_app_come_to_the_same_address(developer: World, inbox: Inbox) -> None:
    for number in range(3):
        edit(developer, developer.contact_ids()[3], phone=f"+1415555016{number}")
        developer.portal.send_pending()
    inbox.wait(lambda: len(inbox.deliveries) == 3)
    assert {one.account_id for one in inbox.events()} == {"4411223", str(OTHER_PORTAL_ID)}
    one_array = max((json.loads(delivery.body) for delivery in inbox.deliveries), key=len)
    assert {one["portalId"] for one in one_array} == {4411223, OTHER_PORTAL_ID}, "both in one request"


def test_many_changes_come_in_arrays_of_a_hundred_at_most(developer: World, inbox: Inbox) -> None:
    contacts = developer.contact_ids()[:150]
    with developer.portal.store.lock:
        for number, contact in enumerate(contacts):
            edit(developer, contact, jobtitle=f"Title {number}")
    inbox.wait(lambda: len({one.record_ids for one in inbox.events()}) == 150)
    sizes = [len(json.loads(delivery.body)) for delivery in inbox.deliveries]
    assert max(sizes) <= 100
    assert len(sizes) == 2


def test_a_portal_without_the_app_is_told_nothing(developer: World, inbox: Inbox) -> None:
    with developer.portal.store.lock:
        for token in list(developer.portal.store.all("refresh_tokens")):
            developer.portal.store.delete("refresh_tokens", token["token"])
    edit(developer, developer.contact_ids()[3], phone="+14155550155")
    developer.portal.send_pending()
    with developer.portal.store.lock:
        developer.portal.keep_refresh_token("installed-again", [])
    edit(developer, developer.contact_ids()[4], phone="+14155550156")
    inbox.wait(lambda: inbox.deliveries)
    assert {one.record_ids for one in inbox.events()} == {(developer.contact_ids()[4],)}


def test_unsubscribed_properties_are_not_told_of(developer: World, inbox: Inbox) -> None:
    contact = developer.contact_ids()[3]
    with developer.portal.store.lock:
        edit(developer, contact, city="Elsewhere")
        edit(developer, contact, jobtitle="Director")
    inbox.wait(lambda: inbox.deliveries)
    assert {one.changed for one in inbox.events()} == {("jobtitle",)}


def test_a_delivery_can_get_lost_for_good(developer: World, inbox: Inbox) -> None:
    developer.fault("lost_webhook")
    edit(developer, developer.contact_ids()[3], phone="+14155550144")
    developer.portal.send_pending()
    edit(developer, developer.contact_ids()[4], phone="+14155550145")
    inbox.wait(lambda: inbox.deliveries)
    assert {one.record_ids for one in inbox.events()} == {(developer.contact_ids()[4],)}


def test_a_link_changed_in_hubspot_is_told_from_both_sides(developer: World, inbox: Inbox) -> None:
    url, key = f"{developer.server.url}/webhooks/v3/{APP_ID}/subscriptions", {"hapikey": DEVELOPER_KEY}
    for kind in ("contact", "deal"):
        order = {"eventType": f"{kind}.associationChange", "active": True}
        assert requests.post(url, params=key, json=order, timeout=10).status_code == 201
    contact = developer.contact_ids()[3]
    with developer.portal.store.lock:
        deal = developer.portal.add("deals", {"dealname": "Renewal"})
    link = f"{developer.server.url}/crm/v4/objects/contacts/{contact}/associations/default/deals/{deal}"
    headers = {"Authorization": "Bearer sandbox-hubspot-access-0001"}
    assert requests.put(link, headers=headers, timeout=10).status_code == 200
    inbox.wait(lambda: inbox.deliveries)
    found = {(one.object_type, *one.record_ids) for one in inbox.events() if "associationTypeId" in one.raw}
    assert {("contacts", contact), ("deals", deal)} <= found
