"""The fake organisation is as unkind as the real one: composites, conditions, rights, rules, and what people do by hand."""

from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import requests

from tests.providers.salesforce.world import DATA, World

LEAD = f"{DATA}/sobjects/Lead"
COMPOSITE = f"{DATA}/composite"
QUERY = f"{DATA}/query?q=SELECT+Id+FROM+User"


def code_of(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()[0]["errorCode"]


def composite(world: World, *parts: dict[str, Any], **headers: str) -> requests.Response:
    numbered = [{"referenceId": f"p{number}", **part} for number, part in enumerate(parts)]
    body = {"allOrNone": False, "compositeRequest": numbered}
    return world.ask("POST", COMPOSITE, json=body, headers=headers)


def parts_of(answer: requests.Response) -> list[tuple[int, Any]]:
    assert answer.status_code == 200, answer.text
    return [(one["httpStatusCode"], one["body"]) for one in answer.json()["compositeResponse"]]


def get(path: str) -> dict[str, str]:
    return {"method": "GET", "url": path}


# --- several in one -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "path", "status"),
    [(25, f"{DATA}/limits", 200), (26, f"{DATA}/limits", 400), (5, QUERY, 200), (6, QUERY, 400)],
    ids=["25 parts", "26 parts", "5 queries", "6 queries"],
)
def test_a_composite_takes_twenty_five_parts_and_five_queries(world: World, count: int, path: str, status: int) -> None:
    assert composite(world, *[get(path)] * count).status_code == status


def test_the_outer_headers_of_a_composite_do_not_reach_its_parts(world: World) -> None:
    lead, queue = world.lead(), next(world.store.all("Group"))["Id"]
    part = {"method": "PATCH", "url": f"{LEAD}/{lead}", "body": {"Title": "CEO"}}
    parts_of(composite(world, {**part, "httpHeaders": {"Sforce-Auto-Assign": "FALSE"}}))
    assert (world.store.get("Lead", lead) or {})["OwnerId"] != queue
    parts_of(composite(world, part))
    assert (world.store.get("Lead", lead) or {})["OwnerId"] == queue


def test_an_unknown_reference_fails_its_part_and_errors_inside_are_arrays(world: World) -> None:
    found = parts_of(
        composite(
            world,
            {"method": "POST", "url": LEAD, "body": {"LastName": "Roe"}},
            {"method": "POST", "url": f"{DATA}/sobjects/Task", "body": {"Subject": "a", "WhoId": "@{p0.id}"}},
        )
    )
    assert [(status, body[0]["errorCode"]) for status, body in found] == [
        (400, "REQUIRED_FIELD_MISSING"),
        (400, "PROCESSING_HALTED"),
    ]


def test_a_composite_needs_names_that_differ(world: World) -> None:
    body = {"compositeRequest": [{**get(f"{DATA}/limits"), "referenceId": "a"}] * 2}
    assert world.ask("POST", COMPOSITE, json=body).status_code == 400


def test_a_batch_takes_twenty_five(world: World) -> None:
    body = {"batchRequests": [{"method": "GET", "url": "v59.0/limits"}] * 26}
    assert world.ask("POST", f"{COMPOSITE}/batch", json=body).status_code == 400


@pytest.mark.parametrize("method", ["PATCH", "upsert"])
def test_a_collection_refuses_the_same_record_twice(world: World, method: str) -> None:
    world.connect()[0].prepare()
    record: dict[str, Any] = {"attributes": {"type": "Lead"}, "LastName": "Roe", "Company": "Acme"}
    path = f"{COMPOSITE}/sobjects"
    if method == "upsert":
        path, record["Dialer_Contact_Id__c"] = f"{path}/Lead/Dialer_Contact_Id__c", "k"
    else:
        record["id"] = world.lead()
    results = world.ask("PATCH", path, json={"records": [record, record]}).json()
    assert "DUPLICATE_VALUE" in [result["errors"][0]["statusCode"] for result in results if result["errors"]]


# --- conditions and rights ------------------------------------------------------------------------------------------


def test_a_condition_is_met_to_the_second(world: World) -> None:
    lead = world.lead()
    world.sandbox.edit("Lead", lead, {"Title": "CEO"})
    now = world.sandbox.clock.now()
    for moment, status in ((now + timedelta(seconds=1), 204), (now - timedelta(seconds=60), 412)):
        headers = {"If-Unmodified-Since": format_datetime(moment, usegmt=True)}
        answer = world.ask("PATCH", f"{LEAD}/{lead}", json={"Title": "CTO"}, headers=headers)
        assert (answer.status_code, answer.content) == (status, b"")


