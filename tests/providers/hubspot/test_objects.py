"""The routes of objects against the sandbox: the same for contacts, companies, deals and calls."""

from typing import Any

import pytest
from pytest_django import Settings

from integrations import errors
from integrations.providers.hubspot.objects import Objects
from integrations.providers.hubspot.provider import Provider
from tests.providers.hubspot.conftest import World, sent

NAMES = {"contacts": "lastname", "companies": "name", "deals": "dealname", "calls": "hs_call_title"}
DIALING_LIST: dict[str, Any] = {
    "filterGroups": [
        {
            "filters": [
                {"propertyName": "lifecyclestage", "operator": "EQ", "value": "lead"},
                {"propertyName": "hs_lead_status", "operator": "EQ", "value": "NEW"},
            ]
        }
    ],
    "properties": ["firstname", "lastname", "phone", "mobilephone", "email", "company"],
    "limit": 100,
    "after": "0",
}


@pytest.fixture
def objects(world: World) -> Objects:
    return Objects(world.connect().api)


def made(objects: Objects, kind: str, name: str = "Made here") -> str:
    extra = {"hs_timestamp": "2026-11-20T10:00:00Z"} if kind == "calls" else {}
    return str(objects.create(kind, {NAMES[kind]: name, **extra})["id"])


@pytest.mark.parametrize("kind", list(NAMES))
def test_a_record_is_created_read_changed_and_archived(objects: Objects, kind: str) -> None:
    record_id, name = made(objects, kind), NAMES[kind]
    assert objects.read(kind, record_id, [name])["properties"] == {name: "Made here"}
    assert objects.update(kind, record_id, {name: ""})["id"] == record_id
    assert objects.read(kind, record_id, [name])["properties"] == {name: None}, "an empty text clears"
    objects.archive(kind, record_id)
    objects.archive(kind, record_id)
    with pytest.raises(errors.Gone):
        objects.read(kind, record_id, [name])
    assert objects.read(kind, record_id, [name], archived=True)["archived"] is True


@pytest.mark.parametrize("kind", list(NAMES))
def test_a_batch_creates_reads_changes_and_archives(objects: Objects, kind: str) -> None:
    name, extra = NAMES[kind], {"hs_timestamp": "2026-11-20T10:00:00Z"} if kind == "calls" else {}
    inputs = [{"properties": {name: f"Made {number}", **extra}} for number in range(3)]
    created = objects.batch(kind, "create", inputs)
    assert created.status_code == 201
    ids = sorted(record["id"] for record in created.json()["results"])
    objects.batch(kind, "update", [{"id": one, "properties": {name: "Changed"}} for one in ids])
    read = objects.batch_read(kind, [*ids, "999999"], [name])
    assert {record["id"]: record["properties"][name] for record in read["results"]} == dict.fromkeys(ids, "Changed")
    assert read["errors"][0]["context"]["ids"] == ["999999"], "207: one missing id fails nobody"
    assert objects.batch(kind, "archive", [{"id": one} for one in ids]).status_code == 204
    assert objects.batch_read(kind, ids, [name])["results"] == []


def test_a_dialing_list_is_searched_for(objects: Objects, world: World) -> None:
    found = objects.search("contacts", DIALING_LIST).json()
    assert found["total"] == len(found["results"]) > 0
    for record in found["results"]:
        held = world.held("contacts", record["id"])
        assert (held["lifecyclestage"], held["hs_lead_status"]) == ("lead", "NEW")
        assert set(record["properties"]) == {*DIALING_LIST["properties"]}


@pytest.mark.parametrize("kind", ["companies", "deals"])
def test_companies_and_deals_are_searched_for(objects: Objects, kind: str) -> None:
    asked = {"propertyName": NAMES[kind], "operator": "HAS_PROPERTY"}
    found = objects.search(kind, {"filterGroups": [{"filters": [asked]}], "limit": 10}).json()
    assert len(found["results"]) == 10 < found["total"]


def test_a_list_is_read_page_by_page(objects: Objects, world: World) -> None:
    first = objects.page("deals", ["dealname"]).json()
    assert [record["id"] for record in first["results"]] == world.ids("deals")
    contacts = objects.page("contacts", ["email"]).json()
    after = contacts["paging"]["next"]["after"]
    assert objects.page("contacts", ["email"], after=after).json()["results"][0]["id"] == world.contact_ids()[100]


