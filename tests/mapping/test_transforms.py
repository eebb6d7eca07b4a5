import json
import string
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import phonenumbers
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mapping.expressions import JSON, ExpressionError
from mapping.transforms import TRANSFORMS, Context, TransformError, check_options

NEW_YORK = Context(timezone="America/New_York")
STATUS = {"map": {"New": "Open", "Working": "In Progress", "Busy": "In Progress", "Off": False}}


def inbound(rule: str, value: Any, options: dict[str, Any] | None = None, context: Context | None = None) -> Any:
    return TRANSFORMS[rule].inbound(value, options or {}, context or Context())


def outbound(rule: str, value: Any, options: dict[str, Any] | None = None, context: Context | None = None) -> Any:
    return TRANSFORMS[rule].outbound(value, options or {}, context or Context())


def test_there_are_ten_transforms() -> None:
    assert list(TRANSFORMS) == [
        "none",
        "phone_e164",
        "date_iso",
        "date_sfdc",
        "boolean_yn",
        "boolean_checkbox",
        "lowercase",
        "picklist_map",
        "currency_cents",
        "custom",
    ]


@pytest.mark.parametrize("rule", TRANSFORMS)
@pytest.mark.parametrize("blank", [None, ""])
def test_an_empty_value_stays_empty(rule: str, blank: object) -> None:
    assert inbound(rule, blank) is None
    assert outbound(rule, blank) is None


