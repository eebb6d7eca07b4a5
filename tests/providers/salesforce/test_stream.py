"""The stream of changes against the sandbox: what is told, what is never lost, and how it ends."""

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integrations import errors, tenancy
from integrations.connecting import connect
from integrations.crm import open_crm
from integrations.models import CrmConnection, Tenant
from integrations.providers.salesforce import cometd, stream
from integrations.providers.salesforce.provider import Provider
from integrations.records.events import Change, RemoteEvent
from tests.providers.salesforce.listening import Ear
from tests.providers.salesforce.world import DATA, World

ALL, LEADS, CONTACTS = "/data/ChangeEvents", "/data/LeadChangeEvent", "/data/ContactChangeEvent"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "BACKOFF", 0.01)
    monkeypatch.setattr(stream, "SILENT_PAUSE", 0.02)


@pytest.fixture
def ear(world: World) -> Iterator[Ear]:
    world.sandbox.stream.hold = 0.5
    found = Ear(world)
    yield found
    found.close()


def patch(world: World, record_id: str, **values: Any) -> None:
    """A write of ours."""
    world.ask("PATCH", f"{DATA}/sobjects/Lead/{record_id}", json=values).raise_for_status()


def dial(error: str, match: str = "/meta/connect", times: int | None = 1, **more: Any) -> dict[str, Any]:
    return {"kind": "bayeux", "match": match, "times": times, "body": {"error": error, **more}}


# --- what is told ---------------------------------------------------------------------------------------------------------


def test_a_first_subscription_tells_where_it_began_and_that_it_is_alive(ear: Ear) -> None:
    listener = ear.listen()
    first = listener.pages[0]
    assert (first.channel, first.events, first.missed) == (ALL, (), False)
    assert first.position["replay"] == -1
    assert datetime.fromisoformat(first.position["at"]).tzinfo is not None
    listener.wait(lambda one: len(one.alive) >= 2)


def test_an_edit_by_hand_arrives_with_flat_names_and_its_values(world: World, ear: Ear) -> None:
    listener = ear.listen()
    lead = world.lead()
    world.sandbox.edit("Lead", lead, {"City": "Rome", "LastName": "Roe", "Phone": None})
    (event,) = listener.wait_for_events(1)
    assert (event.change, event.object_type, event.record_ids) == (Change.UPDATED, "Lead", (lead,))
    assert set(event.changed) == {"City", "LastName", "Phone", "LastModifiedDate"}
    assert (event.values["City"], event.values["LastName"], event.values["Phone"]) == ("Rome", "Roe", None)
    assert event.values["LastModifiedDate"].endswith("Z")
    assert event.ours is False
    assert event.occurred_at is not None
    assert abs((datetime.now(UTC) - event.occurred_at).total_seconds()) < 60


def test_a_write_of_ours_is_marked_as_ours(world: World, ear: Ear) -> None:
    listener = ear.listen()
    patch(world, world.lead(), Phone="+14155550199")
    (event,) = listener.wait_for_events(1)
    assert event.ours is True
    assert event.changed == ("Phone", "LastModifiedDate")


def test_creations_deletions_and_restorations_are_told(world: World, ear: Ear) -> None:
    listener = ear.listen()
    made = world.sandbox.add("Lead", {"LastName": "New", "Company": "Acme", "MobilePhone": "+14155550142"})
    listener.wait_for_events(1)
    world.sandbox.remove("Lead", made)
    listener.wait_for_events(2)
    world.sandbox.undelete("Lead", made)
    events = listener.wait_for_events(3)
    assert [event.change for event in events] == [Change.CREATED, Change.DELETED, Change.RESTORED]
    assert {event.record_ids for event in events} == {(made,)}
    assert events[0].values["LastName"] == "New"
    assert events[0].values["MobilePhone"] == "+14155550142"
    assert events[1].values == {}


def test_a_converted_lead_names_its_contact_in_one_transaction(world: World, ear: Ear) -> None:
    listener = ear.listen()
    lead = world.lead()
    contact = world.sandbox.convert(lead)
    events = listener.wait_for_events(2)
    converted = next(event for event in events if event.object_type == "Lead")
    made = next(event for event in events if event.object_type == "Contact")
    assert (converted.record_ids, converted.moved_to) == ((lead,), contact)
    assert (made.change, made.record_ids) == (Change.CREATED, (contact,))
    keys = {event.raw["data"]["payload"]["ChangeEventHeader"]["transactionKey"] for event in events}
    numbers = {event.raw["data"]["payload"]["ChangeEventHeader"]["sequenceNumber"] for event in events}
    assert len(keys) == 1
    assert numbers == {1, 2}


