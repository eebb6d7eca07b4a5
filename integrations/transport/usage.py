"""Counts what each connection asks of its CRM, by the hour and by kind of work: for the health page and for budgets."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from integrations import prepared

BUDGET = "daily_budget"
"""The connection's setting: how many requests a day the work that can wait may bring it to."""

COUNT = """
INSERT INTO api_usage (connection_id, hour, calls, failures, throttled, milliseconds, works, statuses)
VALUES (%(connection)s::uuid, date_trunc('hour', now()), 1, %(failures)s::int, %(throttled)s::int, %(milliseconds)s::bigint,
        jsonb_build_object(%(work)s::text, 1), jsonb_build_object(%(status)s::text, 1))
ON CONFLICT (connection_id, hour) DO UPDATE SET
    calls = api_usage.calls + 1,
    failures = api_usage.failures + excluded.failures,
    throttled = api_usage.throttled + excluded.throttled,
    milliseconds = api_usage.milliseconds + excluded.milliseconds,
    works = api_usage.works
        || jsonb_build_object(%(work)s::text, coalesce((api_usage.works ->> %(work)s::text)::int, 0) + 1),
    statuses = api_usage.statuses
        || jsonb_build_object(%(status)s::text, coalesce((api_usage.statuses ->> %(status)s::text)::int, 0) + 1)
"""
NO_ANSWER = "none"


def count(
    connection_id: UUID,
    *,
    seconds: float,
    status: str = NO_ANSWER,
    failed: bool = False,
    throttled: bool = False,
    work: str = "other",
) -> None:
    terms = counted(seconds=seconds, status=status, failed=failed, throttled=throttled, work=work)
    prepared.alone(f"{COUNT} RETURNING calls", {"connection": connection_id, **terms})


def counted(
    *, seconds: float, status: str = NO_ANSWER, failed: bool = False, throttled: bool = False, work: str = "other"
) -> dict[str, int | str]:
    """What COUNT is told."""
    return {
        "failures": int(failed), "throttled": int(throttled), "milliseconds": round(seconds * 1000), "work": work, "status": status,
    }  # fmt: skip


def budget_of(settings: Mapping[str, Any]) -> int | None:
    """Requests a day; None for no limit, also when somebody wrote something else than a whole number."""
    value = settings.get(BUDGET)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def day_of(zone: str, now: datetime) -> tuple[datetime, datetime]:
    """Beginning and end of the day around `now`, in the tenant's time zone (UTC where that is unknown).

    Requests are counted by whole hours of UTC. In zones that are half an hour off, the hour around midnight counts for the day
    before.
    """
    here = now.astimezone(zone_of(zone))
    midnight = here.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    tomorrow = (midnight + timedelta(days=1)).replace(fold=0)
    return midnight.astimezone(UTC), tomorrow.astimezone(UTC)


def zone_of(name: str) -> ZoneInfo:
    """The time zone of this name; UTC where it is unknown."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")
