"""CSV both ways: whatever the pieces, whatever the texts."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
import requests
import responses
from hypothesis import given
from hypothesis import strategies as st

from integrations import errors
from integrations.providers.salesforce.bulk_csv import CLEARED, cell, line, record_line, rows, rows_of, typed

URL = "https://acme.my.salesforce.com/services/data/v59.0/jobs/query/750Hs0000000001IAA/results"
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


def cut(content: bytes, sizes: list[int]) -> Iterator[bytes]:
    for size in sizes:
        yield content[:size]
        content = content[size:]
    yield content


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=8), st.lists(st.integers(0, 7), max_size=40))
def test_rows_are_the_same_however_their_bytes_are_cut(table: list[tuple[str, str]], sizes: list[int]) -> None:
    held = io.StringIO()
    csv.writer(held, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([("Id", "Owner.Email"), *table])
    found = list(rows(cut(held.getvalue().encode(), sizes)))
    assert [(row["Id"], row["Owner.Email"]) for row in found] == table


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8))
def test_what_we_upload_is_read_back_as_it_was(table: list[tuple[str, str]]) -> None:
    content = b"".join(line(cells) for cells in [("a", "b"), *table])
    assert [tuple(row.values()) for row in rows([content])] == table


@pytest.mark.parametrize("content", [b"", b'"Id","Name"\n', b'"Id","Name"'], ids=["nothing", "header", "cut header"])
def test_an_empty_result_has_no_rows(content: bytes) -> None:
    assert list(rows([content])) == []


def test_nul_bytes_and_a_byte_order_mark_are_left_out() -> None:
    assert list(rows([b'\xef\xbb\xbf"Id"\n"a\0b"\n'])) == [{"Id": "ab"}]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b'"Id","Name"\n"1","half', id="inside a text"),
        pytest.param(b'"Id","Name"\n"1"\n', id="a cell is missing"),
        pytest.param(b'"Id"\n"\xc3', id="inside a letter"),
        pytest.param(b'"Id"\n"\xff"\n', id="not UTF-8"),
    ],
)
def test_a_result_that_was_cut_off_is_asked_for_again(content: bytes) -> None:
    with pytest.raises(errors.Retry) as caught:
        list(rows([content]))
    assert caught.value.cause == "unreadable_answer"


@responses.activate
def test_fewer_rows_than_promised_are_asked_for_again() -> None:
    responses.get(URL, body=b'"Id"\n"1"\n', headers={"Sforce-NumberOfRecords": "2"})
    with pytest.raises(errors.Retry), rows_of(requests.get(URL, stream=True, timeout=5)) as found:
        list(found)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("string", "", None),
        ("boolean", "", None),
        ("boolean", "true", True),
        ("boolean", "false", False),
        ("int", "12", 12),
        ("double", "3.5E8", 350_000_000.0),
        ("currency", "12.50", 12.5),
        ("percent", "7", 7.0),
        ("datetime", "2024-01-15T20:49:32.000Z", "2024-01-15T20:49:32.000+0000"),
        ("date", "2024-01-15", "2024-01-15"),
        ("time", "10:00:00.000Z", "10:00:00.000Z"),
        ("phone", " +1 415 ", " +1 415 "),
        ("multipicklist", "a;b", "a;b"),
    ],
)
def test_a_cell_becomes_what_the_rest_api_would_give(kind: str, text: str, value: Any) -> None:
    found = typed(kind, text)
    assert (found, type(found)) == (value, type(value))


def test_a_number_that_is_none_is_no_reason_to_store_nonsense() -> None:
    with pytest.raises(errors.Retry):
        typed("int", "twelve")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, CLEARED),
        ("", CLEARED),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (1.5, "1.5"),
        (datetime(2024, 1, 15, 12, 0, tzinfo=timezone(timedelta(hours=2))), "2024-01-15T10:00:00.000Z"),
        (datetime(2024, 1, 15, 10, 0, 0, 123_456, tzinfo=UTC), "2024-01-15T10:00:00.123Z"),
        (date(2024, 1, 15), "2024-01-15"),
        (" spaces ", " spaces "),
        ("a\0b", "ab"),
        ("#N/A", "N/A"),
    ],
)
def test_a_value_is_written_as_salesforce_reads_it(value: Any, text: str) -> None:
    assert cell(value) == text


def test_every_cell_is_quoted_and_what_is_not_named_stays_empty() -> None:
    assert record_line(["Id", "Title", "Phone"], {"Id": "1", "Title": 'VP "Sales"\nEMEA'}) == (
        b'"1","VP ""Sales""\nEMEA",""\n'
    )