@pytest.mark.parametrize(
    ("rule", "options", "value", "expected"),
    [
        pytest.param("none", {}, [1, "x"], [1, "x"], id="none"),
        pytest.param("phone_e164", {}, "(415) 555-1234", "+14155551234", id="phone"),
        pytest.param("phone_e164", {}, 4155551234, "+14155551234", id="phone as number"),
        pytest.param("phone_e164", {}, "415-555-1234 ext. 55", "+14155551234", id="phone without its extension"),
        pytest.param("phone_e164", {}, "+44 20 7946 0000", "+442079460000", id="phone of another country"),
        pytest.param("phone_e164", {"region": "gb"}, "020 7946 0000", "+442079460000", id="phone, region option"),
        pytest.param("phone_e164", {"accept": "possible"}, "555 123 4567", "+15551234567", id="phone, right length"),
        pytest.param("date_iso", {}, "2024-01-15T20:49:32.000+0000", "2024-01-15T20:49:32Z", id="Salesforce"),
        pytest.param("date_iso", {}, "2024-01-15T15:49:32-05:00", "2024-01-15T20:49:32Z", id="zone"),
        pytest.param("date_iso", {}, "2024-01-15 20:49", "2024-01-15T20:49:00Z", id="no zone"),
        pytest.param("date_iso", {}, "2024-01-15", "2024-01-15T00:00:00Z", id="day"),
        pytest.param("date_iso", {}, "20240115", "2024-01-15T00:00:00Z", id="compact day"),
        pytest.param("date_iso", {}, "01/15/2024", "2024-01-15T00:00:00Z", id="American day"),
        pytest.param("date_iso", {"dayfirst": True}, "15/1/2024", "2024-01-15T00:00:00Z", id="day first"),
        pytest.param("date_iso", {}, "1/15/2024, 8:49 PM", "2024-01-15T20:49:00Z", id="American time"),
        pytest.param("date_iso", {}, "1/15/2024 12:05:09 am", "2024-01-15T00:05:09Z", id="midnight with am"),
        pytest.param("date_iso", {}, 1705351772123, "2024-01-15T20:49:32.123Z", id="milliseconds"),
        pytest.param("date_iso", {}, "1705351772000", "2024-01-15T20:49:32Z", id="milliseconds as text"),
        pytest.param("date_iso", {}, 1705351772000.0, "2024-01-15T20:49:32Z", id="milliseconds as float"),
        pytest.param("date_iso", {}, date(2024, 1, 15), "2024-01-15T00:00:00Z", id="a date"),
        pytest.param("date_iso", {}, datetime(2024, 1, 15, 20, tzinfo=UTC), "2024-01-15T20:00:00Z", id="a datetime"),
        pytest.param("date_sfdc", {}, "2024-01-15T20:49:32Z", "2024-01-15", id="date_sfdc"),
        pytest.param("date_sfdc", {}, "01/15/2024", "2024-01-15", id="date_sfdc of American day"),
        pytest.param("boolean_yn", {}, "Y", True, id="Y"),
        pytest.param("boolean_yn", {}, "no", False, id="no"),
        pytest.param("boolean_yn", {}, 0, False, id="0"),
        pytest.param("boolean_checkbox", {}, "true", True, id="true"),
        pytest.param("boolean_checkbox", {}, " FALSE ", False, id="FALSE"),
        pytest.param("boolean_checkbox", {}, True, True, id="real boolean"),
        pytest.param("lowercase", {}, " John@EXAMPLE.com ", "john@example.com", id="lowercase"),
        pytest.param("picklist_map", STATUS, "Open", "New", id="picklist"),
        pytest.param("picklist_map", STATUS, "open ", "New", id="picklist in another case"),
        pytest.param("picklist_map", STATUS, "In Progress", "Working", id="the first of two choices"),
        pytest.param("picklist_map", STATUS, False, "Off", id="picklist with a boolean"),
        pytest.param("picklist_map", STATUS, ["Open", "In Progress"], ["New", "Working"], id="several choices"),
        pytest.param("picklist_map", STATUS | {"unmapped": "pass"}, "Lost", "Lost", id="pass"),
        pytest.param("picklist_map", STATUS | {"unmapped": "blank"}, "Lost", None, id="blank"),
        pytest.param("picklist_map", STATUS | {"default_inbound": "New"}, "Lost", "New", id="default"),
        pytest.param("currency_cents", {}, "49.99", 4999, id="dollars"),
        pytest.param("currency_cents", {}, "$1,234.50", 123450, id="dollar sign and comma"),
        pytest.param("currency_cents", {}, "-$0.10", -10, id="negative"),
        pytest.param("currency_cents", {}, "EUR 5", 500, id="currency code before it"),
        pytest.param("currency_cents", {}, 49.99, 4999, id="JSON number"),
        pytest.param("currency_cents", {}, 49, 4900, id="whole number"),
        pytest.param("currency_cents", {}, "1.1000", 110, id="zeros behind the cents"),
        pytest.param("currency_cents", {"currency": "JPY"}, "1,200", 1200, id="yen"),
        pytest.param("currency_cents", {"currency": "kwd"}, "1.234", 1234, id="dinar"),
        pytest.param("currency_cents", {}, 0.29, 29, id="0.29 is 29 cents"),
    ],
)
def test_inbound(rule: str, options: dict[str, Any], value: object, expected: object) -> None:
    result = inbound(rule, value, options)
    assert result == expected
    assert type(result) is type(expected)
    json.dumps(result)


