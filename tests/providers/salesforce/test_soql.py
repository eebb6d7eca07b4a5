from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.providers.salesforce import soql
from integrations.providers.salesforce.ids import is_id, to_18
from integrations.providers.salesforce.sandbox.soql import Comparison, Group, Literal, parse
from tests.providers.salesforce.world import World

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


@given(anything | st.from_regex(r"[0-9A-Za-z]{15}", fullmatch=True))
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


@given(anything | st.datetimes().map(lambda moment: soql.moment(moment.replace(tzinfo=UTC))))
def test_no_text_gets_into_a_query_as_a_time_unless_it_is_one(text: str) -> None:
    try:
        condition = soql.among_times("StartDateTime", [text])
    except ValueError:
        return
    query = parse(soql.select(["Id"], "Event", [condition]))
    assert isinstance(query.where, Comparison)
    assert [literal.kind for literal in query.where.values] in (["moment"], ["date"])


@given(st.lists(anything, min_size=1, max_size=60), st.integers(1, 4_000))
def test_a_long_list_is_asked_for_in_queries_that_fit_an_address_and_hold_each_value_once(
    values: list[str], padding: int
) -> None:
    """Whatever the values hold, the shape of every query stays the same."""
    values = [*values, "x" * padding]

    def build(some: Sequence[str]) -> str:
        return soql.select(["Id", "Email"], "User", ["IsActive = TRUE", soql.among("Email", some)], ["Id"])

    asked: list[str] = []
    for text in soql.queries(build, values):
        query = parse(text)
        assert isinstance(query.where, Group)
        condition = query.where.parts[1]
        assert isinstance(condition, Comparison)
        assert (condition.path, condition.sign, len(query.where.parts)) == ("Email", "IN", 2)
        assert len(quote(text)) <= soql.MAX_QUERY_BYTES or len(condition.values) == 1
        asked += [str(literal.value) for literal in condition.values]
    assert asked == values


def test_at_most_five_hundred_ids_go_into_a_query() -> None:
    ids = [f"00Qxx00000{number:05d}" for number in range(1_200)]
    sizes = [
        text.count("'") // 2
        for text in soql.queries(lambda some: soql.select(["Id"], "Lead", [soql.among_ids(some)]), ids)
    ]
    assert sizes == [500, 500, 200]
    assert list(soql.queries(lambda some: "", [])) == []


def test_the_longest_query_that_is_built_passes_the_services_own_edge(world: World) -> None:
    ids = [f"00Qxx00000{number:05d}EAA" for number in range(500)]
    provider, _ = world.connect()
    assert len(provider.fetch("Lead", ids, [row.crm_field for row in provider.default_mappings]).missing) == 500


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
