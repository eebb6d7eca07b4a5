"""The fake Follow Up Boss refuses what the real one refuses."""

from typing import Any

import pytest
import requests

from integrations.providers.followupboss.sandbox import Sandbox, seed
from integrations.providers.followupboss.sandbox.shapes import digits
from integrations.sandbox.clock import Clock
from integrations.sandbox.faults import Faults
from integrations.sandbox.server import SandboxServer
from integrations.sandbox.store import Store
from tests.providers.followupboss.conftest import SYSTEM, Ask

CALL = {"personId": 1001, "phone": "4155550123", "isIncoming": False}


# --- who may ask ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{"auth": None}, {"key": "fka_wrong"}, {"auth": None, "headers": {"Authorization": "Bearer nope"}}],
    ids=["nothing", "wrong key", "wrong token"],
)
def test_a_stranger_gets_401_and_how_to_log_in(ask: Ask, options: dict[str, Any]) -> None:
    answer = ask("GET", "/people", **options)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="Follow Up Boss API"'
    assert "Basic HTTP Authentication" in answer.json()["errorMessage"]


def test_an_agent_sees_only_own_and_shared_people(ask: Ask) -> None:
    everybody = ask("GET", "/people", params={"includeTrash": "true"}).json()["_metadata"]
    own = ask(
        "GET", "/people", key=seed.AGENT_KEY, params={"includeTrash": "true", "limit": 100, "fields": "allFields"}
    ).json()
    assert everybody["total"] == "1250"
    assert 200 < int(own["_metadata"]["total"]) < 400
    assert all(person["assignedUserId"] == 3 or person["collaborators"] for person in own["people"])
    assert ask("GET", "/people/1001", key=seed.AGENT_KEY).status_code == 404


def test_an_expired_account_is_refused_with_403(server: SandboxServer, ask: Ask) -> None:
    server.service.faults.set([{"kind": "account_expired"}])
    assert ask("GET", "/people").status_code == 403


# --- quotas ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body", "context", "limit"),
    [
        ("PUT", "/people/1001", {}, "PUT.people", 25),
        ("POST", "/notes", {"personId": 1001, "body": "x"}, "notes", 10),
    ],
    ids=["write people", "notes"],
)
def test_a_context_has_its_own_window_of_ten_seconds(
    server: SandboxServer, ask: Ask, *, method: str, path: str, body: dict[str, Any], context: str, limit: int
) -> None:
    answers = [ask(method, path, json=body) for _ in range(limit + 1)]
    assert [answer.status_code // 100 for answer in answers] == [2] * limit + [4]
    refused = answers[-1]
    assert (refused.status_code, refused.headers["X-RateLimit-Context"], refused.headers["X-RateLimit-Remaining"]) == (
        429,
        context,
        "0",
    )
    assert 1 <= int(refused.headers["Retry-After"]) <= 10
    assert ask("GET", "/stages").ok
    server.service.clock.advance(int(refused.headers["Retry-After"]))
    assert ask(method, path, json=body).ok


@pytest.mark.parametrize(("headers", "limit"), [(SYSTEM, "250"), ({}, "125")], ids=["registered", "unregistered"])
def test_an_unregistered_system_has_half_the_quota(ask: Ask, headers: dict[str, str], limit: str) -> None:
    told = ask("GET", "/identity", headers=headers).headers
    assert (told["X-RateLimit-Limit"], told["X-RateLimit-Window"], told["X-RateLimit-Context"]) == (
        limit,
        "10",
        "global",
    )
    assert int(told["X-RateLimit-Remaining"]) == int(limit) - 1


# --- lists ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        {"offset": 2001},
        {"limit": 101},
        {"limit": "many"},
        {"next": "made-up"},
        {"sort": "nonsense"},
        {"updatedAfter": "yesterday"},
        {"id": "1001,x"},
    ],
    ids=lambda params: next(iter(params)),
)
def test_a_list_refuses_bad_parameters(ask: Ask, params: dict[str, Any]) -> None:
    answer = ask("GET", "/people", params=params)
    assert answer.status_code == 400
    assert answer.json()["errorMessage"]


def test_a_token_leads_on_with_the_same_parameters_and_for_a_time(server: SandboxServer, ask: Ask) -> None:
    params = {"limit": 100, "sort": "id"}
    first = ask("GET", "/people", params=params).json()
    token = first["_metadata"]["next"]
    second = ask("GET", "/people", params={**params, "next": token}).json()
    assert second["people"][0]["id"] > first["people"][-1]["id"]
    assert ask("GET", "/people", params={**params, "stage": "Lead", "next": token}).status_code == 400
    server.service.clock.advance(7 * 3600)
    assert ask("GET", "/people", params={**params, "next": token}).status_code == 400


