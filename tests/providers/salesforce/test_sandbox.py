import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import phonenumbers
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from integrations.providers.salesforce.ids import checksum
from integrations.providers.salesforce.sandbox import Sandbox
from integrations.providers.salesforce.sandbox.refused import Refused
from integrations.providers.salesforce.sandbox.soql import parse
from integrations.sandbox.clock import Clock
from integrations.sandbox.faults import Faults
from integrations.sandbox.store import Store
from tests.providers.salesforce.world import DATA, World

TASKS = f"{DATA}/sobjects/Task"
COLLECTION = f"{DATA}/composite/sobjects"
WORDS = ("SELECT", "Id", "FROM", "Lead", "WHERE", "IN", "(", ")", ",", "=", "'a'", "AND", "OR", "LIMIT", "1.5", "NULL")
TIMES = ("2024-01-01T00:00:00Z", "2024-99-99T99:99:99Z", "2024-13-01", "ORDER", "BY", "DESC")
QUERY_LIKE = st.text(max_size=80) | st.lists(st.sampled_from([*WORDS, *TIMES]), max_size=8).map(
    lambda words: " ".join(["SELECT Id FROM Lead", *words])
)


def code_of(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()[0]["errorCode"]


def found(world: World, query: str) -> list[dict[str, Any]]:
    answer = world.soql(query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["records"])


def write(world: World, method: str, path: str, *records: dict[str, Any], kind: str = "Task") -> list[dict[str, Any]]:
    """The results of a collection."""
    body = {"allOrNone": False, "records": [{"attributes": {"type": kind}, **record} for record in records]}
    answer = world.ask(method, path, json=body)
    assert answer.status_code == 200, answer.text
    return list(answer.json())


def codes(results: list[dict[str, Any]]) -> list[str]:
    return [result["errors"][0]["statusCode"] if result["errors"] else "" for result in results]


# --- content --------------------------------------------------------------------------------------------------------


def seeded() -> Store:
    store = Store()
    Sandbox(store, Clock(), Faults()).seed()
    return store


def test_the_organisation_starts_with_the_same_people_each_time() -> None:
    first, second = seeded(), seeded()
    for name in ("Lead", "Contact", "Account", "User"):
        assert list(first.all(name)) == list(second.all(name))
    assert first.count("Lead") >= 1_100
    assert first.count("Contact") >= 150
    assert first.count("User") == 6


def test_the_people_are_as_untidy_as_real_ones() -> None:
    leads = list(seeded().all("Lead"))
    phones = [row["Phone"] or "" for row in leads]
    assert any(not phone.startswith("+") for phone in phones if phone)
    assert any("ext" in phone for phone in phones)
    assert any(not row["Email"] for row in leads)
    assert any(not row["FirstName"] for row in leads)
    assert all(row["LastName"] and row["Company"] for row in leads)
    emails = [row["Email"].lower() for row in leads if row["Email"]]
    assert len(set(emails)) < len(emails)
    assert sum(_valid(row) for row in leads) > len(leads) * 0.8


def _valid(row: dict[str, Any]) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(row["Phone"] or "", row["Country"]))
    except phonenumbers.NumberParseException:
        return False


