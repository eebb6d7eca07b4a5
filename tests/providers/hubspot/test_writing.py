"""Writing records against the sandbox: what arrives, whom it arrives at, and that nothing bad holds up anything good."""

import logging
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from integrations import errors
from integrations.providers.hubspot.owners import Owners
from integrations.providers.hubspot.properties import CONTACT_KEY
from integrations.providers.hubspot.provider import Provider
from integrations.providers.hubspot.values import property_text
from integrations.records.remote import RecordWrite, Written
from tests.providers.hubspot.conftest import World, sent

UPSERT, CREATE, UPDATE, READ = (
    f"POST /crm/v3/objects/contacts/batch/{action}" for action in ("upsert", "create", "update", "read")
)


def new(number: int, **values: Any) -> RecordWrite:
    return RecordWrite(f"00000000-0000-4000-8000-{number:012d}", {"lastname": f"New {number}", **values})


def update(record_id: str, key: str = "k", **values: Any) -> RecordWrite:
    return RecordWrite(key, values, record_id)


def write_until_answered(world: World, provider: Provider, writes: list[RecordWrite]) -> list[Written]:
    """What the job table does: after a lost answer the same writes come again, a while later, marked as tried before."""
    started = world.portal.clock.now()
    try:
        return provider.write("contacts", writes)
    except errors.Retry:
        world.portal.clock.advance(10)
        again = [replace(each, first_attempt_at=each.first_attempt_at or started) for each in writes]
        return write_until_answered(world, provider, again)


@pytest.fixture(params=["with our key", "without it"])
def writer(world: World, request: pytest.FixtureRequest) -> Provider:
    """Both ways of an account: one lets us add the unique property, one does not."""
    if request.param == "without it":
        world.fault("no_unique_contacts")
    provider = world.prepared()
    sent(provider).clear()
    return provider


# --- values ---------------------------------------------------------------------------------------------------------

CHOICES = [{"value": "NEW", "label": "New"}, {"value": "IN_PROGRESS", "label": "In progress"}]


@pytest.mark.parametrize(
    ("value", "definition", "expected"),
    [
        pytest.param(None, {"type": "string"}, "", id="nothing clears"),
        pytest.param("text", {"type": "string"}, "text", id="text"),
        pytest.param(3, {"type": "number"}, "3", id="whole number"),
        pytest.param(Decimal("12.50"), {"type": "number"}, "12.50", id="decimal"),
        pytest.param(True, {"type": "bool"}, "true", id="yes"),
        pytest.param(False, {}, "false", id="no, of an unknown property"),
        pytest.param(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), {"type": "datetime"}, "2026-01-02T03:04:05.000Z"),
        pytest.param("2026-01-02T03:04:05+02:00", {"type": "datetime"}, "2026-01-02T01:04:05.000Z", id="offset"),
        pytest.param("1767322800000", {"type": "datetime"}, "1767322800000", id="milliseconds as they are"),
        pytest.param("2024-01-15T18:30:00Z", {"type": "date"}, "2024-01-15", id="the day of a moment"),
        pytest.param(date(2024, 1, 15), {"type": "date"}, "2024-01-15", id="a day"),
        pytest.param("someday", {"type": "date"}, "someday", id="no date at all is HubSpot's to refuse"),
        pytest.param("in progress", {"type": "enumeration", "options": CHOICES}, "IN_PROGRESS", id="label"),
        pytest.param("new", {"type": "enumeration", "options": CHOICES}, "NEW", id="value in another case"),
        pytest.param("Ghost", {"type": "enumeration", "options": CHOICES}, "Ghost", id="unknown choice"),
        pytest.param(
            ["New", "IN_PROGRESS"],
            {"type": "enumeration", "fieldType": "checkbox", "options": CHOICES},
            "NEW;IN_PROGRESS",
            id="several",
        ),
        pytest.param(
            ";New",
            {"type": "enumeration", "fieldType": "checkbox", "options": CHOICES},
            ";NEW",
            id="one more",
        ),
        pytest.param(["a", "b"], {"type": "string"}, "a;b", id="a list in text"),
    ],
)
def test_a_value_becomes_the_text_that_hubspot_takes(
    world: World, value: Any, definition: dict[str, Any], expected: str
) -> None:
    assert property_text("name", value, definition, Owners(world.connect().api)) == expected


