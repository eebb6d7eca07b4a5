from datetime import UTC, datetime, timedelta

import pytest
import responses

from integrations import errors
from integrations.providers.salesforce.provider import Provider
from integrations.records.fields import FieldSpec
from integrations.records.remote import Cursor, RemoteRecord
from tests.providers.harness import token_call
from tests.providers.salesforce.world import DATA, HOST, World, offline

MAPPED = [row.crm_field for row in Provider.default_mappings]


def since(world: World, cursor: Cursor | None, object_type: str = "Lead") -> tuple[list[RemoteRecord], Cursor]:
    """One run from a cursor to the end, by a new provider."""
    provider, _ = world.connect()
    pages = list(provider.changes(object_type, cursor, MAPPED))
    return [record for page in pages for record in page.records], dict(pages[-1].cursor)


def specs(world: World, object_type: str) -> dict[str, FieldSpec]:
    provider, _ = world.connect()
    return {spec.path: spec for spec in provider.describe(object_type)}


# --- who we are -----------------------------------------------------------------------------------------------------


def test_identify_tells_the_organisation_by_its_long_id_and_the_user(world: World) -> None:
    provider, _ = world.connect()
    account = provider.identify()
    assert account.external_id == next(world.store.all("Organization"))["Id"]
    assert (len(account.external_id), account.name) == (18, "Acme Field Sales")
    assert (account.user, account.url, account.warnings) == ("integration@acme.example", world.server.url, ())


def test_an_app_without_the_scope_id_knows_its_organisation_all_the_same(world: World) -> None:
    world.dial({"kind": "no_id_scope"})
    account = world.connect()[0].identify()
    assert account.external_id == next(world.store.all("Organization"))["Id"]
    assert (account.name, account.user, account.url) == ("Acme Field Sales", "", world.server.url)


def test_identify_meets_an_expired_session_as_a_401_which_can_be_refreshed(world: World) -> None:
    """The user-info service would say 403, so a data service is asked first."""
    world.dial({"kind": "expire_session"})
    provider, api = world.connect()
    with pytest.raises(errors.Reconnect) as caught:
        provider.identify()
    assert (caught.value.status, len(api.calls)) == (401, 1)


@responses.activate
def test_missing_rights_are_warned_of_and_a_hidden_organisation_name_is_no_obstacle() -> None:
    listed = [{"name": "Lead", "queryable": True}, {"name": "Task", "queryable": True, "createable": False}]
    responses.get(f"{HOST}{DATA}/sobjects", json={"sobjects": listed})
    info = {"organization_id": "00Dxx0000001gPL", "name": "Int User", "preferred_username": "int@acme.example"}
    responses.get(f"{HOST}/services/oauth2/userinfo", json=info)
    responses.get(f"{HOST}{DATA}/query", status=400, json=[{"errorCode": "INVALID_TYPE", "message": "no Organization"}])
    account = offline().identify()
    assert (account.external_id, account.name, account.url) == ("00Dxx0000001gPLEAY", "Int User", HOST)
    assert len(account.warnings) == 2
    assert "Contact" in account.warnings[0]
    assert "Edit Tasks" in account.warnings[1]


@responses.activate
def test_an_app_that_may_not_see_the_organisation_is_told_which_scope_it_needs() -> None:
    responses.get(f"{HOST}{DATA}/sobjects", json={"sobjects": []})
    responses.get(f"{HOST}/services/oauth2/userinfo", json={"sub": "x"})
    responses.get(f"{HOST}{DATA}/query", status=400, json=[{"errorCode": "INVALID_TYPE", "message": "no Organization"}])
    with pytest.raises(errors.FixConfig, match="scope"):
        offline().identify()


# --- fields ---------------------------------------------------------------------------------------------------------


def test_describe_shows_kinds_choices_and_what_must_be_filled_in(world: World) -> None:
    lead = specs(world, "Lead")
    assert (lead["Email"].kind, lead["Phone"].kind, lead["DoNotCall"].kind) == ("email", "phone", "boolean")
    assert lead["LastName"].required
    assert lead["LastName"].max_length == 80
    assert not lead["Status"].required  # it has a default
    assert ("Open - Not Contacted", "Open - Not Contacted") in lead["Status"].options
    assert not lead["SystemModstamp"].writable
    assert "Address" not in lead  # a compound; its parts are there
    assert "City" in lead


def test_describe_offers_the_owners_address_and_the_accounts_name(world: World) -> None:
    assert specs(world, "Lead")["Owner.Email"].kind == "user"
    contact = specs(world, "Contact")
    assert (contact["Account.Name"].kind, contact["Account.Name"].writable) == ("string", False)