def test_a_restarted_organisation_remembers_everything_but_half_read_lists(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    store = Store(journal)
    sandbox = Sandbox(store, Clock(), Faults())
    sandbox.seed()
    lead = next(store.all("Lead"))
    sandbox.org.save("Task", {"Id": "00T", "CallObject": "c-1", "WhoId": lead["Id"]})
    store.close()
    again = Sandbox(Store(journal), Clock(), Faults())
    again.seed()
    assert again.store.get("_keys", "sandbox-client") == store.get("_keys", "sandbox-client")
    assert again.store.count("Lead") == store.count("Lead")
    assert again.org.with_value("Task", "CallObject", "C-1") == ["00T"]
    again.store.close()


def test_every_id_carries_its_checksum(world: World) -> None:
    assert all(row["Id"][15:] == checksum(row["Id"][:15]) for row in world.store.all("Lead"))


# --- who may ask ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["", "Bearer unknown", "Basic Zm9v"])
def test_an_unknown_token_is_refused_with_a_code(world: World, header: str) -> None:
    answer = world.ask("GET", f"{DATA}/sobjects", headers={"Authorization": header})
    assert code_of(answer) == (401, "INVALID_SESSION_ID")
    info = world.ask("GET", "/services/oauth2/userinfo", headers={"Authorization": header})
    assert (info.status_code, info.text) == (403, "Bad_OAuth_Token")


def test_a_session_ends_two_hours_after_its_last_use(world: World) -> None:
    for _ in range(3):
        world.sandbox.clock.advance(7_000)
        assert world.ask("GET", f"{DATA}/sobjects").status_code == 200
    world.sandbox.clock.advance(7_300)
    assert world.ask("GET", f"{DATA}/sobjects").status_code == 401


def test_a_token_answer_says_nothing_of_its_end(world: World) -> None:
    form = {
        "grant_type": "refresh_token",
        "refresh_token": "5Aep-sandbox-refresh",
        "client_id": "sandbox-client",
        "client_secret": "sandbox-secret",
    }
    body = requests.post(f"{world.server.url}/services/oauth2/token", data=form, timeout=5).json()
    assert "expires_in" not in body
    assert "refresh_token" not in body
    assert body["issued_at"].isdigit()


def test_usage_is_told_on_every_data_answer_even_on_errors(world: World) -> None:
    good = world.ask("GET", f"{DATA}/sobjects")
    bad = world.soql("SELECT Nope FROM Lead")
    first, second = (answer.headers["Sforce-Limit-Info"].split("/")[0] for answer in (good, bad))
    assert int(second.split("=")[1]) == int(first.split("=")[1]) + 1


@pytest.mark.parametrize("path", ["/services/data/v59.0/nothing/here", "/services/data/v59.0/sobjects/Nope__c"])
def test_an_unknown_address_is_an_array_of_errors(world: World, path: str) -> None:
    assert code_of(world.ask("POST", path, json={})) == (404, "NOT_FOUND")


def test_an_old_version_is_retired(world: World) -> None:
    assert world.ask("GET", "/services/data/v30.0/sobjects").status_code == 410


# --- queries --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("SELECT Nope FROM Lead", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE Nope = 'x'", "INVALID_FIELD"),
        ("SELECT Account.Name FROM Lead", "INVALID_FIELD"),
        ("SELECT Dialer_Call_Id__c FROM Task", "INVALID_FIELD"),
        ("SELECT Id FROM Nope", "INVALID_TYPE"),
        ("SELECT Id FROM Task WHERE Description = 'x'", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE SystemModstamp > '2026-01-01T00:00:00Z'", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE LastName = 5", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE IsConverted = 'true'", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE Id = 'x'", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Id FROM Lead WHERE LastName = 'a' AND Title = 'b' OR Title = 'c'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead WHERE LastName = 'O'Hara'", "MALFORMED_QUERY"),
        (r"SELECT Id FROM Lead WHERE LastName = '\q'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead WHERE SystemModstamp > 2026-01-01T00:00:00 00:00", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead WHERE LastName = 'a' LIMIT", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead LIMIT 1 garbage", "MALFORMED_QUERY"),
        ("SELECT FROM Lead", "MALFORMED_QUERY"),
        ("", "MALFORMED_QUERY"),
    ],
)
def test_a_wrong_query_is_refused_as_the_real_one_does(world: World, query: str, code: str) -> None:
    assert code_of(world.soql(query)) == (400, code)


@given(QUERY_LIKE)
def test_no_text_makes_the_query_parser_fall_over(text: str) -> None:
    """It may be refused; any other exception fails the test."""
    with contextlib.suppress(Refused):
        parse(text)


def test_conditions_and_parentheses_mean_what_they_say(world: World) -> None:
    rows = list(world.store.all("Lead"))
    limit = "2024-03-10T00:00:00.000+0000"
    query = (
        "SELECT Id FROM Lead WHERE (Status = 'open - NOT contacted' OR Title = NULL) AND SystemModstamp < "
        "2024-03-10T02:00:00%2B02:00 AND IsConverted = FALSE".replace("%2B", "+")
    )
    expected = {
        row["Id"]
        for row in rows
        if (row["Status"] == "Open - Not Contacted" or row["Title"] is None)
        and row["SystemModstamp"] < limit
        and not row["IsConverted"]
    }
    assert {row["Id"] for row in found(world, query)} == expected
    assert expected


