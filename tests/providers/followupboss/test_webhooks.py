"""Deliveries on arrival: the vendor's signature, bit by bit, and what an event means."""

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from integrations import errors
from integrations.providers.followupboss.provider import Provider
from integrations.records.events import Change, Delivery, RemoteEvent, Trust
from tests.providers.followupboss.conftest import Connect

KEY = "demo-system-key-7c1d-not-real"
F1 = (
    rb'{"eventId":"152d60c0-79b7-4b2c-b3b8-7d9b8f1f7f11","eventCreated":"2026-01-21T12:00:00+00:00",'
    rb'"event":"peopleUpdated","resourceIds":[12345,12346],'
    rb'"uri":"https:\/\/api.followupboss.com\/v1\/people?id=12345,12346"}'
)
F1_SIGNATURE = "c4ef52801b71e66546ddaa0ac3525199481ce00b3673b93eb4dbe80a9016c825"
F1_RAW_BODY = "ef20f1614c91c57fe549a35c2fa33c0f149433706d97cae8fa47bc42f8bf073c"
F2 = (
    '{"eventId":"9f0c6b1e-1c02-4b0f-9a55-2f8f0a9d3c22","eventCreated":"2026-01-21T12:00:05+00:00",'
    '"event":"peopleTagsCreated","resourceIds":[777],"uri":"https://api.followupboss.com/v1/people?id=777",'
    '"data":{"tags":["Acheteur – été"]}}'
).encode()
F2_SIGNATURE = "d495f0d307ca5d5bf0a57935e3489fe8d7be51ef03e21ed132f173c5c7ff8a23"
F2_RAW_BODY = "b8f98f87774d0e1e758fde39f94c9f1828d8d2c4b2e43909707dc9cda263ba38"
NOW = datetime(2026, 1, 21, 12, 0, 10, tzinfo=UTC)
TRUST = Trust(secrets={"system_key": KEY})
PLAIN = Trust(settings={"accept_body_signature": True}, secrets={"webhook_secret": "own-secret"})


def delivery(body: bytes, signature: str = "", header: str = "fub-signature", **more: Any) -> Delivery:
    headers = {"content-type": "application/json", header: signature}
    given = {"url": "https://dialer.example/webhooks/followupboss/t/", "received_at": NOW, **more}
    return Delivery(method="POST", headers=headers, body=body, **given)


def signed(content: dict[str, Any] | bytes, key: str = KEY) -> Delivery:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return delivery(body, hmac.new(key.encode(), base64.b64encode(body), hashlib.sha256).hexdigest())


def read(content: dict[str, Any] | bytes) -> RemoteEvent:
    one = signed(content)
    Provider.verify(one, TRUST)
    (event,) = Provider.read_delivery(one, TRUST)
    return event


# --- signatures -----------------------------------------------------------------------------------------------------


def test_the_vectors_are_the_bytes_they_claim_to_be() -> None:
    assert (len(F1), len(F2)) == (211, 234)


@pytest.mark.parametrize(
    ("body", "signature", "wrong"),
    [(F1, F1_SIGNATURE, F1_RAW_BODY), (F2, F2_SIGNATURE, F2_RAW_BODY)],
    ids=["F1 escaped slashes", "F2 not ASCII"],
)
def test_the_vendors_signature_covers_the_base64_text_of_the_body(body: bytes, signature: str, wrong: str) -> None:
    Provider.verify(delivery(body, signature), TRUST)
    with pytest.raises(errors.BadSignature):
        Provider.verify(delivery(body, wrong), TRUST)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([(F1, F1_SIGNATURE), (F2, F2_SIGNATURE)]), st.data())
