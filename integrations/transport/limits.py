"""A sliding window per bucket, exact across all processes and machines, on the database's clock.

The row keeps the planned send times of the last `quota` requests. Taking a slot reserves the first moment at which the oldest
of them has left the window, and says how long to wait for it; a wait that is too long reserves nothing. The vendor's answers
steer it: a learned quota replaces the configured one, requests of other programs that the headers betray are booked as if
they were ours, and a 429 closes the bucket until the vendor's own time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection, transaction

from integrations.records import RateHint, RateLimit

MARGIN_SECONDS = 0.03
"""Added to every window: two requests may be closer together on arrival than they were on departure."""

GAUGE_SECONDS = 3600
"""Longer windows (a daily quota) are only displayed; their requests are not remembered one by one."""


@dataclass(frozen=True, slots=True)
class Slot:
    """`wait` seconds until the request may leave. Negative: nothing was reserved, ask again after `-wait` seconds."""

    bucket: str
    wait: float


def bucket_key(connection_id: str, bucket: str) -> str:
    return f"{connection_id}:{bucket}"


def take(connection_id: str, limits: Sequence[RateLimit], *, max_wait: float, urgent: bool = False) -> Slot:
    """Reserves one request in every bucket, and gives the longest wait, or the first refusal.

    An `urgent` one may take a slot of the share that others leave free; see `sql.RESERVED`.
    """
    longest = Slot("", 0.0)
    for limit in limits:
        wait = _take_one(connection_id, limit, max_wait, urgent=urgent)
        if wait < 0:
            return Slot(limit.bucket, wait)
        if wait > longest.wait:
            longest = Slot(limit.bucket, wait)
    return longest


def _take_one(connection_id: str, limit: RateLimit, max_wait: float, *, urgent: bool) -> float:
    key = f"shared:{limit.bucket}" if limit.shared else bucket_key(connection_id, limit.bucket)
    owner = None if limit.shared else connection_id
    params = [key, owner, limit.limit, limit.seconds + MARGIN_SECONDS, max_wait]
    if urgent:
        wait = _call("SELECT dialbridge_take_reserved(%s, %s, %s, %s, %s)", params)
        if wait >= 0:
            return wait
    return _call("SELECT dialbridge_take_slot(%s, %s, %s, %s, %s)", params)


def learn(connection_id: str, hints: Sequence[RateHint]) -> None:
    """Keeps what an answer's headers said of our quotas."""
    for hint in hints:
        gauge = hint.seconds is not None and hint.seconds > GAUGE_SECONDS
        _call(
            "SELECT dialbridge_learn_limit(%s, %s, %s, %s, %s, %s)",
            [
                bucket_key(connection_id, hint.bucket),
                connection_id,
                hint.limit,
                hint.seconds + MARGIN_SECONDS if hint.seconds else None,
                hint.remaining,
                gauge,
            ],
        )


def close(connection_id: str, buckets: Sequence[str], seconds: float) -> None:
    """Lets nothing out of these buckets for so many seconds: the vendor said so."""
    for bucket in buckets:
        _call("SELECT dialbridge_close_bucket(%s, %s, %s)", [bucket_key(connection_id, bucket), connection_id, seconds])


def _call(sql: str, params: Sequence[str | int | float | bool | None]) -> float:
    # Durable: inside a longer transaction the row's lock would hold up every other process.
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(sql, params)
        row = cursor.fetchone()
    return float(row[0] or 0.0)