@pytest.mark.parametrize(
    ("condition", "keep"),
    [
        ("LastName != 'Smith'", lambda row: row["LastName"].lower() != "smith"),
        ("Title = 'sales manager'", lambda row: (row["Title"] or "").lower() == "sales manager"),
        ("DoNotCall = TRUE", lambda row: row["DoNotCall"]),
        ("SystemModstamp >= 2024-03-20T00:00:00Z", lambda row: row["SystemModstamp"] >= "2024-03-20T00"),
        ("Country IN ('US', 'de')", lambda row: row["Country"] in {"US", "DE"}),
    ],
)
def test_each_comparison_finds_what_reading_everything_finds(world: World, condition: str, keep: Any) -> None:
    expected = {row["Id"] for row in world.store.all("Lead") if keep(row)}
    assert {row["Id"] for row in found(world, f"SELECT Id FROM Lead WHERE {condition}")} == expected


def test_rows_come_in_order_and_no_more_than_asked(world: World) -> None:
    rows = found(world, "SELECT Id, SystemModstamp FROM Lead ORDER BY SystemModstamp DESC, Id LIMIT 500")
    keys = [(row["SystemModstamp"], row["Id"]) for row in rows]
    assert len(keys) == 500
    assert [stamp for stamp, _ in keys] == sorted((stamp for stamp, _ in keys), reverse=True)
    alike = [record_id for stamp, record_id in keys if stamp == keys[250][0]]
    assert alike == sorted(alike)


def test_parents_are_nested_and_null_when_there_is_none(world: World) -> None:
    world.ask("POST", f"{DATA}/sobjects/Contact", json={"LastName": "Alone"}).raise_for_status()
    row = found(world, "SELECT Id, Account.Name, Owner.Email FROM Contact WHERE LastName = 'Alone'")[0]
    assert row["Account"] is None
    assert row["Owner"]["Email"] == "integration@acme.example"


def test_wide_rows_come_two_hundred_at_a_time_and_a_page_can_be_short(world: World) -> None:
    narrow = world.soql("SELECT Id FROM Lead").json()
    assert narrow["done"]
    fields = "Id,Name,Email,Phone,MobilePhone,Title,Company,Status,Street,City,PostalCode,Country,DoNotCall"
    first = world.soql(f"SELECT {fields} FROM Lead ORDER BY Id").json()
    assert (len(first["records"]), first["totalSize"], first["done"]) == (200, len(narrow["records"]), False)
    next_lead = sorted(row["Id"] for row in narrow["records"])[200]
    world.ask("DELETE", f"{DATA}/sobjects/Lead/{next_lead}").raise_for_status()
    assert len(world.ask("GET", first["nextRecordsUrl"]).json()["records"]) == 199
    asked = world.soql("SELECT Id FROM Lead")
    smaller = world.ask(
        "GET",
        f"{DATA}/query",
        params={"q": "SELECT Id FROM Lead"},
        headers={"Sforce-Query-Options": "batchSize=250"},
    )
    assert (len(asked.json()["records"]), len(smaller.json()["records"])) == (1_109, 250)


def test_the_recycle_bin_is_seen_by_query_all_only(world: World) -> None:
    lead = world.lead()
    world.ask("DELETE", f"{DATA}/sobjects/Lead/{lead}").raise_for_status()
    query = f"SELECT Id, IsDeleted FROM Lead WHERE Id = '{lead}'"
    assert found(world, query) == []
    assert world.soql(query, path="queryAll").json()["records"][0]["IsDeleted"] is True
    assert code_of(world.ask("GET", f"{DATA}/sobjects/Lead/{lead}")) == (404, "ENTITY_IS_DELETED")


def test_an_address_that_is_too_long_is_refused_at_the_edge(world: World) -> None:
    ids = ",".join([f"'{world.lead()}'"] * 700)
    assert world.soql(f"SELECT Id FROM Lead WHERE Id IN ({ids})").status_code == 414


# --- writing --------------------------------------------------------------------------------------------------------


