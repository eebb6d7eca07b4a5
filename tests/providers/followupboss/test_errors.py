"""Every refusal of the service and what it makes us do, one row each."""

import json
from typing import Any

import pytest
import requests
import responses
from pytest_django.fixtures import Settings

from integrations import errors
from integrations.providers.followupboss import quotas
from integrations.providers.followupboss.provider import Provider
from integrations.records.connections import Connection
from integrations.records.limits import RateLimit
from integrations.transport.client import configured_limits
from tests.providers.followupboss.conftest import api_key
from tests.providers.harness import PlainApi

BASE = "https://api.followupboss.com/v1"
UNREGISTERED = {"error": "Only registered systems can use this endpoint."}

# status, body, action, cause, part of the sentence
ROWS: dict[str, tuple[int, Any, type[errors.CrmError], str, str]] = {
    "400 bad value": (400, {"errorMessage": "Invalid stage."}, errors.FixData, "invalid_data", "Invalid stage."),
    "400 with the other key": (400, {"error": "Bad person."}, errors.FixData, "invalid_data", "Bad person."),
    "400 without the system's header": (
        400,
        {"errorMessage": "X-System header is required."},
        errors.FixConfig,
        "system_not_registered",
        "FOLLOWUPBOSS_SYSTEM",
    ),
    "401": (
        401,
        {"errorMessage": "Authentication is required."},
        errors.Reconnect,
        "needs_reconnecting",
        "Connect again",
    ),
    "403 role": (403, {"errorMessage": "Only admins may."}, errors.FixConfig, "permission", "administrator"),
    "403 expired": (403, {"errorMessage": "Your account has expired."}, errors.Standstill, "account_expired", "Renew"),
    "403 cancelled": (403, {"error": "Account cancelled"}, errors.Standstill, "account_expired", "the work waits"),
    "403 unregistered": (403, UNREGISTERED, errors.FixConfig, "system_not_registered", "An operator has to set"),
    "404": (404, {"errorMessage": "Person not found."}, errors.Gone, "record_gone", "does not have this record"),
    "404 empty": (404, "", errors.Gone, "record_gone", "does not have this record"),
    "404 a web page": (404, "<!DOCTYPE html><html></html>", errors.Standstill, "endpoint", "nothing at the address"),
    "302": (302, "", errors.Retry, "service_unavailable", "another address"),
    "429": (429, {"errorMessage": "Rate limit exceeded."}, errors.Throttled, "rate_limited", "slow down"),
    "500": (500, {"errorMessage": "Oops"}, errors.Retry, "service_unavailable", "We will try again"),
    "503": (503, "", errors.Retry, "service_unavailable", "We will try again"),
    "502 not JSON": (502, "<html><body>Bad gateway</body></html>", errors.Retry, "service_unavailable", "try again"),
    "400 not JSON": (400, "<html><body>?</body></html>", errors.FixData, "invalid_data", "refused the data"),
    "403 not JSON": (403, "<html><body>?</body></html>", errors.FixConfig, "permission", "permission"),
}


@pytest.mark.parametrize(("status", "body", "action", "cause", "words"), list(ROWS.values()), ids=list(ROWS))
def test_a_refusal_says_what_to_do(
    settings: Settings, status: int, body: Any, action: type[errors.CrmError], cause: str, words: str
) -> None:
    settings.FOLLOWUPBOSS_API_URL = BASE
    api = PlainApi(Provider, api_key("fka_demo"), BASE)
    with responses.RequestsMock() as wire:
        text = body if isinstance(body, str) else json.dumps(body)
        wire.get(f"{BASE}/people/1", body=text, status=status, headers={"Retry-After": "8"})
        with pytest.raises(action) as caught:
            Provider(Connection("c1", "t1"), api).people.get("1")
    assert (type(caught.value), caught.value.cause, caught.value.status) == (action, cause, status)
    assert words in caught.value.message
    if isinstance(caught.value, errors.Retry):
        assert caught.value.after == 8


@pytest.mark.parametrize(("status", "body"), [(200, ""), (200, "[]"), (200, "<html>"), (200, "{}")], ids=repr)
def test_a_success_without_the_person_is_asked_for_again(settings: Settings, status: int, body: str) -> None:
    api = PlainApi(Provider, api_key("fka_demo"), BASE)
    with responses.RequestsMock() as wire:
        wire.get(f"{BASE}/people/1", body=body, status=status)
        with pytest.raises(errors.Retry):
            Provider(Connection("c1", "t1"), api).people.get("1")


@pytest.mark.parametrize(
    ("method", "path", "say"),
    [
        ("POST", "/people", lambda crm: crm.people.create({"firstName": "X"})),
        ("POST", "/events", lambda crm: crm.events.send({"type": "Inquiry", "person": {}})),
        ("POST", "/customFields", lambda crm: crm.custom_fields.create("X", "text")),
    ],
    ids=["person", "event", "custom field"],
)
def test_a_creation_without_a_body_is_to_be_looked_up(settings: Settings, method: str, path: str, say: Any) -> None:
    settings.FOLLOWUPBOSS_API_URL = BASE
    api = PlainApi(Provider, api_key("fka_demo"), BASE)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        wire.add(method, f"{BASE}{path}", body="", status=201)
        wire.get(f"{BASE}/customFields", json={"_metadata": {"collection": "customfields"}, "customfields": []})
        with pytest.raises(errors.OutcomeUnknown):
            say(Provider(Connection("c1", "t1"), api))


@pytest.mark.parametrize("status", [200, 204, 404, 410])
def test_any_end_of_a_deletion_is_a_success(settings: Settings, status: int) -> None:
    settings.FOLLOWUPBOSS_API_URL = BASE
    api = PlainApi(Provider, api_key("fka_demo"), BASE)
    with responses.RequestsMock() as wire:
        wire.delete(f"{BASE}/people/1", status=status)
        owner = Connection("c1", "t1", metadata={"sees_everybody": True})
        assert Provider(owner, api).delete("people", ["1"])[0].error is None


# --- limits -----------------------------------------------------------------------------------------------------------------


def test_the_first_limits_are_inside_what_everybody_is_allowed() -> None:
    limits = {limit.bucket: limit for limit in quotas.LIMITS}
    assert limits["global"] == RateLimit("global", 20, 10.0)
    assert (limits["notes"].limit, limits["PUT.people"].limit <= 25) == (10, True)
    assert limits["global"].limit * 6 <= 200


def test_all_connections_share_one_bucket_of_our_system() -> None:
    (shared,) = (limit for limit in quotas.LIMITS if limit.shared)
    assert (shared.bucket, shared.limit <= 750, shared.seconds) == ("followupboss.system", True, 10.0)
    assert shared.bucket not in Provider.buckets("GET", "/v1/people")


def test_a_ceiling_is_counted_for_every_request_and_no_header_moves_it() -> None:
    counted = Provider.buckets("GET", "/v1/people")
    assert "ceiling" in counted
    answer = requests.Response()
    answer.headers.update({"X-RateLimit-Limit": "250", "X-RateLimit-Context": "GET.people"})
    assert [hint.bucket for hint in Provider.rate_hints(answer, counted)] == ["GET.people"]
    chosen = {limit.bucket: limit for limit in configured_limits(Provider, {"rate_limits": {"ceiling": [200, 60]}})}
    assert (chosen["ceiling"].limit, chosen["ceiling"].seconds) == (200, 60.0)
