"""The fake HubSpot is as unkind about values, batches, merges and rights as the real one, and tells of every change."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from integrations import errors
from integrations.providers.hubspot.objects import Objects
from integrations.providers.hubspot.sandbox import Sandbox
from integrations.providers.hubspot.sandbox.portal import LIMITED_TOKEN
from tests.providers.hubspot.conftest import World

Told = tuple[str, tuple[str, ...], str, dict[str, Any], str]


@pytest.fixture
def objects(world: World) -> Objects:
    return Objects(world.connect().api)


@pytest.fixture
def told(world: World, monkeypatch: pytest.MonkeyPatch) -> list[Told]:
    """Every change that whoever sends webhooks hears of."""
    heard: list[Told] = []

    def hear(
        _self: Sandbox, kind: str, ids: Sequence[str], change: str, properties: Mapping[str, Any], source: str
    ) -> None:
        heard.append((kind, tuple(ids), change, dict(properties), source))

    monkeypatch.setattr(Sandbox, "changed", hear)
    return heard


# --- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["2026-05-06T10:00:00Z", "06.05.2026"])
def test_a_date_has_to_be_a_midnight(objects: Objects, value: str) -> None:
    with pytest.raises(errors.FixData) as refusal:
        objects.create("contacts", {"renewal_date": value})
    assert refusal.value.fields == ("renewal_date",)


def test_a_leading_semicolon_adds_a_choice(objects: Objects, world: World) -> None:
    record_id = objects.create("contacts", {"lastname": "x", "interests": "voice"})["id"]
    objects.update("contacts", record_id, {"interests": ";sms"})
    assert world.held("contacts", record_id)["interests"] == "voice;sms"
    objects.update("contacts", record_id, {"interests": "coaching"})
    assert world.held("contacts", record_id)["interests"] == "coaching"


def test_a_stage_goes_only_forward_unless_it_is_cleared(objects: Objects, world: World) -> None:
    record_id = objects.create("contacts", {"lifecyclestage": "customer"})["id"]
    objects.update("contacts", record_id, {"lifecyclestage": "lead"})
    assert world.held("contacts", record_id)["lifecyclestage"] == "customer"
    objects.update("contacts", record_id, {"lifecyclestage": ""})
    objects.update("contacts", record_id, {"lifecyclestage": "lead"})
    assert world.held("contacts", record_id)["lifecyclestage"] == "lead"


# --- batches --------------------------------------------------------------------------------------------------------


def test_a_record_id_is_no_unique_property(objects: Objects, world: World) -> None:
    one = {"id": world.contact_ids()[0], "idProperty": "hs_object_id", "properties": {"city": "Graz"}}
    with pytest.raises(errors.FixData, match="non-unique"):
        objects.batch("contacts", "update", [one])


def test_an_address_instead_of_an_id_changes_nothing_and_succeeds(objects: Objects, world: World) -> None:
    contact = world.addressed()[0]
    address = world.held("contacts", contact)["email"]
    answer = objects.batch("contacts", "update", [{"id": address, "properties": {"city": "Graz"}}])
    assert (answer.status_code, answer.json()["results"]) == (200, [])
    assert world.held("contacts", contact).get("city") != "Graz"


def test_an_upsert_by_address_is_taken_or_refused_as_a_whole(objects: Objects, world: World) -> None:
    def one(address: str, **properties: str) -> dict[str, Any]:
        return {"id": address, "idProperty": "email", "properties": properties, "objectWriteTraceId": address}

    with pytest.raises(errors.FixData):
        objects.batch("contacts", "upsert", [one("a@fresh.example"), one("b@fresh.example", seats="many")])
    results = objects.batch("contacts", "upsert", [one("a@fresh.example"), one("b@fresh.example")]).json()["results"]
    assert [record["new"] for record in results] == [True, True]


def test_properties_are_made_read_and_archived_in_batches(world: World) -> None:
    api, batch = world.connect().api, "/crm/v3/properties/contacts/batch"
    api.request("POST", "/crm/v3/properties/contacts/groups", json={"name": "dialer", "label": "Dialer"})
    inputs = [
        {"name": name, "label": name, "groupName": "dialer", "type": "string", "fieldType": "text"}
        for name in ("one", "two", "email")
    ]
    made = api.request("POST", f"{batch}/create", json={"inputs": inputs})
    assert (made.status_code, len(made.json()["results"]), made.json()["numErrors"]) == (207, 2, 1)
    names = {"inputs": [{"name": "one"}, {"name": "two"}, {"name": "three"}]}
    assert len(api.request("POST", f"{batch}/read", json=names).json()["results"]) == 2
    assert api.request("POST", f"{batch}/archive", json=names).status_code == 204
    assert api.request("POST", f"{batch}/read", json=names).json()["results"] == []


# --- rights ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["companies", "deals"])
def test_each_object_has_scopes_of_its_own(world: World, kind: str) -> None:
    limited = Objects(world.connect(LIMITED_TOKEN).api)
    with pytest.raises(errors.FixConfig, match=rf"crm\.objects\.{kind}\.read"):
        limited.page(kind, [])
    with pytest.raises(errors.FixConfig, match=rf"crm\.objects\.{kind}\.write"):
        limited.archive(kind, "1")
    limited.page("contacts", [])


# --- what others are told -------------------------------------------------------------------------------------------


def test_what_people_do_by_hand_is_told(world: World, told: list[Told]) -> None:
    made = world.portal.add("contacts", {"lastname": "New"})
    world.portal.edit("contacts", made, {"phone": "+14155550100", "lastname": "New"})
    world.portal.remove("contacts", made)
    world.portal.restore("contacts", made)
    assert told == [
        ("contacts", (made,), "creation", {"lastname": "New"}, "CRM_UI"),
        ("contacts", (made,), "propertyChange", {"phone": "+14155550100"}, "CRM_UI"),
        ("contacts", (made,), "deletion", {}, "CRM_UI"),
        ("contacts", (made,), "restore", {}, "CRM_UI"),
    ]


def test_nobody_edits_what_is_not_there(world: World) -> None:
    for work in (world.portal.edit, lambda kind, one, _: world.portal.remove(kind, one)):
        with pytest.raises(KeyError):
            work("contacts", "999999", {"city": "Graz"})


def test_what_programs_do_is_told_as_theirs(world: World, objects: Objects, told: list[Told]) -> None:
    contact = world.contact_ids()[0]
    objects.update("contacts", contact, {"city": "Graz"})
    objects.update("contacts", contact, {"city": "Graz"})
    objects.erase("contacts", contact)
    assert [(ids, change, source) for _, ids, change, _, source in told] == [
        ((contact,), "propertyChange", "INTEGRATION"),
        ((contact,), "privacyDeletion", "INTEGRATION"),
        ((contact,), "deletion", "INTEGRATION"),
    ]


@pytest.mark.parametrize("fault", [None, "merge_makes_new"], ids=["one wins", "a new record"])
def test_a_merge_is_told_with_the_survivor_first(
    world: World, objects: Objects, told: list[Told], fault: str | None
) -> None:
    winner, loser = world.contact_ids()[:2]
    if fault:
        world.fault(fault)
    survivor = objects.merge("contacts", winner, loser)["id"]
    merges = [ids for _, ids, change, _, _ in told if change == "merge"]
    assert merges == [(survivor, winner, loser) if fault else (winner, loser)]
    assert not [change for _, _, change, _, _ in told if change in {"creation", "deletion"}]


def test_a_tie_is_told_with_both_ends(world: World, told: list[Told]) -> None:
    contact, deal = world.contact_ids()[500], world.ids("deals")[0]
    for method in ("PUT", "DELETE"):
        address = f"/crm/v3/objects/contacts/{contact}/associations/deals/{deal}/4"
        world.connect().api.request(method, address)
    assert [
        (kind, change, more["associationType"], more["associationRemoved"]) for kind, _, change, more, _ in told
    ] == [
        ("contacts", "associationChange", "CONTACT_TO_DEAL", False),
        ("contacts", "associationChange", "CONTACT_TO_DEAL", True),
    ]


def test_nobody_hears_of_what_the_portal_starts_with(told: list[Told], world: World) -> None:
    world.portal.add_contacts(3, world.portal.clock.now())
    assert told == []