def test_a_record_is_found_by_a_unique_value(objects: Objects, world: World) -> None:
    contact = world.contact_ids()[0]
    address = world.held("contacts", contact)["email"]
    assert objects.read("contacts", address.upper(), [], id_property="email")["id"] == contact
    assert objects.update("contacts", address, {"city": "Graz"}, id_property="email")["id"] == contact
    with pytest.raises(errors.FixData, match="not a unique property"):
        objects.read("contacts", "Graz", [], id_property="city")


def test_the_ties_of_a_record_come_with_it(objects: Objects, world: World) -> None:
    contact = world.contact_ids()[0]
    record = objects.read("contacts", contact, ["email"], associations=["companies", "deals"])
    assert [one["id"] for one in record["associations"]["companies"]["results"]] == [world.ids("companies")[0]]
    assert record["associations"]["deals"]["results"][0]["type"] == "contact_to_deal"


def test_a_merge_leaves_one_record_that_names_the_other(objects: Objects, world: World) -> None:
    winner, loser = world.addressed()[:2]
    address = world.held("contacts", loser)["email"]
    assert objects.merge("contacts", winner, loser)["id"] == winner
    merged = ["hs_merged_object_ids", "hs_additional_emails"]
    assert objects.read("contacts", loser, merged)["properties"] == {merged[0]: loser, merged[1]: address}
    with pytest.raises(errors.FixData, match=f"under the id {winner}"):
        objects.create("contacts", {"email": address})


def test_erasing_leaves_nothing(objects: Objects, world: World) -> None:
    contact = world.contact_ids()[0]
    objects.erase("contacts", world.held("contacts", contact)["email"], id_property="email")
    objects.erase("contacts", contact)
    with pytest.raises(errors.Gone):
        objects.read("contacts", contact, [], archived=True)


@pytest.mark.parametrize("version", ["2026-03", "2026-09"])
def test_the_dated_paths_lead_to_the_same_records(world: World, settings: Settings, version: str) -> None:
    settings.HUBSPOT_API_VERSIONS = [f"{family}={version}" for family in ("objects", "properties", "owners")]
    provider = world.connect()
    found = provider.fetch("deals", world.ids("deals")[:2], ["dealname"])
    assert [record.fields["dealname"] for record in found.records] == ["Renewal 0", "Renewal 1"]
    assert provider.describe("deals")
    assert provider.users()
    assert sent(provider)[0] == f"POST /crm/objects/{version}/deals/batch/read"


# --- what the provider makes of them --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("companies", "industry", ("picklist", True)),
        ("companies", "hs_lastmodifieddate", ("datetime", False)),
        ("companies", "hubspot_owner_id", ("user", True)),
        ("deals", "dealstage", ("picklist", True)),
        ("deals", "amount", ("number", True)),
        ("calls", "hs_call_disposition", ("picklist", True)),
    ],
)
def test_every_object_type_is_described(world: World, kind: str, name: str, expected: tuple[str, bool]) -> None:
    fields = {field.path: field for field in world.connect().describe(kind)}
    assert (fields[name].kind, fields[name].writable) == expected


@pytest.mark.parametrize("kind", ["companies", "deals", "calls"])
def test_every_object_type_is_read_and_then_only_its_changes(world: World, kind: str) -> None:
    provider = world.connect()
    name = NAMES[kind]
    for number in range(3):
        made(provider._objects, kind, f"Made {number}")
    world.portal.clock.advance(200)
    pages = list(provider.changes(kind, None, [name]))
    assert [record.id for page in pages for record in page.records] == world.ids(kind)
    changed = world.ids(kind)[1]
    world.portal.edit(kind, changed, {name: "By hand"})
    world.portal.clock.advance(30)
    (page,) = provider.changes(kind, pages[-1].cursor, [name])
    assert [(record.id, record.fields[name]) for record in page.records] == [(changed, "By hand")]
    assert "0-" in page.records[0].url


def test_all_ids_cost_a_request_for_a_hundred(world: World) -> None:
    provider = world.connect()
    pages = list(provider.ids("contacts"))
    assert [one for page in pages for one in page] == world.contact_ids()
    assert sent(provider) == ["GET /crm/v3/objects/contacts"] * 12


def test_everybody_who_works_there_is_listed_even_who_left(world: World) -> None:
    users = {user.email: user for user in world.connect().users()}
    assert len(users) == 7
    assert (users["bruno.castel@northwind.example"].id, users["bruno.castel@northwind.example"].name) == (
        "70102",
        "Bruno Castel",
    )
    assert [email for email, user in users.items() if not user.active] == ["gone.away@northwind.example"]


def test_an_owner_is_found_by_either_number(world: World) -> None:
    owners = world.connect()._owners
    assert owners.one("70102")["userId"] == 9002
    assert owners.one("9002", id_property="userId")["id"] == "70102"
    assert owners.one("70107", archived=True)["userId"] is None
    with pytest.raises(errors.Gone):
        owners.one("1")


