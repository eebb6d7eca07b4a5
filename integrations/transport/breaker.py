"""A circuit breaker per connection, shared by all processes.

Five failures in a row open it: nobody asks for a minute. Then one process, and only one, may send a probe; its answer closes
the breaker or opens it for another minute. Being told to slow down is not a failure, nor is a refused record.
"""

from django.db import connection, transaction

FAILURES_TO_OPEN = 5
SECONDS_OPEN = 60.0
PROBE_SECONDS = 150.0
"""A probe that was never heard of again counts as lost after this time: longer than any request may take."""


def enter(connection_id: str) -> float:
    """0 when the request may go, else the seconds until it is worth asking again."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SELECT dialbridge_breaker_enter(%s, %s, %s)", [connection_id, SECONDS_OPEN, PROBE_SECONDS])
        row = cursor.fetchone()
    return float(row[0])


def leave(connection_id: str, *, healthy: bool, error: str = "") -> None:
    """Reports how the request went."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(
            "SELECT dialbridge_breaker_leave(%s, %s, %s, %s)", [connection_id, healthy, FAILURES_TO_OPEN, error[:500]]
        )