def test_a_merge_is_a_deletion_and_an_update(world: World, ear: Ear) -> None:
    listener = ear.listen()
    winner, loser = world.lead(0), world.lead(1)
    world.sandbox.merge("Lead", winner, loser)
    events = listener.wait_for_events(2)
    assert {(event.change, event.record_ids) for event in events} == {
        (Change.DELETED, (loser,)),
        (Change.UPDATED, (winner,)),
    }


def test_the_same_change_of_many_records_is_one_event(world: World, ear: Ear) -> None:
    listener = ear.listen()
    ids = [world.lead(place) for place in range(3)]
    records = [{"attributes": {"type": "Lead"}, "id": one, "Title": "Head of Sales"} for one in ids]
    world.ask("PATCH", f"{DATA}/composite/sobjects", json={"allOrNone": False, "records": records}).raise_for_status()
    (event,) = listener.wait_for_events(1)
    assert set(event.record_ids) == set(ids)
    assert event.values["Title"] == "Head of Sales"


@pytest.mark.parametrize(
    ("emitted", "change", "ids"),
    [
        (("Lead", "GAP_UPDATE", "00Q000000000001EAA"), Change.UPDATED, ("00Q000000000001EAA",)),
        (("Lead", "GAP_DELETE", "00Q000000000001EAA"), Change.DELETED, ("00Q000000000001EAA",)),
        (("Lead", "GAP_OVERFLOW", "000000000000000AAA"), Change.RESYNC, ()),
        (("Contact", "UPDATE", "003*"), Change.RESYNC, ()),
    ],
    ids=["gap", "gap of a deletion", "overflow", "wildcard"],
)
def test_gaps_name_records_to_fetch_and_overflows_an_object_to_read_again(
    world: World, ear: Ear, emitted: tuple[str, ...], change: Change, ids: tuple[str, ...]
) -> None:
    listener = ear.listen()
    world.sandbox.emit(*emitted)
    (event,) = listener.wait_for_events(1)
    assert (event.change, event.record_ids, event.values) == (change, ids, {})


@pytest.mark.parametrize(("kind", "change"), [("gap", Change.UPDATED), ("overflow", Change.RESYNC)])
def test_an_ordinary_change_may_come_as_a_gap(world: World, ear: Ear, kind: str, change: Change) -> None:
    world.dial({"kind": kind, "match": "EVENT /Lead"})
    listener = ear.listen()
    world.sandbox.edit("Lead", world.lead(), {"City": "Rome"})
    (event,) = listener.wait_for_events(1)
    assert (event.change, event.values) == (change, {})


def test_a_long_text_and_a_hidden_field_are_left_to_the_fetch(world: World, ear: Ear) -> None:
    world.sandbox.hide("Lead", "MobilePhone")
    listener = ear.listen()
    world.sandbox.edit("Lead", world.lead(), {"Description": "x" * 2_000, "MobilePhone": "1", "City": "Rome"})
    (event,) = listener.wait_for_events(1)
    assert set(event.changed) == {"Description", "City", "LastModifiedDate"}
    assert set(event.values) == {"City", "LastModifiedDate"}


def test_an_event_that_comes_twice_has_one_key(world: World, ear: Ear) -> None:
    world.dial({"kind": "repeat_events"})
    listener = ear.listen()
    world.sandbox.edit("Lead", world.lead(), {"City": "Rome"})
    events = listener.wait_for_events(2)
    assert len({event.dedupe_key for event in events}) == 1


def test_settings_may_name_channels_of_single_objects(world: World, ear: Ear) -> None:
    listener = ear.listen(stream_channel=[LEADS, CONTACTS])
    assert [page.channel for page in listener.pages[:2]] == [LEADS, CONTACTS]
    world.sandbox.edit("Lead", world.lead(), {"City": "Rome"})
    listener.wait_for_events(1)
    world.sandbox.edit("Contact", world.contact(), {"MailingCity": "Bern"})
    events = listener.wait_for_events(2)
    assert events[1].changed == ("MailingCity", "LastModifiedDate")
    assert set(listener.positions()) == {LEADS, CONTACTS}
    assert listener.positions()[LEADS] != listener.positions()[CONTACTS]


