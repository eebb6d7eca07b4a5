"""Guessing gets slower: after some failures each further try has to wait, twice as long as the one before, up to a limit.

The counts stand in the database, so that many web processes are no way around them. A try is counted before it is looked at;
what turns out to be right is taken back. Otherwise a thousand tries at once would all find a clean slate.

Three counts guard a person's password: of the person at an address, of the address, and of the person from anywhere. The last
one waits a minute at most, and never whoever has signed in from the same address before: an attacker who knows a name can't
lock its owner out. API keys are too long to be guessed; their failures are slowed down per address, so that trying costs us
little. A right key is never held up.
"""

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection as database


@dataclass(frozen=True, slots=True)
class Rule:
    free: int
    """Failures after which waiting begins."""
    first: float
    """Seconds of the first wait."""
    longest: float
    forgotten: float = 3600.0
    """Seconds without a failure after which counting begins anew."""


PERSON_HERE = Rule(free=5, first=15, longest=900)
PERSON_ANYWHERE = Rule(free=30, first=5, longest=60)
ADDRESS = Rule(free=50, first=15, longest=900)
API_KEYS = Rule(free=100, first=1, longest=60, forgotten=600)
RESET_OF_PERSON = Rule(free=3, first=300, longest=3600, forgotten=86_400)
RESET_FROM_ADDRESS = Rule(free=20, first=60, longest=3600)

_TRY = """
INSERT INTO guess_counts AS had (key, failures, last_at, wait_until) VALUES (%(key)s, 1, clock_timestamp(), NULL)
ON CONFLICT (key) DO UPDATE SET
    failures = CASE WHEN had.last_at < clock_timestamp() - %(forgotten)s * interval '1 second' THEN 1 ELSE had.failures + 1 END,
    last_at = clock_timestamp(),
    wait_until = CASE WHEN had.failures + 1 >= %(free)s
        AND had.last_at >= clock_timestamp() - %(forgotten)s * interval '1 second'
    THEN clock_timestamp() + interval '1 second'
        * least(%(longest)s, %(first)s * 2.0 ^ least(had.failures + 1 - %(free)s, 30)) END
WHERE had.wait_until IS NULL OR had.wait_until <= clock_timestamp()
RETURNING failures, coalesce(extract(epoch FROM wait_until - clock_timestamp()), 0)
"""
_WAITS = "SELECT greatest(0, extract(epoch FROM wait_until - clock_timestamp())) FROM guess_counts WHERE key = %s"
_BACK = "UPDATE guess_counts SET failures = greatest(failures - 1, 0), wait_until = NULL WHERE key = %s"
_FORGET = "DELETE FROM guess_counts WHERE last_at < clock_timestamp() - interval '2 days'"


@dataclass(frozen=True, slots=True)
class Count:
    """Tries under one key."""

    rule: Rule
    key: str

    @classmethod
    def of(cls, rule: Rule, *names: str) -> "Count":
        text = "\x1f".join(names).lower()
        return cls(rule, hashlib.sha256(text.encode("utf-8", "replace")).hexdigest())


@dataclass(frozen=True, slots=True)
class Outcome:
    refused: float
    """Seconds until the next try is worth it; 0 when this one may go."""
    begins: float = 0.0
    """Seconds that the next try would have to wait, should this one fail."""


def network_of(address: str | None) -> str:
    """What one person has of addresses: of IPv6 that is a whole /64."""
    if address is None:
        return "unknown"
    found = ipaddress.ip_address(address)
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else str(found)


def waits(count: Count) -> float:
    """Seconds that a try would have to wait now; counts nothing."""
    with database.cursor() as cursor:
        cursor.execute(_WAITS, [count.key])
        row = cursor.fetchone()
    return float(row[0] or 0) if row else 0.0


def attempt(counts: Sequence[Count]) -> Outcome:
    """Counts a try under each key, unless it has to wait under one of them."""
    waiting = max(map(waits, counts), default=0.0)
    if waiting > 0:
        return Outcome(waiting)
    begins = 0.0
    for count in counts:
        seconds = _count(count)
        if seconds is None:  # others were faster
            return Outcome(max(waits(count), 1.0))
        begins = max(begins, seconds)
    return Outcome(0.0, begins)


def _count(count: Count) -> float | None:
    """How long the next one has to wait; None when this one has to."""
    rule = count.rule
    terms: dict[str, str | float] = {
        "key": count.key, "forgotten": rule.forgotten, "free": rule.free, "longest": rule.longest, "first": rule.first,
    }  # fmt: skip
    with database.cursor() as cursor:
        cursor.execute(_TRY, terms)
        row = cursor.fetchone()
        if row is not None and row[0] == 1:
            cursor.execute(_FORGET)
    return None if row is None else float(row[1])


def was_right(whole: Sequence[Count], one: Sequence[Count] = ()) -> None:
    """Forgets all tries under the first keys, and takes one back under the others."""
    with database.cursor() as cursor:
        cursor.execute("DELETE FROM guess_counts WHERE key = ANY(%s)", [[count.key for count in whole]])
        for count in one:
            cursor.execute(_BACK, [count.key])