@pytest.mark.parametrize(
    ("rule", "options", "value", "expected"),
    [
        pytest.param("none", {}, "x", "x", id="none"),
        pytest.param("phone_e164", {}, "+14155551234", "+14155551234", id="phone"),
        pytest.param("date_iso", {}, "2024-01-15T20:49:32Z", "2024-01-15T20:49:32Z", id="date_iso"),
        pytest.param("date_iso", {"output": "epoch_ms"}, "2024-01-15T20:49:32Z", 1705351772000, id="milliseconds"),
        pytest.param("date_iso", {"output": "date"}, "2024-01-15T20:49:32Z", "2024-01-15", id="day"),
        pytest.param("date_sfdc", {}, "2024-01-15T20:49:32Z", "2024-01-15", id="date_sfdc"),
        pytest.param("boolean_yn", {}, True, "Y", id="Y"),
        pytest.param("boolean_yn", {}, False, "N", id="N"),
        pytest.param("boolean_checkbox", {}, True, "true", id="true"),
        pytest.param("boolean_checkbox", {}, False, "false", id="false"),
        pytest.param("boolean_checkbox", {"native": True}, "true", True, id="native"),
        pytest.param("lowercase", {}, "A@B.c", "a@b.c", id="lowercase"),
        pytest.param("picklist_map", STATUS, "Busy", "In Progress", id="picklist"),
        pytest.param("picklist_map", STATUS, "Off", False, id="picklist to a boolean"),
        pytest.param("picklist_map", STATUS | {"default_outbound": "Open"}, "Lost", "Open", id="default"),
        pytest.param("currency_cents", {}, 4999, "49.99", id="cents"),
        pytest.param("currency_cents", {}, "5", "0.05", id="cents as text"),
        pytest.param("currency_cents", {}, -123450, "-1234.50", id="negative cents"),
        pytest.param("currency_cents", {"currency": "JPY"}, 1200, "1200", id="yen"),
        pytest.param("currency_cents", {"currency": "KWD"}, 1234, "1.234", id="dinar"),
    ],
)
def test_outbound(rule: str, options: dict[str, Any], value: object, expected: object) -> None:
    result = outbound(rule, value, options)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("value", "iso", "day"),
    [
        pytest.param("2024-01-15T03:00:00Z", "2024-01-15T03:00:00Z", "2024-01-14", id="late evening"),
        pytest.param("2024-01-15T03:00:00", "2024-01-15T08:00:00Z", "2024-01-15", id="no zone means the tenant's"),
        pytest.param("2024-07-15 12:00", "2024-07-15T16:00:00Z", "2024-07-15", id="summer time"),
        pytest.param("2024-01-15", "2024-01-15T00:00:00Z", "2024-01-15", id="a day is the same day everywhere"),
        pytest.param("2024-01-15T00:00:00Z", "2024-01-15T00:00:00Z", "2024-01-15", id="a day written as midnight UTC"),
        pytest.param("01/15/2024", "2024-01-15T00:00:00Z", "2024-01-15", id="an American day"),
    ],
)
def test_dates_use_the_tenants_time_zone_only_for_a_time_of_day(value: str, iso: str, day: str) -> None:
    assert inbound("date_iso", value, context=NEW_YORK) == iso
    assert inbound("date_sfdc", value, context=NEW_YORK) == day
    assert outbound("date_iso", value, {"output": "date"}, NEW_YORK) == day


