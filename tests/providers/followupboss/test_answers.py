"""Odd answers, one exchange at a time: broken bodies, missing rights, circling tokens, clocks that differ."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import responses
from pytest_django import Settings
from responses.matchers import query_param_matcher

from integrations import errors
from integrations.providers.base import CrmProvider
from integrations.providers.followupboss.marking import note_of
from integrations.providers.followupboss.provider import Provider
from integrations.records.connections import Connection, Credential
from integrations.records.remote import ChangePage
from tests.providers.followupboss.conftest import api_key
from tests.providers.followupboss.test_calls import call
from tests.providers.harness import PlainApi, token_call

BASE = "https://api.followupboss.com/v1"
TOKEN_URL = "https://app.followupboss.com/oauth/token"
HTML = "<html><body>Bad gateway</body></html>"
OWNER = {"sees_everybody": True}


@pytest.fixture
def wire(settings: Settings) -> Iterator[responses.RequestsMock]:
    settings.FOLLOWUPBOSS_API_URL = BASE
    settings.FOLLOWUPBOSS_TOKEN_URL = TOKEN_URL
    settings.FOLLOWUPBOSS_CLIENT_ID, settings.FOLLOWUPBOSS_CLIENT_SECRET = "client", "secret"
    with responses.RequestsMock() as mock:
        yield mock


def provider() -> CrmProvider:
    credential = api_key("fka_demo")
    return Provider(
        Connection("c1", "t1", metadata=OWNER), PlainApi(Provider, credential, Provider.base_url(credential))
    )


def people(*ids: int, **metadata: Any) -> dict[str, Any]:
    found = [{"id": one, "updated": "2026-01-21T12:00:00Z", "stage": "Lead"} for one in ids]
    return {"_metadata": {"collection": "people", "total": "7", **metadata}, "people": found}


def read(cursor: dict[str, Any] | None = None, paths: tuple[str, ...] = ()) -> list[ChangePage]:
    return list(provider().changes("people", cursor, paths))


@pytest.mark.parametrize(
    ("status", "body"),
    [(502, HTML), (200, HTML), (200, ""), (200, "[]"), (200, '{"people": null}'), (503, "")],
    ids=["gateway", "page instead of data", "empty", "bare list", "null list", "unavailable"],
)
def test_an_unreadable_list_is_asked_for_again_and_never_taken_as_empty(
    wire: responses.RequestsMock, status: int, body: str
) -> None:
    wire.get(f"{BASE}/people", body=body, status=status)
    with pytest.raises(errors.Retry):
        read()


@pytest.mark.parametrize("status", [400, 404], ids=["bad request", "not found"])
def test_a_refused_token_is_replaced_by_the_last_id(wire: responses.RequestsMock, status: int) -> None:
    cursor = {"since": "", "started": "2026-01-21T12:00:00Z", "floor": 0, "last": 17, "next": "old"}
    usual = {"sort": "id", "limit": "100", "fields": "id,created,updated,stage", "includeTrash": "true"}
    wire.get(
        f"{BASE}/people",
        json={"errorMessage": "?"},
        status=status,
        match=[query_param_matcher({**usual, "next": "old"})],
    )
    wire.get(f"{BASE}/people", json=people(18), match=[query_param_matcher({**usual, "idGreaterThan": "17"})])
    (page,) = read(cursor)
    assert [record.id for record in page.records] == ["18"]
    assert page.cursor == {"since": "2026-01-21T12:00:00Z"}


def test_a_bad_request_without_a_token_is_told(wire: responses.RequestsMock) -> None:
    wire.get(f"{BASE}/people", json={"errorMessage": "Bad fields."}, status=400)
    with pytest.raises(errors.FixData, match="Bad fields"):
        read()


def test_a_token_that_repeats_itself_does_not_trap_the_run(wire: responses.RequestsMock) -> None:
    for page in (people(1, next="same"), people(2, next="same"), people(3)):
        wire.get(f"{BASE}/people", json=page)
    pages = read()
    assert [record.id for page in pages for record in page.records] == ["1", "2", "3"]
    assert "idGreaterThan=2" in str(wire.calls[2].request.url)


def test_a_full_page_without_a_token_is_not_trusted_to_be_the_last(wire: responses.RequestsMock) -> None:
    wire.get(f"{BASE}/people", json=people(*range(1, 101)))
    wire.get(f"{BASE}/people", json=people())
    pages = read()
    assert [len(page.records) for page in pages] == [100, 0]
    assert "idGreaterThan=100" in str(wire.calls[1].request.url)


def test_the_services_clock_decides_when_ours_is_ahead(wire: responses.RequestsMock) -> None:
    wire.get(f"{BASE}/people", json=people(), headers={"Date": "Wed, 21 Jan 2026 12:00:00 GMT"})
    (page,) = read()
    assert page.cursor == {"since": "2026-01-21T12:00:00Z"}


@pytest.mark.parametrize("date", ["Fri, 01 Jan 2999 00:00:00 GMT", "soon", None], ids=["ahead", "unreadable", "absent"])
def test_our_clock_decides_otherwise(wire: responses.RequestsMock, date: str | None) -> None:
    wire.get(f"{BASE}/people", json=people(), headers={"Date": date} if date else {})
    (page,) = read()
    assert abs(datetime.fromisoformat(page.cursor["since"]) - datetime.now(UTC)) < timedelta(seconds=10)


def test_hidden_users_and_hidden_custom_fields_do_not_stop_the_reading(wire: responses.RequestsMock) -> None:
    refusal = {"error": "Not allowed."}
    wire.get(f"{BASE}/customFields", json=refusal, status=403)
    wire.get(f"{BASE}/users", json=refusal, status=403)
    body = people(1)
    body["people"][0] |= {"assignedUserId": 5, "assignedTo": "Tom"}
    wire.get(f"{BASE}/people", json=body)
    (page,) = read(paths=("assignedTo", 'customFields."Company"', 'customFields."Title"'))
    assert "assignedTo" not in page.records[0].fields
    assert page.records[0].fields["customFields"] == {}


def test_a_new_colleague_is_looked_up_once_a_page_and_nobody_is_nobody(wire: responses.RequestsMock) -> None:
    users = [{"id": 5, "email": "tom@example.com"}]
    wire.get(f"{BASE}/users", json={"_metadata": {}, "Users": users})
    wire.get(f"{BASE}/users", json={"_metadata": {}, "users": [*users, {"id": 6, "email": "new@example.com"}]})
    body = people(1, 2, 3, 4)
    for person, owner in zip(body["people"], (5, 6, 6, None), strict=True):
        person["assignedUserId"] = owner
    wire.get(f"{BASE}/people", json=body)
    (page,) = read(paths=("assignedTo",))
    assert [record.fields["assignedTo"] for record in page.records] == [
        "tom@example.com",
        "new@example.com",
        "new@example.com",
        None,
    ]


def test_a_list_that_leads_in_a_circle_is_given_up(wire: responses.RequestsMock) -> None:
    for token in ("a", "b", "a"):
        wire.get(f"{BASE}/stages", json={"_metadata": {"collection": "stages", "next": token}, "stages": []})
    with pytest.raises(errors.Retry, match="repeats a page"):
        provider().describe("people")


def test_an_unregistered_system_is_told_how_to_register(wire: responses.RequestsMock) -> None:
    wire.get(f"{BASE}/people", json={"error": "Only registered systems can use this endpoint."}, status=403)
    with pytest.raises(errors.FixConfig, match="FOLLOWUPBOSS_SYSTEM") as caught:
        read()
    assert caught.value.cause == "system_not_registered"


def test_an_identity_without_an_account_is_asked_for_again(wire: responses.RequestsMock) -> None:
    wire.get(f"{BASE}/identity", json={"user": {"id": 1}})
    with pytest.raises(errors.Retry):
        provider().identify()


def test_a_role_that_is_hidden_is_treated_as_a_narrow_view(wire: responses.RequestsMock) -> None:
    wire.get(
        f"{BASE}/identity", json={"account": {"id": 9, "domain": "x"}, "user": {"id": 3, "email": "a@example.com"}}
    )
    wire.get(f"{BASE}/users/3", json={"error": "No."}, status=403)
    assert "a@example.com (role: unknown)" in provider().identify().warnings[0]


# --- calls ----------------------------------------------------------------------------------------------------------


def test_a_success_without_an_id_is_to_be_looked_up(wire: responses.RequestsMock) -> None:
    wire.post(f"{BASE}/calls", body="", status=201)
    with pytest.raises(errors.OutcomeUnknown):
        provider().log_calls([call()])


def test_a_look_up_that_fails_posts_nothing(wire: responses.RequestsMock) -> None:
    wire.get(f"{BASE}/calls", body=HTML, status=200)
    with pytest.raises(errors.Retry):
        provider().log_calls([call(first_attempt_at=datetime.now(UTC))])


def test_the_look_up_starts_five_minutes_before_the_first_attempt(wire: responses.RequestsMock) -> None:
    window = {"personId": "1001", "createdAfter": "2026-01-21T14:25:00Z", "limit": "100"}
    activity = call(first_attempt_at=datetime(2026, 1, 21, 14, 30, tzinfo=UTC))
    found = {
        "id": 8,
        "note": note_of(activity, "UTC"),
        "duration": 42,
        "outcome": "No Answer",
        "recordingUrl": "Content is hidden",
    }
    wire.get(f"{BASE}/calls", json={"_metadata": {}, "calls": [found]}, match=[query_param_matcher(window)])
    wire.put(f"{BASE}/calls/8", json={})
    (written,) = provider().log_calls([activity])
    assert (written.id, written.created) == ("8", False)


# --- tokens ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (
            400,
            {"error": "invalid_grant", "error_description": "Token was revoked"},
            errors.Reconnect,
            "Token was revoked",
        ),
        (401, {"error": "invalid_client"}, errors.Standstill, "FOLLOWUPBOSS_CLIENT_SECRET"),
        (400, {"error": "server_error"}, errors.Retry, "stumbled"),
        (500, {}, errors.Retry, "stumbled"),
        (200, {}, errors.Retry, "stumbled"),
        (429, {}, errors.Throttled, "slow down"),
    ],
    ids=["revoked", "our secret", "server error", "500", "no token", "too often"],
)
def test_the_token_services_refusals_say_who_can_help(
    wire: responses.RequestsMock, status: int, body: dict[str, str], kind: type[errors.CrmError], words: str
) -> None:
    wire.post(TOKEN_URL, json=body, status=status, headers={"Retry-After": "3"})
    with pytest.raises(kind, match=words) as caught:
        _renew()
    assert type(caught.value) is kind


def test_a_web_page_from_the_token_service_is_no_token(wire: responses.RequestsMock) -> None:
    wire.post(TOKEN_URL, body=HTML, status=200)
    with pytest.raises(errors.Retry):
        _renew()


def test_a_renewal_sends_the_secret_in_the_header_alone(wire: responses.RequestsMock) -> None:
    wire.post(TOKEN_URL, json={"access_token": "new", "expires_in": "120"})
    renewed = _renew()
    request = wire.calls[0].request
    assert request.headers["Authorization"] == "Basic Y2xpZW50OnNlY3JldA=="
    assert request.body == "grant_type=refresh_token&refresh_token=keep"
    assert (renewed.access_token, renewed.refresh_token) == ("new", "keep")
    assert renewed.expires_at == datetime(2026, 1, 1, 0, 2, tzinfo=UTC)


def _renew() -> Credential:
    credential = Credential("oauth", access_token="old", refresh_token="keep")
    return Provider.renew(credential, token_call, datetime(2026, 1, 1, tzinfo=UTC))