def test_values_arrive_in_every_kind_of_property(world: World, writer: Provider) -> None:
    values = {
        "hs_lead_status": "In progress",
        "interests": ["Voice", "sms"],
        "budget_confirmed": True,
        "renewal_date": datetime(2026, 5, 6, 22, tzinfo=UTC),
        "seats": 12,
        "hubspot_owner_id": "Bruno.Castel@northwind.example",
        "sdr_owner": "70103",
        "last_call_date": "2026-01-15T00:00:00Z",
        "num_calls": 4,
    }
    (written,) = writer.write("contacts", [new(1, **values)])
    held = world.held("contacts", written.id)
    assert {name: held[name] for name in values} == {
        "hs_lead_status": "IN_PROGRESS",
        "interests": "voice;sms",
        "budget_confirmed": "true",
        "renewal_date": "2026-05-06",
        "seats": "12",
        "hubspot_owner_id": "70102",
        "sdr_owner": "70103",
        "last_call_date": "2026-01-15T00:00:00.000Z",
        "num_calls": "4",
    }


def test_what_cannot_be_a_value_is_told_before_anything_is_sent(world: World) -> None:
    contact = world.contact_ids()[0]
    provider = world.connect()
    nested, stranger, good = provider.write(
        "contacts",
        [
            update(contact, "nested", company={"name": "x"}),
            update(world.contact_ids()[1], "stranger", hubspot_owner_id="nobody@northwind.example"),
            update(world.contact_ids()[2], "good", city="Graz"),
        ],
    )
    assert isinstance(nested.error, errors.FixData)
    assert nested.error.fields == ("company",)
    assert isinstance(stranger.error, errors.FixData)
    assert stranger.error.fields == ("hubspot_owner_id",)
    assert good.error is None


def test_an_owner_that_may_not_be_looked_up_is_a_matter_of_rights(world: World, limited: Provider) -> None:
    (written,) = limited.write("contacts", [new(1, hubspot_owner_id="bruno.castel@northwind.example")])
    assert isinstance(written.error, errors.FixConfig)
    assert "crm.objects.owners.read" in written.error.message


# --- updating -------------------------------------------------------------------------------------------------------


def test_a_hundred_updates_take_one_request(world: World) -> None:
    provider, ids = world.connect(), world.contact_ids()[:100]
    written = provider.write("contacts", [update(one, f"k{one}", city="Graz", company=None) for one in ids])
    assert [(one.key, one.id, one.created, one.error) for one in written] == [
        (f"k{each}", each, False, None) for each in ids
    ]
    assert sent(provider) == ["GET /crm/v3/properties/contacts", UPDATE]
    held = world.held("contacts", ids[7])
    assert held["city"] == "Graz"
    assert "company" not in held, "None clears"
    assert all(one.url.endswith(f"/0-1/{one.id}") for one in written)


@pytest.mark.parametrize("kind", ["companies", "deals"])
def test_companies_and_deals_are_written_as_well(world: World, kind: str) -> None:
    name = {"companies": "name", "deals": "dealname"}[kind]
    old = world.ids(kind)[0]
    changed, made = world.connect().write(
        kind, [update(old, "a", **{name: "Changed"}), RecordWrite("b", {name: "Made"})]
    )
    assert (changed.id, changed.created, changed.error) == (old, False, None)
    assert (made.created, made.error) == (True, None)
    assert (world.held(kind, old)[name], world.held(kind, made.id)[name]) == ("Changed", "Made")


def test_two_writes_of_one_record_are_sent_in_their_order(world: World) -> None:
    provider, contact = world.connect(), world.contact_ids()[0]
    written = provider.write(
        "contacts", [update(contact, "a", city="Graz", zip="1"), update(contact, "b", city="Linz")]
    )
    assert [(one.key, one.id, one.error) for one in written] == [("a", contact, None), ("b", contact, None)]
    held = world.held("contacts", contact)
    assert (held["city"], held["zip"]) == ("Linz", "1")


