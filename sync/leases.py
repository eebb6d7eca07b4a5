"""Who listens to which connection: a lease per change stream, on the database's clock, shared evenly by all listeners.

The lease is the row of the feed `stream` among a connection's cursors. Nobody takes it before `held_until`: while somebody
holds it, and while a stream that broke off has to wait. Its value tells what is wrong (`problem`) and how often in a row
(`failures`). A listener that dies stops renewing, and the others take over when the lease runs out.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection as database

LEASE_SECONDS = 12.0


class LeaseLost(Exception):
    """Somebody else may listen to this connection by now."""


@dataclass(frozen=True, slots=True)
class Taken:
    connection_id: UUID
    failures: int


_BEAT = """
INSERT INTO worker_beats (id, kind, host, pid, beaten_at) VALUES (%s, 'listener', %s, %s, clock_timestamp())
ON CONFLICT (id) DO UPDATE SET beaten_at = excluded.beaten_at
"""
_LISTENERS = (
    "SELECT count(*) FROM worker_beats WHERE kind = 'listener' AND beaten_at > clock_timestamp() - %s * interval '1 s'"
)
_WORKING = """
    crm_credentials connected JOIN tenants ON tenants.id = connected.tenant_id
    WHERE connected.status = 'connected' AND connected.provider = ANY(%(providers)s) AND tenants.is_active
"""
_COUNT = f"SELECT count(*) FROM {_WORKING}"  # noqa: S608 - constants of this module
_OFFER = f"""
INSERT INTO feed_cursors (tenant_id, connection_id, feed, value, moved_at, holder)
SELECT connected.tenant_id, connected.id, 'stream', '{{}}'::jsonb, now(), '' FROM {_WORKING}
AND NOT EXISTS (SELECT 1 FROM feed_cursors held WHERE held.connection_id = connected.id AND held.feed = 'stream')
ON CONFLICT DO NOTHING
"""  # noqa: S608 - constants of this module
_TAKE = f"""
WITH free AS (
    SELECT id FROM feed_cursors
    WHERE feed = 'stream' AND (held_until IS NULL OR held_until <= clock_timestamp())
      AND connection_id IN (SELECT connected.id FROM {_WORKING})
    ORDER BY held_until NULLS FIRST, id LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE feed_cursors SET holder = %(owner)s, held_until = clock_timestamp() + %(seconds)s * interval '1 s', moved_at = now()
FROM free WHERE feed_cursors.id = free.id
RETURNING connection_id, coalesce((value->>'failures')::int, 0)
"""  # noqa: S608 - constants of this module
_RENEW = f"""
UPDATE feed_cursors SET held_until = clock_timestamp() + %(seconds)s * interval '1 s'
WHERE feed = 'stream' AND holder = %(owner)s AND held_until > clock_timestamp() AND connection_id = ANY(%(mine)s::uuid[])
  AND connection_id IN (SELECT connected.id FROM {_WORKING})
RETURNING connection_id
"""  # noqa: S608 - constants of this module
_RELEASE = """
UPDATE feed_cursors SET holder = '', held_until = clock_timestamp() + %(wait)s * interval '1 s', moved_at = now(),
    value = CASE WHEN %(problem)s = '' THEN value ELSE jsonb_build_object(
        'problem', %(problem)s::text, 'failures', coalesce((value->>'failures')::int, 0) + 1) END
WHERE feed = 'stream' AND holder = %(owner)s AND connection_id = %(connection)s
"""
_HEALTHY = """
UPDATE feed_cursors SET value = '{}'::jsonb, moved_at = now()
WHERE feed = 'stream' AND holder = %s AND connection_id = %s AND value <> '{}'::jsonb
"""
_CONFIRM = """
SELECT 1 FROM feed_cursors
WHERE feed = 'stream' AND connection_id = %s AND holder = %s AND held_until > clock_timestamp() FOR SHARE
"""


def announce(owner: str, host: str, pid: int, seconds: float) -> int:
    """A sign of life. Returns how many listeners have given one lately, this one among them."""
    with database.cursor() as cursor:
        cursor.execute(_BEAT, [owner, host, pid])
        cursor.execute(_LISTENERS, [seconds])
        return int(cursor.fetchone()[0])


def fair_share(providers: Sequence[str], listeners: int, at_most: int) -> int:
    """How many streams one of so many listeners should hold."""
    with database.cursor() as cursor:
        cursor.execute(_COUNT, {"providers": list(providers)})
        total = int(cursor.fetchone()[0])
    return min(at_most, math.ceil(total / max(listeners, 1)))


def take(owner: str, providers: Sequence[str], limit: int, seconds: float) -> list[Taken]:
    """Takes at most `limit` streams that nobody holds."""
    terms: dict[str, Any] = {"owner": owner, "providers": list(providers), "limit": limit, "seconds": seconds}
    with database.cursor() as cursor:
        cursor.execute(_OFFER, terms)
        cursor.execute(_TAKE, terms)
        return [Taken(*row) for row in cursor.fetchall()]


def renew(owner: str, providers: Sequence[str], mine: Iterable[UUID], seconds: float) -> set[UUID]:
    """Which of these are still ours, and of connections that still work."""
    terms: dict[str, Any] = {"owner": owner, "providers": list(providers), "mine": list(mine), "seconds": seconds}
    with database.cursor() as cursor:
        cursor.execute(_RENEW, terms)
        return {row[0] for row in cursor.fetchall()}


def release(owner: str, connection_id: UUID, *, wait: float = 0.0, problem: str = "") -> None:
    """Lets a stream go. With a problem nobody takes it for `wait` seconds; without one what was noted before stays."""
    with database.cursor() as cursor:
        cursor.execute(_RELEASE, {"owner": owner, "connection": connection_id, "wait": wait, "problem": problem})


def healthy(owner: str, connection_id: UUID) -> None:
    """The stream tells something: what was wrong is over."""
    with database.cursor() as cursor:
        cursor.execute(_HEALTHY, [owner, connection_id])


def confirm(connection_id: UUID, owner: str) -> None:
    """Makes sure, until the end of the caller's transaction, that nobody else has taken the stream. Raises LeaseLost."""
    with database.cursor() as cursor:
        cursor.execute(_CONFIRM, [connection_id, owner])
        if cursor.fetchone() is None:
            raise LeaseLost(str(connection_id))


def retire(owner: str) -> None:
    """The listener ends: its streams are free at once."""
    with database.cursor() as cursor:
        cursor.execute("DELETE FROM worker_beats WHERE id = %s", [owner])
        cursor.execute(
            "UPDATE feed_cursors SET holder = '', held_until = NULL WHERE feed = 'stream' AND holder = %s",
            [owner],
        )