def test_the_last_page_has_no_token_and_the_newest_come_first(ask: Ask) -> None:
    answer = ask("GET", "/people", params={"idGreaterThan": 2240, "includeTrash": "true"}).json()
    assert answer["_metadata"] == {"collection": "people", "offset": 0, "limit": 10, "total": "10", "next": None}
    assert [person["id"] for person in answer["people"]] == list(range(2250, 2240, -1))


def test_collections_are_named_in_lower_case(ask: Ask) -> None:
    answer = ask("GET", "/customFields", params={"limit": 100}).json()
    assert answer["_metadata"]["collection"] == "customfields"
    assert [field["name"] for field in answer["customfields"]][:3] == [
        "customCompany",
        "customTitle",
        "customLastCalled",
    ]


def test_fields_come_only_when_asked_for(ask: Ask) -> None:
    def keys(fields: str) -> set[str]:
        return set(ask("GET", "/people/1001", params={"fields": fields}).json())

    assert not {"customCompany", "addresses"} & keys("")
    assert keys("firstName") == {"id", "firstName"}
    assert keys("firstName,customTitle,unknown") == {"id", "firstName", "customTitle"}
    assert {"customCompany", "addresses", "phones"} <= keys("allFields")


def test_trash_hides_from_lists_but_not_by_its_id(ask: Ask) -> None:
    ask("PUT", "/people/1001", json={"stage": "Trash"})
    assert ask("GET", "/people", params={"id": "1001"}).json()["people"] == []
    assert len(ask("GET", "/people", params={"id": "1001", "includeTrash": "true"}).json()["people"]) == 1
    assert ask("GET", "/people/1001").json()["stage"] == "Trash"


# --- people ---------------------------------------------------------------------------------------------------------


def test_creating_makes_duplicates_unless_told_not_to_and_then_applies_nothing(ask: Ask) -> None:
    body = {"firstName": "Ida", "emails": [{"value": "ida@example.com"}]}
    first, second = (ask("POST", "/people", json=body) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] != second.json()["id"]
    third = ask("POST", "/people?deduplicate=true", json={**body, "firstName": "Changed"})
    assert (third.status_code, third.json()["id"], third.json()["firstName"]) == (200, first.json()["id"], "Ida")


def test_an_update_replaces_lists_and_keeps_what_is_not_sent(ask: Ask) -> None:
    phones = [{"value": "(415) 555-0111", "type": "work"}, {"value": "+1 415 555 0112 ext. 4", "type": "mobile"}]
    ask("PUT", "/people/1001", json={"phones": phones, "tags": ["a"], "customTitle": "Chief"})
    ask("PUT", "/people/1001", json={"phones": phones[1:], "tags": ["b"], "source": "Elsewhere"})
    person = ask("GET", "/people/1001", params={"fields": "allFields"}).json()
    assert [(phone["value"], phone["type"], phone["isPrimary"]) for phone in person["phones"]] == [
        ("+14155550112", "mobile", 1)
    ]
    assert (person["tags"], person["customTitle"], person["source"] != "Elsewhere") == (["b"], "Chief", True)
    merged = ask("PUT", "/people/1001?mergeTags=true", json={"tags": ["a", "b"]}).json()
    assert merged["tags"] == ["b", "a"]
    assert ask("PUT", "/people/1001", json={"customTitle": None}).json()["customTitle"] is None


@pytest.mark.parametrize(
    "body",
    [
        {"stage": "No Such Stage"},
        {"assignedUserId": 99},
        {"assignedTo": "priya@harborview.example"},
        {"emails": ["ida@example.com"]},
        {"phones": "4155550123"},
        {"customNothing": 1},
        {"customFields": {"Title": "x"}},
        {"customDialerCallCount": "5"},
        {"customLastCalled": "2026-01-21T14:30:00Z"},
        {"customPreferredLanguage": "Klingon"},
        [],
    ],
    ids=str,
)
def test_bad_values_of_a_person_are_refused(ask: Ask, body: Any) -> None:
    assert ask("PUT", "/people/1001", json=body).status_code == 400
    assert ask("POST", "/people", json=body).status_code == 400


def test_a_deleted_person_is_gone(ask: Ask) -> None:
    assert ask("DELETE", "/people/1001").status_code == 204
    assert ask("GET", "/people/1001").status_code == 404


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("(415) 555-0123", "4155550123"),
        ("+44 20 7946 0123 x12", "+442079460123"),
        ("020.7946.0123", "02079460123"),
        ("call the office", "call the office"),
        ("12345", "12345"),
    ],
)
def test_numbers_are_kept_without_punctuation(typed: str, kept: str) -> None:
    assert digits(typed) == kept


