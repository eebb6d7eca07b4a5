"""Many calls in one request: each gets its own answer, and the work for the database does not grow with them."""

from typing import Any

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from activities.models import Call
from activities.targets import KIND
from integrations import tenancy
from integrations.models import CrmConnection
from sync.models import Contact, SyncJob

URL = "/api/v1/calls/bulk/"


def numbered(body: dict[str, Any], count: int) -> list[dict[str, Any]]:
    return [{**body, "external_id": f"b-{number}"} for number in range(count)]


def post(client: APIClient, calls: Any) -> list[dict[str, Any]]:
    answer = client.post(URL, {"calls": calls})
    assert answer.status_code == 200, answer.content
    return list(answer.json()["results"])


def stored() -> list[Call]:
    with tenancy.everyone():
        return list(Call.objects.order_by("external_id"))


def test_each_call_gets_its_own_answer_in_order(client: APIClient, contact: Contact, body: Any) -> None:
    [known] = post(client, numbered(body, 1))
    results = post(
        client,
        [
            {**body, "external_id": "new"},
            numbered(body, 1)[0],
            {**body, "external_id": "b-0", "duration_seconds": 1},
            {**body, "external_id": "bad", "duration_seconds": -1},
            {**body, "external_id": None},
            {**body, "external_id": "nobody", "contact_id": "7f000000-0000-4000-8000-000000000000"},
            "no call at all",
        ],
    )
    assert [one["index"] for one in results] == list(range(7))
    assert [one["status"] for one in results] == [201, 200, 409, 400, 400, 400, 400]
    assert results[1]["id"] == known["id"]
    assert [one.get("errors", [{}])[0].get("field") for one in results] == [
        None, None, "external_id", "duration_seconds", "external_id", "contact_id", "",
    ]  # fmt: skip
    assert [call.external_id for call in stored()] == ["b-0", "new"]


def test_the_same_call_twice_in_a_request_is_one_call(client: APIClient, contact: Contact, body: Any) -> None:
    first, second, other = post(client, [body, dict(reversed(body.items())), {**body, "duration_seconds": 1}])
    assert (first["status"], second["status"], other["status"]) == (201, 200, 409)
    assert first["id"] == second["id"]
    assert len(stored()) == 1


def test_five_hundred_calls_take_as_many_statements_as_two(client: APIClient, contact: Contact, body: Any) -> None:
    def statements(calls: list[dict[str, Any]]) -> int:
        with CaptureQueriesContext(database) as seen:
            assert {one["status"] for one in post(client, calls)} == {201}
        return len(seen)

    post(client, [{**body, "external_id": "first"}])
    few = statements([{**body, "external_id": f"few-{number}"} for number in range(2)])
    assert statements(numbered(body, 500)) <= few
    with tenancy.everyone():
        assert SyncJob.objects.filter(kind=KIND).count() == 503


@pytest.mark.parametrize(
    "request_body",
    [{}, [], {"calls": {}}, {"calls": None}, {"calls": []}, {"calls": [{}] * 501}],
    ids=["empty", "a bare list", "an object", "null", "no calls", "one too many"],
)
def test_what_is_no_list_of_calls_is_refused_as_a_whole(client: APIClient, request_body: Any) -> None:
    answer = client.post(URL, request_body)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "calls"


def test_a_request_that_is_too_large_says_so(client: APIClient) -> None:
    assert client.post(URL, {"calls": [{"notes": "x" * 6_000_000}]}).status_code == 413


def test_calls_by_number_record_and_contact_may_stand_in_one_request(
    client: APIClient, contact: Contact, connection: CrmConnection, body: Any
) -> None:
    bare = {key: value for key, value in body.items() if key not in {"provider", "crm_record_id", "external_id"}}
    results = post(
        client,
        [
            {**bare, "external_id": "number", "phone": contact.phone},
            {**bare, "external_id": "person", "contact_id": str(contact.pk)},
            {**bare, "external_id": "record", "provider": "fakecrm", "crm_record_id": "7"},
            {**bare, "external_id": "unread", "provider": "fakecrm", "crm_record_id": "999"},
            {**bare, "external_id": "nobody", "phone": "+14155550199"},
        ],
    )
    assert {one["status"] for one in results} == {201}
    assert {call.external_id: (call.contact_id, call.review) for call in stored()} == {
        "number": (contact.pk, ""), "person": (contact.pk, ""), "record": (contact.pk, ""), "unread": (None, ""),
        "nobody": (None, "unknown_number"),
    }  # fmt: skip