@pytest.mark.parametrize(
    ("right", "method", "path", "status"),
    [
        ("read", "GET", f"{LEAD}/describe", 404),
        ("read", "GET", f"{DATA}/query?q=SELECT+Id+FROM+Lead", 400),
        ("create", "POST", LEAD, 403),
        ("edit", "PATCH", f"{LEAD}/{{lead}}", 403),
        ("delete", "DELETE", f"{LEAD}/{{lead}}", 403),
    ],
)
def test_a_right_that_was_taken_is_refused(world: World, right: str, method: str, path: str, status: int) -> None:
    world.sandbox.deny("Lead", right)
    body = {"LastName": "Roe", "Company": "Acme"} if method in {"POST", "PATCH"} else None
    assert world.ask(method, path.format(lead=world.lead()), json=body).status_code == status


def test_the_day_ends_with_a_403_that_names_no_time(world: World) -> None:
    world.sandbox.daily_limit = world.sandbox._used + 1
    assert world.ask("GET", f"{DATA}/limits").status_code == 200
    answer = world.ask("GET", f"{DATA}/limits")
    assert code_of(answer) == (403, "REQUEST_LIMIT_EXCEEDED")
    assert "Retry-After" not in answer.headers


@pytest.mark.parametrize(
    ("start", "end", "code"),
    [
        ("2026-01-01T00:00:00+00:00", "2026-03-01T00:00:00+00:00", "INVALID_REPLICATION_DATE"),
        ("2024-01-01T00:00:00 00:00", "2024-01-02T00:00:00Z", "INVALID_REPLICATION_DATE"),
        ("2024-01-01T00:00:00", "2024-01-02T00:00:00", "INVALID_REPLICATION_DATE"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:30Z", "INVALID_REPLICATION_DATE"),
        ("2024-01-01T00:00:00Z", "2099-01-01T00:00:30Z", "INVALID_REPLICATION_DATE"),
    ],
    ids=["too long", "plus sign lost", "no zone", "too short", "in the future"],
)
def test_a_range_of_changes_is_checked(world: World, start: str, end: str, code: str) -> None:
    answer = world.ask("GET", f"{LEAD}/updated/", params={"start": start, "end": end})
    assert code_of(answer) == (400, code)


# --- rules ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocking", [False, True], ids=["alert", "blocking"])
def test_a_duplicate_rule_answers_with_its_misspelt_key_and_an_alert_may_be_overridden(
    world: World, blocking: bool
) -> None:
    known = next(row for row in world.store.all("Lead") if row["Email"])
    world.sandbox.duplicate_rule("Lead", "Email", blocking=blocking)
    body = {"LastName": "Roe", "Company": "Acme", "Email": known["Email"].upper()}
    answer = world.ask("POST", LEAD, json=body)
    assert code_of(answer) == (400, "DUPLICATES_DETECTED")
    result = answer.json()[0]["duplicateResut"]
    assert result["allowSave"] is not blocking
    assert known["Id"] in [one["record"]["Id"] for one in result["matchResults"][0]["matchRecords"]]
    many = world.ask(
        "POST", f"{COMPOSITE}/sobjects", json={"records": [{"attributes": {"type": "Lead"}, **body}]}
    ).json()
    assert "duplicateResut" not in many[0]["errors"][0], "a collection does not say which"
    headers = {"Sforce-Duplicate-Rule-Header": "allowSave=true; includeRecordDetails=false"}
    assert world.ask("POST", LEAD, json=body, headers=headers).status_code == (400 if blocking else 201)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"Rating": "Boiling"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        ({"Interests__c": "Dialer;Fishing"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        ({"Email": "no address"}, "INVALID_EMAIL_ADDRESS"),
        ({"NumberOfEmployees": 1.5}, "JSON_PARSER_ERROR"),
        ({"AnnualRevenue": 10**19}, "NUMBER_OUTSIDE_VALID_RANGE"),
        ({"LastName": None}, "REQUIRED_FIELD_MISSING"),
        ({"OwnerId": "00Q000000000000AAA"}, "MALFORMED_ID"),
    ],
)
def test_a_value_that_does_not_suit_its_field_is_refused(world: World, values: dict[str, Any], code: str) -> None:
    assert code_of(world.ask("PATCH", f"{LEAD}/{world.lead()}", json=values)) == (400, code)


def test_a_date_and_time_needs_an_offset(world: World) -> None:
    event = {"Subject": "Meeting", "DurationInMinutes": 30}
    path = f"{DATA}/sobjects/Event"
    assert code_of(world.ask("POST", path, json={**event, "StartDateTime": "2026-03-02"})) == (400, "JSON_PARSER_ERROR")
    made = world.ask("POST", path, json={**event, "StartDateTime": "2026-03-02T10:00:00+02:00"}).json()["id"]
    assert (world.store.get("Event", made) or {})["StartDateTime"] == "2026-03-02T08:00:00.000+0000"
    assert code_of(world.ask("POST", path, json=event)) == (400, "REQUIRED_FIELD_MISSING")


def test_an_event_of_a_lead_has_no_related_record_either(world: World) -> None:
    account = next(world.store.all("Account"))["Id"]
    event = {"StartDateTime": "2026-03-02T10:00:00Z", "DurationInMinutes": 5, "WhoId": world.lead(), "WhatId": account}
    answer = world.ask("POST", f"{DATA}/sobjects/Event", json=event)
    assert code_of(answer) == (400, "FIELD_INTEGRITY_EXCEPTION")


@pytest.mark.parametrize(
    "metadata",
    [
        {"type": "Checkbox", "label": "x"},
        {"type": "Checkbox", "label": "x", "defaultValue": "false", "required": False},
        {"type": "Text", "label": "x"},
        {"type": "Rainbow", "label": "x"},
    ],
    ids=["checkbox without default", "checkbox with required", "text without length", "unknown type"],
)
def test_a_field_is_made_by_the_rules_of_its_type(world: World, metadata: dict[str, Any]) -> None:
    body = {"FullName": "Lead.X__c", "Metadata": metadata}
    answer = world.ask("POST", f"{DATA}/tooling/sobjects/CustomField", json=body)
    assert code_of(answer) == (400, "FIELD_INTEGRITY_EXCEPTION")


@pytest.mark.parametrize("body", [b"", b"--x\r\n\r\nnothing\r\n--x--\r\n"])
def test_a_deployment_that_cannot_be_read_is_refused(world: World, body: bytes) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = world.ask("POST", f"{DATA}/metadata/deployRequest", data=body, headers=headers)
    assert answer.status_code == 400


# --- by hand --------------------------------------------------------------------------------------------------------


def test_what_people_do_is_stamped_and_told_without_an_origin(world: World) -> None:
    told: list[tuple[Any, ...]] = []
    world.sandbox.changed = lambda *what: told.append((what[0], what[2], what[4]))  # type: ignore[method-assign]
    world.sandbox.clock.advance(60)
    lead = world.sandbox.add("Lead", {"LastName": "Roe", "Company": "Acme"})
    world.sandbox.edit("Lead", lead, {"Title": "CEO"})
    world.sandbox.remove("Lead", lead)
    world.sandbox.undelete("Lead", lead)
    assert told == [("Lead", change, "") for change in ("CREATE", "UPDATE", "DELETE", "UNDELETE")]
    row = world.store.get("Lead", lead) or {}
    assert (row["Title"], row["SystemModstamp"], row["IsDeleted"]) == ("CEO", world.sandbox.org.now(), False)


@pytest.mark.parametrize("what", ["edit", "remove"])
def test_nobody_edits_what_is_not_there(world: World, what: str) -> None:
    lead = world.lead()
    world.sandbox.remove("Lead", lead)
    with pytest.raises(KeyError):
        world.sandbox.edit("Lead", lead, {}) if what == "edit" else world.sandbox.remove("Lead", lead)


def test_a_conversion_makes_an_account_a_contact_and_a_deal_and_takes_the_tasks_along(world: World) -> None:
    lead = world.lead()
    task = world.ask("POST", f"{DATA}/sobjects/Task", json={"Subject": "a", "WhoId": lead}).json()["id"]
    contact = world.sandbox.convert(lead, opportunity="Seats")
    row = world.store.get("Lead", lead) or {}
    assert row["IsConverted"]
    assert row["ConvertedContactId"] == contact
    assert (world.store.get("Opportunity", row["ConvertedOpportunityId"]) or {})["Name"] == "Seats"
    assert (world.store.get("Contact", contact) or {})["AccountId"] == row["ConvertedAccountId"]
    assert (world.store.get("Task", task) or {})["WhoId"] == contact


def test_a_merge_leaves_the_loser_in_the_bin_with_the_winners_name(world: World) -> None:
    winner, loser = world.lead(0), world.lead(1)
    world.sandbox.merge("Lead", winner, loser)
    query = f"SELECT Id, IsDeleted, MasterRecordId FROM Lead WHERE Id = '{loser}'"
    assert world.soql(query).json()["records"] == []
    row = world.soql(query, path="queryAll").json()["records"][0]
    assert (row["IsDeleted"], row["MasterRecordId"]) == (True, winner)


def test_by_hand_works_over_the_control_panel_too(world: World) -> None:
    order = {"object": "Lead", "fields": {"LastName": "Roe", "Company": "Acme"}}
    made = requests.post(f"{world.server.url}/_sandbox/add", json=order, timeout=5).json()["id"]
    order = {"object": "Lead", "id": made, "fields": {"Title": "CEO"}}
    requests.post(f"{world.server.url}/_sandbox/edit", json=order, timeout=5).raise_for_status()
    assert (world.store.get("Lead", made) or {})["Title"] == "CEO"