# --- calls ----------------------------------------------------------------------------------------------------------


def test_posting_a_call_twice_makes_two_calls(ask: Ask) -> None:
    first, second = (ask("POST", "/calls", json={**CALL, "note": "the same"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] != second.json()["id"]
    assert ask("GET", "/calls", params={"personId": 1001}).json()["_metadata"]["total"] == "2"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"outcome": "Connected"}, 400),
        ({"outcome": "Left Voicemail"}, 400),
        ({"phone": ""}, 400),
        ({"isIncoming": None}, 400),
        ({"isIncoming": "yes"}, 400),
        ({"personId": "1001"}, 400),
        ({"duration": "42"}, 400),
        ({"userId": 99}, 400),
        ({"personId": 999999}, 404),
    ],
    ids=str,
)
def test_bad_values_of_a_call_are_refused(ask: Ask, change: dict[str, Any], status: int) -> None:
    assert ask("POST", "/calls", json={**CALL, **change}).status_code == status


def test_an_agent_may_not_log_for_others_nor_on_hidden_people(ask: Ask) -> None:
    assert ask("POST", "/calls", key=seed.AGENT_KEY, json={**CALL, "personId": 1007, "userId": 4}).status_code == 403
    assert ask("POST", "/calls", key=seed.AGENT_KEY, json=CALL).status_code == 404
    assert ask("POST", "/calls", key=seed.AGENT_KEY, json={**CALL, "personId": 1007}).status_code == 201


def test_a_call_is_corrected_in_place_with_a_valid_outcome(ask: Ask) -> None:
    number = ask("POST", "/calls", json=CALL).json()["id"]
    assert ask("PUT", f"/calls/{number}", json={"outcome": "DNC"}).status_code == 400
    assert ask("PUT", f"/calls/{number}", json={"note": "better"}).json()["note"] == "better"
    assert ask("GET", f"/calls/{number}").json()["phone"] == "4155550123"


# --- the account ----------------------------------------------------------------------------------------------------


def test_custom_fields_take_a_label_and_give_a_name(ask: Ask) -> None:
    made = ask("POST", "/customFields", json={"label": "Last AI Mood", "type": "text"}).json()
    assert (made["name"], made["label"]) == ("customLastAIMood", "Last AI Mood")
    assert ask("POST", "/customFields", json={"name": "x", "type": "text"}).status_code == 400
    assert ask("POST", "/customFields", json={"label": "x", "type": "checkbox"}).status_code == 400
    assert ask("POST", "/customFields", key=seed.AGENT_KEY, json={"label": "x", "type": "text"}).status_code == 403


@pytest.mark.parametrize(
    ("auth", "form", "error"),
    [
        (None, {"client_id": seed.CLIENT_ID, "client_secret": seed.CLIENT_SECRET}, "invalid_client"),
        ((seed.CLIENT_ID, "wrong"), {}, "invalid_client"),
        ((seed.CLIENT_ID, seed.CLIENT_SECRET), {"grant_type": "password"}, "unsupported_grant_type"),
        ((seed.CLIENT_ID, seed.CLIENT_SECRET), {"refresh_token": "x"}, "invalid_grant"),
    ],
    ids=["credentials in the body", "wrong secret", "wrong grant", "dead token"],
)
def test_the_token_service_is_strict(
    server: SandboxServer, auth: tuple[str, str] | None, form: dict[str, str], error: str
) -> None:
    data = {"grant_type": "refresh_token", "refresh_token": seed.REFRESH_TOKEN, **form}
    answer = requests.post(f"{server.url}/oauth/token", data=data, auth=auth, timeout=5)
    assert answer.status_code in {400, 401}
    assert answer.json()["error"] == error


def test_a_refresh_token_dies_when_unused_for_ninety_days(server: SandboxServer) -> None:
    def renew() -> int:
        data = {"grant_type": "refresh_token", "refresh_token": seed.REFRESH_TOKEN}
        auth = (seed.CLIENT_ID, seed.CLIENT_SECRET)
        return requests.post(f"{server.url}/oauth/token", data=data, auth=auth, timeout=5).status_code

    server.service.clock.advance(89 * 86400)
    assert renew() == 200
    server.service.clock.advance(91 * 86400)
    assert renew() == 400


def test_the_same_people_are_there_on_every_start() -> None:
    first, second = (Sandbox(Store(), Clock(), Faults()) for _ in range(2))
    first.seed()
    second.seed()
    assert list(first.store.all("people")) == list(second.store.all("people"))
    second.seed()
    assert second.store.count("people") == seed.PEOPLE