def test_a_field_without_field_level_security_is_not_there_and_does_not_break_reading(world: World) -> None:
    world.store.put("_hidden", "1", {"object": "Lead", "field": "DoNotCall"})
    world.store.put("_hidden", "2", {"object": "Lead", "field": "IsConverted"})
    assert "DoNotCall" not in specs(world, "Lead")
    records, _ = since(world, None)
    assert len(records) == world.store.count("Lead")
    assert "DoNotCall" not in records[0].fields


# --- reading everything ---------------------------------------------------------------------------------------------


def test_a_first_load_brings_every_lead_once_in_order_of_change(world: World) -> None:
    provider, _ = world.connect()
    pages = list(provider.changes("Lead", None, MAPPED))
    records = [record for page in pages for record in page.records]
    assert {record.id for record in records} == {row["Id"] for row in world.store.all("Lead")}
    assert len(records) == len({record.id for record in records})
    assert [(r.modified_at, r.id) for r in records] == sorted((r.modified_at, r.id) for r in records)
    assert len(pages) > 1
    assert pages[0].total == len(records)


def test_records_are_read_by_mapping_paths_and_keep_the_services_own_answer(world: World) -> None:
    record = world.people("Contact", "FirstName", "Account.Name", "Owner.Email || Email", "No_Such__c", "no path!")[0]
    stored = world.store.get("Contact", record.id) or {}
    assert record.fields["FirstName"] == stored["FirstName"]
    assert record.fields["Owner"]["Email"].endswith("@acme.example")
    assert record.fields["Email"] == stored["Email"]
    assert "No_Such__c" not in record.fields
    assert record.raw["attributes"]["type"] == "Contact"
    assert record.modified_at.tzinfo is UTC
    assert record.url == f"{world.server.url}/lightning/r/Contact/{record.id}/view"


def test_a_lead_of_a_queue_has_no_owners_address(world: World) -> None:
    queue = next(world.store.all("Group"))["Id"]
    owners = {
        (world.store.get("Lead", record.id) or {})["OwnerId"]: record.fields["Owner"]["Email"]
        for record in world.people("Lead", "Owner.Email")
    }
    assert owners.pop(queue) is None
    assert all(owners.values())


def test_converted_leads_come_but_are_not_to_be_dialled(world: World) -> None:
    records = world.people("Lead", "FirstName")
    converted = {row["Id"] for row in world.store.all("Lead") if row["IsConverted"]}
    assert {record.id for record in records if record.inactive} == converted
    assert len(converted) > 5


# --- reading changes ------------------------------------------------------------------------------------------------


def test_nothing_changed_is_one_empty_page_with_a_cursor_that_moved(world: World) -> None:
    _, cursor = since(world, None)
    cursor = {"until": (datetime.fromisoformat(cursor["until"]) - timedelta(minutes=5)).isoformat()}
    provider, _ = world.connect()
    pages = list(provider.changes("Lead", cursor, MAPPED))
    assert [list(page.records) for page in pages] == [[]]
    assert pages[0].cursor["until"] > cursor["until"]


def test_changed_created_deleted_and_converted_records_come_with_the_next_run(world: World) -> None:
    _, cursor = since(world, None)
    changed, deleted, converted = world.lead(1), world.lead(2), world.lead(3)
    world.change("Lead", changed, Title="Head of Sales")
    world.sandbox.clock.advance(-30)
    created = world.ask("POST", f"{DATA}/sobjects/Lead", json={"LastName": "New", "Company": "Acme"}).json()["id"]
    world.ask("DELETE", f"{DATA}/sobjects/Lead/{deleted}").raise_for_status()
    world.sandbox.clock.advance(30)
    world.convert(converted)
    row = world.store.get("Lead", converted) or {}
    world.sandbox.org.save(
        "Lead", {**row, "SystemModstamp": (world.store.get("Lead", created) or {})["SystemModstamp"]}
    )

    records, _ = since(world, cursor)
    by_id = {record.id: record for record in records}
    assert set(by_id) == {changed, created, deleted, converted}
    assert by_id[changed].fields["Title"] == "Head of Sales"
    assert by_id[deleted].deleted
    assert by_id[converted].inactive
    assert by_id[converted].raw["ConvertedContactId"]


def test_a_row_committed_late_behind_the_cursor_is_not_left_out(world: World) -> None:
    """Its stamp is older than the last window's end, and it was invisible while that window was read."""
    world.dial({"kind": "late_commit", "seconds": 200, "times": 1})
    world.change("Lead", world.lead(), seconds_ago=120, Title="Written by a long transaction")
    first, cursor = since(world, None)
    world.sandbox.clock.advance(100)
    second, _ = since(world, cursor)
    assert "Written by a long transaction" not in {record.fields["Title"] for record in first}
    assert [record.fields["Title"] for record in second] == ["Written by a long transaction"]
    assert second[0].modified_at < datetime.fromisoformat(cursor["until"])


