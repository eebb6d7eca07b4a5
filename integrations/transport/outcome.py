"""What became of a request, told to all that keep account of it: the breaker, the limits and the hour's count.

It comes with every request, so it is one statement, which nobody else has to wait for.
"""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from integrations import prepared
from integrations.records.limits import RateHint
from integrations.transport import breaker, limits, usage

_TELL = f"SELECT {breaker.LEAVE}, ({limits.LEARN})"
_TELL_AND_COUNT = f"WITH counted AS ({usage.COUNT}) {_TELL}"


def tell(
    connection_id: UUID,
    *,
    healthy: bool,
    error: str = "",
    hints: Sequence[RateHint] = (),
    shared: Collection[str] = (),
    counted: dict[str, Any] | None,
) -> None:
    """`counted` as from `usage.counted`; None for what is no API request."""
    terms = {
        "connection": connection_id,
        **breaker.told(healthy=healthy, error=error),
        **limits.hinted(str(connection_id), hints, shared=shared),
        **(counted or {}),
    }
    prepared.alone(_TELL if counted is None else _TELL_AND_COUNT, terms)
