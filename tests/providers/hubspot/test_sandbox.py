"""The fake HubSpot is as unkind as the real one, in everything that the provider uses."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from integrations.providers.hubspot.outcomes import STANDARD
from integrations.providers.hubspot.sandbox import Sandbox
from integrations.providers.hubspot.sandbox.portal import (
    ACCESS_TOKEN,
    CLIENT_ID,
    CLIENT_SECRET,
    LIMITED_TOKEN,
    PRIVATE_TOKEN,
    REFRESH_TOKEN,
)
from integrations.sandbox.clock import Clock
from integrations.sandbox.faults import Faults
from integrations.sandbox.server import SandboxServer
from integrations.sandbox.store import Store

CONTACTS = "/crm/v3/objects/contacts"
CALLS = "/crm/v3/objects/calls"
TIMESTAMP = "2026-11-20T10:00:00Z"


class Client:
    """Plain HTTP with a token: what any program would send."""

    def __init__(self, server: SandboxServer, token: str = PRIVATE_TOKEN) -> None:
        self.server = server
        self.token = token
        self.session = requests.Session()

    def __call__(self, method: str, path: str, body: Any = None, **params: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return self.session.request(
            method, self.server.url + path, json=body, params=params, headers=headers, timeout=10
        )

    def search(self, *filters: dict[str, Any], **query: Any) -> requests.Response:
        body = {"filterGroups": [{"filters": list(filters)}], **query}
        return self("POST", f"{CONTACTS}/search", body)

    def unique_property(self, name: str = "dialer_call_id") -> requests.Response:
        self("POST", "/crm/v3/properties/calls/groups", {"name": "dialer", "label": "Dialer"})
        definition = {"name": name, "label": name, "groupName": "dialer", "type": "string", "fieldType": "text"}
        return self("POST", "/crm/v3/properties/calls", {**definition, "hasUniqueValue": True})

    def upsert(self, *inputs: dict[str, Any]) -> requests.Response:
        return self("POST", f"{CALLS}/batch/upsert", {"inputs": list(inputs)})


@pytest.fixture
def portal() -> Sandbox:
    return Sandbox(Store(), Clock(), Faults())


@pytest.fixture
def hubspot(portal: Sandbox) -> Iterator[Client]:
    server = SandboxServer(portal).start()
    yield Client(server)
    server.close()


def modified_since(moment: datetime) -> dict[str, Any]:
    return {
        "propertyName": "lastmodifieddate",
        "operator": "GTE",
        "value": str(int(moment.timestamp() * 1000)),
    }


def keyed(key: str, **properties: str) -> dict[str, Any]:
    return {"id": key, "idProperty": "dialer_call_id", "properties": {"hs_timestamp": TIMESTAMP, **properties}}


# --- records --------------------------------------------------------------------------------------------------------


def test_ids_and_values_are_text_and_only_what_was_asked_for_comes_back(hubspot: Client) -> None:
    page = hubspot("GET", CONTACTS, limit=100, properties="seats,firstname,no_such_thing").json()
    assert len(page["results"]) == 100
    assert {type(record["id"]) for record in page["results"]} == {str}
    assert {frozenset(record["properties"]) for record in page["results"]} == {frozenset({"seats", "firstname"})}
    assert {type(record["properties"]["seats"]) for record in page["results"]} == {str, type(None)}


def test_without_a_list_of_properties_a_few_default_ones_come_back(hubspot: Client) -> None:
    (record,) = hubspot("GET", CONTACTS, limit=1).json()["results"]
    assert sorted(record["properties"]) == [
        *("createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"),
    ]


@pytest.mark.parametrize(
    ("method", "path", "body", "params"),
    [
        pytest.param("GET", CONTACTS, None, {"limit": 101}, id="list pages end at 100"),
        pytest.param("POST", f"{CONTACTS}/search", {"limit": 201}, {}, id="search pages end at 200"),
        pytest.param("POST", f"{CONTACTS}/search", {"limit": 200, "after": "9900"}, {}, id="10,000 results a search"),
        pytest.param("POST", f"{CONTACTS}/search", {"filterGroups": [{"filters": []}] * 6}, {}, id="five groups"),
        pytest.param("POST", f"{CONTACTS}/batch/read", {"inputs": [{"id": "1"}] * 101}, {}, id="100 in a batch"),
        pytest.param("POST", CALLS, {"properties": {"hs_call_title": "x"}}, {}, id="a call needs its time"),
        pytest.param("POST", CONTACTS, {"properties": {"ai_call_score": "1"}}, {}, id="unknown property"),
        pytest.param("POST", CONTACTS, {"properties": {"num_contacted_notes": "1"}}, {}, id="read-only property"),
        pytest.param("POST", CONTACTS, {"properties": {"seats": "many"}}, {}, id="text in a number"),
        pytest.param("POST", CONTACTS, {"properties": {"interests": "voice;golf"}}, {}, id="one bad choice of two"),
        pytest.param("POST", CONTACTS, {"properties": {"hubspot_owner_id": "9001"}}, {}, id="user id as owner"),
        pytest.param("POST", CONTACTS, {"properties": {"email": "not an address"}}, {}, id="bad e-mail"),
        pytest.param("GET", "/crm/v3/objects/parrots", None, {}, id="unknown object type"),
        pytest.param("POST", f"{CONTACTS}/search", None, {}, id="no body"),
    ],
)
def test_what_hubspot_refuses_is_refused(
    hubspot: Client, method: str, path: str, body: Any, params: dict[str, Any]
) -> None:
    response = hubspot(method, path, body, **params)
    assert response.status_code == 400
    assert response.json()["category"] == "VALIDATION_ERROR"
    assert response.json()["correlationId"]


def test_an_unknown_property_is_named(hubspot: Client) -> None:
    body = hubspot("POST", CONTACTS, {"properties": {"ai_call_score": "1"}}).json()
    assert body["errors"][0]["code"] == "PROPERTY_DOESNT_EXIST"
    assert body["errors"][0]["context"]["propertyName"] == ["ai_call_score"]


def test_an_outcome_in_words_is_refused_with_json_inside_the_text(hubspot: Client) -> None:
    properties = {"hs_timestamp": TIMESTAMP, "hs_call_disposition": "Connected"}
    response = hubspot("POST", CALLS, {"properties": properties})
    (told,) = json.loads(response.json()["message"].removeprefix("Property values were not valid: "))
    assert (told["error"], told["name"], told["isValid"]) == ("INVALID_OPTION", "hs_call_disposition", False)
    accepted = hubspot("POST", CALLS, {"properties": {**properties, "hs_call_disposition": STANDARD["connected"]}})
    assert accepted.status_code == 201


def test_a_known_address_is_a_conflict_that_names_the_holder(hubspot: Client) -> None:
    (holder,) = hubspot("GET", CONTACTS, limit=1, properties="email").json()["results"]
    response = hubspot("POST", CONTACTS, {"properties": {"email": holder["properties"]["email"].upper()}})
    assert response.status_code == 409
    assert response.json()["message"] == f"Contact already exists. Existing ID: {holder['id']}"


def test_any_write_moves_the_modified_date_and_an_empty_value_clears(hubspot: Client) -> None:
    (contact,) = hubspot("GET", CONTACTS, limit=1, properties="lastmodifieddate").json()["results"]
    hubspot("PATCH", f"{CONTACTS}/{contact['id']}", {"properties": {"lastname": "", "seats": 7}})
    names = "lastmodifieddate,lastname,seats"
    after = hubspot("GET", f"{CONTACTS}/{contact['id']}", properties=names).json()["properties"]
    assert after["lastmodifieddate"] > contact["properties"]["lastmodifieddate"]
    assert (after["lastname"], after["seats"]) == (None, "7")


def test_archived_and_merged_records_are_found_only_by_those_who_know_how(hubspot: Client) -> None:
    archived, winner, loser = (record["id"] for record in hubspot("GET", CONTACTS, limit=3).json()["results"])
    assert hubspot("DELETE", f"{CONTACTS}/{archived}").status_code == 204
    assert hubspot("DELETE", f"{CONTACTS}/{archived}").status_code == 204
    hubspot("POST", f"{CONTACTS}/merge", {"primaryObjectId": winner, "objectIdToMerge": loser})
    assert hubspot("GET", f"{CONTACTS}/{archived}").status_code == 404
    assert hubspot("GET", f"{CONTACTS}/{archived}", archived="true").json()["archived"] is True
    assert hubspot("GET", f"{CONTACTS}/{loser}").json()["id"] == winner
    merged = hubspot("GET", f"{CONTACTS}/{winner}", properties="hs_merged_object_ids").json()
    assert merged["properties"]["hs_merged_object_ids"] == loser
    read = hubspot("POST", f"{CONTACTS}/batch/read", {"inputs": [{"id": archived}, {"id": winner}, {"id": loser}]})
    assert read.status_code == 207
    assert [record["id"] for record in read.json()["results"]] == [winner]
    (missing,) = read.json()["errors"]
    assert (missing["category"], missing["context"]["ids"]) == ("OBJECT_NOT_FOUND", [archived, loser])
    update = {"inputs": [{"id": loser, "properties": {"firstname": "x"}}]}
    assert hubspot("POST", f"{CONTACTS}/batch/update", update).status_code == 404


# --- search ---------------------------------------------------------------------------------------------------------


def test_a_search_sees_a_change_only_after_a_while(hubspot: Client, portal: Sandbox) -> None:
    (contact,) = hubspot("GET", CONTACTS, limit=1).json()["results"]
    start = datetime.now(UTC) - timedelta(minutes=1)
    hubspot("PATCH", f"{CONTACTS}/{contact['id']}", {"properties": {"firstname": "New"}})
    assert hubspot.search(modified_since(start)).json()["total"] == 0
    portal.clock.advance(portal.index_lag)
    (found,) = hubspot.search(modified_since(start), properties=["firstname"]).json()["results"]
    assert (found["id"], found["properties"]) == (contact["id"], {"firstname": "New"})
    hubspot("DELETE", f"{CONTACTS}/{contact['id']}")
    assert hubspot.search(modified_since(start)).json()["total"] == 1, "a deletion is late as well"
    portal.clock.advance(portal.index_lag)
    assert hubspot.search(modified_since(start)).json()["total"] == 0


def test_a_search_shows_ten_thousand_and_counts_them_all(hubspot: Client, portal: Sandbox) -> None:
    portal.add_contacts(10_100, datetime.now(UTC))
    start = datetime.now(UTC) - timedelta(minutes=1)
    last = hubspot.search(modified_since(start), limit=200, after="9800").json()
    assert last["total"] == 10_100
    assert last["paging"]["next"]["after"] == "10000"
    assert hubspot.search(modified_since(start), limit=200, after="10000").status_code == 400


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (
            {"propertyName": "hs_lead_status", "operator": "EQ", "value": "NEW"},
            lambda each: each["hs_lead_status"] == "NEW",
        ),
        ({"propertyName": "hs_lead_status", "operator": "EQ", "value": "new"}, lambda each: False),
        ({"propertyName": "seats", "operator": "GT", "value": "9"}, lambda each: float(each["seats"] or 0) > 9),
        ({"propertyName": "email", "operator": "NOT_HAS_PROPERTY"}, lambda each: each["email"] is None),
        (
            {"propertyName": "hs_lead_status", "operator": "IN", "values": ["NEW", "OPEN"]},
            lambda each: each["hs_lead_status"] in {"NEW", "OPEN"},
        ),
    ],
    ids=["choice", "choices are exact", "numbers by size", "empty", "one of"],
)
def test_filters_compare_by_the_kind_of_property(hubspot: Client, asked: dict[str, Any], expected: Any) -> None:
    found = hubspot.search(asked, limit=200).json()["total"]
    every: list[Any] = []
    after = "MA=="
    while after:
        page = hubspot("GET", CONTACTS, limit=100, after=after, properties="hs_lead_status,seats,email").json()
        every += page["results"]
        after = page.get("paging", {}).get("next", {}).get("after", "")
    assert len(every) == 1200
    assert found == sum(bool(expected(record["properties"])) for record in every)


# --- quotas and tokens ----------------------------------------------------------------------------------------------


def test_searches_have_five_a_second_and_no_headers(hubspot: Client, portal: Sandbox) -> None:
    answers = [hubspot.search(limit=1) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[-1].json()["policyName"] == "SECONDLY"
    assert not any("RateLimit" in name for answer in answers for name in answer.headers)
    assert hubspot("GET", CONTACTS, limit=1).status_code == 200, "other requests are not held up"
    portal.clock.advance(1)
    assert hubspot.search(limit=1).status_code == 200


def test_the_burst_is_counted_down_in_the_headers_and_then_refused(hubspot: Client, portal: Sandbox) -> None:
    portal.burst = 100
    answers = [hubspot("GET", "/account-info/v3/details") for _ in range(101)]
    assert [answer.status_code for answer in answers] == [200] * 100 + [429]
    assert answers[0].headers["X-HubSpot-RateLimit-Max"] == "100"
    assert answers[0].headers["X-HubSpot-RateLimit-Interval-Milliseconds"] == "10000"
    assert [int(answer.headers["X-HubSpot-RateLimit-Remaining"]) for answer in answers[98:]] == [1, 0, 0]
    assert answers[-1].json()["policyName"] == "TEN_SECONDLY_ROLLING"
    assert "Retry-After" not in answers[-1].headers
    portal.clock.advance(10)
    assert hubspot("GET", "/account-info/v3/details").status_code == 200


def test_only_private_apps_hear_of_the_daily_quota(hubspot: Client) -> None:
    oauth = Client(hubspot.server, ACCESS_TOKEN)
    assert "X-HubSpot-RateLimit-Daily-Remaining" in hubspot("GET", "/account-info/v3/details").headers
    answer = oauth("GET", "/account-info/v3/details")
    assert "X-HubSpot-RateLimit-Remaining" in answer.headers
    assert "X-HubSpot-RateLimit-Daily-Remaining" not in answer.headers


@pytest.mark.parametrize(
    ("dial", "status", "policy"),
    [
        ({"kind": "throttled", "body": {"policyName": "DAILY"}}, 429, "DAILY"),
        ({"kind": "throttled", "body": {"policyName": "SECONDLY"}}, 429, "SECONDLY"),
        ({"kind": "throttled"}, 429, "TEN_SECONDLY_ROLLING"),
        ({"kind": "locked"}, 423, None),
        ({"kind": "moving"}, 477, None),
    ],
    ids=["day", "second", "burst", "locked", "moving"],
)
def test_faults_are_dialled(hubspot: Client, portal: Sandbox, dial: dict[str, Any], status: int, policy: str) -> None:
    portal.faults.set([{**dial, "times": 1}])
    answer = hubspot("GET", CONTACTS, limit=1)
    assert (answer.status_code, answer.json().get("policyName")) == (status, policy)
    assert hubspot("GET", CONTACTS, limit=1).status_code == 200


def test_a_token_lives_as_long_as_it_says(hubspot: Client, portal: Sandbox) -> None:
    form = {
        "grant_type": "refresh_token",
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "refresh_token": REFRESH_TOKEN,
    }
    token = requests.post(hubspot.server.url + "/oauth/v1/token", data=form, timeout=10).json()
    client = Client(hubspot.server, token["access_token"])
    portal.clock.advance(token["expires_in"] - 5)
    assert client("GET", CONTACTS, limit=1).status_code == 200
    portal.clock.advance(10)
    late = client("GET", CONTACTS, limit=1)
    assert (late.status_code, late.json()["category"]) == (401, "EXPIRED_AUTHENTICATION")
    unknown = Client(hubspot.server, "nonsense")("GET", CONTACTS)
    assert (unknown.status_code, unknown.json()["category"]) == (401, "INVALID_AUTHENTICATION")
    hubspot("DELETE", f"/oauth/v1/refresh-tokens/{REFRESH_TOKEN}")
    refused = requests.post(hubspot.server.url + "/oauth/v3/token", data=form, timeout=10)
    assert (refused.status_code, refused.json()["status"]) == (400, "BAD_REFRESH_TOKEN")


def test_a_missing_scope_is_named(hubspot: Client) -> None:
    answer = Client(hubspot.server, LIMITED_TOKEN)("GET", "/crm/v3/owners")
    assert (answer.status_code, answer.json()["category"]) == (403, "MISSING_SCOPES")
    assert answer.json()["errors"][0]["context"]["requiredGranularScopes"] == ["crm.objects.owners.read"]


def test_a_wrong_address_answers_with_a_page(hubspot: Client) -> None:
    answer = hubspot("GET", "/crm/v9/objects/contacts")
    assert answer.status_code == 404
    assert answer.text.startswith("<html>")


def test_an_address_has_room_for_so_many_properties_only(hubspot: Client) -> None:
    assert (
        hubspot("GET", CONTACTS, properties=",".join(f"property_number_{each}" for each in range(600))).status_code
        == 414
    )


# --- owners and properties ------------------------------------------------------------------------------------------


def test_owners_who_left_are_listed_apart(hubspot: Client) -> None:
    active = hubspot("GET", "/crm/v3/owners", limit=4).json()
    rest = hubspot("GET", "/crm/v3/owners", limit=4, after=active["paging"]["next"]["after"]).json()
    assert len(active["results"]) + len(rest["results"]) == 6
    assert "paging" not in rest
    (gone,) = hubspot("GET", "/crm/v3/owners", archived="true").json()["results"]
    assert (gone["archived"], gone["userId"]) == (True, None)


def test_a_unique_property_is_made_at_creation_and_ten_times_at_most(hubspot: Client) -> None:
    assert hubspot.unique_property().status_code == 201
    assert hubspot.unique_property().status_code == 409
    assert [hubspot.unique_property(f"key_{number}").status_code for number in range(10)] == [201] * 9 + [400]


@pytest.mark.parametrize(
    "change",
    [{"groupName": "nowhere"}, {"name": "Has Capitals"}, {"label": ""}, {"type": "enumeration"}],
    ids=["unknown group", "bad name", "no label", "no options"],
)
def test_a_property_has_to_be_complete(hubspot: Client, change: dict[str, Any]) -> None:
    hubspot("POST", "/crm/v3/properties/contacts/groups", {"name": "dialer", "label": "Dialer"})
    whole = {"name": "num_calls", "label": "Calls", "groupName": "dialer", "type": "number", "fieldType": "number"}
    assert hubspot("POST", "/crm/v3/properties/contacts", {**whole, **change}).status_code == 400
    created = hubspot("POST", "/crm/v3/properties/contacts", whole)
    assert created.status_code == 201
    assert "hubspotDefined" not in created.json(), "HubSpot leaves the key out rather than sending false"


# --- batches of calls -----------------------------------------------------------------------------------------------


def test_one_bad_input_without_trace_ids_refuses_the_whole_batch(hubspot: Client, portal: Sandbox) -> None:
    good, bad = {"properties": {"hs_timestamp": TIMESTAMP}}, {"properties": {"hs_call_title": "x"}}
    assert hubspot("POST", f"{CALLS}/batch/create", {"inputs": [good, bad]}).status_code == 400
    assert portal.store.count("calls") == 0


def test_trace_ids_let_the_good_inputs_pass(hubspot: Client, portal: Sandbox) -> None:
    good = {"properties": {"hs_timestamp": TIMESTAMP}, "objectWriteTraceId": "good"}
    bad = {"properties": {}, "objectWriteTraceId": "bad"}
    answer = hubspot("POST", f"{CALLS}/batch/create", {"inputs": [good, bad]})
    assert answer.status_code == 207
    assert len(answer.json()["results"]) == answer.json()["numErrors"] == 1
    assert answer.json()["errors"][0]["context"]["objectWriteTraceId"] == ["bad"]
    assert portal.store.count("calls") == 1


@pytest.mark.parametrize(
    "inputs",
    [
        pytest.param([{"id": "a", "properties": {"hs_timestamp": TIMESTAMP}}], id="no idProperty"),
        pytest.param([{**keyed("a"), "idProperty": "hs_call_title"}], id="a property that is not unique"),
        pytest.param([{**keyed("a"), "idProperty": "no_such_thing"}], id="an unknown property"),
        pytest.param([keyed("a"), keyed("b"), keyed("a")], id="one key twice"),
        pytest.param([keyed("a"), {**keyed("b"), "properties": {}}], id="a new call without its time"),
    ],
)
def test_an_upsert_that_breaks_the_rules_writes_nothing(
    hubspot: Client, portal: Sandbox, inputs: list[dict[str, Any]]
) -> None:
    hubspot.unique_property()
    assert hubspot.upsert(*inputs).status_code == 400
    assert portal.store.count("calls") == 0


def test_an_upsert_says_what_is_new_and_answers_in_its_own_order(hubspot: Client) -> None:
    hubspot.unique_property()
    first = hubspot.upsert(keyed("a", hs_call_title="one")).json()["results"]
    both = hubspot.upsert(keyed("a", hs_call_title="two"), keyed("b")).json()["results"]
    assert [record["new"] for record in first] == [True]
    assert [(record["properties"]["dialer_call_id"], record["new"]) for record in both] == [("b", True), ("a", False)]
    assert both[1]["id"] == first[0]["id"]
    assert both[1]["properties"]["hs_call_title"] == "two"


def test_a_unique_value_belongs_to_one_call(hubspot: Client) -> None:
    hubspot.unique_property()
    hubspot.upsert(keyed("a"))
    twin = hubspot("POST", CALLS, {"properties": {"hs_timestamp": TIMESTAMP, "dialer_call_id": "a"}})
    assert twin.status_code == 400
    assert "already has that value" in twin.json()["message"]


# --- associations ---------------------------------------------------------------------------------------------------


def test_associations_are_idempotent_count_on_the_contact_and_have_numbers_for_ids(hubspot: Client) -> None:
    contact = hubspot("GET", CONTACTS, limit=1, properties="lastmodifieddate").json()["results"][0]
    created = hubspot("POST", CALLS, {"properties": {"hs_timestamp": TIMESTAMP}}).json()["id"]
    pair = {"inputs": [{"from": {"id": created}, "to": {"id": contact["id"]}}]}
    batch = "/crm/v4/associations/calls/contacts/batch/associate/default"
    assert hubspot("POST", batch, pair).status_code == hubspot("POST", batch, pair).status_code == 200
    single = f"/crm/v4/objects/calls/{created}/associations/default/contacts/{contact['id']}"
    assert hubspot("PUT", single).status_code == 200
    (link,) = hubspot("GET", f"/crm/v4/objects/contacts/{contact['id']}/associations/calls").json()["results"]
    assert link["toObjectId"] == int(created)
    assert link["associationTypes"][0]["typeId"] == 193
    back = hubspot("GET", f"/crm/v4/objects/calls/{created}/associations/contacts").json()["results"]
    assert [each["toObjectId"] for each in back] == [int(contact["id"])]
    names = "num_contacted_notes,lastmodifieddate"
    after = hubspot("GET", f"{CONTACTS}/{contact['id']}", properties=names).json()["properties"]
    assert after["num_contacted_notes"] == "1"
    assert after["lastmodifieddate"] > contact["properties"]["lastmodifieddate"]


def test_an_association_with_nobody_names_whom_it_missed(hubspot: Client) -> None:
    created = hubspot("POST", CALLS, {"properties": {"hs_timestamp": TIMESTAMP}}).json()["id"]
    contact = hubspot("GET", CONTACTS, limit=1).json()["results"][0]["id"]
    pairs = [{"from": {"id": created}, "to": {"id": each}} for each in ("987654321", contact)]
    answer = hubspot("POST", "/crm/v4/associations/calls/contacts/batch/associate/default", {"inputs": pairs})
    assert answer.status_code == 207
    assert [each["to"]["id"] for each in answer.json()["results"]] == [contact]
    assert answer.json()["errors"][0]["context"]["INVALID_OBJECT_IDS"] == ["CONTACT=987654321 is not valid"]
    wrong = {"to": {"id": contact}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 193}]}
    inline = {"properties": {"hs_timestamp": TIMESTAMP}, "associations": [wrong]}
    assert hubspot("POST", CALLS, inline).status_code == 400, "193 is the other direction"


# --- as a fixture ---------------------------------------------------------------------------------------------------


def test_what_was_told_survives_a_restart(tmp_path: Path) -> None:
    journal = tmp_path / "hubspot.jsonl"
    first = SandboxServer(Sandbox(Store(journal), Clock(), Faults())).start()
    hubspot = Client(first)
    hubspot.unique_property()
    contact = hubspot("GET", CONTACTS, limit=1).json()["results"][0]["id"]
    stored = hubspot.upsert(keyed("a")).json()["results"][0]["id"]
    hubspot("PUT", f"/crm/v4/objects/calls/{stored}/associations/default/contacts/{contact}")
    first.close()
    second = SandboxServer(Sandbox(Store(journal), Clock(), Faults())).start()
    again = Client(second)
    assert again.upsert(keyed("a")).json()["results"][0]["new"] is False
    assert again("GET", f"/crm/v4/objects/contacts/{contact}/associations/calls").json()["results"][0][
        "toObjectId"
    ] == int(stored)
    assert again.search(limit=1).json()["total"] == 1200
    second.close()


def test_two_seeded_portals_are_the_same() -> None:
    def content() -> list[Any]:
        portal = Sandbox(Store(), Clock(), Faults())
        portal.seed()
        return list(portal.store.all("contacts"))

    assert content() == content()


def test_the_seeded_contacts_are_as_untidy_as_real_ones(portal: Sandbox) -> None:
    portal.seed()
    contacts = [contact["properties"] for contact in portal.store.all("contacts")]
    assert len(contacts) == 1200
    emails = [contact["email"] for contact in contacts if "email" in contact]
    assert len(emails) == len(set(emails)) < 1200
    assert {
        name for name in ("last_call_date", "num_calls", "ai_call_score") if name in portal.definitions("contacts")
    } == set()
    assert any("firstname" not in contact for contact in contacts)
    assert any("phone" in contact and not contact["phone"].startswith("+") for contact in contacts)
