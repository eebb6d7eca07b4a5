import threading
from collections.abc import Callable, Generator
from contextlib import closing

import pytest
from django.db import connection

from integrations import tenancy
from integrations.errors import Retry
from integrations.models import Tenant
from sync.ahead import ahead
from tests.sync.processes import wait_until

PATIENCE = 30
"""Seconds after which a test gives up on a thread that never comes."""


OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


class Source:
    """Numbers, and a word for each that was asked for."""

    def __init__(self, count: int, fail: bool = False) -> None:
        self.made = [threading.Event() for _ in range(count)]
        self.closed = False
        self._fail = fail

    def numbers(self) -> Generator[int, None, None]:
        try:
            for number, event in enumerate(self.made):
                event.set()
                yield number
            if self._fail:
                raise Retry("The CRM is away.")
        finally:
            self.closed = True


def always(_item: int) -> bool:
    return True


def test_the_next_one_is_made_while_one_is_worked() -> None:
    source, seen = Source(3), []
    for number in ahead(source.numbers(), always):
        seen.append(number)
        assert all(event.wait(PATIENCE) for event in source.made[: number + 2])
    assert (seen, source.closed) == ([0, 1, 2], True)


def test_no_more_than_one_is_made_before_it_is_asked_for() -> None:
    source = Source(4)
    with closing(ahead(source.numbers(), always)) as numbers:
        next(numbers)
        assert source.made[1].wait(PATIENCE)
        next(numbers)
        assert source.made[2].wait(PATIENCE)
        assert not source.made[3].is_set()


@pytest.mark.parametrize("last", [0, 1])
def test_nothing_is_made_after_one_that_has_to_be_worked_first(last: int) -> None:
    source, may_follow = Source(3), _is_not(last)
    with closing(ahead(source.numbers(), may_follow)) as numbers:
        while next(numbers) != last:
            pass
        assert not source.made[last + 1].is_set()
        assert next(numbers) == last + 1


def _is_not(last: int) -> Callable[[int], bool]:
    return lambda number: number != last


def test_an_error_comes_after_what_was_made_before_it() -> None:
    source = Source(2, fail=True)
    numbers = ahead(source.numbers(), always)
    assert [next(numbers), next(numbers)] == [0, 1]
    with pytest.raises(Retry, match="away"):
        next(numbers)
    assert source.closed


def test_whoever_breaks_off_ends_the_thread() -> None:
    before, source = threading.active_count(), Source(5)
    with closing(ahead(source.numbers(), always)) as numbers:
        next(numbers)
    assert (threading.active_count(), source.closed) == (before, True)


@pytest.mark.django_db(transaction=True)
def test_the_thread_works_for_the_same_tenant_and_leaves_no_connection_to_the_database(tenant: Tenant) -> None:
    def names() -> Generator[str, None, None]:
        yield Tenant.objects.get().name

    def is_alone() -> bool:
        with connection.cursor() as sql:
            sql.execute(OTHERS)
            return int(sql.fetchone()[0]) == 0

    with tenancy.scope(tenant.pk):
        assert list(ahead(names(), lambda _name: True)) == [tenant.name]
    wait_until(is_alone, "the connection to be gone", PATIENCE)
