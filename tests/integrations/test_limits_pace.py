"""What the vendor sees of several processes that spend one quota on a busy machine, by a clock that the test moves on.

Their requests leave late, travel for different times, and are counted when they arrive.
"""

import heapq
from collections.abc import Iterator, Sequence
from itertools import count
from random import Random

import pytest
from django.db import connection as database

from integrations.models import CrmConnection
from integrations.records.limits import RateLimit
from integrations.transport import limits
from tests.fullness import mean_use, overdrawn

BEGIN = 1_800_000_000.0
BY_HAND = """
CREATE SCHEMA hand;
CREATE FUNCTION hand.clock_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
    AS $$ SELECT to_timestamp(current_setting('hand.at')::float8) $$;
SET LOCAL search_path = hand, pg_catalog, public;
"""


@pytest.fixture
def _clock_by_hand(db: None) -> None:
    """The database's own clock is looked for in this schema first, by every function."""
    with database.cursor() as cursor:
        cursor.execute(BY_HAND)


def lateness(random: Random) -> float:
    """Most leave in time, some are held up a little, and now and then one stands still."""
    kind = random.random()
    return (
        random.uniform(0.2, 0.7)
        if kind < 0.01
        else random.uniform(0.01, 0.1)
        if kind < 0.1
        else random.uniform(0, 0.005)
    )


def process(
    connection: CrmConnection, known: Sequence[RateLimit], random: Random, *, urgent: bool
) -> Iterator[tuple[float, bool]]:
    """Asks as often as it may. Gives the seconds until it goes on, and whether its request arrives then."""
    slot: limits.Slot | None = None
    while True:
        slot = limits.take(str(connection.pk), known, max_wait=3.0, urgent=urgent, instead_of=slot)
        if slot.wait < 0:
            yield -slot.wait, False
            slot = None
            continue
        since_asked = slot.wait + lateness(random)
        yield since_asked, False
        if limits.may_leave(known, slot, since_asked):
            yield random.uniform(0.001, 0.015), True
            yield random.uniform(0.002, 0.03), False
            slot = None


def arrivals(connection: CrmConnection, kinds: Sequence[Sequence[RateLimit]], seconds: float) -> list[list[float]]:
    """When the requests of each kind arrived. Each counts in buckets of its own choice; four processes make them, one of which does
    what must not wait."""
    random, order = Random(2026), count()
    arrived: list[list[float]] = [[] for _ in kinds]
    going = [
        (random.random() / 20, next(order), kind, False, process(connection, known, random, urgent=not place))
        for kind, known in enumerate(kinds)
        for place in range(4)
    ]
    heapq.heapify(going)
    with database.cursor() as cursor:
        while going[0][0] < seconds:
            now, _, kind, arrives, one = heapq.heappop(going)
            cursor.execute("SELECT set_config('hand.at', %s, true)", [repr(BEGIN + now)])
            if arrives:
                arrived[kind].append(now)
            after, arrives = next(one)
            heapq.heappush(going, (now + after, next(order), kind, arrives, one))
    return arrived


@pytest.mark.usefixtures("_clock_by_hand")
@pytest.mark.parametrize(
    ("quota", "window", "seconds", "least"),
    [(5, 1.0, 30.0, 0.93), (20, 10.0, 60.0, 0.95)],
    ids=["so short that lateness weighs", "usual"],
)
def test_a_window_is_used_to_its_end_and_never_overdrawn(
    connection: CrmConnection, quota: int, window: float, seconds: float, least: float
) -> None:
    limit = RateLimit("b", quota, window)
    [arrived] = arrivals(connection, [[limit]], seconds)
    assert overdrawn(arrived, quota, window) == 0
    assert mean_use(arrived, quota, window, seconds) >= least


@pytest.mark.usefixtures("_clock_by_hand")
def test_who_waits_for_a_narrow_bucket_counts_in_the_wide_one_when_the_request_is_made(
    connection: CrmConnection,
) -> None:
    account, notes = RateLimit("account", 40, 10.0), RateLimit("notes", 10, 10.0)
    narrow, wide = arrivals(connection, [[account, notes], [account]], 60.0)
    assert overdrawn(narrow, 10, 10.0) == 0
    assert overdrawn([*narrow, *wide], 40, 10.0) == 0
    assert mean_use(narrow, 10, 10.0, 60.0) >= 0.95
    assert mean_use([*narrow, *wide], 40, 10.0, 60.0) >= 0.95


@pytest.mark.usefixtures("_clock_by_hand")
def test_a_request_that_is_planned_anew_leaves_its_moment_to_others(connection: CrmConnection) -> None:
    limit, wide = RateLimit("b", 2, 10.0), RateLimit("wide", 1, 60.0)
    with database.cursor() as cursor:
        cursor.execute("SELECT set_config('hand.at', %s, true)", [repr(BEGIN)])
    slot = limits.take(str(connection.pk), [limit, wide], max_wait=0)
    assert limits.take(str(connection.pk), [limit], max_wait=0, instead_of=slot).wait == 0
    assert limits.take(str(connection.pk), [limit], max_wait=0).wait == 0
    assert limits.take(str(connection.pk), [limit], max_wait=0).wait < 0