@pytest.mark.parametrize("chosen", ["/topic/Leads", "/data/", ["/data/LeadChangeEvent", "x"], "/data/a b"])
def test_a_channel_that_cannot_be_is_refused_in_words(world: World, chosen: Any) -> None:
    provider, _ = world.connect(settings={"stream_channel": chosen})
    with pytest.raises(errors.FixConfig, match="stream_channel"):
        provider.open_stream({})


# --- nothing is lost ------------------------------------------------------------------------------------------------------


def test_reading_goes_on_behind_the_stored_position(world: World, ear: Ear) -> None:
    first = ear.listen()
    world.sandbox.edit("Lead", world.lead(0), {"City": "Rome"})
    first.wait_for_events(1)
    first.close()
    world.sandbox.edit("Lead", world.lead(1), {"City": "Oslo"})
    world.sandbox.edit("Lead", world.lead(2), {"City": "Bern"})
    second = ear.open(first.positions())
    events = second.wait_for_events(2)
    assert [event.values["City"] for event in events] == ["Oslo", "Bern"]
    assert not second.missed


def test_many_waiting_events_come_in_order_over_several_answers(world: World, ear: Ear) -> None:
    first = ear.listen()
    world.sandbox.edit("Lead", world.lead(0), {"City": "Rome"})
    first.wait_for_events(1)
    first.close()
    for number in range(50):
        world.sandbox.edit("Lead", world.lead(number), {"City": f"Town {number}"})
    events = ear.open(first.positions()).wait_for_events(50)
    assert [event.values["City"] for event in events] == [f"Town {number}" for number in range(50)]


def test_an_answer_that_was_lost_with_its_events_comes_again(world: World, ear: Ear) -> None:
    listener = ear.listen()
    world.sandbox.edit("Lead", world.lead(0), {"City": "Rome"})
    listener.wait_for_events(1)
    world.dial({"kind": "drop_after", "match": "POST /cometd", "times": 1})
    world.sandbox.edit("Lead", world.lead(1), {"City": "Oslo"})
    events = listener.wait_for_events(2)
    assert [event.values["City"] for event in events] == ["Rome", "Oslo"]
    assert not listener.missed


def test_losing_the_first_answers_of_a_quiet_subscription_is_told_as_missed(world: World, ear: Ear) -> None:
    """There is no position to go on from: only reading the object again can tell what came in between."""
    listener = ear.listen()
    world.sandbox.stream.forget_clients()
    world.sandbox.edit("Lead", world.lead(), {"City": "Rome"})
    listener.wait(lambda one: one.missed)
    assert listener.missed[0].channel == ALL


def test_a_position_that_never_heard_an_event_is_a_missed_page_after_a_restart(ear: Ear) -> None:
    first = ear.listen()
    first.close()
    second = ear.listen(first.positions())
    assert [(page.channel, page.missed) for page in second.pages if page.channel] == [(ALL, True)]


def test_a_client_that_the_server_forgot_subscribes_again_from_its_position(world: World, ear: Ear) -> None:
    listener = ear.listen()
    world.sandbox.edit("Lead", world.lead(0), {"City": "Rome"})
    listener.wait_for_events(1)
    with world.store.lock:
        world.sandbox.stream.forget_clients()
        world.sandbox.edit("Lead", world.lead(1), {"City": "Oslo"})
    events = listener.wait_for_events(2)
    assert [event.values["City"] for event in events] == ["Rome", "Oslo"]
    assert not listener.missed


def test_a_listener_that_stayed_away_too_long_is_dropped_and_comes_back(world: World, ear: Ear) -> None:
    listener = ear.listen()
    world.sandbox.edit("Lead", world.lead(0), {"City": "Rome"})
    listener.wait_for_events(1)
    started = world.server.counts["POST /cometd/59.0"]
    client = next(iter(world.sandbox.stream._clients.values()))
    with world.store.lock:
        client.connect, client.seen_at = "", client.seen_at - 41
        world.sandbox.stream._drop_absent()
        world.sandbox.stream.wake()
    world.sandbox.edit("Lead", world.lead(1), {"City": "Oslo"})
    assert listener.wait_for_events(2)[1].values["City"] == "Oslo"
    assert world.server.counts["POST /cometd/59.0"] > started