def test_a_record_is_made_read_changed_and_deleted(world: World) -> None:
    made = world.ask("POST", f"{DATA}/sobjects/Lead", json={"LastName": "Roe", "Company": "Acme", "Title": " CEO "})
    assert (made.status_code, made.json()["success"]) == (201, True)
    path = f"{DATA}/sobjects/Lead/{made.json()['id']}"
    read = world.ask("GET", path).json()
    assert (read["Name"], read["Title"], read["Status"]) == ("Roe", "CEO", "Open - Not Contacted")
    changed = world.ask("PATCH", path, json={"FirstName": "Jo", "Title": None})
    assert (changed.status_code, changed.content) == (204, b"")
    read = world.ask("GET", path).json()
    assert (read["Name"], read["Title"], read["Company"]) == ("Jo Roe", None, "Acme")
    assert world.ask("DELETE", path).content == b""


def test_an_assignment_rule_takes_the_lead_away_unless_told_not_to(world: World) -> None:
    lead, queue = world.lead(), next(world.store.all("Group"))["Id"]
    owner = (world.store.get("Lead", lead) or {})["OwnerId"]
    world.ask("PATCH", f"{DATA}/sobjects/Lead/{lead}", json={"Title": "CEO"}).raise_for_status()
    assert (world.store.get("Lead", lead) or {})["OwnerId"] == owner
    headers = {"Sforce-Auto-Assign": "TRUE"}
    world.ask("PATCH", f"{DATA}/sobjects/Lead/{lead}", json={"Title": "CTO"}, headers=headers).raise_for_status()
    assert (world.store.get("Lead", lead) or {})["OwnerId"] == queue


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"Company": "Acme"}, "REQUIRED_FIELD_MISSING"),
        ({"LastName": "Roe", "Company": "Acme", "Nope__c": "x"}, "INVALID_FIELD"),
        ({"LastName": "R" * 81, "Company": "Acme"}, "STRING_TOO_LONG"),
        ({"LastName": "Roe", "Company": "Acme", "Name": "Roe"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({"LastName": "Roe", "Company": "Acme", "DoNotCall": "yes"}, "JSON_PARSER_ERROR"),
        ({"LastName": "Roe", "Company": "Acme", "OwnerId": "nobody"}, "MALFORMED_ID"),
    ],
)
def test_a_wrong_lead_is_refused(world: World, values: dict[str, Any], code: str) -> None:
    assert code_of(world.ask("POST", f"{DATA}/sobjects/Lead", json=values)) == (400, code)


def test_a_body_that_is_no_json_is_refused(world: World) -> None:
    assert code_of(world.ask("POST", TASKS, data="{")) == (400, "JSON_PARSER_ERROR")


def test_a_task_is_refused_for_what_the_real_one_refuses(world: World) -> None:
    lead, account = world.lead(), next(world.store.all("Account"))["Id"]
    user = next(row["Id"] for row in world.store.all("User") if not row["IsActive"])
    converted = next(row["Id"] for row in world.store.all("Lead") if row["IsConverted"])
    results = write(
        world,
        "POST",
        COLLECTION,
        {"WhoId": account},
        {"WhoId": lead, "WhatId": account},
        {"Status": "Done"},
        {"Priority": "Urgent"},
        {"WhoId": "00QHs00000zzzzzAAA"},
        {"WhoId": converted},
        {"OwnerId": user},
        {"ActivityDate": "2026-03-02T10:00:00Z"},
        {"Description": "x" * 32_001},
        {"WhoId": lead, "Status": "Completed", "TaskSubtype": "Call"},
    )
    assert codes(results) == [
        "FIELD_INTEGRITY_EXCEPTION",
        "FIELD_INTEGRITY_EXCEPTION",
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        "INVALID_CROSS_REFERENCE_KEY",
        "CANNOT_UPDATE_CONVERTED_LEAD",
        "INACTIVE_OWNER_OR_USER",
        "JSON_PARSER_ERROR",
        "STRING_TOO_LONG",
        "",
    ]
    assert world.store.count("Task") == 1