def test_every_one_bit_change_of_body_or_signature_is_refused(vector: tuple[bytes, str], data: st.DataObject) -> None:
    body, signature = vector
    whole = body + signature.encode()
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    changed = bytearray(whole)
    changed[bit // 8] ^= 1 << bit % 8
    forged = delivery(bytes(changed[: len(body)]), bytes(changed[len(body) :]).decode("latin-1"))
    with pytest.raises(errors.BadSignature):
        Provider.verify(forged, TRUST)


@pytest.mark.parametrize(
    "signature", ["", F1_SIGNATURE.upper(), F1_SIGNATURE + " ", F1_SIGNATURE[:-1], "é" * 64, "\ud800"], ids=repr
)
def test_nothing_but_the_exact_signature_will_do(signature: str) -> None:
    with pytest.raises(errors.BadSignature):
        Provider.verify(delivery(F1, signature), TRUST)


def test_our_systems_key_is_taken_where_the_connection_has_none(settings: Settings) -> None:
    settings.FOLLOWUPBOSS_SYSTEM_KEY = KEY
    Provider.verify(delivery(F1, F1_SIGNATURE), Trust())
    with pytest.raises(errors.BadSignature):
        Provider.verify(delivery(F1, F1_SIGNATURE), Trust(secrets={"system_key": "another"}))


def test_without_any_key_nothing_is_believed(settings: Settings) -> None:
    settings.FOLLOWUPBOSS_SYSTEM_KEY = ""
    empty = hmac.new(b"", base64.b64encode(F1), hashlib.sha256).hexdigest()
    with pytest.raises(errors.BadSignature):
        Provider.verify(delivery(F1, empty), Trust())


@pytest.mark.parametrize(
    ("late", "refused"),
    [(timedelta(hours=23), False), (timedelta(hours=25), True), (timedelta(hours=-25), True)],
    ids=["a retry", "replayed", "from the future"],
)
def test_a_delivery_that_was_kept_for_a_day_is_refused(late: timedelta, *, refused: bool) -> None:
    one = delivery(F1, F1_SIGNATURE, received_at=NOW + late)
    if refused:
        with pytest.raises(errors.BadSignature, match="too long ago"):
            Provider.verify(one, TRUST)
    else:
        Provider.verify(one, TRUST)


# --- the other form of signature ----------------------------------------------------------------------------------------


def test_a_signature_over_the_raw_body_counts_only_where_it_was_chosen() -> None:
    one = delivery(F1, hmac.new(b"own-secret", F1, hashlib.sha256).hexdigest(), "x-fub-signature")
    Provider.verify(one, PLAIN)
    for trust in (
        replace(PLAIN, settings={}),
        replace(PLAIN, settings={"accept_body_signature": "yes"}),
        replace(PLAIN, secrets={}),
        replace(PLAIN, secrets={"webhook_secret": "another"}),
        TRUST,
    ):
        with pytest.raises(errors.BadSignature):
            Provider.verify(one, trust)


def test_the_vendors_own_header_is_judged_by_the_vendors_own_rule() -> None:
    plain = hmac.new(b"own-secret", F1, hashlib.sha256).hexdigest()
    both = delivery(F1, plain, "x-fub-signature")
    with pytest.raises(errors.BadSignature):
        Provider.verify(replace(both, headers={**both.headers, "fub-signature": plain}), PLAIN)


# --- events -------------------------------------------------------------------------------------------------------------


def test_an_event_names_its_people_its_time_and_itself() -> None:
    event = read(F1)
    assert event.dedupe_key == "152d60c0-79b7-4b2c-b3b8-7d9b8f1f7f11"
    assert (event.change, event.object_type, event.record_ids) == (Change.UPDATED, "people", ("12345", "12346"))
    assert event.occurred_at == datetime(2026, 1, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "change", "object_type"),
    [
        ("peopleCreated", Change.CREATED, "people"),
        ("peopleUpdated", Change.UPDATED, "people"),
        ("peopleDeleted", Change.DELETED, "people"),
        ("peopleTagsCreated", Change.UPDATED, "people"),
        ("peopleStageUpdated", Change.UPDATED, "people"),
        ("peopleRelationshipCreated", Change.CREATED, "peopleRelationships"),
        ("callsCreated", Change.CREATED, "calls"),
        ("callCreated", Change.CREATED, "calls"),
        ("callsDeleted", Change.DELETED, "calls"),
        ("notesCreated", Change.CREATED, "notes"),
        ("noteCreated", Change.CREATED, "notes"),
        ("tasksCreated", Change.CREATED, "tasks"),
        ("taskCreated", Change.CREATED, "tasks"),
        ("tasksUpdated", Change.UPDATED, "tasks"),
        ("taskUpdated", Change.UPDATED, "tasks"),
        ("textMessagesCreated", Change.CREATED, "textMessages"),
        ("eventsCreated", Change.CREATED, "events"),
        ("customFieldsUpdated", Change.UPDATED, "customFields"),
        ("stageCreated", Change.CREATED, "stages"),
        ("emEventsOpened", Change.UPDATED, "emEvents"),
        ("somethingNew", Change.UPDATED, "somethingNew"),
    ],
)
def test_every_event_has_a_meaning_in_both_spellings(name: str, change: Change, object_type: str) -> None:
    event = read({"eventId": "e", "event": name, "resourceIds": [1], "uri": None})
    assert (event.change, event.object_type, event.record_ids) == (change, object_type, ("1",))


