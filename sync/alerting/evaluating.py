"""Opens alerts, keeps them up to date and ends them, for all connections at once.

Time decides, not the number of looks: a condition opens an alert when it has held for its kind's time, and ends it when it has
been gone for its kind's time, however often anybody looks. One that comes back within the hour is the same alert again, and people
hear of it only if it then lasts. Who looks at the same time as another leaves it to the other; should that ever fail, the unique
index lets one alert be.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from django.db import connection as database
from django.db import transaction
from django.utils import timezone

from integrations import tenancy
from sync.alerting import conditions, notices
from sync.alerting.conditions import Found
from sync.alerting.kinds import HIDES, KINDS, QUIET_AFTER_REOPENING, REOPENED_WITHIN
from sync.bulk import upsert
from sync.models import Alert

WATCHING = 71_270_002
"""The advisory lock of whoever evaluates."""
Key = tuple[UUID | None, str]
MOVED = [
    "facts", "last_seen_at", "opened_at", "resolved_at", "quiet_until", "reopened", "acknowledged_at", "acknowledged_by",
]  # fmt: skip


def evaluate(now: datetime | None = None) -> bool:
    """Brings all alerts up to date and stores the notices that are due. False when somebody else is at it."""
    moment = now or timezone.now()
    with tenancy.everyone(), transaction.atomic(), database.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [WATCHING])
        if not cursor.fetchone()[0]:
            return False
        _move(conditions.find(moment), moment)
        notices.store_due(moment)
        return True


def _move(found: Sequence[Found], now: datetime) -> None:
    rows = Alert.objects.filter(resolved_at=None) | Alert.objects.filter(resolved_at__gt=now - REOPENED_WITHIN)
    held: dict[Key, Alert] = {}
    for row in rows.select_for_update().order_by("pk"):
        held[row.connection_id, row.kind] = row
    seen = {one.key: one for one in found}
    hidden = _hidden(found)
    moved = [_seen(held.get(one.key), one, now) for one in found if _may_open(one, held.get(one.key), hidden)]
    gone = [row for key, row in held.items() if key not in seen and row.resolved_at is None]
    over = [row for row in gone if row.opened_at and now - row.last_seen_at >= KINDS[row.kind].clears]
    for row in over:
        row.resolved_at = now
    Alert.objects.filter(pk__in=[row.pk for row in gone if row.opened_at is None]).delete()
    upsert(Alert, [row for row in (*moved, *over) if not row._state.adding], MOVED)
    Alert.objects.bulk_create([row for row in moved if row._state.adding])


def _hidden(found: Iterable[Found]) -> set[Key]:
    return {(one.connection_id, kind) for one in found for kind in HIDES.get(one.kind, ())}


def _may_open(one: Found, row: Alert | None, hidden: set[Key]) -> bool:
    return one.key not in hidden or (row is not None and row.is_open)


def _seen(row: Alert | None, found: Found, now: datetime) -> Alert:
    """The alert of what was found: a new one, or the one there is, which may have been over."""
    kind = KINDS[found.kind]
    if row is None:
        row = Alert(
            tenant_id=found.tenant_id,
            connection_id=found.connection_id,
            kind=found.kind,
            severity=kind.severity,
            seen_since=now,
        )
    elif row.resolved_at is not None:
        row.resolved_at, row.reopened, row.quiet_until = None, row.reopened + 1, now + QUIET_AFTER_REOPENING
        row.acknowledged_at, row.acknowledged_by = None, ""
    row.facts, row.last_seen_at = found.facts, now
    if row.opened_at is None and now - row.seen_since >= kind.holds:
        row.opened_at = now
    return row
