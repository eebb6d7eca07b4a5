"""A sliding window per bucket, exact across all processes and machines, on the database's clock.

The row keeps the planned send times of the last `quota` requests. Taking a slot reserves the first moment at which the oldest
of them has left the window, and says how long to wait for it; a wait that is too long reserves nothing. The vendor's answers
steer it: a learned quota replaces the configured one, requests of other programs that the headers betray are booked as if
they were ours, and a 429 closes the bucket until the vendor's own time.

Every request is made for some kind of work, and each kind may fill a quota only up to its share. What is left beyond the
share is kept for more urgent work even when there is none: a load is then as fast on a busy day as on a quiet one.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction

from integrations.records import RateHint, RateLimit

MARGIN_SECONDS = 0.03
"""Added to every window: two requests may be closer together on arrival than they were on departure."""

GAUGE_SECONDS = 3600
"""Longer windows are daily quotas; their requests are not remembered one by one."""

BELIEVED = timedelta(hours=1)
"""A daily quota that was told longer ago may be free again: the next request is let out, and its answer tells."""

DAILY_BUDGET, DAILY_QUOTA = "daily_budget", "daily_quota"
"""Why nothing goes out any more today: somebody's own limit, or the CRM's."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one kind of work may take of the quotas of its connection."""

    work: str
    """How its requests are counted."""
    window: int = 100
    """Percent of a window's quota up to which it may fill the window."""
    day: int = 100
    """Percent of the CRM's daily quota at which it stops."""
    in_budget: bool = False
    """Stops when the connection's own daily budget is used up."""


OTHER = Share("other")
"""Connecting, checks, and whatever a person waits for at a screen."""


@dataclass(frozen=True, slots=True)
class Slot:
    """`wait` seconds until the request may leave. Negative: nothing was reserved, ask again after `-wait` seconds."""

    bucket: str
    wait: float


def bucket_key(connection_id: str, bucket: str) -> str:
    return f"{connection_id}:{bucket}"


def take(
    connection_id: str, limits: Sequence[RateLimit], *, max_wait: float, urgent: bool = False, share: Share = OTHER
) -> Slot:
    """Reserves one request in every bucket, and gives the longest wait, or the first refusal.

    An `urgent` one may take a slot of the share that others leave free; see `sql.RESERVED`.
    """
    longest = Slot("", 0.0)
    for limit in limits:
        wait = _take_one(connection_id, limit, max_wait, urgent=urgent, share=share)
        if wait < 0:
            return Slot(limit.bucket, wait)
        if wait > longest.wait:
            longest = Slot(limit.bucket, wait)
    return longest


def _take_one(connection_id: str, limit: RateLimit, max_wait: float, *, urgent: bool, share: Share) -> float:
    key, owner = _row(connection_id, limit.bucket, shared=limit.shared)
    params = [key, owner, limit.limit, limit.seconds + MARGIN_SECONDS, max_wait]
    if urgent:
        wait = _call("SELECT dialbridge_take_reserved(%s, %s, %s, %s, %s)", params)
        if wait >= 0:
            return wait
    return _call("SELECT dialbridge_take_share(%s, %s, %s, %s, %s, %s)", [*params, share.window])


def _row(connection_id: str, bucket: str, *, shared: bool) -> tuple[str, str | None]:
    """Key and owner of a bucket's row: what all connections share belongs to none of them."""
    return (f"shared:{bucket}", None) if shared else (bucket_key(connection_id, bucket), connection_id)


def learn(connection_id: str, hints: Sequence[RateHint], *, shared: Collection[str] = ()) -> None:
    """Keeps what an answer's headers said of our quotas. `shared` names the buckets of all connections together."""
    for hint in hints:
        gauge = hint.seconds is not None and hint.seconds > GAUGE_SECONDS
        _call(
            "SELECT dialbridge_learn_limit(%s, %s, %s, %s, %s, %s)",
            [
                *_row(connection_id, hint.bucket, shared=hint.bucket in shared),
                hint.limit,
                hint.seconds + MARGIN_SECONDS if hint.seconds else None,
                hint.remaining,
                gauge,
            ],
        )


def close(connection_id: str, buckets: Sequence[str], seconds: float, *, shared: Collection[str] = ()) -> None:
    """Lets nothing out of these buckets for so many seconds: the vendor said so."""
    for bucket in buckets:
        row = _row(connection_id, bucket, shared=bucket in shared)
        _call("SELECT dialbridge_close_bucket(%s, %s, %s)", [*row, seconds])


def over_for_today(connection_id: str, share: Share, budget: int | None, day_began: datetime) -> str:
    """Which daily limit keeps this kind of work from going on: DAILY_BUDGET, DAILY_QUOTA, or empty for none."""
    budgeted = share.in_budget and budget is not None
    if share.day >= 100 and not budgeted:
        return ""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT calls, percent FROM dialbridge_day_used(%s, %s, %s, make_interval(secs => %s))",
            [connection_id, day_began, GAUGE_SECONDS, BELIEVED.total_seconds()],
        )
        calls, percent = cursor.fetchone()
    if budgeted and calls >= budget:
        return DAILY_BUDGET
    return DAILY_QUOTA if share.day < 100 and percent >= share.day else ""


def _call(sql: str, params: Sequence[str | int | float | bool | None]) -> float:
    # Durable: inside a longer transaction the row's lock would hold up every other process.
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(sql, params)
        row = cursor.fetchone()
    return float(row[0] or 0.0)
