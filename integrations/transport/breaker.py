"""A circuit breaker per connection, shared by all processes.

Five failures in a row open it: nobody asks for a minute. Then one process, and only one, may send a probe; its answer closes
the breaker or opens it for another minute. Being told to slow down is not a failure, nor is a refused record.
"""

from integrations import prepared

FAILURES_TO_OPEN = 5
SECONDS_OPEN = 60.0
PROBE_SECONDS = 150.0
"""A probe that was never heard of again counts as lost after this time: longer than any request may take."""


def enter(connection_id: str) -> float:
    """0 when the request may go, else the seconds until it is worth asking again."""
    [wait] = prepared.alone(
        "SELECT dialbridge_breaker_enter(%s::uuid, %s::float8, %s::float8)",
        [connection_id, SECONDS_OPEN, PROBE_SECONDS],
    )
    return float(wait)


LEAVE = "dialbridge_breaker_leave(%(connection)s::uuid, %(healthy)s::bool, %(to_open)s::int, %(error)s::text)"


def told(*, healthy: bool, error: str = "") -> dict[str, bool | int | str]:
    """What LEAVE is told."""
    return {"healthy": healthy, "to_open": FAILURES_TO_OPEN, "error": error[:500]}


def leave(connection_id: str, *, healthy: bool, error: str = "") -> None:
    """Reports how the request went."""
    prepared.alone(f"SELECT {LEAVE}", {"connection": connection_id, **told(healthy=healthy, error=error)})
