"""Change events without a server: what they say, in whichever form they come."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations import errors
from integrations.providers.salesforce import cdc
from integrations.records.events import Change, RemoteEvent

LEAD = "00QD000000abcdeMAA"
TRANSACTION = "00006bec-ce66-0611-9018-30a98446c9f2"


def message(values: dict[str, Any] | None = None, **header: Any) -> dict[str, Any]:
    """As the streaming server sends it."""
    head = {
        "entityName": "Lead",
        "recordIds": [LEAD],
        "changeType": "UPDATE",
        "changeOrigin": "com/salesforce/api/rest/59.0;client=DialerSync",
        "transactionKey": TRANSACTION,
        "sequenceNumber": 1,
        "commitTimestamp": 1705357990000,
        "commitNumber": 1082985383811,
        "commitUser": "0055f000005mc66AAA",
        "changedFields": ["Status", "Name.LastName", "LastModifiedDate"],
    }
    fields = {"LastModifiedDate": "2024-01-15T22:33:10Z", "Status": "Working - Contacted", "Name": {"LastName": "Roe"}}
    payload = {**(fields if values is None else values), "ChangeEventHeader": {**head, **header}}
    data = {"schema": "IeRuaY6cbI_HsV8Rv1Mc5g", "payload": payload, "event": {"replayId": 5831}}
    return {"channel": "/data/LeadChangeEvent", "data": data}


def read(values: dict[str, Any] | None = None, **header: Any) -> RemoteEvent:
    return cdc.read(message(values, **header))


SHORT_FORM = {
    "schema": "TGVhZENoYW5nZUV2ZW50",
    "payload": {
        "ChangeEventHeader": {
            "entityName": "Lead",
            "recordIds": ["00Qxx000001abcd"],
            "changeType": "UPDATE",
            "changedFields": ["Status", "Phone"],
            "commitTimestamp": 1704067200000,
            "transactionKey": "000a1b2c-...",
        },
        "Status": "Working - Contacted",
        "Phone": "+14155551234",
    },
}


def test_an_event_of_the_streaming_server_is_read_with_flat_names() -> None:
    event = read()
    assert (event.change, event.object_type, event.record_ids) == (Change.UPDATED, "Lead", (LEAD,))
    assert event.changed == ("Status", "LastName", "LastModifiedDate")
    assert event.values == {
        "Status": "Working - Contacted",
        "LastName": "Roe",
        "LastModifiedDate": "2024-01-15T22:33:10Z",
    }
    assert event.occurred_at == datetime(2024, 1, 15, 22, 33, 10, tzinfo=UTC)
    assert event.raw == message()
    assert cdc.replay_id(message()) == 5831


def test_the_short_form_with_old_ids_and_without_a_position_is_read_too() -> None:
    event = cdc.read(SHORT_FORM)
    assert (event.change, event.object_type, event.record_ids) == (Change.UPDATED, "Lead", ("00Qxx000001abcdEAA",))
    assert event.changed == ("Status", "Phone")
    assert event.values == {"Status": "Working - Contacted", "Phone": "+14155551234"}
    assert event.occurred_at == datetime(2024, 1, 1, tzinfo=UTC)
    assert cdc.replay_id(SHORT_FORM) is None


@pytest.mark.parametrize(
    "wrapped",
    [message(), {"data": message()["data"]}, message()["data"], {"payload": message()["data"]["payload"]}],
    ids=["message", "data", "bare", "payload alone"],
)
def test_all_wrappings_of_an_event_mean_the_same(wrapped: dict[str, Any]) -> None:
    event, whole = cdc.read(wrapped), read()
    assert (event.dedupe_key, event.changed, event.values) == (whole.dedupe_key, whole.changed, whole.values)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("CREATE", Change.CREATED),
        ("UPDATE", Change.UPDATED),
        ("DELETE", Change.DELETED),
        ("UNDELETE", Change.RESTORED),
        ("GAP_CREATE", Change.CREATED),
        ("GAP_UPDATE", Change.UPDATED),
        ("GAP_DELETE", Change.DELETED),
        ("GAP_UNDELETE", Change.RESTORED),
        ("SOMETHING_NEW", Change.UPDATED),
    ],
)
def test_every_kind_of_change_is_known_and_gaps_carry_no_values(kind: str, change: Change) -> None:
    event = read(changeType=kind)
    assert (event.change, event.record_ids) == (change, (LEAD,))
    if kind not in cdc.KINDS:
        assert (event.changed, event.values) == ((), {})


@pytest.mark.parametrize(
    ("kind", "ids"),
    [
        ("GAP_OVERFLOW", ["000000000000000AAA"]),
        ("GAP_OVERFLOW", [LEAD]),
        ("UPDATE", ["000000000000000AAA"]),
        ("UPDATE", ["000000000000000"]),
        ("UPDATE", ["001*"]),
        ("UPDATE", [LEAD, "00Q*"]),
        ("UPDATE", []),
    ],
)
def test_an_event_without_usable_ids_asks_for_the_object_to_be_read_again(kind: str, ids: list[str]) -> None:
    event = read(changeType=kind, recordIds=ids)
    assert (event.change, event.object_type, event.record_ids) == (Change.RESYNC, "Lead", ())
    assert (event.changed, event.values) == ((), {})


def test_a_merged_event_names_all_its_records_once() -> None:
    others = ["00QD000000abcdfAAA", "00QD000000abcde", LEAD]
    assert read(recordIds=[LEAD, *others]).record_ids == (LEAD, "00QD000000abcdfAAA")


@pytest.mark.parametrize(
    ("object_type", "nested", "flat"),
    [
        ("Lead", "Name.LastName", "LastName"),
        ("Lead", "Name.Salutation", "Salutation"),
        ("Lead", "Address.City", "City"),
        ("Contact", "MailingAddress.City", "MailingCity"),
        ("Contact", "OtherAddress.PostalCode", "OtherPostalCode"),
        ("Account", "BillingAddress.Street", "BillingStreet"),
        ("Account", "Home__c.City", "Home__City__s"),
        ("Lead", "Phone", "Phone"),
        ("Lead", "Dialer_AI_Score__c", "Dialer_AI_Score__c"),
        ("Lead", "Odd.Part", "Odd.Part"),
    ],
)
def test_nested_names_become_field_names_by_rule(object_type: str, nested: str, flat: str) -> None:
    outer, _, inner = nested.partition(".")
    values = {outer: {inner: "x"}} if inner else {outer: "x"}
    event = read(values, entityName=object_type, changedFields=[nested])
    assert event.changed == (flat,)
    assert event.values == {flat: "x"}


def test_describe_knows_better_than_the_rule() -> None:
    fields: list[dict[str, Any]] = [
        {"name": "PersonMailingCity", "compoundFieldName": "PersonMailingAddress"},
        {"name": "Spot__Latitude__s", "compoundFieldName": "Spot__c"},
        {"name": "Strange_City", "compoundFieldName": "Odd"},
        {"name": "Name", "compoundFieldName": "Name"},
        {"name": "Phone", "compoundFieldName": None},
    ]
    known = cdc.compounds(fields)
    assert set(known) == {"PersonMailingAddress", "Spot__c", "Odd"}
    values = {"Odd": {"City": "Rome"}, "Spot__c": {"Latitude": 41.9}, "Name": {"LastName": "Roe"}}
    event = cdc.read(message(values, changedFields=["Odd.City", "Spot__c.Latitude", "Name.LastName"]), known)
    assert event.values == {"Strange_City": "Rome", "Spot__Latitude__s": 41.9, "LastName": "Roe"}


def test_a_creation_carries_all_its_values() -> None:
    values = {"Phone": "+14155550123", "Name": {"FirstName": "Ann", "LastName": "Roe"}, "Company": "Acme"}
    event = read(values, changeType="CREATE", changedFields=[])
    assert event.changed == ()
    assert event.values == {"Phone": "+14155550123", "FirstName": "Ann", "LastName": "Roe", "Company": "Acme"}


def test_only_changed_fields_of_an_enriched_update_are_believed() -> None:
    event = read({"Phone": "1", "OwnerId": "0055f000005mc66AAA"}, changedFields=["Phone"])
    assert event.values == {"Phone": "1"}


def test_a_cleared_field_is_there_as_nothing() -> None:
    event = read({"Phone": None, "Name": {"FirstName": None}}, changedFields=["Phone", "Name.FirstName"])
    assert event.values == {"Phone": None, "FirstName": None}


def test_a_compound_that_is_null_as_a_whole_clears_its_changed_parts() -> None:
    event = read({"Address": None, "Phone": "1"}, changedFields=["Address.City", "Address.Street", "Phone"])
    assert event.values == {"City": None, "Street": None, "Phone": "1"}


def test_a_compound_named_as_a_whole_changed_in_the_parts_it_carries() -> None:
    event = read({"Name": {"FirstName": "Ann", "LastName": "Roe"}}, changedFields=["Name"])
    assert event.changed == ("FirstName", "LastName")


def test_the_difference_of_a_long_text_is_no_value() -> None:
    values = {
        "Description": {"diff": "--- \n+++ 0f2\n@@ -1 +1 @@"},
        "Address": {"Street": {"diff": "x"}, "City": "Rome"},
    }
    event = read(values, changedFields=["Description", "Address.Street", "Address.City"])
    assert event.changed == ("Description", "Street", "City")
    assert event.values == {"City": "Rome"}


def test_unknown_keys_are_ignored() -> None:
    event = read(
        {"Status": "New", "Brand_New__c": [1, 2]}, changedFields=["Status"], nulledFields=[], surprise={"a": 1}
    )
    assert event.values == {"Status": "New"}


@pytest.mark.parametrize(
    ("origin", "ours"),
    [
        ("com/salesforce/api/rest/59.0;client=DialerSync", True),
        ("com/salesforce/api/rest/59.0;client=DialerSync/", True),
        ("com/salesforce/api/bulkapi/59.0;foo=1; client=DialerSync", True),
        ("com/salesforce/api/rest/59.0;client=DialerSyncPro", False),
        ("com/salesforce/api/rest/59.0;client=NotDialerSync", False),
        ("com/salesforce/api/rest/59.0", False),
        ("client=DialerSync", False),
        ("", False),
        (None, False),
    ],
)
def test_our_own_writes_are_told_by_their_client_as_a_token(origin: Any, ours: bool) -> None:
    assert read(changeOrigin=origin).ours is ours


def test_a_converted_lead_names_its_contact() -> None:
    contact = "003D000000QYyrSIAT"
    event = read(
        {"IsConverted": True, "ConvertedContactId": contact[:15]}, changedFields=["IsConverted", "ConvertedContactId"]
    )
    assert (event.change, event.moved_to) == (Change.UPDATED, contact)


def test_a_contact_id_without_a_conversion_moves_nothing() -> None:
    values = {"IsConverted": False, "ConvertedContactId": "003D000000QYyrSIAT"}
    assert read(values, changedFields=["IsConverted", "ConvertedContactId"]).moved_to == ""


def test_a_record_that_names_its_master_was_merged() -> None:
    event = read({"MasterRecordId": "00QD000000abcdfAAA"}, changedFields=["MasterRecordId"])
    assert (event.change, event.moved_to) == (Change.MERGED, "00QD000000abcdfAAA")


# --- the key --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        {"transactionKey": "another"},
        {"sequenceNumber": 2},
        {"entityName": "Contact"},
        {"recordIds": ["00QD000000abcdfAAA"]},
    ],
    ids=["transaction", "number", "object", "records"],
)
def test_two_events_have_two_keys(other: dict[str, Any]) -> None:
    assert read(**other).dedupe_key != read().dedupe_key


def test_the_key_is_the_same_however_often_and_in_whatever_order_it_comes() -> None:
    ids = [LEAD, "00QD000000abcdfAAA"]
    first, second = read(recordIds=ids), read(recordIds=ids[::-1], commitNumber=7)
    assert first.dedupe_key == second.dedupe_key
    assert first.dedupe_key.startswith(f"{TRANSACTION}:1:Lead:")


def test_events_without_a_number_are_told_apart_by_their_content() -> None:
    other = json.loads(json.dumps(SHORT_FORM))
    other["payload"]["Phone"] = "+14155559999"
    assert cdc.read(SHORT_FORM).dedupe_key == cdc.read(json.loads(json.dumps(SHORT_FORM))).dedupe_key
    assert cdc.read(SHORT_FORM).dedupe_key != cdc.read(other).dedupe_key


def test_a_key_given_from_outside_is_taken() -> None:
    assert cdc.read(message(), key="webhook:e1").dedupe_key == "webhook:e1"


@pytest.mark.parametrize("transaction", ["x" * 500, "a\x00b", "", None, "naïve"])
def test_an_odd_transaction_still_makes_a_short_and_plain_key(transaction: Any) -> None:
    key = read(transactionKey=transaction).dedupe_key
    assert len(key) <= 200
    assert key.isascii()
    assert key.isprintable()


@pytest.mark.parametrize("moment", [None, "soon", 10**20, float("nan"), {}])
def test_an_unreadable_moment_is_none(moment: Any) -> None:
    assert read(commitTimestamp=moment).occurred_at is None


# --- what is no event -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": None},
        {"data": []},
        {"payload": None},
        {"payload": {}},
        {"payload": {"ChangeEventHeader": None}},
        {"payload": {"ChangeEventHeader": {"entityName": "Lead"}}},
        {"payload": {"ChangeEventHeader": {"entityName": "Lead", "recordIds": "x", "changeType": "UPDATE"}}},
        {"payload": {"ChangeEventHeader": {"entityName": "Lead", "recordIds": [LEAD]}}},
        {"payload": {"ChangeEventHeader": {"entityName": "'; --", "recordIds": [LEAD], "changeType": "UPDATE"}}},
    ],
)
def test_what_is_no_change_event_is_refused_in_words(body: dict[str, Any]) -> None:
    with pytest.raises(errors.FixData, match="no change event"):
        cdc.read(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)

HEADERS = (
    "entityName",
    "recordIds",
    "changeType",
    "changedFields",
    "changeOrigin",
    "transactionKey",
    "sequenceNumber",
    "commitTimestamp",
)


@given(
    header=st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(HEADERS, JSON),
    ),
    values=st.dictionaries(st.text(max_size=8), JSON, max_size=4),
)
def test_whatever_comes_is_an_event_or_refused_in_words(header: dict[str, Any], values: dict[str, Any]) -> None:
    base = {"entityName": "Lead", "recordIds": [LEAD], "changeType": "UPDATE"}
    try:
        event = cdc.read({"payload": {**values, "ChangeEventHeader": {**base, **header}}})
    except errors.FixData:
        return
    assert len(event.dedupe_key) <= 200
    assert all(len(one) == 18 for one in event.record_ids)
