import pytest

from integrations.transport.retry import delay, exhausted


def test_the_series_doubles_from_one_second_to_sixteen() -> None:
    assert [delay(attempt, random=0) for attempt in range(1, 7)] == [1, 2, 4, 8, 16, 16]


def test_jitter_adds_up_to_a_quarter() -> None:
    assert delay(3, random=1) == 5


@pytest.mark.parametrize(("attempt", "after", "expected"), [(1, 30, 30), (5, 3, 16), (1, None, 1), (2, 0, 2)])
def test_the_services_wish_wins_when_it_is_longer(attempt: int, after: float | None, expected: float) -> None:
    assert delay(attempt, after=after, random=0) == expected


def test_five_retries_follow_the_first_try() -> None:
    assert [exhausted(attempts) for attempts in (1, 5, 6)] == [False, False, True]