def test_a_position_that_the_server_forgot_starts_with_everything_kept_and_says_so(world: World, ear: Ear) -> None:
    world.sandbox.edit("Lead", world.lead(0), {"City": "Rome"})
    now = datetime.now(UTC).isoformat()
    listener = ear.open({ALL: {"replay": 424_242, "at": now}})
    (event,) = listener.wait_for_events(1)
    assert event.values["City"] == "Rome"
    assert [(page.channel, page.events) for page in listener.missed] == [(ALL, ())]
    assert listener.positions()[ALL]["replay"] > 0


def test_events_are_kept_for_three_days(world: World, ear: Ear) -> None:
    first = ear.listen()
    world.sandbox.edit("Lead", world.lead(0), {"City": "Rome"})
    first.wait_for_events(1)
    first.close()
    world.sandbox.edit("Lead", world.lead(1), {"City": "Oslo"})
    world.sandbox.clock.advance(timedelta(hours=73).total_seconds())
    ear.world = renewed(world)
    second = ear.listen(first.positions())
    assert second.events == []
    assert len(second.missed) == 1


def renewed(world: World) -> World:
    """Signed in again: its session ended long ago."""
    fresh = World(world.server)
    fresh.close = lambda: None  # type: ignore[method-assign]
    return fresh


def test_a_late_commit_is_told_when_it_can_be_seen(world: World, ear: Ear) -> None:
    listener = ear.listen()
    world.dial({"kind": "late_commit", "seconds": 20, "times": 1})
    world.sandbox.edit("Lead", world.lead(), {"City": "Rome"})
    listener.wait(lambda one: len(one.alive) >= 3)
    assert listener.events == []
    world.sandbox.clock.advance(21)
    assert listener.wait_for_events(1)[0].values["City"] == "Rome"


def test_an_unreadable_message_is_told_as_missed_and_stops_nothing(world: World, ear: Ear) -> None:
    listener = ear.listen()
    world.sandbox.emit("Lead", "", "00Q000000000001EAA")
    world.sandbox.edit("Lead", world.lead(), {"City": "Rome"})
    listener.wait_for_events(1)
    assert [page.channel for page in listener.missed] == [ALL]


# --- how it goes on and ends ----------------------------------------------------------------------------------------------


def test_closing_from_another_thread_ends_a_held_request_within_two_seconds(world: World, ear: Ear) -> None:
    listener = ear.listen()
    world.sandbox.stream.hold = 60
    time.sleep(0.7)
    listener.wait(lambda _: any(client.connect for client in world.sandbox.stream._clients.values()))
    assert listener.close() < 2
    assert listener.error is None
    assert world.sandbox.stream._clients == {}
    assert listener.close() < 0.5


def test_a_closed_stream_has_no_pages(world: World, ear: Ear) -> None:
    provider, api = world.connect()
    opened = provider.open_stream({})
    opened.close()
    assert list(opened.pages()) == []
    assert api.calls == []


def test_closing_interrupts_a_pause_that_the_server_wants(world: World, ear: Ear) -> None:
    listener = ear.listen()
    world.dial(
        {"kind": "bayeux", "match": "/meta/connect", "body": {"successful": True, "advice": {"interval": 30_000}}}
    )
    alive = len(listener.alive)
    listener.wait(lambda one: len(one.alive) > alive)
    count = world.server.counts["POST /cometd/59.0"]
    time.sleep(0.3)
    assert world.server.counts["POST /cometd/59.0"] - count <= 1
    assert listener.close() < 2


def test_closing_interrupts_the_pause_between_two_sessions(
    world: World, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "BACKOFF", 60.0)
    listener = ear.listen()
    world.dial(dial("403::Unknown client", times=None, advice={"reconnect": "handshake", "interval": 0}))
    time.sleep(0.7)
    assert listener.close() < 2
    assert listener.error is None


def test_a_dead_server_at_closing_does_no_harm(world: World, ear: Ear) -> None:
    listener = ear.listen()
    world.dial({"kind": "drop_before", "match": "POST /cometd"})
    assert listener.close() < 3
    assert listener.error is None


