from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from integrations.errors import Retry
from integrations.records.remote import ChangePage, RemoteRecord
from sync import joining
from sync.joining import joined

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def page(*ids: int, at: int = 0) -> ChangePage:
    return ChangePage([RemoteRecord("people", str(one), {}, NOW) for one in ids], {"at": at or ids[-1]}, total=9)


def shape(pages: Iterator[ChangePage]) -> list[tuple[list[str], int]]:
    return [([record.id for record in one.records], one.cursor["at"]) for one in pages]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "ENOUGH", 4)


def test_the_first_page_goes_on_alone_and_small_ones_together_with_the_last_cursor() -> None:
    pages = [page(1, 2), page(3, 4), page(5, 6), page(7)]
    assert shape(joined(pages)) == [(["1", "2"], 2), (["3", "4", "5", "6"], 6), (["7"], 7)]


def test_a_record_that_comes_twice_is_not_joined_with_itself() -> None:
    assert shape(joined([page(1), page(2), page(2, 3)])) == [(["1"], 1), (["2"], 2), (["2", "3"], 3)]


def test_an_empty_page_moves_the_cursor_and_is_last_if_its_last_part_is() -> None:
    *_others, end = joined([page(1), page(2), ChangePage([], {"at": 9}, last=True)])
    assert (shape(iter([end])), end.last) == ([(["2"], 9)], True)


def test_a_page_that_waited_long_enough_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "SECONDS", 0)
    assert [len(one.records) for one in joined([page(1), page(2), page(3)])] == [1, 1, 1]


def test_what_was_read_before_an_error_is_handed_on_first() -> None:
    def broken() -> Iterator[ChangePage]:
        yield page(1)
        yield page(2)
        raise Retry("The CRM is away.")

    pages = joined(broken())
    assert [next(pages).cursor, next(pages).cursor] == [{"at": 1}, {"at": 2}]
    with pytest.raises(Retry):
        next(pages)
