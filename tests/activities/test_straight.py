"""The straight way of a posted call answers what the usual way would, and leaves to it whatever is unusual."""

import json
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st
from rest_framework.exceptions import ValidationError

from activities import plain_calls
from activities.serializers import check_call

ADDRESS = "/api/v1/calls/"
USUAL = {"external_id": "d-1", "phone": "+14155550123", "duration_seconds": 61, "started_at": "2026-01-21T12:00:00Z"}
TEXT = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["", " ", "a\x00", "\ud800", " x ", "é" * 120, "outbound", "fakecrm", "hubspot"]),
)
ANYTHING = st.one_of(
    TEXT, st.none(), st.booleans(), st.integers(-5, 10**7), st.floats(), st.lists(TEXT, max_size=2), st.just({"a": 1})
)
MOMENT = st.one_of(
    ANYTHING,
    st.datetimes().map(lambda one: one.isoformat() + "Z"),
    st.sampled_from(["2026-01-21T12:00:00+02:00", "2026-01-21T24:00:00Z", "2026-02-30T12:00:00Z", "2026-01-21"]),
    st.just("0001-01-01T00:00:00+14:00"),
)  # fmt: skip
FIELDS = (
    "contact_id", "crm_record_id", "provider", "phone", "from_number", "related_record_id", "direction", "disposition", "notes",
    "summary", "key_points", "next_steps", "recording_url", "agent_email", "metadata", "meeting", "follow_up", "unheard_of",
)  # fmt: skip
ODD = st.fixed_dictionaries(
    {},
    optional={
        "external_id": TEXT,
        "duration_seconds": ANYTHING,
        "started_at": MOMENT,
        **dict.fromkeys(FIELDS, ANYTHING),
        "contact_id": st.one_of(ANYTHING, st.uuids().map(str)),
    },
)
WORDS = st.text(max_size=12)
PLAIN = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("crm_record_id", "related_record_id", "disposition", "notes", "summary", "unheard_of"), WORDS),
        "provider": st.just("hubspot"),
        "direction": st.sampled_from(["outbound", "inbound"]),
        "duration_seconds": st.integers(0, 9_000),
        "started_at": st.sampled_from(["2026-01-21T12:00:00+02:00", "2026-01-21T12:00:00.25Z"]),
        "contact_id": st.uuids().map(str),
        "key_points": st.lists(WORDS, max_size=2),
        "metadata": st.just({"ai_score": 7}),
        "agent_email": st.just("Ann@example.com"),
        "recording_url": st.just("https://rec.example/1.mp3"),
    },
)


def test_a_plain_call_is_read_as_the_serializer_reads_it() -> None:
    plain = 0

    @settings(max_examples=400)
    @given(PLAIN | ODD)
    def check(body: dict[str, Any]) -> None:
        nonlocal plain
        whole = {**USUAL, **body}
        found = plain_calls.check(whole, "US")
        if found is not None:
            assert found == check_call(whole, "US")
            plain += 1

    check()
    assert plain > 50


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({}, id="as little as may be"),
        pytest.param({"contact_id": str(uuid4()), "notes": "Café ", "disposition": "Connected"}, id="texts"),
        pytest.param({"key_points": ["one"], "metadata": {"ai_score": 7}, "agent_email": "a@b.example"}, id="more"),
        pytest.param({"meeting": {"starts_at": "2026-01-22T09:00:00Z", "duration_minutes": 30}}, id="a meeting"),
    ],
)
def test_what_dialers_send_is_plain(more: dict[str, Any]) -> None:
    found = plain_calls.check({**USUAL, **more}, "US")
    assert found == check_call({**USUAL, **more}, "US")


@pytest.mark.parametrize(
    "more", [{"duration_seconds": -1}, {"started_at": "2999-01-01T00:00:00Z"}, {"external_id": " "}, {"phone": "12"}]
)
def test_a_fault_is_left_to_the_serializer(more: dict[str, Any]) -> None:
    assert plain_calls.check({**USUAL, **more}, "US") is None
    with pytest.raises(ValidationError):
        check_call({**USUAL, **more}, "US")


@pytest.mark.django_db
def test_both_ways_answer_alike(client: Client, api_key: str) -> None:
    headers = {"Authorization": f"Bearer {api_key}", "X-Request-ID": "request-1"}
    straight = _post(client, {**USUAL, "external_id": "\u2028é"}, headers)
    usual = _post(client, {**USUAL, "external_id": "\u2028é"}, {**headers, "Accept": "application/json;q=0.9"})
    assert (straight.status_code, usual.status_code) == (201, 200)
    assert straight.content == usual.content
    assert dict(straight.headers) == dict(usual.headers)


@pytest.mark.django_db
@pytest.mark.parametrize("body", [{**USUAL, "duration_seconds": 2}, {**USUAL, "contact_id": str(uuid4())}])
def test_a_call_that_is_refused_is_refused_alike(client: Client, api_key: str, body: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {api_key}", "X-Request-ID": "request-1"}
    assert _post(client, USUAL, headers).status_code == 201
    refused = _post(client, body, headers)
    usual = _post(client, body, {**headers, "Accept": "application/json;q=0.9"})
    assert refused.status_code == usual.status_code == 409
    assert (refused.content, dict(refused.headers)) == (usual.content, dict(usual.headers))


@pytest.mark.django_db
def test_a_key_is_counted_once_for_each_call_whichever_way_it_takes(
    client: Client, api_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from integrations.authentication import PerKeyThrottle

    monkeypatch.setattr(PerKeyThrottle, "rate", "3/min", raising=False)
    headers = {"Authorization": f"Bearer {api_key}"}
    bodies = [USUAL, {**USUAL, "duration_seconds": 2}, {**USUAL, "phone": "12"}, {**USUAL, "external_id": "d-2"}]
    assert [_post(client, body, headers).status_code for body in bodies] == [201, 409, 400, 429]


def _post(client: Client, body: Any, headers: dict[str, str]) -> Any:
    return client.post(ADDRESS, json.dumps(body), content_type="application/json", headers=headers)
