from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.providers.salesforce import soql
from integrations.providers.salesforce.ids import is_id, to_18
from integrations.providers.salesforce.sandbox.soql import Comparison, Group, Literal, parse

anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(anything)
def test_a_text_comes_out_of_a_query_as_it_went_in_and_stays_one_literal(text: str) -> None:
    query = parse(soql.select(["Id"], "User", ["IsActive = TRUE", soql.among("Email", [text, "b"])], ["Id"]))
    literals = (Literal("text", text), Literal("text", "b"))
    assert query.where == Group(
        "AND", (Comparison("IsActive", "=", (Literal("boolean", True),)), Comparison("Email", "IN", literals))
    )
    assert (query.source, query.fields, query.order) == ("User", ["Id"], [("Id", False)])


@given(st.one_of(anything, st.from_regex(r"[A-Za-z.'() ]{1,20}", fullmatch=True)))
def test_no_text_gets_into_a_query_as_a_name_unless_it_is_one(text: str) -> None:
    try:
        query = soql.select([text], "Lead")
    except ValueError:
        return
    assert parse(query).fields == [text]


@given(anything)
def test_no_text_gets_into_a_query_as_an_id_unless_it_is_one(text: str) -> None:
    if is_id(text):
        assert soql.record_id(text) == f"'{text}'"
    else:
        with pytest.raises(ValueError, match="no Salesforce id"):
            soql.record_id(text)


@pytest.mark.parametrize(
    "bad", ["", "Na me", "Name,Id", "Name FROM Lead", "Owner..Email", "1st", "Name'", "Näme", "Id\n"]
)
def test_a_name_with_anything_odd_in_it_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="no Salesforce field name"):
        soql.name(bad)


def test_a_time_is_an_unquoted_literal_in_utc() -> None:
    berlin = timezone(timedelta(hours=2))
    assert soql.moment(datetime(2026, 3, 2, 14, 0, 1, 500_000, tzinfo=berlin)) == "2026-03-02T12:00:01.500Z"
    assert soql.moment(datetime(2026, 3, 2, tzinfo=UTC)) == "2026-03-02T00:00:00.000Z"


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("001D000000IqhSL", "001D000000IqhSLIAZ"),
        ("01gD0000002HU6K", "01gD0000002HU6KIAW"),
        ("00Qxx000001abcd", "00Qxx000001abcdEAA"),
        ("001D000000IqhSLIAZ", "001D000000IqhSLIAZ"),
    ],
)
def test_ids_are_kept_in_their_long_form(short: str, long: str) -> None:
    assert to_18(short) == long


@pytest.mark.parametrize(
    "bad", ["", "00Q", "00Qxx000001abc'", "00Qxx000001abcdEA", "00Qxx000001abcdEAAA", "00Qxx000001abcd\n"]
)
def test_what_is_no_id_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="15 or 18"):
        to_18(bad)