@pytest.mark.parametrize(
    ("rule", "options", "value"),
    [
        pytest.param("phone_e164", {}, "12345", id="phone too short"),
        pytest.param("phone_e164", {}, "555-1234", id="phone without an area"),
        pytest.param("phone_e164", {}, "999 999 9999", id="phone made up"),
        pytest.param("phone_e164", {"accept": "possible"}, "555-1234", id="phone not even possible"),
        pytest.param("phone_e164", {}, "call Ann", id="phone in words"),
        pytest.param("phone_e164", {}, 4155551234.5, id="phone with decimals"),
        pytest.param("phone_e164", {}, ["+14155551234"], id="list of phones"),
        pytest.param("date_iso", {}, "yesterday", id="date in words"),
        pytest.param("date_iso", {}, "2024-02-30", id="February 30"),
        pytest.param("date_iso", {}, "15/01/2024", id="month 15"),
        pytest.param("date_iso", {}, "1/15/2024 13:00 PM", id="13 PM"),
        pytest.param("date_iso", {}, 10**20, id="beyond the calendar"),
        pytest.param("date_iso", {}, "0001-01-01T00:00:00+14:00", id="before the calendar"),
        pytest.param("date_iso", {}, "2024", id="only a year"),
        pytest.param("date_iso", {}, True, id="boolean as date"),
        pytest.param("date_iso", {}, float("nan"), id="NaN as date"),
        pytest.param("boolean_yn", {}, "maybe", id="maybe"),
        pytest.param("boolean_checkbox", {}, 2, id="2 as boolean"),
        pytest.param("lowercase", {}, 5, id="number in lower case"),
        pytest.param("picklist_map", STATUS, "Ann Roe", id="not in the table"),
        pytest.param("currency_cents", {}, "49.999", id="part of a cent"),
        pytest.param("currency_cents", {"currency": "JPY"}, "49.5", id="part of a yen"),
        pytest.param("currency_cents", {}, "1.234,50", id="European notation"),
        pytest.param("currency_cents", {}, "12,34", id="comma in the wrong place"),
        pytest.param("currency_cents", {}, "lots", id="amount in words"),
        pytest.param("currency_cents", {}, True, id="boolean as amount"),
        pytest.param("currency_cents", {}, float("inf"), id="infinite amount"),
        pytest.param("currency_cents", {}, "1" * 17, id="amount too large"),
        pytest.param("currency_cents", {}, "0." + "0" * 34 + "1", id="amount with too many decimals"),
        pytest.param("currency_cents", {}, "123456789012345." + "0" * 23 + "1", id="large and with too many decimals"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_without_repeating_it(
    rule: str, options: dict[str, Any], value: object
) -> None:
    with pytest.raises(TransformError) as caught:
        inbound(rule, value, options)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert not isinstance(value, str) or value not in sentence.replace("2024-01-15", "")


@pytest.mark.parametrize("cents", ["49.99", 1.5, "many", None.__class__, 10**16], ids=str)
def test_only_whole_cents_go_out(cents: object) -> None:
    with pytest.raises(TransformError):
        outbound("currency_cents", cents)


class Upper:
    """A runtime that understands two expressions."""

    def evaluate(self, expression: str, value: JSON, record: JSON) -> JSON:
        if expression == "boom":
            raise ExpressionError("The expression failed.")
        return value.upper() if expression == "up" else record["first"]


def test_a_custom_transform_uses_the_expression_of_its_direction() -> None:
    context, options = Context(runtime=Upper()), {"inbound": "up", "outbound": "first"}
    assert TRANSFORMS["custom"].inbound("a", options, context) == "A"
    assert TRANSFORMS["custom"].outbound("a", options, context, {"first": "b"}) == "b"
    assert TRANSFORMS["custom"].inbound("a", {"expression": "up"}, context) == "A"


def test_a_custom_transform_that_fails_is_a_transform_error() -> None:
    with pytest.raises(TransformError, match="The expression failed"):
        TRANSFORMS["custom"].inbound("a", {"expression": "boom"}, Context(runtime=Upper()))
    with pytest.raises(TransformError, match="no expression for outbound"):
        TRANSFORMS["custom"].outbound("a", {"inbound": "up"}, Context(runtime=Upper()))
    with pytest.raises(RuntimeError, match="runtime"):
        TRANSFORMS["custom"].inbound("a", {"expression": "up"}, Context())


@pytest.mark.parametrize(
    ("rule", "options"),
    [
        pytest.param("none", None, id="no options"),
        pytest.param("phone_e164", {"region": "DE", "accept": "possible"}, id="phone"),
        pytest.param("date_iso", {"dayfirst": True, "output": "epoch_ms"}, id="date"),
        pytest.param("boolean_checkbox", {"native": False}, id="checkbox"),
        pytest.param("picklist_map", STATUS | {"unmapped": "pass", "default_inbound": None}, id="picklist"),
        pytest.param("currency_cents", {"currency": "EUR"}, id="currency"),
        pytest.param("custom", {"inbound": "value.split(' ')[0]", "outbound": "value;"}, id="two expressions"),
        pytest.param("custom", {"expression": "record.a ?? null"}, id="one expression"),
    ],
)
def test_good_options_have_no_problems(rule: str, options: object) -> None:
    assert check_options(rule, options) == []


@pytest.mark.parametrize(
    ("rule", "options", "starts"),
    [
        pytest.param("upper", {}, ['There is no transform "upper"'], id="unknown transform"),
        pytest.param("none", [], ["The options of none must be an object"], id="no object"),
        pytest.param("none", {"x": 1}, ['There is no option "x"; none has no options'], id="unknown option"),
        pytest.param(
            "phone_e164",
            {"region": "XX", "accept": "all", "nation": "US"},
            ['There is no option "nation"', 'The option "region" must be a country', 'The option "accept" must be one'],
            id="everything wrong with phones",
        ),
        pytest.param(
            "date_iso",
            {"dayfirst": "yes", "output": "unix"},
            ['The option "dayfirst" must be true or false', 'The option "output" must be one of iso, epoch_ms, date'],
            id="everything wrong with dates",
        ),
        pytest.param("picklist_map", {}, ['picklist_map needs the option "map"'], id="no table"),
        pytest.param("picklist_map", {"map": {}}, ['The option "map" must be an object'], id="empty table"),
        pytest.param("picklist_map", {"map": {"New": None}}, ['The option "map" must have text'], id="null in table"),
        pytest.param("currency_cents", {"currency": "dollar"}, ['The option "currency" must be'], id="currency"),
        pytest.param("custom", {}, ["custom needs"], id="no expression"),
        pytest.param(
            "custom",
            {"inbound": "value.(", "outbound": 7},
            ['The option "inbound" cannot be used. The expression is not valid', 'The option "outbound" must be text'],
            id="faulty expressions",
        ),
    ],
)
def test_all_problems_of_options_are_told_at_once(rule: str, options: object, starts: list[str]) -> None:
    problems = check_options(rule, options)
    assert len(problems) == len(starts)
    assert all(problem.startswith(start) for problem, start in zip(problems, starts, strict=True))


@given(st.integers(-(10**14), 10**14), st.sampled_from(["USD", "JPY", "KWD"]))
def test_money_survives_the_way_there_and_back(cents: int, currency: str) -> None:
    assert (
        inbound("currency_cents", outbound("currency_cents", cents, {"currency": currency}), {"currency": currency})
        == cents
    )


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=2))
def test_an_amount_is_exactly_its_cents(amount: Decimal) -> None:
    assert inbound("currency_cents", str(amount)) == int(amount * 100)
    assert inbound("currency_cents", float(amount)) == int(amount * 100)


@given(
    st.datetimes(timezones=st.just(UTC)).filter(lambda moment: 1900 < moment.year < 2200),
    st.sampled_from(["UTC", "Asia/Tokyo"]),
)
def test_a_moment_survives_the_way_there_and_back(moment: datetime, timezone: str) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    context = Context(timezone=timezone)
    iso = inbound("date_iso", moment.isoformat(), context=context)
    assert datetime.fromisoformat(iso) == moment
    assert inbound("date_iso", iso, context=context) == iso
    milliseconds = outbound("date_iso", iso, {"output": "epoch_ms"}, context)
    assert inbound("date_iso", milliseconds, context=context) == iso


@given(
    st.dates(min_value=date(1900, 1, 1), max_value=date(2200, 1, 1)),
    st.sampled_from(["Asia/Tokyo", "America/New_York"]),
)
def test_a_day_never_shifts_with_the_time_zone(day: date, timezone: str) -> None:
    context = Context(timezone=timezone)
    iso = inbound("date_iso", day.isoformat(), context=context)
    assert outbound("date_sfdc", iso, context=context) == day.isoformat()
    assert inbound("date_iso", f"{day:%m/%d/%Y}", context=context) == iso
    assert inbound("date_iso", f"{day:%d/%m/%Y}", {"dayfirst": True}, context) == iso


@given(
    st.from_regex(r"[2-9][0-9]{2}[2-9][0-9]{6}", fullmatch=True),
    st.sampled_from(["({}) {}-{}", "{}-{}-{}", "1 {}.{}.{}"]),
)
def test_a_phone_number_is_the_same_however_it_is_written(digits: str, style: str) -> None:
    assume(phonenumbers.is_valid_number(phonenumbers.parse(digits, "US")))
    number = inbound("phone_e164", style.format(digits[:3], digits[3:6], digits[6:]))
    assert number == f"+1{digits}"
    assert outbound("phone_e164", number) == number


@given(
    st.sampled_from(sorted(TRANSFORMS)),
    st.text(string.printable, max_size=30) | st.integers() | st.floats() | st.booleans(),
)
def test_a_transform_gives_json_or_a_transform_error(rule: str, value: Any) -> None:
    tables: dict[str, dict[str, Any]] = {"picklist_map": STATUS, "custom": {"expression": "up"}}
    context = Context(runtime=Upper() if isinstance(value, str) else Failing())
    for convert in (inbound, outbound):
        with suppress(TransformError):
            json.dumps(convert(rule, value, tables.get(rule, {}), context))


class Failing:
    def evaluate(self, expression: str, value: JSON, record: JSON) -> JSON:
        raise ExpressionError("The expression failed.")
