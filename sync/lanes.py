"""Who is next: tenants take turns for the workers, urgent work goes first, and each lane has its share of the quotas.

A connection that has been woken (`wake_requested_at`) stands in line. A worker takes turns from the line, whatever connection
the task named that sent it, so the order is the database's and no broker's. One turn is one claimed batch. Every second turn
goes to the most urgent lane, every other one to the tenant who has waited longest, except that nobody's load passes a "do not
call" that waits. Between equals those with fewer workers at that moment come first, then who was served longest ago. So a flood
of one tenant's work holds another tenant's job up for one turn, in whatever lane the two are.

As many tasks are on their way as connections stand in line: a task ends when one connection has no work left, and sends
another in its place when it leaves while there is more. Who finds nobody in line goes on with the connection it had while that
has more to do. So where only one is busy all workers come to work for it, as the clock wakes it anew each second.
"""

from dataclasses import replace
from uuid import UUID

from django.db import connection as database
from django.db.models.functions import Now

from integrations.errors import CrmError
from integrations.models import CrmConnection
from integrations.transport.client import Patience
from integrations.transport.limits import DAILY_BUDGET, DAILY_QUOTA, Share
from sync.models import Lane

SHARES: dict[int, Share] = {
    Lane.DO_NOT_CALL: Share("do_not_call"),
    Lane.CALLS: Share("calls"),
    Lane.EDITS: Share("edits", window=95, day=95),
    Lane.WEBHOOKS: Share("webhooks", window=85, day=85),
    Lane.BACKFILL: Share("backfill", window=70, day=80, in_budget=True),
}
"""Only loads and comparisons stop at the daily budget: a fetch after a webhook may bring a "do not call"."""


def patience_for(lane: int, patience: Patience) -> Patience:
    """The same patience with the lane's share of the quotas."""
    return replace(patience, urgent=lane == Lane.DO_NOT_CALL, share=SHARES[lane])


def refuse_a_stopped_day(why: CrmError | None) -> None:
    """For commands: raises the reason when what they wait for is another day. Nobody sits in front of a terminal so long."""
    if why is not None and why.cause in {DAILY_BUDGET, DAILY_QUOTA}:
        raise why


_LINE = """
    SELECT c.id, c.tenant_id, c.served_at, first.lane
    FROM crm_credentials c
    CROSS JOIN LATERAL (
        SELECT lane FROM sync_jobs
        WHERE connection_id = c.id AND state = 'ready' AND not_before <= statement_timestamp()
        ORDER BY lane, id LIMIT 1
    ) first
    WHERE c.wake_requested_at IS NOT NULL AND c.status = 'connected'
"""

_NEXT = f"""
WITH line AS MATERIALIZED ({_LINE}), busy AS MATERIALIZED (
    SELECT tenant_id, count(DISTINCT lease_token) AS workers FROM sync_jobs
    WHERE state = 'leased' AND lease_until > statement_timestamp() GROUP BY tenant_id
), cycle AS MATERIALIZED (
    SELECT nextval('dialbridge_turns') %% 2 = 0 AS by_lane, EXISTS (SELECT 1 FROM line WHERE lane = %(first)s) AS urgent
), chosen AS MATERIALIZED (
    SELECT c.id FROM crm_credentials c
    JOIN line ON line.id = c.id
    CROSS JOIN cycle
    LEFT JOIN busy ON busy.tenant_id = line.tenant_id
    CROSS JOIN LATERAL (SELECT max(served_at) AS at FROM crm_credentials WHERE tenant_id = line.tenant_id) served
    WHERE c.wake_requested_at IS NOT NULL
    ORDER BY
        CASE WHEN cycle.by_lane THEN line.lane ELSE (cycle.urgent AND line.lane >= %(last)s)::int END,
        coalesce(busy.workers, 0), served.at NULLS FIRST, line.served_at NULLS FIRST, line.id
    LIMIT 1
    FOR NO KEY UPDATE OF c SKIP LOCKED
)
UPDATE crm_credentials SET wake_requested_at = NULL, served_at = clock_timestamp()
FROM chosen WHERE crm_credentials.id = chosen.id
RETURNING crm_credentials.id
"""  # noqa: S608 - parts of our own


def next_turn() -> UUID | None:
    """The connection whose turn it is. It leaves the line; None when nobody waits, or all who wait are locked."""
    with database.cursor() as cursor:
        cursor.execute(_NEXT, {"first": Lane.DO_NOT_CALL, "last": Lane.BACKFILL})
        row = cursor.fetchone()
    return row[0] if row else None


def stay_in_line(connection_id: UUID) -> None:
    """Has a connection with more to do wait for its next turn, if it doesn't already."""
    CrmConnection.objects.filter(pk=connection_id, wake_requested_at=None).update(wake_requested_at=Now())


_LEAVE = """
UPDATE crm_credentials SET wake_requested_at = NULL WHERE id IN (
    SELECT c.id FROM crm_credentials c
    WHERE c.wake_requested_at IS NOT NULL AND (c.status <> 'connected' OR NOT EXISTS (
        SELECT 1 FROM sync_jobs
        WHERE connection_id = c.id AND state = 'ready' AND not_before <= statement_timestamp()
    ))
    FOR NO KEY UPDATE SKIP LOCKED
)
"""


def anybody_waits() -> bool:
    """Whether somebody in line has work after all. Who has none leaves the line."""
    with database.cursor() as cursor:
        cursor.execute(_LEAVE)
        cursor.execute(f"SELECT EXISTS ({_LINE})")
        return bool(cursor.fetchone()[0])
