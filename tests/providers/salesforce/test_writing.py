"""Writing leads, contacts and the rest: what is sent, and what becomes of each record."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import responses

from integrations import errors
from integrations.providers.salesforce.provider import Provider
from integrations.records.remote import RecordWrite, Written
from tests.providers.harness import PlainApi
from tests.providers.salesforce.world import DATA, HOST, World, offline

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
NORA = {"FirstName": "Nora", "LastName": "Quill", "Company": "Quill & Sons", "Email": "nora@quill.example"}


@pytest.fixture(params=["own key", "look-up"])
def crm(world: World, request: pytest.FixtureRequest) -> tuple[Provider, PlainApi]:
    """A provider of an account with our key field, and of one that allowed none."""
    return world.prepared() if request.param == "own key" else world.connect()


def new(key: str = "k-1", **values: Any) -> RecordWrite:
    return RecordWrite(key, {**NORA, **values})


def change(record_id: str, key: str = "k-1", **values: Any) -> RecordWrite:
    return RecordWrite(key, values, record_id)


def one(provider: Provider, write: RecordWrite, object_type: str = "Lead") -> Written:
    return provider.write(object_type, [write])[0]


def stored(world: World, record_id: str, object_type: str = "Lead") -> dict[str, Any]:
    row = world.store.get(object_type, record_id)
    assert row is not None
    return row


def refuse(world: World, code: str, message: str = "no", fields: tuple[str, ...] = (), times: int = 1) -> None:
    body = {"errorCode": code, "message": message, "fields": list(fields)}
    world.dial({"kind": "refuse", "times": times, "body": body})


# --- creating -------------------------------------------------------------------------------------------------------


def test_a_new_lead_is_made_once_however_often_it_is_written(world: World, crm: tuple[Provider, PlainApi]) -> None:
    provider, _ = crm
    first = one(provider, new())
    again = one(world.connect()[0], RecordWrite("k-1", NORA, first_attempt_at=NOW))
    assert (first.created, first.error, again.created, again.id) == (True, None, False, first.id)
    assert isinstance(again.error, errors.AlreadyThere)
    assert first.url == f"{world.server.url}/lightning/r/Lead/{first.id}/view"
    assert len([row for row in world.store.all("Lead") if row["Email"] == NORA["Email"]]) == 1


def test_two_hundred_new_leads_are_one_request(world: World) -> None:
    provider, api = world.prepared()
    writes = [new(f"k-{n}", Email=f"nora{n}@quill.example") for n in range(200)]
    written = provider.write("Lead", writes)
    assert all(row.created and not row.error for row in written)
    assert [row.key for row in written] == [write.key for write in writes]
    assert [call for call in api.calls if not call.endswith("describe")] == [
        f"PATCH {DATA}/composite/sobjects/Lead/Dialer_Contact_Id__c"
    ]


def test_writes_leave_the_owner_alone_and_name_us_as_their_origin(world: World) -> None:
    told: list[tuple[Any, ...]] = []
    world.sandbox.changed = lambda *what: told.append(what)  # type: ignore[method-assign]
    provider, _ = world.prepared()
    told.clear()
    lead = world.lead()
    owner = stored(world, lead)["OwnerId"]
    assert one(provider, change(lead, Title="CEO")).error is None
    assert stored(world, lead)["OwnerId"] == owner
    kind, ids, change_type, fields, origin, user = told[0]
    assert (kind, list(ids), change_type, tuple(fields)) == ("Lead", [lead], "UPDATE", ("Title",))
    assert origin == "com/salesforce/api/rest/59.0;client=DialerSync"
    assert stored(world, user, "User")["Username"] == "integration@acme.example"


def test_a_creation_that_lacks_a_required_field_is_that_records_fault(world: World) -> None:
    provider, _ = world.prepared()
    bad, good = provider.write("Lead", [RecordWrite("a", {"LastName": "Roe"}), new("b")])
    assert isinstance(bad.error, errors.FixData)
    assert bad.error.fields == ("Company",)
    assert good.error is None


def test_a_creation_of_nothing_is_refused_in_words(world: World) -> None:
    provider, _ = world.prepared()
    assert isinstance(one(provider, RecordWrite("a", {"Title": None})).error, errors.FixConfig | errors.FixData)
    assert isinstance(one(provider, RecordWrite("b", {})).error, errors.FixData)


# --- updating -------------------------------------------------------------------------------------------------------


def test_an_update_changes_what_it_names_and_none_clears(world: World) -> None:
    provider, _ = world.prepared()
    lead = world.lead()
    before = stored(world, lead)
    assert one(provider, change(lead, Title="CEO", Email=None)).error is None
    after = stored(world, lead)
    assert (after["Title"], after["Email"], after["LastName"]) == ("CEO", None, before["LastName"])


def test_two_hundred_updates_are_one_request_and_one_bad_one_stops_nobody(world: World) -> None:
    provider, api = world.prepared()
    leads = [row["Id"] for row in world.store.all("Lead") if not row["IsConverted"]][:199]
    writes = [change(lead, f"k-{n}", Title=f"T{n}") for n, lead in enumerate(leads)]
    written = provider.write("Lead", [*writes, change("00Q000000000000AAA", "gone", Title="x")])
    assert [row.error for row in written[:-1]] == [None] * 199
    assert isinstance(written[-1].error, errors.Gone)
    assert api.calls.count(f"PATCH {DATA}/composite/sobjects") == 1


def test_two_changes_of_one_record_go_one_after_the_other(world: World) -> None:
    provider, _ = world.prepared()
    lead = world.lead()
    written = provider.write("Lead", [change(lead, "a", Title="CEO"), change(lead, "b", Title="CTO")])
    assert [row.error for row in written] == [None, None]
    assert stored(world, lead)["Title"] == "CTO"


def test_fields_that_are_unknown_or_read_only_are_left_out(world: World) -> None:
    provider, _ = world.prepared()
    lead = world.lead()
    values: dict[str, Any] = {
        "Title": "CEO",
        "Nope__c": "x",
        "Name": "y",
        "SystemModstamp": "z",
        "Address": {"City": "Rome"},
    }
    assert one(provider, change(lead, **values)).error is None
    assert stored(world, lead)["Title"] == "CEO"


def test_a_write_of_nothing_but_unknown_fields_says_so(world: World) -> None:
    provider, _ = world.prepared()
    failed = one(provider, change(world.lead(), Nope__c="x", Account={"Name": "y"})).error
    assert isinstance(failed, errors.FixConfig)
    assert "Nope__c, Account.Name" in failed.message


def test_a_required_field_cannot_be_cleared(world: World) -> None:
    provider, _ = world.prepared()
    failed = one(provider, change(world.lead(), LastName=None)).error
    assert isinstance(failed, errors.FixData)
    assert failed.fields == ("LastName",)


def test_a_contacts_account_is_not_renamed_through_the_contact(world: World) -> None:
    provider, _ = world.prepared()
    contact = next(row["Id"] for row in world.store.all("Contact") if row["AccountId"])
    account = stored(world, stored(world, contact, "Contact")["AccountId"], "Account")["Name"]
    written = one(provider, change(contact, Title="CEO", Account={"Name": "Other"}), "Contact")
    assert written.error is None
    assert stored(world, stored(world, contact, "Contact")["AccountId"], "Account")["Name"] == account


def test_an_owner_is_given_by_address_and_an_unknown_address_is_that_records_fault(world: World) -> None:
    provider, api = world.prepared()
    lead = world.lead()
    user = next(row["Id"] for row in world.store.all("User") if row["Email"] == "noor.haddad@acme.example")
    good, bad, gone = provider.write(
        "Lead",
        [
            change(lead, "a", Owner={"Email": "Noor.Haddad@ACME.example"}),
            change(world.lead(1), "b", Owner={"Email": "nobody@acme.example"}),
            change(world.lead(2), "c", Owner={"Email": "tom.becker@acme.example"}),
        ],
    )
    assert (good.error, stored(world, lead)["OwnerId"]) == (None, user)
    for failed in (bad.error, gone.error):  # Tom has left
        assert isinstance(failed, errors.FixData)
        assert failed.cause == "unknown_owner"
    assert len([call for call in api.calls if call.endswith("/query")]) == 1


# --- values by the type that describe tells -------------------------------------------------------------------------


def test_values_become_what_their_fields_hold(world: World) -> None:
    provider, _ = world.prepared(timezone="America/New_York")
    lead = world.lead()
    values: dict[str, Any] = {
        "Dialer_Last_Called__c": "2026-03-02",
        "Dialer_Call_Count__c": "7",
        "Dialer_AI_Score__c": 81.6,
        "Dialer_DNC__c": "yes",
        "Dialer_Last_Disposition__c": "Left Voicemail",
        "NumberOfEmployees": "12",
        "Interests__c": ["Dialer", "reports"],
        "Rating": "hot",
    }
    assert one(provider, change(lead, **values)).error is None
    row = stored(world, lead)
    assert row["Dialer_Last_Called__c"] == "2026-03-02T05:00:00.000+0000"
    assert (row["Dialer_Call_Count__c"], row["Dialer_AI_Score__c"], row["Dialer_DNC__c"]) == (7, 81.6, True)
    assert (row["NumberOfEmployees"], row["Interests__c"], row["Rating"]) == (12, "Dialer;Reports", "Hot")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("Rating", "Boiling", "Hot, Warm, Cold"),
        ("Interests__c", ["Dialer", "Fishing"], "Coaching"),
        ("NumberOfEmployees", "many", "a number"),
        ("DoNotCall", "perhaps", "yes or no"),
        ("Dialer_Last_Called__c", "yesterday", "a date"),
        ("OwnerId", "Ava", "the id of a record"),
    ],
)
def test_a_value_that_cannot_fit_is_told_with_what_would(world: World, field: str, value: Any, said: str) -> None:
    provider, api = world.prepared()
    failed = one(provider, change(world.lead(), **{field: value})).error
    assert isinstance(failed, errors.FixData)
    assert failed.fields == (field,)
    assert said in failed.message
    assert not [call for call in api.calls if "composite" in call]


def test_a_moment_for_a_day_is_the_tenants_day(world: World) -> None:
    provider, _ = world.prepared(timezone="Asia/Tokyo")
    contact = world.contact()
    assert one(provider, change(contact, Birthdate="1990-05-01T20:00:00Z"), "Contact").error is None
    assert stored(world, contact, "Contact")["Birthdate"] == "1990-05-02"


# --- the record is there already ------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocking", [False, True], ids=["alert", "blocking"])
def test_a_duplicate_rule_leads_to_the_match_which_is_left_as_it_is(
    world: World, crm: tuple[Provider, PlainApi], blocking: bool
) -> None:
    lead = next(row for row in world.store.all("Lead") if row["Email"] and not row["IsConverted"])
    world.sandbox.duplicate_rule("Lead", "Email", blocking=blocking)
    provider, api = crm
    fresh, known = provider.write("Lead", [new("a"), new("b", Email=lead["Email"], Title="Head of Sales")])
    assert (fresh.created, fresh.error) == (True, None)
    assert (known.id, type(known.error)) == (lead["Id"], errors.AlreadyThere)
    assert stored(world, lead["Id"])["Title"] == lead["Title"] != "Head of Sales"
    assert api.calls.count(f"POST {DATA}/composite") == 1


def test_a_tenant_may_choose_to_save_duplicates_past_a_rule_that_only_warns(world: World) -> None:
    lead = next(row for row in world.store.all("Lead") if row["Email"] and not row["IsConverted"])
    world.sandbox.duplicate_rule("Lead", "Email")
    provider, _ = world.prepared(settings={"allow_duplicates": True})
    written = one(provider, new(Email=lead["Email"]))
    assert written.created
    assert written.id != lead["Id"]


def test_many_duplicates_are_asked_for_twenty_five_at_a_time(world: World) -> None:
    known = [row for row in world.store.all("Contact") if row["Email"]]
    emails = list({row["Email"].lower(): row for row in known})[:60]
    world.sandbox.duplicate_rule("Contact", "Email")
    provider, api = world.prepared()
    written = provider.write(
        "Contact", [RecordWrite(f"k{n}", {"LastName": "X", "Email": email}) for n, email in enumerate(emails)]
    )
    assert [(bool(row.id), type(row.error)) for row in written] == [(True, errors.AlreadyThere)] * 60
    assert api.calls.count(f"POST {DATA}/composite") == 3


def test_a_duplicate_that_an_update_makes_is_that_records_fault(world: World) -> None:
    provider, _ = world.prepared()
    refuse(world, "DUPLICATES_DETECTED", "Use one of these records?")
    failed = one(provider, change(world.lead(), Email="taken@x.example")).error
    assert isinstance(failed, errors.FixData)
    assert failed.cause == "duplicates_detected"


def test_a_unique_value_leads_to_its_holder(world: World) -> None:
    provider, _ = world.prepared()
    holder = world.lead(4)
    refuse(
        world, "DUPLICATE_VALUE", f"duplicate value found: Tax_No__c duplicates value on record with id: {holder[:15]}"
    )
    written = one(provider, new())
    assert (written.id, type(written.error)) == (holder, errors.AlreadyThere)
    assert stored(world, holder)["FirstName"] != "Nora"


def test_somebody_who_is_in_the_campaign_already_is_found(world: World) -> None:
    provider, _ = world.prepared()
    member = next(world.store.all("CampaignMember"))
    values = {"CampaignId": member["CampaignId"], "ContactId": member["ContactId"], "Status": "Responded"}
    written = one(provider, RecordWrite("m", values), "CampaignMember")
    assert (written.id, written.created, written.error) == (member["Id"], False, None)
    assert stored(world, member["Id"], "CampaignMember")["Status"] == "Responded"


def test_a_meeting_whose_creation_got_no_answer_is_found_by_what_it_is(world: World) -> None:
    provider, _ = world.connect()
    meeting = {**MAKING["Event"], "WhoId": world.lead()}
    first = one(provider, RecordWrite("e", meeting), "Event")
    again = one(provider, RecordWrite("e", meeting, first_attempt_at=NOW), "Event")
    assert (first.created, again.created, again.id, again.error) == (True, False, first.id, None)


@pytest.mark.parametrize("hostile", ["' OR LastName != '", "\\", "x') OR (Id != null", "O'Hara \\' --", "%_"])
def test_nothing_that_people_are_called_changes_what_is_looked_up(world: World, hostile: str) -> None:
    provider, _ = world.connect()
    first = one(provider, new(LastName=hostile, Company=hostile))
    again = one(provider, RecordWrite("k-1", {**NORA, "LastName": hostile}, first_attempt_at=NOW))
    assert (first.created, first.error) == (True, None)
    assert (again.id, again.created) == (first.id, False)
    assert stored(world, first.id)["LastName"] == hostile


def test_two_records_with_our_key_have_to_be_sorted_out_by_hand(world: World) -> None:
    provider, _ = world.prepared()
    for place in (0, 1):
        world.sandbox.org.save("Lead", {**stored(world, world.lead(place)), "Dialer_Contact_Id__c": "k-1"})
    failed = one(provider, new()).error
    assert isinstance(failed, errors.FixData)
    assert failed.cause == "ambiguous_key"


# --- the record lives elsewhere -------------------------------------------------------------------------------------


def test_a_change_of_a_converted_lead_goes_to_its_contact(world: World) -> None:
    provider, _ = world.prepared()
    lead = world.lead()
    contact = world.sandbox.convert(lead)
    written = one(provider, change(lead, Title="CEO", Company="Only leads have one"))
    assert (written.id, written.error) == (contact, None)
    assert written.url.endswith(f"/Contact/{contact}/view")
    assert stored(world, contact, "Contact")["Title"] == "CEO"


def test_a_change_of_a_merged_lead_goes_to_the_winner_even_along_a_chain(world: World) -> None:
    provider, _ = world.prepared()
    first, second, third = world.lead(0), world.lead(1), world.lead(2)
    world.sandbox.merge("Lead", second, first)
    world.sandbox.merge("Lead", third, second)
    written = one(provider, change(first, Title="CEO"))
    assert (written.id, written.error) == (third, None)
    assert stored(world, third)["Title"] == "CEO"


def test_a_change_of_a_deleted_lead_is_gone(world: World) -> None:
    provider, _ = world.prepared()
    lead = world.lead()
    world.sandbox.remove("Lead", lead)
    assert isinstance(one(provider, change(lead, Title="CEO")).error, errors.Gone)


# --- conditions -----------------------------------------------------------------------------------------------------


def test_a_record_that_changed_since_is_stale_and_stays_as_it_is(world: World) -> None:
    provider, _ = world.prepared()
    lead, other = world.lead(), world.lead(1)
    seen = world.sandbox.clock.now()
    world.sandbox.clock.advance(10)
    world.sandbox.edit("Lead", lead, {"Title": "Somebody's"})
    world.sandbox.clock.advance(10)
    stale, fine = provider.write(
        "Lead",
        [
            RecordWrite("a", {"Title": "Ours"}, lead, unmodified_since=seen),
            RecordWrite("b", {"Title": "Ours"}, other, unmodified_since=seen),
        ],
    )
    assert isinstance(stale.error, errors.Stale)
    assert fine.error is None
    assert (stored(world, lead)["Title"], stored(world, other)["Title"]) == ("Somebody's", "Ours")


def test_a_condition_does_not_hold_up_a_lead_that_was_converted(world: World) -> None:
    provider, _ = world.prepared()
    lead = world.lead()
    contact = world.sandbox.convert(lead)
    moment = world.sandbox.clock.now() + timedelta(seconds=5)
    written = one(provider, RecordWrite("a", {"Title": "CEO"}, lead, unmodified_since=moment))
    assert (written.id, written.error) == (contact, None)


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        ("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access", errors.Retry),
        ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "LeadTrigger: UNABLE_TO_LOCK_ROW", errors.Retry),
        ("FIELD_CUSTOM_VALIDATION_EXCEPTION", "Title needs a comma", errors.FixData),
        ("STRING_TOO_LONG", "Title: data value too large", errors.FixData),
        ("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id", errors.FixConfig),
        ("STORAGE_LIMIT_EXCEEDED", "storage limit exceeded", errors.Standstill),
    ],
)
def test_a_refused_record_tells_what_to_do_and_its_neighbour_is_written(
    world: World, code: str, message: str, kind: type[errors.CrmError]
) -> None:
    provider, _ = world.prepared()
    refuse(world, code, message)
    refused, fine = provider.write(
        "Lead", [change(world.lead(0), "a", Title="x"), change(world.lead(1), "b", Title="y")]
    )
    assert type(refused.error) is kind
    assert fine.error is None


def test_a_field_that_is_taken_at_creation_only_is_left_out_the_second_time(world: World) -> None:
    provider, _ = world.prepared()
    values = {"Subject": "Call back", "Status": "Completed", "TaskSubtype": "Call", "WhoId": world.lead()}
    first = one(provider, RecordWrite("t-1", values), "Task")
    again = one(provider, RecordWrite("t-1", {**values, "Subject": "Called"}, first_attempt_at=NOW), "Task")
    assert (first.created, again.id, again.created, again.error) == (True, first.id, False, None)
    assert stored(world, first.id, "Task")["Subject"] == "Called"


def test_a_field_that_was_hidden_meanwhile_is_left_out(world: World) -> None:
    provider, _ = world.prepared()
    lead = world.lead()
    provider.describe("Lead")
    world.sandbox.hide("Lead", "Title")
    assert one(provider, change(lead, Title="CEO", FirstName="Jo")).error is None
    assert stored(world, lead)["FirstName"] == "Jo"
    assert isinstance(one(provider, change(lead, Title="CEO")).error, errors.FixConfig)


def test_a_right_that_is_missing_is_told_for_each_record(world: World) -> None:
    provider, _ = world.prepared()
    world.sandbox.deny("Lead", "edit")
    failed = one(provider, change(world.lead(), Title="CEO")).error
    assert isinstance(failed, errors.FixConfig)
    assert failed.cause == "permission"


def test_an_outage_between_two_requests_of_a_batch_forgets_nothing_that_was_written(world: World) -> None:
    """Updates have gone out when the creations fail: only these are told to come back."""
    provider, _ = world.prepared()
    world.dial({"kind": "status", "status": 503, "match": "PATCH .*Lead/Dialer_Contact_Id__c"})
    updated, created = provider.write("Lead", [change(world.lead(), "a", Title="CEO"), new("b")])
    assert updated.error is None
    assert isinstance(created.error, errors.Retry)


def test_an_outage_before_anything_was_written_is_raised(world: World) -> None:
    provider, _ = world.prepared()
    world.dial({"kind": "status", "status": 503, "match": "PATCH"})
    with pytest.raises(errors.Retry):
        provider.write("Lead", [change(world.lead(), "a", Title="CEO"), new("b")])


def test_a_creation_without_a_key_field_that_gets_no_answer_is_unknown(world: World) -> None:
    provider, _ = world.connect()
    world.dial({"kind": "drop_after", "match": "POST", "times": 1})
    with pytest.raises(errors.OutcomeUnknown):
        one(provider, new())
    again = one(world.connect()[0], RecordWrite("k-1", NORA, first_attempt_at=NOW))
    assert (bool(again.id), type(again.error)) == (True, errors.AlreadyThere)
    assert len([row for row in world.store.all("Lead") if row["Email"] == NORA["Email"]]) == 1


@responses.activate
def test_an_answer_of_the_wrong_length_is_an_unknown_outcome() -> None:
    fields = [{"name": "Id", "type": "id"}, {"name": "Title", "type": "string", "updateable": True}]
    responses.get(f"{HOST}{DATA}/sobjects/Lead/describe", json={"fields": fields})
    responses.patch(f"{HOST}{DATA}/composite/sobjects", json=[])
    with pytest.raises(errors.OutcomeUnknown):
        offline().write("Lead", [change("00Qxx000001abcdEAA", Title="x")])


# --- every object ---------------------------------------------------------------------------------------------------

MAKING: dict[str, dict[str, Any]] = {
    "Lead": NORA,
    "Contact": {"LastName": "Quill"},
    "Account": {"Name": "Quill & Sons"},
    "Opportunity": {"Name": "Seats", "StageName": "Prospecting", "CloseDate": "2030-01-01", "Amount": "9.5"},
    "Task": {"Subject": "Call", "Status": "Completed"},
    "Event": {"Subject": "Meeting", "StartDateTime": "2026-03-02T10:00:00Z", "DurationInMinutes": 30},
    "Dialer_Session__c": {"Calls__c": 4, "Agent_Email__c": "ava@acme.example"},
    "Dialer_Voicemail_Drop__c": {"Name": "Intro", "Dropped_At__c": "2026-03-02T10:00:00Z"},
}


@pytest.mark.parametrize("object_type", MAKING)
def test_records_of_every_object_are_made_changed_read_and_deleted(world: World, object_type: str) -> None:
    provider, _ = world.prepared()
    made = one(provider, RecordWrite("x-1", MAKING[object_type]), object_type)
    assert (made.created, made.error) == (True, None)
    name = next(iter(MAKING[object_type]))
    assert one(provider, change(made.id, **{name: MAKING[object_type][name]}), object_type).error is None
    fetched = provider.fetch(object_type, [made.id], list(MAKING[object_type])).records[0]
    assert fetched.fields[name] == MAKING[object_type][name]
    assert [row.error for row in provider.delete(object_type, [made.id])] == [None]
    assert provider.fetch(object_type, [made.id], []).records[0].deleted


def test_a_campaign_member_is_made_and_its_person_cannot_be_exchanged(world: World) -> None:
    provider, _ = world.prepared()
    campaign = next(world.store.all("Campaign"))["Id"]
    made = one(provider, RecordWrite("m", {"CampaignId": campaign, "LeadId": world.lead()}), "CampaignMember")
    assert made.created
    again = one(provider, change(made.id, LeadId=world.lead(1), Status="Responded"), "CampaignMember")
    assert again.error is None
    row = stored(world, made.id, "CampaignMember")
    assert (row["LeadId"], row["Status"]) == (world.lead(), "Responded")


@pytest.mark.parametrize("object_type", ["User", "Group", "Nope__c"])
def test_users_are_only_read(world: World, object_type: str) -> None:
    provider, _ = world.connect()
    with pytest.raises(errors.Unsupported, match=object_type):
        provider.write(object_type, [change(world.lead(), Title="x")])
    with pytest.raises(errors.Unsupported, match=object_type):
        provider.delete(object_type, [world.lead()])


def test_deleting_is_one_request_and_what_is_gone_already_is_a_success(world: World) -> None:
    provider, api = world.connect()
    leads = [world.lead(0), world.lead(1), "00Q000000000000AAA", "no id"]
    assert [row.error is None for row in provider.delete("Lead", leads)] == [True, True, True, False]
    assert [row.error is None for row in provider.delete("Lead", leads[:2])] == [True, True]
    assert api.calls == [f"DELETE {DATA}/composite/sobjects"] * 2


def test_a_record_that_may_not_be_deleted_is_told(world: World) -> None:
    provider, _ = world.connect()
    refuse(world, "DELETE_FAILED", "Your attempt to delete it could not be completed because of cases")
    failed = provider.delete("Account", [next(world.store.all("Account"))["Id"]])[0].error
    assert isinstance(failed, errors.FixData)


def test_merging_is_left_to_people(world: World) -> None:
    provider, _ = world.connect()
    with pytest.raises(errors.Unsupported, match="Merge them in Salesforce itself"):
        provider.merge("Lead", world.lead(0), world.lead(1))