def test_a_new_stage_comes_with_its_name_and_new_tags_without_the_old_ones() -> None:
    stage = read({"eventId": "e", "event": "peopleStageUpdated", "resourceIds": [7], "data": {"stage": "Nurture"}})
    assert (stage.changed, stage.values) == (("stage",), {"stage": "Nurture"})
    tags = read(F2)
    assert (tags.changed, tags.values, tags.record_ids) == (("tags",), {}, ("777",))


def test_a_deletion_has_no_address() -> None:
    event = read({"eventId": "e", "event": "peopleDeleted", "resourceIds": [7, 7, 8], "uri": None})
    assert (event.change, event.record_ids) == (Change.DELETED, ("7", "8"))


def test_the_short_form_is_read_too_and_told_apart_by_its_content() -> None:
    content = {"event": "peopleUpdated", "resourceIds": [12345, 12346], "timestamp": "2026-01-21T12:00:00Z"}
    first, again, other = (read(one) for one in (content, content, {**content, "resourceIds": [1]}))
    assert first.dedupe_key == again.dedupe_key != other.dedupe_key
    assert len(first.dedupe_key) <= 200
    assert first.occurred_at == datetime(2026, 1, 21, 12, tzinfo=UTC)


def test_a_repeated_delivery_has_the_same_key_whatever_its_bytes() -> None:
    content = {"eventId": "same", "event": "peopleUpdated", "resourceIds": [1]}
    spaced = json.dumps(content, indent=2).encode()
    assert read(content).dedupe_key == read(spaced).dedupe_key == "same"


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"not json", b'{"event": 5}', b'{"resourceIds":[1]}', b"[" * 100_000, b"\xff"],
    ids=lambda one: repr(one[:20]),
)
def test_what_is_no_event_is_told_and_nothing_else(body: bytes) -> None:
    one = signed(body)
    Provider.verify(one, TRUST)
    with pytest.raises(errors.FixData, match="no event"):
        Provider.read_delivery(one, TRUST)


def test_ids_that_are_no_list_are_no_ids() -> None:
    assert read({"eventId": "e", "event": "peopleUpdated", "resourceIds": "12"}).record_ids == ()


def test_the_address_in_an_event_is_never_called(connected: Connect) -> None:
    event = read(
        {"eventId": "e", "event": "peopleUpdated", "resourceIds": [1001], "uri": "https://evil.example/people"}
    )
    provider, api = connected()
    assert [one.id for one in provider.fetch(event.object_type, event.record_ids, ["firstName"]).records] == ["1001"]
    assert api.calls == ["GET /people"]