def test_a_stranger_among_the_owners_is_looked_for_once(world: World) -> None:
    provider = world.connect()
    assert provider._owners.emails(["4711"]) == {}
    assert provider._owners.emails(["4711"]) == {}
    assert provider._owners.id_of("nobody@northwind.example") == ""
    assert provider._owners.id_of("nobody@northwind.example") == ""
    assert sent(provider).count("GET /crm/v3/owners") == 4, "once for each stranger, the active and the archived ones"


def test_owners_that_may_not_be_read_are_told(limited: Provider) -> None:
    with pytest.raises(errors.FixConfig, match=r"crm\.objects\.owners\.read"):
        limited.users()


# --- what is gone ---------------------------------------------------------------------------------------------------


def losses(world: World, provider: Provider, since: Any) -> list[tuple[str, tuple[str, ...], str]]:
    found = provider.removals("contacts", since)
    return sorted((event.change.value, event.record_ids, event.moved_to) for event in found)


def test_deletions_and_merges_since_then_are_told(world: World) -> None:
    provider = world.connect()
    early, late, winner, loser = world.contact_ids()[:4]
    world.portal.remove("contacts", early)
    world.portal.clock.advance(3600)
    since = world.portal.clock.now()
    world.portal.remove("contacts", late)
    provider.merge("contacts", winner, loser)
    world.portal.clock.advance(10)
    assert losses(world, provider, since) == [("deleted", (late,), ""), ("merged", (loser,), winner)]
    keys = [event.dedupe_key for event in provider.removals("contacts", since)]
    assert keys == [event.dedupe_key for event in world.connect().removals("contacts", since)]


def test_a_restored_record_is_gone_no_more(world: World) -> None:
    provider, contact = world.connect(), world.contact_ids()[0]
    since = world.portal.clock.now()
    provider.delete("contacts", [contact])
    world.portal.restore("contacts", contact)
    assert losses(world, provider, since) == []
    assert [record.deleted for record in provider.fetch("contacts", [contact], ["email"]).records] == [False]


def test_a_merge_into_a_new_record_leads_both_there(world: World) -> None:
    provider, (winner, loser) = world.connect(), world.contact_ids()[:2]
    world.fault("merge_makes_new")
    new = provider.merge("contacts", winner, loser)
    assert new not in {winner, loser}
    fetched = provider.fetch("contacts", [winner, loser], ["email"])
    assert [record.moved_to for record in fetched.records] == [("contacts", new)] * 2
    assert {record.fields["email"] for record in fetched.records} == {world.held("contacts", new)["email"]}


def test_a_merge_that_is_done_already_is_a_success(world: World) -> None:
    provider, (winner, loser) = world.connect(), world.ids("companies")[:2]
    assert provider.merge("companies", winner, loser) == winner
    assert provider.merge("companies", winner, loser) == winner


@pytest.mark.parametrize("loser", ["999999", "the winner"])
def test_a_merge_with_nobody_or_itself_is_refused(world: World, loser: str) -> None:
    winner = world.contact_ids()[0]
    with pytest.raises(errors.FixData, match="two contacts that exist"):
        world.connect().merge("contacts", winner, winner if loser == "the winner" else loser)


def test_an_erased_record_is_missing(world: World) -> None:
    provider, contact = world.connect(), world.contact_ids()[0]
    provider._objects.erase("contacts", contact)
    fetched = provider.fetch("contacts", [contact], ["email"])
    assert (fetched.records, fetched.missing) == ([], [contact])


def test_deleting_a_hundred_takes_one_request_and_may_be_repeated(world: World) -> None:
    provider, ids = world.connect(), world.contact_ids()[:100]
    for _ in range(2):
        assert [(one.key, one.id, one.error) for one in provider.delete("contacts", ids)] == [
            (each, each, None) for each in ids
        ]
    assert sent(provider) == ["POST /crm/v3/objects/contacts/batch/archive"] * 2
    assert {record.deleted for record in provider.fetch("contacts", ids, ["email"]).records} == {True}


def test_a_refused_batch_of_deletions_is_done_one_by_one(world: World) -> None:
    ids = world.contact_ids()[:2]
    world.fault("status", status=400, body={"category": "VALIDATION_ERROR", "message": "no"}, match="batch/archive")
    provider = world.connect()
    assert [one.error for one in provider.delete("contacts", ids)] == [None, None]
    assert sent(provider)[1:] == [f"DELETE /crm/v3/objects/contacts/{one}" for one in ids]