def test_the_subtype_of_a_task_is_set_once(world: World) -> None:
    made = write(world, "POST", COLLECTION, {"TaskSubtype": "Call"})[0]["id"]
    again = write(world, "PATCH", COLLECTION, {"id": made, "TaskSubtype": "Call"})
    assert codes(again) == ["INVALID_FIELD_FOR_INSERT_UPDATE"]
    assert "TaskSubtype" in again[0]["errors"][0]["message"]
    assert codes(write(world, "PATCH", COLLECTION, {"id": made, "Subject": "Call"})) == [""]


def test_a_converted_lead_is_read_only(world: World) -> None:
    converted = next(row["Id"] for row in world.store.all("Lead") if row["IsConverted"])
    answer = world.ask("PATCH", f"{DATA}/sobjects/Lead/{converted}", json={"Title": "CEO"})
    assert code_of(answer) == (400, "CANNOT_UPDATE_CONVERTED_LEAD")


def test_a_collection_takes_two_hundred_and_answers_200_whatever_became_of_them(world: World) -> None:
    results = write(world, "POST", COLLECTION, *[{"Subject": "a"} if n % 2 else {"Nope": 1} for n in range(200)])
    assert [result["success"] for result in results] == [bool(n % 2) for n in range(200)]
    body = {"records": [{"attributes": {"type": "Task"}}] * 201}
    assert world.ask("POST", COLLECTION, json=body).status_code == 400


def test_a_locked_row_is_one_records_trouble_in_a_collection_and_a_400_alone(world: World) -> None:
    world.dial({"kind": "lock", "times": 2})
    assert codes(write(world, "POST", COLLECTION, {"Subject": "a"})) == ["UNABLE_TO_LOCK_ROW"]
    assert code_of(world.ask("POST", TASKS, json={"Subject": "a"})) == (400, "UNABLE_TO_LOCK_ROW")
    assert world.ask("POST", TASKS, json={"Subject": "a"}).status_code == 201


# --- custom fields --------------------------------------------------------------------------------------------------


def make_field(world: World, full_name: str = "Activity.Key__c", **metadata: Any) -> requests.Response:
    body = {"FullName": full_name, "Metadata": {"type": "Text", "length": 64, "label": "Key", **metadata}}
    return world.ask("POST", f"{DATA}/tooling/sobjects/CustomField", json=body)


def grant(world: World, *fields: str) -> None:
    made = world.ask("POST", f"{DATA}/sobjects/PermissionSet", json={"Name": "Ours", "Label": "Ours"}).json()["id"]
    for field in fields:
        row = {"ParentId": made, "SobjectType": field.split(".")[0], "Field": field, "PermissionsRead": True}
        row["PermissionsEdit"] = True
        world.ask("POST", f"{DATA}/sobjects/FieldPermissions", json=row).raise_for_status()
    user = world.ask("GET", "/services/oauth2/userinfo").json()["user_id"]
    assignment = {"AssigneeId": user, "PermissionSetId": made}
    world.ask("POST", f"{DATA}/sobjects/PermissionSetAssignment", json=assignment).raise_for_status()


def described(world: World, object_type: str = "Task") -> set[str]:
    answer = world.ask("GET", f"{DATA}/sobjects/{object_type}/describe").json()
    return {field["name"] for field in answer["fields"]}


def test_a_new_field_is_seen_only_where_a_permission_set_grants_it(world: World) -> None:
    assert make_field(world).status_code == 201
    assert "Key__c" not in described(world)
    assert code_of(world.soql("SELECT Key__c FROM Task")) == (400, "INVALID_FIELD")
    assert codes(write(world, "POST", COLLECTION, {"Key__c": "a"})) == ["INVALID_FIELD"]
    grant(world, "Task.Key__c")
    assert "Key__c" in described(world)
    assert "Key__c" not in described(world, "Event")
    assert codes(write(world, "POST", COLLECTION, {"Key__c": "a"})) == [""]


@pytest.mark.parametrize("full_name", ["Task.Key__c", "Activity.Key", "Nope.Key__c", "Key__c", ""])
def test_a_field_on_task_is_made_on_activity_and_is_named_as_custom(world: World, full_name: str) -> None:
    assert make_field(world, full_name).status_code == 400


