import copy
import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapping.compiled import CompiledMapping, Mapped, MappingError, MappingRow, Problem
from mapping.validation import Rule

LEAD = {
    "FirstName": "Ann",
    "LastName": "Roe",
    "Email": "Ann@Example.com",
    "Phone": "(415) 555-1234",
    "MobilePhone": "",
    "Company": "Acme",
    "Title": None,
    "Status": "Open",
    "DoNotCall": False,
    "Owner": {"Email": "Bob@example.com"},
    "Dialer_Call_Count__c": 5.0,
}
DEFAULTS = (
    MappingRow("first_name", "Lead", "FirstName", "bidirectional"),
    MappingRow("last_name", "Lead", "LastName", "bidirectional", required=True),
    MappingRow("email", "Lead", "Email", "bidirectional", "lowercase"),
    MappingRow("phone", "Lead", "Phone", "bidirectional", "phone_e164"),
    MappingRow("mobile_phone", "Lead", "MobilePhone", "bidirectional", "phone_e164"),
    MappingRow("company", "Lead", "Company", "bidirectional", object_overrides={"Contact": "Account.Name"}),
    MappingRow("title", "Lead", "Title", "bidirectional"),
    MappingRow(
        "lead_status",
        "Lead",
        "Status",
        "bidirectional",
        "picklist_map",
        {"map": {"New": "Open", "Working": "Contacted"}},
        object_overrides={"Contact": None},
    ),
    MappingRow("do_not_call", "Lead", "DoNotCall", "bidirectional"),
    MappingRow("owner_email", "Lead", "Owner.Email", "inbound", "lowercase"),
    MappingRow("call_count", "Lead", "Dialer_Call_Count__c", "outbound"),
    MappingRow("last_called_at", "Lead", "Dialer_Last_Called__c", "outbound", "date_iso"),
)
PERSON_ROWS = (
    MappingRow("email", "Person", "emails[isPrimary=1].value || emails[0].value", "bidirectional", "lowercase"),
    MappingRow("phone", "Person", "phones[type=work].value || phones[0].value", "bidirectional", "phone_e164"),
    MappingRow("mobile_phone", "Person", "phones[type=mobile].value", "bidirectional", "phone_e164"),
    MappingRow("last_called_at", "Person", 'customFields."Last Called"', "outbound", "date_sfdc"),
)


def mapping(*rows: MappingRow, object_type: str = "Lead", **tenant: str) -> CompiledMapping:
    return CompiledMapping.compile(rows, object_type=object_type, **({"region": "US", "timezone": "UTC"} | tenant))


def inbound(row: MappingRow, record: dict[str, Any], **tenant: str) -> Mapped:
    with mapping(row, **tenant).session() as session:
        return session.inbound(record)


def outbound(row: MappingRow, values: dict[str, Any], **tenant: str) -> Mapped:
    with mapping(row, **tenant).session() as session:
        return session.outbound(values)


def test_a_lead_becomes_the_dialers_values() -> None:
    mapped = mapping(*DEFAULTS).session().inbound(LEAD)
    assert mapped == Mapped(
        {
            "first_name": "Ann",
            "last_name": "Roe",
            "email": "ann@example.com",
            "phone": "+14155551234",
            "mobile_phone": None,
            "company": "Acme",
            "title": None,
            "lead_status": "New",
            "do_not_call": False,
            "owner_email": "bob@example.com",
        },
        (),
    )


def test_the_dialers_values_become_a_lead() -> None:
    values = {
        "first_name": "Ann",
        "last_name": "Roe",
        "phone": "+14155551234",
        "title": None,
        "lead_status": "Working",
        "do_not_call": True,
        "owner_email": "bob@example.com",
        "call_count": 6,
        "last_called_at": datetime(2024, 1, 15, 20, 49, 32, tzinfo=UTC),
        "unmapped": "x",
    }
    assert mapping(*DEFAULTS).session().outbound(values) == Mapped(
        {
            "FirstName": "Ann",
            "LastName": "Roe",
            "Phone": "+14155551234",
            "Title": None,
            "Status": "Contacted",
            "DoNotCall": True,
            "Dialer_Call_Count__c": 6,
            "Dialer_Last_Called__c": "2024-01-15T20:49:32Z",
        },
        (),
    )


