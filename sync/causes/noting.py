"""Writes down what failed work died of: a row for each cause of a tenant, and how often within each hour.

It happens in the transaction that ends the work, one statement for all of it. Rows are locked in the same order by everybody.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection as database
from django.db import transaction
from django.utils import timezone

from integrations import tenancy
from integrations.errors import FixData
from integrations.models import CrmConnection
from sync.bulk import update
from sync.causes import common
from sync.causes.common import Facts
from sync.models import FailureCause, FailureHour, InboxEvent, SyncJob

QUIET = timedelta(days=3)
"""A cause that comes back after so long counts as new: what preceded it is looked for anew."""
KEPT = timedelta(days=90)
KEPT_HOURS = timedelta(days=14)
AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class Failure:
    """`count` pieces of work of a tenant that died of the same thing at the same time."""

    tenant_id: UUID
    facts: Facts
    at: datetime
    count: int = 1


_NOTE = """
WITH given AS (
    SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS one (
        tenant_id uuid, fingerprint text, provider text, kind text, cause text, code text, fields jsonb, words text,
        first timestamptz, last timestamptz, failures bigint
    )
)
INSERT INTO failure_causes AS known (
    tenant_id, fingerprint, provider, kind, cause, code, fields, words, first_seen, last_seen, total
)
SELECT tenant_id, fingerprint, provider, kind, cause, code, fields, words, first, last, failures
FROM given ORDER BY tenant_id, fingerprint
ON CONFLICT (tenant_id, fingerprint) DO UPDATE SET
    first_seen = CASE WHEN known.last_seen < excluded.first_seen - %(quiet)s
        THEN excluded.first_seen ELSE least(known.first_seen, excluded.first_seen) END,
    last_seen = greatest(known.last_seen, excluded.last_seen),
    total = known.total + excluded.total
"""
_COUNT = """
INSERT INTO failure_hours AS known (tenant_id, fingerprint, hour, failures)
SELECT tenant_id, fingerprint, hour, failures FROM jsonb_to_recordset(%(rows)s::jsonb) AS one (
    tenant_id uuid, fingerprint text, hour timestamptz, failures bigint
)
ORDER BY tenant_id, fingerprint, hour
ON CONFLICT (tenant_id, fingerprint, hour) DO UPDATE SET failures = known.failures + excluded.failures
"""


def note(failures: Sequence[Failure]) -> None:
    """Adds to what is known of these causes, in the caller's transaction."""
    if not failures:
        return
    found: dict[tuple[UUID, str], dict[str, Any]] = {}
    hours: Counter[tuple[UUID, str, datetime]] = Counter()
    for one in failures:
        key = (one.tenant_id, one.facts.fingerprint)
        row = found.setdefault(key, {**asdict(one.facts), "first": one.at, "last": one.at, "failures": 0})
        row["first"], row["last"] = min(row["first"], one.at), max(row["last"], one.at)
        row["failures"] += one.count
        hours[(*key, one.at.replace(minute=0, second=0, microsecond=0))] += one.count
    rows = [{"tenant_id": tenant, "fingerprint": mark, **row} for (tenant, mark), row in found.items()]
    counts = [
        {"tenant_id": tenant, "fingerprint": mark, "hour": hour, "failures": count}
        for (tenant, mark, hour), count in hours.items()
    ]
    with database.cursor() as cursor:
        terms: dict[str, Any] = {"rows": json.dumps(rows, default=str), "quiet": QUIET}
        cursor.execute(_NOTE, terms)
        cursor.execute(_COUNT, {"rows": json.dumps(counts, default=str)})


def mark(jobs: Sequence[SyncJob], told: Mapping[int, tuple[str, Sequence[str]]] | None = None) -> None:
    """Gives dead jobs their fingerprint, unsaved, and notes their causes. `told`: code and fields by job, where known."""
    if not jobs:
        return
    providers = _providers(jobs)
    failures = []
    for job in jobs:
        code, fields = (told or {}).get(job.pk, ("", ()))
        found = common.facts_of_job(providers[job.connection_id], job, code, fields)
        job.fingerprint = found.fingerprint
        failures.append(Failure(job.tenant_id, found, job.finished_at or timezone.now()))
    note(failures)


def note_event(connection: CrmConnection, kind: str, error: Exception, count: int) -> str:
    """Notes that events could not be worked. Returns the fingerprint for them."""
    found = common.facts_of_error(connection.provider, kind, error)
    note([Failure(connection.tenant_id, found, timezone.now(), count)] if count else [])
    return found.fingerprint


def _providers(rows: Iterable[Any]) -> dict[UUID, str]:
    ids = {row.connection_id for row in rows}
    return dict(CrmConnection.objects.filter(pk__in=ids).values_list("pk", "provider"))


# --- what died before its cause was noted -----------------------------------------------------------------------------


def sort_older(limit: int = AT_ONCE) -> int:
    """Gives dead jobs and failed events that have no fingerprint yet theirs. Returns how many; 0: all have one."""
    with tenancy.everyone(), transaction.atomic():
        waiting = SyncJob.objects.select_for_update(skip_locked=True).filter(state="dead", fingerprint="")
        jobs = list(waiting.order_by("pk")[:limit])
        mark(jobs)
        update(SyncJob, jobs, ["fingerprint"])
        events = _unsorted_events()[: limit - len(jobs)]
        _mark_events(events)
    return len(jobs) + len(events)


def unsorted() -> int:
    """How many dead jobs of the current scope wait for that; counted up to a limit."""
    return SyncJob.objects.filter(state="dead", fingerprint="").order_by()[:AT_ONCE].count()


def _unsorted_events() -> list[InboxEvent]:
    rows = InboxEvent.objects.select_for_update(skip_locked=True).filter(state="failed", fingerprint="")
    return list(rows.defer("body", "headers", "values").order_by("pk")[:AT_ONCE])


def _mark_events(events: Sequence[InboxEvent]) -> None:
    providers = _providers(events)
    failures = []
    for event in events:
        # The text begins with the id of the record, which is masked like any other.
        text = event.error.partition(": ")[2] or event.error
        found = common.facts(providers[event.connection_id], "fetch", FixData.cause, message=text)
        event.fingerprint = found.fingerprint
        failures.append(Failure(event.tenant_id, found, event.received_at))
    note(failures)
    update(InboxEvent, events, ["fingerprint"])


def forget() -> None:
    """Deletes causes that nothing has died of for long, and counts of hours that no chart shows."""
    now = timezone.now()
    dead = SyncJob.objects.filter(state="dead").values("fingerprint")
    FailureCause.objects.filter(last_seen__lt=now - KEPT).exclude(fingerprint__in=dead).delete()
    FailureHour.objects.filter(hour__lt=now - KEPT_HOURS).delete()