def test_the_cursor_never_goes_back(world: World) -> None:
    ahead = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    _, cursor = since(world, {"until": ahead})
    assert datetime.fromisoformat(cursor["until"]) == datetime.fromisoformat(ahead)


# --- resuming -------------------------------------------------------------------------------------------------------


def resumed(world: World, cursor: Cursor) -> list[str]:
    return [record.id for record in since(world, cursor)[0]]


@pytest.mark.parametrize("pages_read", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("locators", ["kept", "lost"])
def test_another_process_goes_on_after_any_page_also_when_the_service_forgot_its_place(
    world: World, pages_read: int, locators: str
) -> None:
    """Three hundred rows share a stamp, so the place within a stamp matters too."""
    if locators == "lost":
        world.dial({"kind": "lose_locators"})
    provider, _ = world.connect()
    read: list[str] = []
    cursor: Cursor = {}
    for number, page in enumerate(provider.changes("Lead", None, MAPPED), start=1):
        read += [record.id for record in page.records]
        cursor = dict(page.cursor)
        if number == pages_read:
            break
    everything = [row["Id"] for row in world.store.all("Lead")]
    assert 0 < len(read) < len(everything)
    assert sorted(read + resumed(world, cursor)) == sorted(everything)


def test_a_place_is_forgotten_after_two_days_and_reading_goes_on(world: World) -> None:
    provider, _ = world.connect()
    first = next(iter(provider.changes("Lead", None, MAPPED)))
    world.sandbox.clock.advance(2 * 86_400 + 60)
    world.credential = Provider.renew(world.credential, token_call, datetime.now(UTC))
    expired = world.ask("GET", first.cursor["locator"])
    assert expired.json()[0]["errorCode"] == "INVALID_QUERY_LOCATOR"
    assert len(first.records) + len(resumed(world, first.cursor)) == world.store.count("Lead")


def test_a_run_of_changes_that_is_interrupted_keeps_its_window(world: World) -> None:
    before = datetime(2024, 1, 1, tzinfo=UTC).isoformat()
    provider, _ = world.connect()
    first = next(iter(provider.changes("Lead", {"until": before}, MAPPED)))
    world.dial({"kind": "lose_locators"})
    world.ask("DELETE", f"{DATA}/sobjects/Lead/{world.lead(1)}").raise_for_status()
    rest, cursor = since(world, first.cursor)
    assert len(first.records) + len(rest) == world.store.count("Lead")
    assert cursor == {"until": first.cursor["until"]}


# --- odd answers ----------------------------------------------------------------------------------------------------

DATE = {"Date": "Mon, 02 Mar 2026 12:00:00 GMT"}
LEAD_FIELDS = [{"name": "Id", "type": "id"}, {"name": "SystemModstamp", "type": "datetime"}]


def row(number: int) -> dict[str, str]:
    return {"Id": f"00Qxx00000{number:05d}EAA", "SystemModstamp": "2026-03-01T10:00:00.000+0000"}


@responses.activate
def test_short_and_empty_pages_in_between_are_read_through() -> None:
    responses.get(f"{HOST}{DATA}/sobjects/Lead/describe", json={"fields": LEAD_FIELDS}, headers=DATE)
    more = f"{DATA}/query/01g-"
    first = {"totalSize": 2, "done": False, "nextRecordsUrl": f"{more}1", "records": [row(1)]}
    responses.get(f"{HOST}{DATA}/query", json=first)
    responses.get(f"{HOST}{more}1", json={"totalSize": 2, "done": False, "nextRecordsUrl": f"{more}2", "records": []})
    responses.get(f"{HOST}{more}2", json={"totalSize": 2, "done": True, "records": [row(2)]})
    pages = list(offline().changes("Lead", None, []))
    assert [len(page.records) for page in pages] == [1, 1]
    assert pages[-1].cursor == {"until": "2026-03-02T11:59:58+00:00"}


@pytest.mark.parametrize("address", ["https://evil.example/services/data/v59.0/query/01g", "//evil.example", "", None])
@responses.activate
def test_a_list_that_goes_on_at_another_host_is_not_followed(address: str | None) -> None:
    responses.get(f"{HOST}{DATA}/sobjects/Lead/describe", json={"fields": LEAD_FIELDS}, headers=DATE)
    body = {"totalSize": 9, "done": False, "nextRecordsUrl": address, "records": [row(1)]}
    responses.get(f"{HOST}{DATA}/query", json=body)
    with pytest.raises(errors.Retry):
        list(offline().changes("Lead", None, []))
    assert {call.request.url.split("/")[2] for call in responses.calls if call.request.url} == {
        "acme.my.salesforce.com"
    }


@responses.activate
def test_a_list_that_goes_round_in_circles_is_given_up() -> None:
    responses.get(f"{HOST}{DATA}/sobjects/Lead/describe", json={"fields": LEAD_FIELDS}, headers=DATE)
    body = {"totalSize": 9, "done": False, "nextRecordsUrl": f"{DATA}/query/01g-1", "records": [row(1)]}
    responses.get(f"{HOST}{DATA}/query", json=body)
    responses.get(f"{HOST}{DATA}/query/01g-1", json=body)
    with pytest.raises(errors.Retry):
        list(offline().changes("Lead", None, []))
    with pytest.raises(errors.Retry):
        offline().fetch("Lead", [row(1)["Id"]], [])


@pytest.mark.parametrize("body", ["", "<html>busy</html>", '{"records": [', "[]"])
@responses.activate
def test_a_cut_off_answer_is_asked_for_again(body: str) -> None:
    responses.get(f"{HOST}{DATA}/sobjects/Lead/describe", body=body, headers=DATE)
    with pytest.raises(errors.Retry):
        offline().describe("Lead")


@responses.activate
def test_our_own_clock_never_stands_in_for_the_services() -> None:
    responses.get(f"{HOST}{DATA}/sobjects/Lead/describe", json={"fields": LEAD_FIELDS})
    responses.get(f"{HOST}{DATA}/query", json={"totalSize": 1, "done": True, "records": []})
    with pytest.raises(errors.Retry, match="clock"):
        list(offline().changes("Lead", None, []))


def test_a_broken_service_is_told_as_such(world: World) -> None:
    world.dial({"kind": "html502", "match": "query"})
    provider, _ = world.connect()
    with pytest.raises(errors.Retry):
        list(provider.changes("Lead", None, []))


# --- fetching -------------------------------------------------------------------------------------------------------


def test_fetch_takes_few_requests_and_names_what_is_missing(world: World) -> None:
    leads = [str(row["Id"]) for row in world.store.all("Lead")][:700]
    gone = world.lead(5)
    world.ask("DELETE", f"{DATA}/sobjects/Lead/{gone}").raise_for_status()
    provider, api = world.connect()
    strange = ["00Q000000000000", "not an id' OR Name != '"]
    fetched = provider.fetch("Lead", [*leads, *strange], MAPPED)
    assert sorted(fetched.missing) == sorted(strange)
    assert {record.id for record in fetched.records if not record.deleted} == set(leads) - {gone}
    assert {record.id for record in fetched.records if record.deleted} == {gone}
    assert len(api.calls) <= 1 + 2 + 2 * 3 + 1  # describe, two queries and their pages of 200, and the recycle bin


def test_fetch_by_short_ids_answers_with_long_ones(world: World) -> None:
    lead = world.lead()
    provider, _ = world.connect()
    fetched = provider.fetch("Lead", [lead[:15]], [])
    assert ([record.id for record in fetched.records], list(fetched.missing)) == ([lead], [])


def test_many_mapped_fields_make_smaller_questions_so_that_the_address_stays_short(world: World) -> None:
    for number in range(300):
        name = f"A_Rather_Long_Field_Name_{number:03d}"
        document = {"TableEnumOrId": "Lead", "DeveloperName": name, "Metadata": {"type": "Text", "length": 9}}
        world.store.put("CustomField", name, {**document, "visible_from": 0})
        world.store.put(
            "FieldPermissions", name, {"ParentId": "set", "Field": f"Lead.{name}__c", "PermissionsRead": True}
        )
    user = next(row["Id"] for row in world.store.all("User") if row["Username"] == "integration@acme.example")
    world.store.put("PermissionSetAssignment", "a", {"AssigneeId": user, "PermissionSetId": "set"})
    provider, _ = world.connect()
    leads = [str(row["Id"]) for row in world.store.all("Lead")][:300]
    paths = [f"A_Rather_Long_Field_Name_{number:03d}__c" for number in range(300)]
    assert len(provider.fetch("Lead", leads, paths).records) == 300


def test_no_ids_are_no_question(world: World) -> None:
    provider, api = world.connect()
    assert list(provider.fetch("Lead", [], []).records) == []
    assert not [call for call in api.calls if "/query" in call]
