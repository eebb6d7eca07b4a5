import pytest
from django.db import connection as database
from django.utils import timezone

from integrations.models import CircuitBreaker, CrmConnection
from integrations.transport import breaker


def fail(connection: CrmConnection, times: int) -> None:
    for _ in range(times):
        breaker.leave(str(connection.pk), healthy=False, error="down")


def age(connection: CrmConnection, seconds: float) -> None:
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE circuit_breakers SET opened_at = opened_at - make_interval(secs => %s), "
            "probe_until = probe_until - make_interval(secs => %s)",
            [seconds, seconds],
        )


def test_five_failures_in_a_row_open_it_for_a_minute(connection: CrmConnection) -> None:
    fail(connection, 4)
    assert breaker.enter(str(connection.pk)) == 0
    fail(connection, 1)
    assert breaker.enter(str(connection.pk)) == pytest.approx(60, abs=1)


def test_a_success_between_failures_starts_the_count_again(connection: CrmConnection) -> None:
    fail(connection, 4)
    breaker.leave(str(connection.pk), healthy=True)
    fail(connection, 4)
    assert breaker.enter(str(connection.pk)) == 0


def test_after_a_minute_exactly_one_probe_may_go(connection: CrmConnection) -> None:
    fail(connection, 5)
    age(connection, 61)
    assert breaker.enter(str(connection.pk)) == 0
    assert breaker.enter(str(connection.pk)) > 0
    assert CircuitBreaker.objects.get().state == "half-open"


def test_a_good_probe_closes_it_and_a_bad_one_opens_it_again(connection: CrmConnection) -> None:
    fail(connection, 5)
    age(connection, 61)
    breaker.enter(str(connection.pk))
    fail(connection, 1)
    assert breaker.enter(str(connection.pk)) == pytest.approx(60, abs=1)
    age(connection, 61)
    breaker.enter(str(connection.pk))
    breaker.leave(str(connection.pk), healthy=True)
    assert CircuitBreaker.objects.get().state == "closed"
    assert breaker.enter(str(connection.pk)) == 0


def test_a_probe_that_died_does_not_block_for_ever(connection: CrmConnection) -> None:
    fail(connection, 5)
    age(connection, 61)
    breaker.enter(str(connection.pk))
    age(connection, breaker.PROBE_SECONDS + 1)
    assert breaker.enter(str(connection.pk)) == 0


def test_late_failures_of_requests_in_flight_do_not_prolong_the_pause(connection: CrmConnection) -> None:
    fail(connection, 5)
    opened = CircuitBreaker.objects.get().opened_at
    fail(connection, 3)
    assert CircuitBreaker.objects.get().opened_at == opened
    assert opened is not None
    assert opened <= timezone.now()