def test_a_field_the_record_does_not_have_is_left_out_and_an_empty_one_is_none() -> None:
    session = mapping(*DEFAULTS).session()
    assert session.inbound({"LastName": "Roe", "Title": "", "Owner": None}).values == {
        "last_name": "Roe",
        "title": None,
        "owner_email": None,
    }


def test_one_bad_field_does_not_block_the_person() -> None:
    record = LEAD | {
        "Phone": "12345",
        "Email": "nobody",
        "Status": "Lost",
        "FirstName": "x" * 300,
        "DoNotCall": "maybe",
    }
    mapped = mapping(*DEFAULTS).session().inbound(record)
    assert mapped.values.keys() == {"last_name", "mobile_phone", "company", "title", "owner_email"}
    assert {(problem.field, problem.rule) for problem in mapped.problems} == {
        ("phone", "phone_e164"),
        ("email", "format"),
        ("lead_status", "picklist_map"),
        ("first_name", "length"),
        ("do_not_call", "kind"),
    }
    told = " ".join(problem.message for problem in mapped.problems)
    assert not any(value in told for value in ("12345", "nobody", "Lost", "xxx", "maybe"))


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
def test_every_broken_rule_of_a_field_is_told(direction: str) -> None:
    rules = (Rule("length", {"min": 9}), {"type": "enum", "params": {"values": ["a"]}, "errorMessage": "No"})
    row = MappingRow("title", "Lead", "Title", "bidirectional", validations=rules)
    mapped = inbound(row, {"Title": "CEO"}) if direction == "inbound" else outbound(row, {"title": "CEO"})
    assert mapped.values == {}
    assert [problem.rule for problem in mapped.problems] == ["length", "enum"]


def test_a_tenants_pattern_runs_in_the_sandbox() -> None:
    rule = {"type": "format", "params": {"pattern": "^[A-Z]{3}$"}, "errorMessage": "Three letters"}
    row = MappingRow("title", "Lead", "Title", "bidirectional", validations=(rule,))
    assert inbound(row, {"Title": "CEO"}) == Mapped({"title": "CEO"}, ())
    assert inbound(row, {"Title": "boss"}) == Mapped({}, (Problem("title", "format", "Three letters"),))


@pytest.mark.parametrize(
    ("record", "partial", "fails"),
    [
        pytest.param({"LastName": "Roe"}, False, False, id="there"),
        pytest.param({"LastName": ""}, False, True, id="empty"),
        pytest.param({"LastName": None}, True, True, id="empty in a partial record"),
        pytest.param({}, False, True, id="absent"),
        pytest.param({}, True, False, id="absent in a partial record"),
    ],
)
def test_a_required_field_inbound(record: dict[str, Any], partial: bool, fails: bool) -> None:
    mapped = mapping(DEFAULTS[1]).session().inbound(record, partial=partial)
    assert [(problem.field, problem.rule) for problem in mapped.problems] == [("last_name", "required")] * fails
    assert mapped.values == ({"last_name": "Roe"} if record.get("LastName") else {})


