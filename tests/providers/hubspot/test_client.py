"""The provider against its sandbox over real HTTP: connecting, the schema, reading people."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from pytest_django import Settings

from integrations import errors
from integrations.providers.hubspot.provider import Provider
from integrations.providers.hubspot.sandbox.portal import ACCESS_TOKEN, REFRESH_TOKEN
from integrations.records.connections import Credential
from integrations.records.remote import ChangePage, Cursor
from tests.providers.harness import token_call
from tests.providers.hubspot.conftest import World, sent

PATHS = [row.crm_field for row in Provider.default_mappings]
OAUTH = Credential(auth="oauth", access_token=ACCESS_TOKEN, refresh_token=REFRESH_TOKEN)
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def pull(provider: Provider, cursor: Cursor | None, paths: list[str] | None = None) -> list[ChangePage]:
    return list(provider.changes("contacts", cursor, paths or PATHS))


def ids_of(pages: list[ChangePage]) -> list[str]:
    return [record.id for page in pages for record in page.records]


def since(moment: datetime) -> Cursor:
    return {"since": int(moment.timestamp() * 1000)}


# --- connecting -----------------------------------------------------------------------------------------------------


def test_a_pasted_token_shows_which_portal_it_opens(world: World) -> None:
    account = world.connect().identify()
    assert account.external_id == "4411223"
    assert account.url == "https://app.hubspot.com/contacts/4411223"
    assert account.warnings == ()


def test_missing_rights_are_told_when_connecting(limited: Provider) -> None:
    (warning,) = limited.identify().warnings
    assert "Owners cannot be read" in warning
    assert "crm.objects.owners.read" in warning


def test_a_refused_private_token_asks_for_a_new_connection_at_once(world: World) -> None:
    stranger = world.connect("pat-na1-unknown-9999")
    with pytest.raises(errors.Reconnect):
        stranger.identify()
    assert not Provider.renewable(Credential(auth="private_app", access_token="x", refresh_token="y"))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        pytest.param({"auth": "private_app"}, "access_token", id="no token"),
        pytest.param({"auth": "oauth", "access_token": "a"}, "refresh_token", id="no refresh token"),
        pytest.param({"auth": "api_key", "api_key": "k"}, "oauth, private_app", id="a kind HubSpot has not"),
    ],
)
def test_an_incomplete_credential_is_told_what_it_lacks(given: dict[str, str], told: str) -> None:
    with pytest.raises(errors.FixConfig, match=told):
        Provider.parse_credential(given)


# --- tokens ---------------------------------------------------------------------------------------------------------


def test_an_expired_access_token_is_renewed_and_works_again(world: World) -> None:
    world.portal.clock.advance(1801)
    with pytest.raises(errors.Reconnect, match="expired"):
        world.connect_as(OAUTH).identify()
    renewed = Provider.renew(OAUTH, token_call, NOW)
    assert renewed.refresh_token == REFRESH_TOKEN
    assert renewed.expires_at == NOW + timedelta(seconds=1800)
    assert world.connect_as(renewed).identify().external_id == "4411223"


def test_a_rotated_refresh_token_is_taken_over(world: World) -> None:
    world.fault("rotate_refresh_token")
    renewed = Provider.renew(OAUTH, token_call, NOW)
    assert renewed.refresh_token != REFRESH_TOKEN
    assert Provider.renew(renewed, token_call, NOW).access_token not in {renewed.access_token, ACCESS_TOKEN}


def test_an_uninstalled_app_asks_for_a_new_connection(world: World) -> None:
    world.connect().api.request("DELETE", f"/oauth/v1/refresh-tokens/{REFRESH_TOKEN}")
    with pytest.raises(errors.Reconnect, match="Connect again"):
        Provider.renew(OAUTH, token_call, NOW)


def test_a_tenant_may_bring_an_app_of_its_own(world: World, settings: Settings) -> None:
    own = {"client_id": settings.HUBSPOT_CLIENT_ID, "client_secret": settings.HUBSPOT_CLIENT_SECRET}
    settings.HUBSPOT_CLIENT_ID = settings.HUBSPOT_CLIENT_SECRET = ""
    with pytest.raises(errors.FixConfig, match="HUBSPOT_CLIENT_ID"):
        Provider.renew(OAUTH, token_call, NOW)
    credential = Provider.parse_credential(
        {"auth": "oauth", "access_token": ACCESS_TOKEN, "refresh_token": REFRESH_TOKEN, **own}
    )
    assert Provider.renew(credential, token_call, NOW).access_token != ACCESS_TOKEN


def test_a_wrong_app_secret_is_ours_to_mend_not_the_tenants(world: World, settings: Settings) -> None:
    settings.HUBSPOT_CLIENT_SECRET = "mistyped"
    with pytest.raises(errors.FixConfig):
        Provider.renew(OAUTH, token_call, NOW)


# --- the schema -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "writable", "custom"),
    [
        ("firstname", "string", True, False),
        ("email", "email", True, False),
        ("phone", "phone", True, False),
        ("message", "text", True, False),
        ("hs_lead_status", "picklist", True, False),
        ("hubspot_owner_id", "user", True, False),
        ("lastmodifieddate", "datetime", False, False),
        ("hs_full_name_or_email", "string", False, False),
        ("interests", "multipicklist", True, True),
        ("budget_confirmed", "boolean", True, True),
        ("renewal_date", "date", True, True),
        ("seats", "number", True, True),
        ("sdr_owner", "user", True, True),
    ],
)
def test_a_property_is_described_as_a_field(world: World, name: str, kind: str, writable: bool, custom: bool) -> None:
    fields = {field.path: field for field in world.connect().describe("contacts")}
    assert (fields[name].kind, fields[name].writable, fields[name].custom) == (kind, writable, custom)


def test_a_picklist_comes_with_the_values_to_send(world: World) -> None:
    fields = {field.path: field for field in world.connect().describe("contacts")}
    assert ("IN_PROGRESS", "In progress") in fields["hs_lead_status"].options


# --- everything -----------------------------------------------------------------------------------------------------


def test_the_first_run_brings_every_contact_once(world: World) -> None:
    pages = pull(world.connect(), None)
    assert ids_of(pages) == world.contact_ids()
    assert [len(page.records) for page in pages] == [100] * 12
    assert {page.total for page in pages} == {1200}
    assert pages[-1].cursor.keys() == {"since"}


@pytest.mark.parametrize("read", [1, 5, 11])
def test_a_first_run_goes_on_in_another_process_where_it_was_cut_off(world: World, read: int) -> None:
    feed = world.connect().changes("contacts", None, PATHS)
    before = [next(feed) for _ in range(read)]
    kept = json.loads(json.dumps(before[-1].cursor))
    world.portal.clock.advance(86_400 * 3)
    assert ids_of(before) + ids_of(pull(world.connect(), kept)) == world.contact_ids()


def test_a_record_is_readable_by_mapping_paths(world: World) -> None:
    record = next(world.connect().changes("contacts", None, [*PATHS, "sdr_owner", "jobtitle || company"])).records[6]
    assert record.raw["properties"]["sdr_owner"] == "70102"
    assert record.fields["sdr_owner"] == "bruno.castel@northwind.example"
    assert record.fields["hubspot_owner_id"] == "bruno.castel@northwind.example"
    assert record.fields["lastname"] == record.raw["properties"]["lastname"]
    assert record.modified_at == datetime(2025, 1, 7, 20, tzinfo=UTC)
    assert record.url == f"https://app.hubspot.com/contacts/4411223/record/0-1/{record.id}"


def test_what_an_answer_leaves_out_is_empty_where_every_account_has_it(world: World) -> None:
    one = world.contact_ids()[0]
    world.edit(one, phone="", jobtitle="")
    world.fault("sparse")
    (found,) = world.connect().fetch("contacts", [one], [*PATHS, "no_such_property"]).records
    assert (found.fields["phone"], found.fields["jobtitle"]) == (None, None)
    assert "phone" not in (found.raw or {})["properties"]
    assert "no_such_property" not in found.fields


def test_an_owner_who_left_is_still_shown_by_address(world: World) -> None:
    owners = {record.fields["hubspot_owner_id"] for page in pull(world.connect(), None) for record in page.records}
    assert "gone.away@northwind.example" in owners
    assert None in owners


def test_the_owners_are_asked_for_once_per_connection_opened(world: World) -> None:
    provider = world.connect()
    pull(provider, None)
    assert sent(provider).count("GET /crm/v3/owners") == 2, "the active ones and the archived ones"


def test_owners_that_may_not_be_read_are_left_out_rather_than_blank(limited: Provider) -> None:
    (page, *_) = pull(limited, None)
    owned = [record for record in page.records if record.raw["properties"]["hubspot_owner_id"]]
    assert owned
    assert all("hubspot_owner_id" not in record.fields for record in owned)


def test_a_mapped_property_that_does_not_exist_breaks_nothing(world: World) -> None:
    (page, *_) = pull(world.connect(), None, ["firstname", "ai_call_score", 'no_such_thing || "lastname"'])
    assert set(page.records[0].fields) == {"firstname", "lastname", "lastmodifieddate"}


def test_more_properties_than_fit_into_an_address_are_read_by_body(world: World) -> None:
    provider = world.connect()
    pages = pull(provider, None, ["firstname", *(f"a_rather_long_property_name_{number}" for number in range(300))])
    assert ids_of(pages) == world.contact_ids()
    assert "firstname" in pages[0].records[0].fields
    assert sent(provider).count("POST /crm/v3/objects/contacts/batch/read") == 12


# --- changes --------------------------------------------------------------------------------------------------------


def test_a_quiet_account_yields_one_empty_page_and_a_later_cursor(world: World) -> None:
    start = since(datetime.now(UTC) - timedelta(days=30))
    (page,) = pull(world.connect(), start)
    assert page.records == []
    assert page.cursor["since"] > start["since"]


def test_only_what_changed_comes_in_later_runs(world: World) -> None:
    provider = world.connect()
    cursor = pull(provider, None)[-1].cursor
    one, other = world.contact_ids()[17], world.contact_ids()[3]
    world.edit(one, jobtitle="Chief Astronomer")
    world.edit(other, phone="+14155550100")
    world.portal.clock.advance(5)
    (page,) = pull(provider, cursor)
    assert [record.id for record in page.records] == [other, one]
    assert page.records[1].fields["jobtitle"] == "Chief Astronomer"


def test_a_change_that_the_index_did_not_know_yet_comes_with_the_next_run(world: World) -> None:
    provider, changed = world.connect(), world.contact_ids()[5]
    cursor = pull(provider, None)[-1].cursor
    world.portal.index_lag = 100
    world.portal.clock.advance(-90)
    world.edit(changed, firstname="Later")
    world.portal.clock.advance(90)
    (early,) = pull(provider, cursor)
    world.portal.clock.advance(30)
    assert early.records == []
    assert ids_of(pull(provider, early.cursor)) == [changed]


def test_more_changes_than_a_search_can_show_all_come(world: World) -> None:
    changed = world.portal.add_contacts(10_500, datetime.now(UTC) - timedelta(minutes=5))
    pages = pull(world.connect(), since(datetime.now(UTC) - timedelta(minutes=10)))
    assert ids_of(pages) == changed
    assert {page.total for page in pages} == {10_500}


def test_a_change_during_a_run_pushes_nobody_out(world: World) -> None:
    changed = world.portal.add_contacts(600, datetime.now(UTC) - timedelta(minutes=5))
    provider = world.connect()
    feed = provider.changes("contacts", since(datetime.now(UTC) - timedelta(minutes=10)), PATHS)
    first = next(feed)
    for contact in changed[:150]:
        world.edit(contact, firstname="Meanwhile")
    world.portal.clock.advance(5)
    pages = [first, *feed]
    assert ids_of(pages) == changed
    caught_up = ids_of(pull(provider, pages[-1].cursor))
    assert set(changed[:150]) <= set(caught_up)


def test_a_run_of_changes_goes_on_in_another_process_days_later(world: World) -> None:
    changed = world.portal.add_contacts(1000, datetime.now(UTC) - timedelta(minutes=5))
    feed = world.connect().changes("contacts", since(datetime.now(UTC) - timedelta(minutes=10)), PATHS)
    before = [next(feed), next(feed)]
    kept = json.loads(json.dumps(before[-1].cursor))
    world.portal.clock.advance(86_400)
    world.edit(changed[0], firstname="Overnight")
    world.portal.clock.advance(86_400)
    after = pull(world.connect(), kept)
    assert ids_of(before) + ids_of(after) == changed
    assert changed[0] in ids_of(pull(world.connect(), after[-1].cursor))


# --- by id ----------------------------------------------------------------------------------------------------------


def test_a_hundred_records_take_one_request(world: World) -> None:
    provider, ids = world.connect(), world.contact_ids()[:230]
    fetched = provider.fetch("contacts", ids, PATHS)
    assert sorted(record.id for record in fetched.records) == sorted(ids)
    assert sent(provider).count("POST /crm/v3/objects/contacts/batch/read") == 3
    assert fetched.missing == []


def test_archived_records_come_as_deleted_merged_ones_with_their_survivor_lost_ones_not(
    world: World,
) -> None:
    provider, (kept, archived, winner, loser) = world.connect(), world.contact_ids()[:4]
    provider.api.request("DELETE", f"/crm/v3/objects/contacts/{archived}")
    merge = {"primaryObjectId": winner, "objectIdToMerge": loser}
    provider.api.request("POST", "/crm/v3/objects/contacts/merge", json=merge)
    fetched = provider.fetch("contacts", [kept, archived, loser, "999999"], PATHS)
    assert {record.id: record.deleted for record in fetched.records} == {kept: False, archived: True, loser: True}
    assert [record.moved_to for record in fetched.records] == [None, None, ("contacts", winner)]
    assert fetched.missing == ["999999"]


def test_fetching_nothing_asks_nothing(world: World) -> None:
    provider = world.connect()
    assert provider.fetch("contacts", [], PATHS).records == []
    assert sent(provider) == []
