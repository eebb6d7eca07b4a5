"""Forgets, every night, what a tenant doesn't want to keep: recordings' addresses, and what was said in calls.

Figures stay: when, how long, what came of it. Recordings themselves lie in the tenant's storage, which has rules of its own; here
the way to them is forgotten, so that the link in the CRM leads to a page that says so. Notes that a CRM holds stay there, unless
the tenant wants them shortened there too; then each activity is written once more, in the last lane.
"""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from activities import targets
from activities.forgetting import HAS_TEXTS, NO_TEXTS, forget_requests
from activities.models import Call, CallSettings, RetentionRun
from activities.targets import KIND, TargetError
from integrations import tenancy
from sync import queue
from sync.models import Lane, SyncJob, SyncRecord
from sync.schedules import next_night

SCHEDULES: dict[str, dict[str, Any]] = {
    "Forget what is too old": {
        "func": "activities.retention.forget_for_all",
        "schedule_type": "D",
        "next_run": next_night,
    },
}
BATCH = 500
RUNS_KEPT = timedelta(days=400)


def forget_for_all() -> None:
    """Every tenant that wants something forgotten, each with what it decided. Safe to repeat and to run twice at once."""
    now = timezone.now()
    with tenancy.everyone():
        wanted = CallSettings.objects.exclude(recordings_kept_days=None, texts_kept_days=None)
        rows = list(wanted.filter(tenant__is_active=True).defer("recording_secrets"))
    for row in rows:
        with tenancy.scope(row.tenant_id):
            forget_for(row, now)


def forget_for(row: CallSettings, now: datetime) -> RetentionRun:
    """What is too old of this tenant's calls, in batches that each are whole; the run says how much it was."""
    run: RetentionRun = RetentionRun.objects.create(tenant_id=row.tenant_id)
    for batch in _batches(_old(row, row.recordings_kept_days, now, ~Q(recording_url=""))):
        run.recordings += _forget(row, run, batch, now, ~Q(recording_url=""), recording_url="", recording_purged_at=now)
    for batch in _batches(_old(row, row.texts_kept_days, now, HAS_TEXTS)):
        forget_requests((row.tenant_id, one) for one in batch)
        run.texts += _forget(row, run, batch, now, HAS_TEXTS, texts_purged_at=now, **NO_TEXTS)
    run.save(update_fields=["recordings", "texts", "in_crms"])
    RetentionRun.objects.filter(tenant_id=row.tenant_id, at__lt=now - RUNS_KEPT).delete()
    return run


def _old(row: CallSettings, days: int | None, now: datetime, has: Q) -> QuerySet[Call]:
    if days is None:
        return Call.objects.none()
    found: QuerySet[Call] = Call.objects.filter(has, tenant_id=row.tenant_id, started_at__lt=_cutoff(now, days))
    return found


def _cutoff(now: datetime, days: int) -> datetime:
    """Older than the calendar goes means: nothing is too old."""
    try:
        return now - timedelta(days=days)
    except OverflowError:
        return datetime.min.replace(tzinfo=now.tzinfo)


def _batches(rows: QuerySet[Call]) -> Iterator[list[UUID]]:
    """Ids, read in one pass over the table however many they are."""
    ids = rows.order_by().values_list("pk", flat=True).iterator(chunk_size=BATCH)
    while batch := list(islice(ids, BATCH)):
        yield batch


def _forget(row: CallSettings, run: RetentionRun, ids: Collection[UUID], now: datetime, has: Q, **values: Any) -> int:
    """How many were changed: what somebody changed since is looked at again, under its lock."""
    with transaction.atomic():
        calls = list(Call.objects.select_for_update(of=("self",)).filter(has, pk__in=ids).order_by("pk"))
        changed = [call.pk for call in calls]
        Call.objects.filter(pk__in=changed).update(**values, revision=F("revision") + 1, updated_at=now)
        if row.forget_in_crms:
            run.in_crms += _shorten_in_crms(calls)
    return len(changed)


def _shorten_in_crms(calls: Collection[Call]) -> int:
    """One more write of each activity that is in a CRM, in place. Returns how many."""
    links = SyncRecord.objects.filter(
        local_record_id__in=[call.pk for call in calls], local_table=Call._meta.db_table
    ).exclude(connection=None)
    logged = set(links.values_list("local_record_id", "connection_id"))
    there = {call_id for call_id, _connection in logged}
    known = [call for call in calls if call.pk in there]
    if not known:
        return 0
    places = targets.locate_all([(call, call.contact_id) for call in known])
    targets.hold_waiting(known)
    jobs = [
        SyncJob(
            tenant_id=call.tenant_id, connection_id=target.connection_id, kind=KIND, key=str(call.pk),
            local_record_id=call.pk, lane=Lane.BACKFILL,
            payload={"object_type": target.object_type, "record_id": target.record_id},
        )
        for call in known
        if not isinstance(found := places[call.pk], TargetError)
        for target in found
        if (call.pk, target.connection_id) in logged
    ]  # fmt: skip
    queue.enqueue(jobs)
    return len(jobs)