@pytest.mark.parametrize(
    ("values", "existing", "partial", "fails"),
    [
        pytest.param({"last_name": "Roe"}, None, None, False, id="there"),
        pytest.param({"last_name": ""}, None, None, True, id="empty"),
        pytest.param({}, None, None, True, id="absent on creation"),
        pytest.param({}, {"LastName": "Roe"}, None, False, id="absent on update"),
        pytest.param({"last_name": None}, {"LastName": "Roe"}, None, True, id="cleared on update"),
        pytest.param({}, {"LastName": "Roe"}, False, True, id="absent where all must be there"),
        pytest.param({}, None, True, False, id="absent where some may be"),
    ],
)
def test_a_required_field_outbound(
    values: dict[str, Any], existing: dict[str, Any] | None, partial: bool | None, fails: bool
) -> None:
    mapped = mapping(DEFAULTS[1]).session().outbound(values, existing=existing, partial=partial)
    assert [(problem.field, problem.rule) for problem in mapped.problems] == [("last_name", "required")] * fails
    assert mapped.values == ({"LastName": "Roe"} if values.get("last_name") else {})


def test_a_required_rule_brings_its_own_message() -> None:
    row = MappingRow("title", "Lead", "Title", "inbound", validations=(Rule("required", {}, "Ask for the title"),))
    assert inbound(row, {"Title": None}).problems == (Problem("title", "required", "Ask for the title"),)


@pytest.mark.parametrize(
    ("object_type", "company", "status"),
    [
        pytest.param("Lead", "Company", "Status", id="the row's own object"),
        pytest.param("Contact", "Account.Name", None, id="overridden"),
        pytest.param("Person", "Company", "Status", id="another object"),
    ],
)
def test_a_row_applies_to_other_objects_as_it_says(object_type: str, company: str, status: str | None) -> None:
    compiled = mapping(*DEFAULTS, object_type=object_type)
    assert company in compiled.crm_fields
    assert ("Status" in compiled.crm_fields) is (status is not None)
    assert ("lead_status" in compiled.dialer_fields("inbound")) is (status is not None)


def test_what_must_be_fetched_and_what_takes_part() -> None:
    compiled = mapping(*PERSON_ROWS, object_type="Person")
    assert compiled.crm_fields == (
        "emails[isPrimary=1].value",
        "emails[0].value",
        "phones[type=work].value",
        "phones[0].value",
        "phones[type=mobile].value",
    )
    assert compiled.list_fields == ("emails", "phones")
    assert compiled.dialer_fields("inbound") == ("email", "phone", "mobile_phone")
    assert compiled.dialer_fields("outbound") == ("email", "phone", "mobile_phone", "last_called_at")


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        pytest.param("first_name", 5, "5", id="number as text"),
        pytest.param("first_name", 5.0, "5", id="whole float as text"),
        pytest.param("first_name", True, None, id="boolean as text"),
        pytest.param("first_name", ["x"], None, id="list as text"),
        pytest.param("do_not_call", "true", True, id="text as boolean"),
        pytest.param("do_not_call", 0, False, id="number as boolean"),
        pytest.param("do_not_call", "perhaps", None, id="no boolean"),
        pytest.param("lead_status", 3, "3", id="number as choice"),
        pytest.param("custom.any", {"a": [1]}, {"a": [1]}, id="own field"),
    ],
)
def test_an_inbound_value_becomes_the_kind_of_its_field(field: str, value: object, expected: object) -> None:
    mapped = inbound(MappingRow(field, "Lead", "F", "inbound"), {"F": value})
    assert mapped.values == ({} if expected is None else {field: expected})
    assert [problem.rule for problem in mapped.problems] == ["kind"] * (expected is None)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        pytest.param("call_count", "5", 5, id="text as integer"),
        pytest.param("call_count", 5.5, None, id="no integer"),
        pytest.param("call_count", "1e30", None, id="integer too large"),
        pytest.param("ai_score", "87.5", 87.5, id="text as number"),
        pytest.param("ai_score", "87.0", 87, id="text as whole number"),
        pytest.param("ai_score", "high", None, id="no number"),
        pytest.param("last_called_at", 1705351772000, "2024-01-15T20:49:32Z", id="milliseconds as moment"),
        pytest.param("last_called_at", "soon", None, id="no moment"),
    ],
)
def test_an_outbound_value_becomes_the_kind_of_its_field(field: str, value: object, expected: object) -> None:
    mapped = outbound(MappingRow(field, "Lead", "F", "outbound"), {field: value})
    assert mapped.values == ({} if expected is None else {"F": expected})
    assert [problem.rule for problem in mapped.problems] == ["kind"] * (expected is None)


