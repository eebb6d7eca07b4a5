"""The kinds of alerts: how grave each is, how long it has to hold before it opens, and to be gone before it ends."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sync.models import Alert, AlertKind

NOW = timedelta(0)
REOPENED_WITHIN = timedelta(hours=1)
"""What comes back so soon is the same alert."""
QUIET_AFTER_REOPENING = timedelta(minutes=30)
"""So long it has to last, once it came back, before people are told again."""


@dataclass(frozen=True, slots=True)
class Kind:
    severity: str
    holds: timedelta = NOW
    clears: timedelta = NOW


BAD, WARNING = Alert.Severity.BAD.value, Alert.Severity.WARNING.value
KINDS: Mapping[str, Kind] = {
    AlertKind.ERROR_RATE: Kind(WARNING, clears=timedelta(minutes=10)),
    AlertKind.LATENCY: Kind(BAD, clears=timedelta(minutes=5)),
    AlertKind.BREAKER: Kind(BAD, clears=timedelta(minutes=5)),
    AlertKind.QUEUE: Kind(WARNING, holds=timedelta(minutes=5), clears=timedelta(minutes=5)),
    AlertKind.RECONNECT: Kind(BAD),
    AlertKind.STALE: Kind(BAD),
    AlertKind.WORKERS: Kind(BAD, holds=timedelta(minutes=2), clears=timedelta(minutes=2)),
}
HIDES: Mapping[str, frozenset[str]] = {
    AlertKind.BREAKER: frozenset({AlertKind.ERROR_RATE, AlertKind.LATENCY, AlertKind.QUEUE, AlertKind.STALE}),
    AlertKind.STALE: frozenset({AlertKind.LATENCY, AlertKind.QUEUE}),
}
"""What else a cause would set off at the same connection: while it lasts these do not open beside it."""