def test_a_token_that_dies_in_the_body_of_a_good_answer_is_renewed(world: World, ear: Ear) -> None:
    listener = ear.listen()
    world.sandbox.edit("Lead", world.lead(0), {"City": "Rome"})
    listener.wait_for_events(1)
    world.dial({"kind": "expire_session", "match": "/cometd/", "times": 1})
    alive = len(listener.alive)
    listener.wait(lambda one: len(one.alive) > alive + 1)
    world.sandbox.edit("Lead", world.lead(1), {"City": "Oslo"})
    assert listener.wait_for_events(2)[1].values["City"] == "Oslo"
    assert ear.apis[0].credential != world.credential
    assert not listener.missed


def test_a_stream_without_an_answer_to_its_connects_begins_anew(
    world: World, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cometd, "WATCHDOG", 0.2)
    listener = ear.listen()
    world.sandbox.edit("Lead", world.lead(0), {"City": "Rome"})
    listener.wait_for_events(1)
    world.dial({"kind": "bayeux", "match": "/meta/connect"})
    listener.wait(lambda _: len(world.sandbox.stream._clients) > 1)
    world.dial()
    world.sandbox.edit("Lead", world.lead(1), {"City": "Oslo"})
    assert [event.values["City"] for event in listener.wait_for_events(2)] == ["Rome", "Oslo"]


def test_compound_names_are_asked_of_describe_once_for_each_object(world: World, ear: Ear) -> None:
    listener = ear.listen()
    for place in range(3):
        world.sandbox.edit("Lead", world.lead(place), {"City": f"Town {place}"})
        listener.wait_for_events(place + 1)
    assert ear.apis[0].calls.count(f"GET {DATA}/sobjects/Lead/describe") == 1


def test_names_go_by_rule_while_describe_is_down(world: World, ear: Ear) -> None:
    world.dial({"kind": "status", "status": 503, "match": "/describe"})
    listener = ear.listen()
    world.sandbox.edit("Contact", world.contact(), {"MailingCity": "Bern"})
    assert listener.wait_for_events(1)[0].values["MailingCity"] == "Bern"


# --- the real transport ---------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_transport_renews_the_token_and_the_stream_counts_in_no_bucket(
    world: World, tenant: Tenant, settings: Any
) -> None:
    settings.CRM_ALLOWED_HOSTS = [world.server.url.removeprefix("http://")]
    world.sandbox.stream.hold = 0.3
    with tenancy.scope(tenant.pk):
        row, _account = connect(tenant, "salesforce", world.sandbox.credential(world.server.url))
        before = row.access_token
        provider, _api = open_crm(row)
        opened = provider.open_stream({})
        world.dial({"kind": "expire_session", "match": "/cometd/", "times": 1})
        events: list[RemoteEvent] = []
        for page in opened.pages():
            if not page.channel and not events:
                world.sandbox.edit("Lead", world.lead(), {"City": "Rome"})
            events += page.events
            if events:
                break
        opened.close()
        stored = CrmConnection.objects.get()
    assert events[0].values["City"] == "Rome"
    assert stored.status == "connected"
    assert stored.access_token != before


def test_the_stream_counts_in_no_bucket_and_other_requests_do() -> None:
    assert Provider.buckets("POST", "/cometd/59.0") == ()
    assert Provider.buckets("GET", f"{DATA}/limits") != ()


def test_every_request_is_one_small_message_to_the_versions_own_path(world: World, ear: Ear) -> None:
    sent: list[Any] = []
    listener = ear.open(stream_channel=[LEADS, CONTACTS])
    api = ear.apis[0]
    original = api.request

    def spy(method: str, path: str, **more: Any) -> Any:
        if path.startswith("/cometd"):
            sent.append((path, more))
        return original(method, path, **more)

    api.request = spy  # type: ignore[method-assign]
    listener.wait(lambda one: len(one.alive) >= 4)
    assert {path for path, _ in sent} == {"/cometd/59.0"}
    assert all(len(more["json"]) == 1 and len(json.dumps(more["json"])) < 1_000 for _, more in sent)
    connects = [more for _, more in sent if more["json"][0]["channel"] == "/meta/connect"]
    assert connects
    assert all(more["read_timeout"] >= 130 and more["repeatable"] is False for more in connects)


def test_two_listeners_hear_the_same(world: World, ear: Ear) -> None:
    one, two = ear.listen(), ear.listen()
    world.sandbox.edit("Lead", world.lead(), {"City": "Rome"})
    assert one.wait_for_events(1)[0].dedupe_key == two.wait_for_events(1)[0].dedupe_key
    assert threading.active_count() >= 3