def test_a_call_is_mapped_with_the_fields_of_a_call() -> None:
    rows = [
        MappingRow("key_points", "Task", "Points", "outbound"),
        MappingRow("started_at", "Task", "ActivityDate", "outbound", "date_sfdc"),
    ]
    compiled = CompiledMapping.compile(rows, object_type="Task", timezone="America/New_York", entity="call_activity")
    values = {"key_points": "a; b", "started_at": "2024-01-15T03:00:00Z"}
    assert compiled.session().outbound(values).values == {"Points": ["a", "b"], "ActivityDate": "2024-01-14"}


# --- lists, which a CRM replaces as a whole

PERSON: dict[str, Any] = {
    "id": 7,
    "emails": [{"value": "Ann@Example.com", "type": "home", "isPrimary": 0}],
    "phones": [
        {"value": "4155550100", "type": "work", "isPrimary": 0, "status": "Valid"},
        {"value": "4155551234", "type": "mobile", "isPrimary": 1},
        {"value": "4155559999", "type": "fax"},
    ],
}


def person(values: dict[str, Any], existing: dict[str, Any] | None = None) -> Any:
    before = copy.deepcopy(existing)
    mapped = mapping(*PERSON_ROWS, object_type="Person").session().outbound(values, existing=existing)
    assert existing == before
    assert mapped.problems == ()
    return mapped.values


def test_a_changed_phone_goes_out_with_all_the_others() -> None:
    assert person({"mobile_phone": "+14155557777"}, PERSON) == {
        "phones": [
            {"value": "4155550100", "type": "work", "isPrimary": 0, "status": "Valid"},
            {"value": "+14155557777", "type": "mobile", "isPrimary": 1},
            {"value": "4155559999", "type": "fax"},
        ]
    }


def test_a_cleared_phone_is_dropped_and_the_others_stay() -> None:
    sent = person({"phone": None, "mobile_phone": "+14155551234"}, PERSON)
    assert [phone["type"] for phone in sent["phones"]] == ["mobile", "fax"]


def test_clearing_what_is_not_there_sends_nothing() -> None:
    assert person({"mobile_phone": None}, {"phones": PERSON["phones"][:1]}) == {}
    assert person({"mobile_phone": None}) == {}


def test_the_same_number_in_another_format_is_no_change() -> None:
    assert person({"phone": "+14155550100", "email": "ann@example.com"}, PERSON) == {}


def test_a_value_read_from_a_fallback_is_not_added_a_second_time() -> None:
    existing = {"phones": [{"value": "(415) 555-0100", "type": "home"}]}
    assert person({"phone": "+14155550100"}, existing) == {}
    assert person({"phone": "+14155550111"}, existing) == {
        "phones": [{"value": "(415) 555-0100", "type": "home"}, {"type": "work", "value": "+14155550111"}]
    }


def test_a_new_person_gets_new_lists() -> None:
    assert person(
        {"phone": "+14155550100", "mobile_phone": "+14155551234", "last_called_at": "2024-01-15T20:00:00Z"}
    ) == {
        "phones": [{"type": "work", "value": "+14155550100"}, {"type": "mobile", "value": "+14155551234"}],
        "customFields": {"Last Called": "2024-01-15"},
    }


def test_places_in_a_list_stay_put_while_a_record_is_written() -> None:
    rows = (
        MappingRow("phone", "Person", "phones[0].value", "bidirectional"),
        MappingRow("mobile_phone", "Person", "phones[1].value", "bidirectional"),
    )
    session = mapping(*rows).session()
    existing = {"phones": [{"value": "+14155550100"}, {"value": "+14155551234"}]}
    sent = session.outbound({"phone": None, "mobile_phone": "+14155557777"}, existing=existing).values
    assert sent == {"phones": [{"value": "+14155557777"}]}
    assert session.outbound({"mobile_phone": "+14155557777"}).values == {"phones": [{"value": "+14155557777"}]}


