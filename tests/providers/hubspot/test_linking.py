"""Associations against the sandbox: every way to tie two records, and what each direction is called."""

import pytest
from pytest_django import Settings

from integrations import errors
from integrations.providers.hubspot.association_types import PRIMARY_IDS, TYPE_IDS, type_spec
from integrations.providers.hubspot.linking import Links
from integrations.providers.hubspot.objects import Objects
from tests.providers.hubspot.conftest import World


def links(world: World, kind: str, other: str) -> Links:
    return Links(world.connect().api, kind, other)


def a_call(world: World) -> str:
    return str(Objects(world.connect().api).create("calls", {"hs_timestamp": "2026-11-20T10:00:00Z"})["id"])


@pytest.mark.parametrize(
    ("pair", "number"),
    [
        pytest.param(("calls", "contacts"), 194, id="call to contact"),
        pytest.param(("contacts", "calls"), 193, id="contact to call"),
        pytest.param(("calls", "companies"), 182, id="call to company"),
        pytest.param(("companies", "calls"), 181, id="company to call"),
        pytest.param(("calls", "deals"), 206, id="call to deal"),
        pytest.param(("deals", "calls"), 205, id="deal to call"),
        pytest.param(("calls", "tickets"), 220, id="call to ticket"),
        pytest.param(("calls", "leads"), 597, id="call to lead"),
        pytest.param(("contacts", "companies"), 279, id="contact to company"),
        pytest.param(("companies", "contacts"), 280, id="company to contact"),
        pytest.param(("contacts", "deals"), 4, id="contact to deal"),
        pytest.param(("deals", "contacts"), 3, id="deal to contact"),
        pytest.param(("deals", "companies"), 341, id="deal to company"),
        pytest.param(("notes", "contacts"), 202, id="note to contact"),
        pytest.param(("tasks", "contacts"), 204, id="task to contact"),
    ],
)
def test_a_direction_has_its_number(pair: tuple[str, str], number: int) -> None:
    assert type_spec(pair) == {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": number}


def test_no_two_directions_share_a_number() -> None:
    numbers = [*TYPE_IDS.values(), *PRIMARY_IDS.values()]
    assert len(set(numbers)) == len(numbers)


def test_a_contact_is_tied_to_a_deal_by_the_classic_form(world: World) -> None:
    contact, deal = world.contact_ids()[500], world.ids("deals")[0]
    ties = links(world, "contacts", "deals")
    for _ in range(2):
        ties.tie_classic(contact, deal, "4")
    assert list(ties.of(contact)) == [deal]
    assert contact in list(links(world, "deals", "contacts").of(deal))
    ties.untie_classic(contact, deal, "4")
    assert list(ties.of(contact)) == []


@pytest.mark.parametrize("named", ["194", "call_to_contact"])
def test_a_call_is_tied_to_a_contact_by_the_classic_form(world: World, named: str) -> None:
    call, contact = a_call(world), world.contact_ids()[0]
    links(world, "calls", "contacts").tie_classic(call, contact, named)
    assert list(links(world, "contacts", "calls").of(contact)) == [call]
    links(world, "calls", "contacts").untie_classic(call, contact, named)
    assert list(links(world, "contacts", "calls").of(contact)) == []


def test_the_number_of_the_other_direction_is_refused(world: World) -> None:
    with pytest.raises(errors.FixData, match="Association type 193 is not valid"):
        links(world, "calls", "contacts").tie_classic(a_call(world), world.contact_ids()[0], "193")


def test_a_tie_by_default_is_made_and_taken_away(world: World) -> None:
    contact, company = world.contact_ids()[500], world.ids("companies")[0]
    ties = links(world, "contacts", "companies")
    for _ in range(2):
        ties.tie(contact, company)
    assert list(ties.of(contact)) == [company]
    for _ in range(2):
        ties.untie(contact, company)
    assert list(ties.of(contact)) == []


def test_a_tie_by_type_tells_its_labels(world: World) -> None:
    contact, company = world.contact_ids()[500], world.ids("companies")[0]
    told = links(world, "contacts", "companies").tie_typed(contact, company, [1])
    assert told["labels"] == ["Primary"]
    assert (told["fromObjectTypeId"], told["fromObjectId"]) == ("0-1", int(contact))


def test_the_types_between_two_objects_are_listed(world: World) -> None:
    listed = links(world, "contacts", "companies").labels()
    assert [(one["typeId"], one["label"]) for one in listed] == [(279, None), (1, "Primary")]


def test_many_pairs_take_one_request(world: World) -> None:
    contacts, deal = world.contact_ids()[500:503], world.ids("deals")[0]
    ties = links(world, "contacts", "deals")
    answer = ties.tie_batch([*((contact, deal) for contact in contacts), ("999999", deal)])
    assert len(answer["results"]) == 3
    assert answer["errors"][0]["context"]["objectId"] == ["999999"]
    assert ties.of_many([*contacts, "999999"]) == {contact: [deal] for contact in contacts}
    ties.untie_batch([(contact, deal) for contact in contacts])
    assert ties.of_many(contacts) == {contact: [] for contact in contacts}


def test_more_ties_than_fit_on_a_page_are_all_listed(world: World) -> None:
    deal, contacts = world.ids("deals")[0], world.contact_ids()[100:700]
    links(world, "deals", "contacts").tie_batch([(deal, contact) for contact in contacts])
    assert set(contacts) < set(links(world, "deals", "contacts").of(deal))


@pytest.mark.parametrize("gone", ["contact", "deal"])
def test_a_tie_to_nobody_is_refused(world: World, gone: str) -> None:
    contact = "999999" if gone == "contact" else world.contact_ids()[0]
    deal = "999999" if gone == "deal" else world.ids("deals")[0]
    with pytest.raises(errors.Gone):
        links(world, "contacts", "deals").tie(contact, deal)


def test_the_ties_of_nobody_are_gone(world: World) -> None:
    with pytest.raises(errors.Gone):
        list(links(world, "contacts", "deals").of("999999"))


def test_a_merge_takes_the_ties_along(world: World) -> None:
    winner, loser = world.contact_ids()[:2]
    world.connect().merge("contacts", winner, loser)
    assert list(links(world, "contacts", "deals").of(winner)) == world.ids("deals")[:2]


def test_a_deal_in_the_bin_is_tied_to_nobody(world: World) -> None:
    contact, deal = world.contact_ids()[0], world.ids("deals")[0]
    world.portal.remove("deals", deal)
    assert list(links(world, "contacts", "deals").of(contact)) == []
    world.portal.restore("deals", deal)
    assert list(links(world, "contacts", "deals").of(contact)) == [deal]


def test_the_dated_paths_lead_to_the_same_ties(world: World, settings: Settings) -> None:
    settings.HUBSPOT_API_VERSIONS = ["associations=2026-09", "objects=2026-09"]
    contact, deal = world.contact_ids()[500], world.ids("deals")[0]
    ties = links(world, "contacts", "deals")
    ties.tie(contact, deal)
    assert ties.of_many([contact]) == {contact: [deal]}
    ties.untie(contact, deal)
    ties.tie_classic(contact, deal, "4")
    assert list(ties.of(contact)) == [deal]