def test_a_field_cannot_be_made_twice_and_is_found_by_its_developer_name(world: World) -> None:
    make_field(world)
    assert code_of(make_field(world)) == (400, "DUPLICATE_DEVELOPER_NAME")
    query = "SELECT Id, DeveloperName FROM CustomField WHERE TableEnumOrId = 'Activity' AND DeveloperName IN ('Key')"
    assert [row["DeveloperName"] for row in world.soql(query, path="tooling/query").json()["records"]] == ["Key"]
    assert code_of(world.soql(query)) == (400, "INVALID_TYPE")


def test_an_upsert_by_external_id_makes_once_and_then_changes(world: World) -> None:
    make_field(world, externalId=True, unique=True)
    grant(world, "Task.Key__c")
    path = f"{TASKS}/Key__c/a%20b"
    first = world.ask("PATCH", path, json={"Subject": "one"})
    second = world.ask("PATCH", path, json={"Subject": "two"})
    assert (first.status_code, first.json()["created"]) == (201, True)
    assert (second.status_code, second.json()["created"]) == (200, False)
    assert [(row["Key__c"], row["Subject"]) for row in world.tasks()] == [("a b", "two")]


def test_a_unique_value_is_taken_once_and_the_refusal_names_the_holder(world: World) -> None:
    make_field(world, externalId=True, unique=True)
    grant(world, "Task.Key__c")
    results = write(world, "POST", COLLECTION, {"Key__c": "a"}, {"Key__c": "A"}, {"Key__c": "a"})
    assert codes(results) == ["", "", "DUPLICATE_VALUE"]
    assert results[0]["id"] in results[2]["errors"][0]["message"]


def test_an_external_id_that_is_not_unique_can_become_ambiguous(world: World) -> None:
    make_field(world, externalId=True)
    grant(world, "Task.Key__c")
    write(world, "POST", COLLECTION, {"Key__c": "a"}, {"Key__c": "a"})
    answer = world.ask("PATCH", f"{TASKS}/Key__c/a", json={"Subject": "x"})
    assert (answer.status_code, len(answer.json())) == (300, 2)
    assert codes(write(world, "PATCH", f"{COLLECTION}/Task/Key__c", {"Key__c": "a"})) == ["DUPLICATE_EXTERNAL_ID"]


def test_an_upsert_by_a_field_that_is_no_key_fails_as_a_whole(world: World) -> None:
    body = {"records": [{"attributes": {"type": "Task"}, "Subject": "x"}]}
    assert code_of(world.ask("PATCH", f"{COLLECTION}/Task/Subject", json=body)) == (404, "NOT_FOUND")


def test_a_grant_is_given_once(world: World) -> None:
    make_field(world)
    grant(world, "Task.Key__c")
    for name in ("FieldPermissions", "PermissionSetAssignment"):
        row = next(world.store.all(name))
        wanted = ("ParentId", "SobjectType", "Field", "AssigneeId", "PermissionSetId")
        body = {key: value for key, value in row.items() if key in wanted}
        assert code_of(world.ask("POST", f"{DATA}/sobjects/{name}", json=body)) == (400, "DUPLICATE_VALUE")


def test_customizing_can_be_forbidden(world: World) -> None:
    world.dial({"kind": "no_customizing"})
    assert code_of(make_field(world)) == (403, "INSUFFICIENT_ACCESS")
    made = world.ask("POST", f"{DATA}/sobjects/PermissionSet", json={"Name": "Ours", "Label": "Ours"})
    assert code_of(made) == (403, "INSUFFICIENT_ACCESS")


# --- late commits ---------------------------------------------------------------------------------------------------


def test_a_late_commit_is_seen_later_than_its_stamp_says(world: World) -> None:
    world.dial({"kind": "late_commit", "seconds": 120, "times": 1})
    lead = world.lead()
    world.ask("PATCH", f"{DATA}/sobjects/Lead/{lead}", json={"Title": "Late"}).raise_for_status()
    query = f"SELECT Title, SystemModstamp FROM Lead WHERE Id = '{lead}'"
    assert found(world, query)[0]["Title"] != "Late"
    world.sandbox.clock.advance(150)
    row = found(world, query)[0]
    assert row["Title"] == "Late"
    assert datetime.fromisoformat(row["SystemModstamp"]).astimezone(UTC) < world.sandbox.clock.now()