def test_a_record_of_another_shape_is_a_problem_of_its_field() -> None:
    session = mapping(*PERSON_ROWS, object_type="Person").session()
    mapped = session.outbound({"phone": "+14155550100", "email": "a@b.co"}, existing={"phones": "none", "emails": []})
    assert mapped.values.get("emails") == [{"isPrimary": 1, "value": "a@b.co"}]
    assert [(problem.field, problem.rule) for problem in mapped.problems] == [("phone", "path")]


# --- the tenant's own expressions


def test_expressions_see_the_value_and_the_record() -> None:
    options = {"inbound": "value + ' ' + record.LastName", "outbound": "value.split(' ')[0]"}
    row = MappingRow("title", "Lead", "Title", "bidirectional", "custom", options)
    with mapping(row).session() as session:
        assert session.inbound({"Title": "Dr", "LastName": "Roe"}).values == {"title": "Dr Roe"}
        assert session.outbound({"title": "Dr Roe"}).values == {"Title": "Dr"}
        assert session.inbound({"Title": None}).values == {"title": None}


def test_an_expression_that_fails_is_a_problem_of_its_field() -> None:
    row = MappingRow("title", "Lead", "Title", "inbound", "custom", {"expression": "value.split(' ')[1]"})
    with mapping(row, DEFAULTS[0]).session() as session:
        mapped = session.inbound({"Title": "Dr", "FirstName": "Ann"})
    assert mapped.values == {"first_name": "Ann"}
    assert [(problem.field, problem.rule) for problem in mapped.problems] == [("title", "custom")]
    assert "undefined" in mapped.problems[0].message


def test_the_result_of_an_expression_is_fitted_and_checked_too() -> None:
    row = MappingRow("do_not_call", "Lead", "F", "inbound", "custom", {"expression": "value == 'x' ? 'yes' : 'what'"})
    assert inbound(row, {"F": "x"}).values == {"do_not_call": True}
    assert [problem.rule for problem in inbound(row, {"F": "y"}).problems] == ["kind"]


def test_a_mapping_is_shared_by_threads_that_have_a_session_each() -> None:
    row = MappingRow("title", "Lead", "Title", "inbound", "custom", {"expression": "value.toUpperCase()"})
    compiled = mapping(row, *DEFAULTS[:6])

    def work(name: str) -> Any:
        with compiled.session() as session:
            return session.inbound(LEAD | {"Title": name}).values["title"]

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(work, ["a", "b", "c"])) == ["A", "B", "C"]


# --- compiling


def test_every_fault_of_every_row_is_told_at_once() -> None:
    rows = (
        MappingRow("fist_name", "Lead", "First Name", "sideways", "upper"),
        MappingRow("title", "Lead", "Title", "outbound", "custom", {"inbound": "value"}),
        MappingRow("email", "Lead", "Email", "inbound", "phone_e164", {"region": "XX"}, validations=({"type": "x"},)),
        MappingRow("email", "Lead", "Email2", "inbound"),
        MappingRow("email", "Lead", "Email3", "inbound"),
        MappingRow("call_count", "Lead", "Count", "bidirectional"),
        MappingRow("company", "Lead", "Company", "bidirectional"),
        MappingRow("custom.company", "Lead", '"Company"', "outbound"),
        MappingRow("lead_status", "Lead", "Status", "inbound", "picklist_map", None),
    )
    with pytest.raises(MappingError) as caught:
        mapping(*rows, region="Narnia", timezone="Mars/Phobos")
    assert [(problem.field, problem.rule) for problem in caught.value.problems] == [
        ("", "region"),
        ("", "timezone"),
        ("fist_name", "field"),
        ("fist_name", "path"),
        ("fist_name", "direction"),
        ("fist_name", "transform"),
        ("title", "options"),
        ("email", "validations"),
        ("email", "options"),
        ("call_count", "direction"),
        ("lead_status", "options"),
        ("email", "field"),
        ("custom.company", "path"),
    ]
    assert 'fist_name: The dialer has no contact field "fist_name"; did you mean "first_name"?' in str(caught.value)
    assert all(problem.message.endswith((".", "?")) for problem in caught.value.problems)