def test_a_record_that_was_merged_away_is_written_where_it_lives_on(world: World) -> None:
    provider, (winner, loser, other) = world.connect(), world.contact_ids()[:3]
    provider.merge("contacts", winner, loser)
    written = provider.write("contacts", [update(loser, "a", city="Graz"), update(other, "b", city="Linz")])
    assert [(one.key, one.id, one.error) for one in written] == [("a", winner, None), ("b", other, None)]
    assert world.held("contacts", winner)["city"] == "Graz"


@pytest.mark.parametrize("fate", ["archived", "never there"])
def test_a_record_that_is_gone_is_told_and_harms_no_other(world: World, fate: str) -> None:
    provider, (gone, other) = world.connect(), world.contact_ids()[:2]
    if fate == "archived":
        world.portal.remove("contacts", gone)
    written = provider.write(
        "contacts", [update(gone if fate == "archived" else "999999", "a", city="x"), update(other, "b", city="Linz")]
    )
    assert isinstance(written[0].error, errors.Gone)
    assert (written[1].error, world.held("contacts", other)["city"]) == (None, "Linz")


def test_only_an_unchanged_record_is_written_if_so_asked(world: World) -> None:
    provider, (fresh, changed) = world.connect(), world.contact_ids()[:2]
    since = datetime.now(UTC) - timedelta(minutes=1)
    world.portal.edit("contacts", changed, {"city": "By hand"})
    writes = [replace(update(one, one, city="Ours"), unmodified_since=since) for one in (fresh, changed)]
    written = provider.write("contacts", writes)
    assert written[0].error is None
    assert isinstance(written[1].error, errors.Stale)
    assert world.held("contacts", changed)["city"] == "By hand"
    assert sent(provider).count(READ) == 1


def test_a_lifecycle_stage_goes_back_by_way_of_nothing(world: World) -> None:
    stages = {one: world.held("contacts", one)["lifecyclestage"] for one in world.contact_ids()[:8]}
    back = next(one for one, stage in stages.items() if stage == "customer")
    forth = next(one for one, stage in stages.items() if stage == "subscriber")
    provider = world.connect()
    provider._objects.update("contacts", back, {"lifecyclestage": "lead"})
    assert world.held("contacts", back)["lifecyclestage"] == "customer", "HubSpot passes over it without a word"
    written = provider.write("contacts", [update(one, one, lifecyclestage="Lead") for one in (back, forth)])
    assert [one.error for one in written] == [None, None]
    assert {world.held("contacts", one)["lifecyclestage"] for one in (back, forth)} == {"lead"}
    assert sent(provider).count(UPDATE) == 2, "one of them for the stage that had to be cleared"


def test_an_address_that_another_contact_has_is_told(world: World) -> None:
    provider, (one, other) = world.connect(), world.addressed()[:2]
    (written,) = provider.write("contacts", [update(one, email=world.held("contacts", other)["email"])])
    assert isinstance(written.error, errors.FixData)
    assert written.error.cause == "duplicate"
    assert other in written.error.message


def test_what_is_no_id_is_not_sent(world: World) -> None:
    provider = world.connect()
    (written,) = provider.write("contacts", [update("somebody@else.example", city="Graz")])
    assert isinstance(written.error, errors.FixData)
    assert sent(provider) == []


# --- bad data -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [None, "no_partial", "untraced"], ids=["in parts", "as a whole", "untold whose"])
def test_a_bad_value_names_its_field_and_the_others_go(world: World, fault: str | None) -> None:
    if fault:
        world.fault(fault, times=50)
    ids = world.contact_ids()[:20]
    writes = [update(one, one, seats="many" if one == ids[13] else "5") for one in ids]
    written = {one.key: one for one in world.connect().write("contacts", writes)}
    error = written[ids[13]].error
    assert isinstance(error, errors.FixData)
    assert error.fields == ("seats",)
    assert "not a valid number" in error.message
    assert [key for key, one in written.items() if one.error] == [ids[13]]
    assert {world.held("contacts", one)["seats"] for one in ids if one != ids[13]} == {"5"}


