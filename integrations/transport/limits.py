"""A sliding window per bucket, exact across all processes and machines, on the database's clock.

The row keeps the planned send times of the last `quota` requests. Taking a slot reserves the first moment at which the oldest
of them has left the window, and says how long to wait for it; a wait that is too long reserves nothing. A request that counts in
several buckets has one moment in all of them. The vendor's answers steer it: a learned quota replaces the configured one, requests
of other programs that the headers betray are booked as if they were ours, and a 429 closes the bucket until the vendor's own time.

The vendor counts when a request arrives. So each fills its window a little longer than the vendor says (`margin`), and who is later
than that allows, because the machine was busy, is planned anew before it leaves (`wait_for_turn`).

Every request is made for some kind of work, and each kind may fill a quota only up to its share. What is left beyond the
share is kept for more urgent work even when there is none: a load is then as fast on a busy day as on a quiet one.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from integrations import prepared
from integrations.records.limits import RateHint, RateLimit

SHORT = 2.0
"""Seconds. Within a wait others are planned on top of requests that have not left yet, and may leave late. So in windows as short
as this whoever has waited asks once more."""
TRIES = 5
"""Where the machine is never in time, it is better to be late than to stay."""
LAST_PATIENCE = 0.1
"""Seconds beyond its patience that a request which waited already waits for being planned anew."""

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
    at: float = 0.0
    """The moment on the database's clock."""
    queued: float = 0.0
    """Seconds that the database let us wait before it reckoned."""


def bucket_key(connection_id: str, bucket: str) -> str:
    return f"{connection_id}:{bucket}"


def margin(seconds: float) -> float:
    """What is added to a window: two requests may be so much closer together on arrival than they were on departure."""
    return 0.02 + 0.02 * seconds


_TAKE = """
SELECT wait, send, queued, fullest FROM dialbridge_take_slots(
    %s::text[], %s::uuid[], %s::int[], %s::float8[], %s::float8, %s::bool, %s::int, %s::float8
)
"""


def take(
    connection_id: str,
    limits: Sequence[RateLimit],
    *,
    max_wait: float,
    urgent: bool = False,
    share: Share = OTHER,
    instead_of: Slot | None = None,
) -> Slot:
    """Reserves a request at the first moment that suits all its buckets, `instead_of` the one that it had.

    An `urgent` one may take a slot of the share that others leave free; see `sql.RESERVED`.
    """
    if not limits:
        return Slot("", 0.0)
    rows = [_row(connection_id, limit.bucket, shared=limit.shared) for limit in limits]
    terms = [
        [key for key, _owner in rows],
        [owner for _key, owner in rows],
        [limit.limit for limit in limits],
        [float(limit.seconds) for limit in limits],
        max_wait,
        urgent,
        share.window,
        instead_of.at if instead_of else None,
    ]
    wait, at, queued, fullest = prepared.alone(_TAKE, terms)
    return Slot((fullest or "").rpartition(":")[2], wait, at, queued)


def wait_for_turn(
    connection_id: str, limits: Sequence[RateLimit], *, max_wait: float, urgent: bool = False, share: Share = OTHER
) -> Slot:
    """Returns when the request may leave, or with the slot that it could not have."""
    ends = time.monotonic() + max_wait
    slot: Slot | None = None
    for _again in range(TRIES):
        asked = time.monotonic()
        patience = max(ends - asked, LAST_PATIENCE if slot else max_wait)
        slot = take(connection_id, limits, max_wait=patience, urgent=urgent, share=share, instead_of=slot)
        if slot.wait > 0:
            time.sleep(slot.wait)
        if slot.wait < 0 or may_leave(limits, slot, time.monotonic() - asked):
            break
    return slot or Slot("", 0.0)


def may_leave(limits: Sequence[RateLimit], slot: Slot, since_asked: float) -> bool:
    """Whether the plan still holds, so many seconds after the slot was asked for. Else it has to be taken anew.

    Half the margin is for being late, the other half for the way. Lateness is reckoned from the question, for nobody knows where on
    its way back the answer was held up.
    """
    if not limits:
        return True
    shortest = min(limit.seconds for limit in limits)
    late = since_asked - slot.queued - slot.wait
    return late <= margin(shortest) / 2 and (slot.wait == 0 or shortest > SHORT)


def _row(connection_id: str, bucket: str, *, shared: bool) -> tuple[str, str | None]:
    """Key and owner of a bucket's row: what all connections share belongs to none of them."""
    return (f"shared:{bucket}", None) if shared else (bucket_key(connection_id, bucket), connection_id)


LEARN = """
SELECT count(dialbridge_learn_limit(key, owner, quota, seconds, remaining, gauge))
FROM unnest(%(keys)s::text[], %(owners)s::uuid[], %(quotas)s::int[], %(spans)s::float8[], %(left)s::int[], %(gauges)s::bool[])
    AS hint (key, owner, quota, seconds, remaining, gauge)
"""


def hinted(connection_id: str, hints: Sequence[RateHint], *, shared: Collection[str] = ()) -> dict[str, Any]:
    """What LEARN is told."""
    rows = [_row(connection_id, hint.bucket, shared=hint.bucket in shared) for hint in hints]
    return {
        "keys": [key for key, _owner in rows],
        "owners": [owner for _key, owner in rows],
        "quotas": [hint.limit for hint in hints],
        "spans": [float(hint.seconds) if hint.seconds else None for hint in hints],
        "left": [hint.remaining for hint in hints],
        "gauges": [hint.seconds is not None and hint.seconds > GAUGE_SECONDS for hint in hints],
    }


def learn(connection_id: str, hints: Sequence[RateHint], *, shared: Collection[str] = ()) -> None:
    """Keeps what an answer's headers said of our quotas. `shared` names the buckets of all connections together."""
    if hints:
        prepared.alone(LEARN, hinted(connection_id, hints, shared=shared))


def close(connection_id: str, buckets: Sequence[str], seconds: float, *, shared: Collection[str] = ()) -> None:
    """Lets nothing out of these buckets for so many seconds: the vendor said so."""
    for bucket in buckets:
        row = _row(connection_id, bucket, shared=bucket in shared)
        prepared.alone("SELECT dialbridge_close_bucket(%s::text, %s::uuid, %s::float8)", [*row, seconds])


_DAY_USED = """
SELECT calls, percent FROM dialbridge_day_used(%s::uuid, %s::timestamptz, %s::float8, make_interval(secs => %s::float8))
"""


def over_for_today(connection_id: str, share: Share, budget: int | None, day_began: datetime) -> str:
    """Which daily limit keeps this kind of work from going on: DAILY_BUDGET, DAILY_QUOTA, or empty for none."""
    budgeted = share.in_budget and budget is not None
    if share.day >= 100 and not budgeted:
        return ""
    terms = [connection_id, day_began, GAUGE_SECONDS, BELIEVED.total_seconds()]
    [(calls, percent)] = prepared.rows(_DAY_USED, terms)
    if budgeted and calls >= budget:
        return DAILY_BUDGET
    return DAILY_QUOTA if share.day < 100 and percent >= share.day else ""