def test_a_row_that_is_not_on_the_object_is_not_checked_for_it() -> None:
    row = MappingRow("title", "Lead", "Title", "inbound", object_overrides={"Contact": None, "Person": "[bad"})
    assert mapping(row, object_type="Contact").rows == ()
    with pytest.raises(MappingError, match="title: The CRM field is not a path"):
        mapping(row, object_type="Person")


def test_an_unknown_entity_is_told_for_its_rows() -> None:
    with pytest.raises(MappingError, match='no entity "campaign"'):
        CompiledMapping.compile([DEFAULTS[0]], object_type="Lead", entity="campaign")


names = st.sampled_from(sorted(LEAD))
odd = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.lists(st.integers(), max_size=2)
)


@given(st.dictionaries(names, odd | st.dictionaries(st.just("Email"), odd)))
def test_any_record_gives_json_and_problems_but_no_exception(record: dict[str, Any]) -> None:
    mapped = mapping(*DEFAULTS).session().inbound(record)
    json.dumps(mapped.values)
    assert not mapped.values.keys() & {problem.field for problem in mapped.problems}
    assert mapped == mapping(*DEFAULTS).session().inbound(record)


@given(
    st.fixed_dictionaries(
        {"last_name": st.text("abc é", min_size=1, max_size=9)},
        optional={
            "first_name": st.text("abc", max_size=5) | st.none(),
            "lead_status": st.sampled_from(["New", "Working", None]),
            "do_not_call": st.booleans(),
            "phone": st.sampled_from(["+14155551234", "+442079460000", None]),
            "email": st.sampled_from(["a@b.co", None]),
        },
    )
)
def test_what_goes_out_comes_in_the_same(values: dict[str, Any]) -> None:
    session = mapping(*DEFAULTS).session()
    sent = session.outbound(values)
    assert sent.problems == ()
    expected = {key: None if value == "" else value for key, value in values.items()}
    assert session.inbound(sent.values).values == expected
    person_session = mapping(*PERSON_ROWS, object_type="Person").session()
    mine = {key: value for key, value in values.items() if key in ("phone", "email")}
    sent_person = person_session.outbound(mine, existing=PERSON).values
    after = person_session.inbound(PERSON | sent_person).values
    assert all(after[key] == value for key, value in mine.items() if value is not None)
    assert person_session.outbound(mine, existing=PERSON | sent_person).values in ({}, sent_person)


def by_hand(record: dict[str, Any]) -> dict[str, Any]:
    return {
        "first_name": record["FirstName"] or None,
        "last_name": record["LastName"] or None,
        "company": record["Company"] or None,
        "title": record["Title"] or None,
        "lead_status": record["Status"] or None,
        "email": record["Email"].strip().lower() or None,
        "owner_email": record["Owner"]["Email"].strip().lower() or None,
        "do_not_call": bool(record["DoNotCall"]),
    }


def test_a_record_is_mapped_in_microseconds() -> None:
    """Not a benchmark: it notices when work that belongs into the compiling creeps into every record."""
    session = mapping(*DEFAULTS).session()

    def best(work: Any) -> float:
        times = []
        for _ in range(30):
            started = time.perf_counter()
            for _ in range(100):
                work(LEAD)
            times.append(time.perf_counter() - started)
        return min(times)

    assert by_hand(LEAD) | {"lead_status": "New"} == {
        key: value for key, value in session.inbound(LEAD).values.items() if not key.endswith("phone")
    }
    assert best(session.inbound) < 25 * best(by_hand)