def test_what_hubspot_has_not_or_fills_in_itself_is_left_out(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    provider, contact = world.connect(), world.contact_ids()[0]
    (written,) = provider.write(
        "contacts", [update(contact, city="Graz", ai_call_score=87, num_contacted_notes=3, hs_full_name_or_email="x")]
    )
    assert written.error is None
    assert world.held("contacts", contact)["city"] == "Graz"
    assert "ai_call_score" in caplog.text
    assert "num_contacted_notes" in caplog.text


def test_a_record_with_nothing_left_is_not_sent(world: World) -> None:
    provider = world.connect()
    kept, empty = provider.write(
        "contacts",
        [update(world.contact_ids()[0], "a", ai_call_score=87), RecordWrite("b", {"ai_call_score": 3})],
    )
    assert (kept.id, kept.error) == (world.contact_ids()[0], None)
    assert isinstance(empty.error, errors.FixData)
    assert sent(provider) == ["GET /crm/v3/properties/contacts"]


@pytest.mark.parametrize("fault", [None, "no_partial", "untraced"], ids=["in parts", "as a whole", "untold whose"])
def test_a_property_deleted_meanwhile_costs_only_itself(
    world: World, fault: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    provider, ids = world.connect(), world.contact_ids()[:10]
    provider.describe("contacts")
    del world.portal.definitions("contacts")["seats"]
    if fault:
        world.fault(fault, times=50)
    written = provider.write("contacts", [update(one, one, seats="5", city="Graz") for one in ids])
    assert [one.error for one in written] == [None] * 10
    assert {world.held("contacts", one)["city"] for one in ids} == {"Graz"}
    assert "seats" in caplog.text
    assert "seats" not in {field.path for field in provider.describe("contacts")}, "the schema is read again"


def test_a_deleted_property_costs_only_itself_on_a_merged_record(world: World) -> None:
    provider, (winner, loser) = world.connect(), world.contact_ids()[:2]
    provider.merge("contacts", winner, loser)
    provider.describe("contacts")
    del world.portal.definitions("contacts")["seats"]
    (written,) = provider.write("contacts", [update(loser, seats="5", city="Graz")])
    assert (written.id, written.error) == (winner, None)


def test_a_credential_that_may_not_see_the_schema_writes_all_the_same(world: World) -> None:
    world.fault("status", status=403, body={"category": "MISSING_SCOPES", "message": "no"}, match="GET .*/properties/")
    provider = world.connect()
    written = provider.write("contacts", [update(one, one, city="Graz") for one in world.contact_ids()[:3]])
    assert [one.error for one in written] == [None] * 3
    assert sent(provider) == ["GET /crm/v3/properties/contacts", UPDATE], "a refusal is remembered"


# --- creating -------------------------------------------------------------------------------------------------------


def test_new_records_are_created_once_each(world: World, writer: Provider) -> None:
    written = writer.write("contacts", [new(number, email=f"new{number}@fresh.example") for number in range(100)])
    assert [(one.created, one.error) for one in written] == [(True, None)] * 100
    assert [world.held("contacts", one.id)["lastname"] for one in written] == [f"New {number}" for number in range(100)]
    assert len([request for request in sent(writer) if request in {UPSERT, CREATE}]) == 1


def test_a_known_address_names_the_contact_that_has_it_and_leaves_them_as_they_are(
    world: World, writer: Provider
) -> None:
    known = world.addressed()[2]
    address = world.held("contacts", known)["email"]
    known_one, fresh = writer.write("contacts", [new(1, email=address.upper()), new(2, email="x@fresh.example")])
    assert (known_one.id, type(known_one.error)) == (known, errors.AlreadyThere)
    assert world.held("contacts", known)["lastname"] != "New 1"
    assert (fresh.created, fresh.error) == (True, None)


def test_two_new_contacts_with_one_address_are_one(world: World, writer: Provider) -> None:
    first, second = writer.write(
        "contacts", [new(1, email="a@fresh.example"), new(2, email="A@Fresh.example", zip="9")]
    )
    assert first.created is True
    assert (second.id, type(second.error)) == (first.id, errors.AlreadyThere)
    held = world.held("contacts", first.id)
    assert (held["lastname"], held.get("zip")) == ("New 1", None)


def test_a_unique_value_of_the_tenants_own_ends_at_its_holder(world: World, writer: Provider) -> None:
    definition = {"name": "membership", "label": "Membership", "groupName": "dialer", "hasUniqueValue": True}
    world.connect().api.request(
        "POST",
        "/crm/v3/properties/contacts/groups",
        json={"name": "dialer", "label": "Dialer"},
        accept=(409,),
    )
    world.connect().api.request(
        "POST", "/crm/v3/properties/contacts", json={**definition, "type": "string", "fieldType": "text"}
    )
    holder = world.portal.add("contacts", {"lastname": "Holder", "membership": "M-1"})
    (written,) = writer.write("contacts", [new(1, membership="M-1")])
    assert (written.id, type(written.error)) == (holder, errors.AlreadyThere)
    assert world.held("contacts", holder)["lastname"] == "Holder"


@pytest.mark.parametrize("kind", ["drop_after", "drop_before", "status"])
def test_a_lost_answer_never_doubles_a_record(world: World, writer: Provider, kind: str) -> None:
    world.fault(kind, match="batch/(upsert|create)")
    writes = [new(1, email="a@fresh.example"), new(2, phone="+14155550177", city="Graz"), new(3)]
    written = write_until_answered(world, writer, writes)
    assert all(one.id for one in written)
    assert all(one.error is None or isinstance(one.error, errors.AlreadyThere) for one in written)
    names = [contact["properties"].get("lastname") for contact in world.portal.store.all("contacts")]
    assert [names.count(f"New {number}") for number in (1, 2, 3)] == [1, 1, 1]


def test_an_attempt_from_before_the_key_existed_is_found(world: World) -> None:
    world.fault("drop_after", match="batch/create")
    writes = [new(1, email="a@fresh.example"), new(2, city="Graz")]
    started = world.portal.clock.now()
    with pytest.raises(errors.OutcomeUnknown):
        world.connect().write("contacts", writes)
    world.portal.clock.advance(10)
    written = world.prepared().write("contacts", [replace(each, first_attempt_at=started) for each in writes])
    assert [(bool(one.id), type(one.error)) for one in written] == [(True, errors.AlreadyThere)] * 2


def test_a_repeated_creation_is_no_second_record(world: World, writer: Provider) -> None:
    first = writer.write("contacts", [new(1, email="a@fresh.example")])
    again = writer.write("contacts", [replace(new(1, email="a@fresh.example"), first_attempt_at=datetime.now(UTC))])
    assert (again[0].id, type(again[0].error)) == (first[0].id, errors.AlreadyThere)


def test_a_key_deleted_later_costs_nothing_but_the_key(world: World) -> None:
    provider = world.prepared()
    del world.portal.definitions("contacts")[CONTACT_KEY]
    written = provider.write("contacts", [new(1), new(2)])
    assert [(one.created, one.error) for one in written] == [(True, None)] * 2


def test_a_key_that_another_worker_is_just_using_is_met(world: World) -> None:
    provider, write = world.prepared(), new(1, city="Graz")
    holder = world.portal.add("contacts", {"lastname": "Holder", CONTACT_KEY: write.key})
    body = {"category": "VALIDATION_ERROR", "message": f"Cannot set: {holder} already has that value"}
    world.fault("status", status=400, body=body, match="batch/upsert")
    (written,) = provider.write("contacts", [write])
    assert (written.id, type(written.error)) == (holder, errors.AlreadyThere)


def test_a_key_that_nobody_is_seen_to_have_yet_is_tried_again(world: World) -> None:
    provider = world.prepared()
    body = {"category": "VALIDATION_ERROR", "message": "Cannot set: 1 already has that value"}
    world.fault("status", status=400, body=body, match="batch/upsert")
    (written,) = provider.write("contacts", [new(1)])
    assert type(written.error) is errors.Retry
    assert written.error.after == 2.0


# --- trouble that concerns all --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "expected", "after"),
    [("locked", errors.Retry, 2.0)],
)
def test_trouble_of_the_whole_account_is_raised(
    world: World, kind: str, expected: type[errors.Retry], after: float
) -> None:
    world.fault(kind, match="batch/update")
    with pytest.raises(expected) as caught:
        world.connect().write("contacts", [update(world.contact_ids()[0], city="Graz")])
    assert caught.value.after == after
