"""A field that joins the mapping is filled for the people we have already: only that field, and nothing else moves.

Inbound, all records are read again with a cursor of the back-fill's own, by a mapping that has the new fields alone. Outbound,
every linked contact that has a value in one of the fields is handed to the outbox, which sends what differs; the run is done when
all are handed over. Either kind is a run with a cursor, and can be paused and resumed.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import transaction
from django.utils import timezone

from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.registry import provider_class
from integrations.transport.client import WORKER
from mapping.models import MappingVersion
from sync import queue, values
from sync.handlers import Result
from sync.models import Contact, FeedCursor, Lane, SyncJob, SyncRecord, SyncRun
from sync.pull import feed_of, is_paused, pull
from sync.pushes import enqueue as enqueue_pushes
from sync.queue import Claim, Outcome

KIND = "backfill"
OUTBOUND = "→ "
"""Stands before the object type of a run that goes to the CRM."""
SLICE_SECONDS = 5.0
CONTACTS_AT_ONCE = 500
DECIDING = ("crm_object", "crm_field", "transform", "options", "object_overrides")
"""What of a mapping row makes other values of the same records."""
_held_off: ContextVar[bool] = ContextVar("backfills_held_off", default=False)


def start(connection: CrmConnection, inbound: Collection[str] = (), outbound: Collection[str] = ()) -> list[SyncRun]:
    """Begins back-fills of these dialer fields in the caller's transaction. Returns their runs."""
    provider = provider_class(connection.provider)
    runs = [_run(connection, object_type, inbound) for object_type in provider.person_types if inbound]
    if outbound:
        runs.append(_run(connection, OUTBOUND + provider.mapping_object, outbound))
    queue.enqueue(_job(connection, run) for run in runs)
    return runs


def is_outbound(run: SyncRun) -> bool:
    """Whether the run goes from us to the CRM."""
    return run.object_type.startswith(OUTBOUND)


def _run(connection: CrmConnection, object_type: str, fields: Collection[str]) -> SyncRun:
    made: SyncRun = SyncRun.objects.create(
        tenant_id=connection.tenant_id,
        connection=connection,
        kind=SyncRun.Kind.BACKFILL,
        object_type=object_type,
        fields_only=sorted(fields),
    )
    return made


def _job(connection: CrmConnection, run: SyncRun) -> SyncJob:
    return SyncJob(
        tenant_id=connection.tenant_id,
        connection=connection,
        kind=KIND,
        key=str(run.pk),
        payload={"run": run.pk},
        lane=Lane.BACKFILL,
    )


@contextmanager
def held_off() -> Iterator[None]:
    """For whoever publishes a mapping and moves the fields it concerns himself."""
    token = _held_off.set(True)
    try:
        yield
    finally:
        _held_off.reset(token)


def on_published(instance: MappingVersion, created: bool, **_: Any) -> None:
    """Fills the fields that a new mapping version adds, in every connection that holds people already."""
    before = MappingVersion.objects.filter(
        tenant_id=instance.tenant_id, crm_provider=instance.crm_provider, number__lt=instance.number
    ).first()
    if not created or before is None or _held_off.get():
        return
    inbound, outbound = added(before.rows, instance.rows)
    if not inbound and not outbound:
        return
    for connection in CrmConnection.objects.filter(tenant_id=instance.tenant_id, provider=instance.crm_provider):
        if SyncRecord.objects.filter(connection=connection, local_table=Contact._meta.db_table).exists():
            start(connection, inbound, outbound)


def added(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """Dialer fields that come in, and that go out, in another way than before."""
    old = {row["dialer_field"]: row for row in before}
    changed = [(row, old.get(row["dialer_field"])) for row in after]
    return (
        [row["dialer_field"] for row, was in changed if _moves(row, was, "outbound")],
        [row["dialer_field"] for row, was in changed if _moves(row, was, "inbound")],
    )


def _moves(row: Mapping[str, Any], was: Mapping[str, Any] | None, other: str) -> bool:
    """`other` is the direction in which a row does not concern us."""
    if row["direction"] == other:
        return False
    if was is None or was["direction"] == other:
        return True
    return any(row.get(name) != was.get(name) for name in DECIDING)


class BackfillHandler:
    """One run for some seconds, or some contacts; the job then goes to the end of its lane."""

    def batch_size(self, provider: type[CrmProvider]) -> int:
        return 1

    def work(self, provider: CrmProvider, claimed: Claim) -> Result:
        job = claimed.jobs[0]
        connection = CrmConnection.objects.select_related("tenant").get(pk=job.connection_id)
        if "fields" in job.payload:  # stored before outbound back-fills had runs
            with transaction.atomic():
                start(connection, outbound=job.payload["fields"])
            return Result([Outcome(job, "done")])
        run = SyncRun.objects.filter(pk=job.payload.get("run"), connection=connection).first()
        if run is None or run.status not in (SyncRun.Status.RUNNING, SyncRun.Status.FAILED):
            return Result([Outcome(job, "done")])
        if is_outbound(run):
            finished = _hand_over_some(connection, run)
            return Result([_onward(job, run, 0.0) if not finished else Outcome(job, "done")])
        pulled = pull(connection, run.object_type, WORKER, seconds=SLICE_SECONDS, run=run)
        if pulled.finished or pulled.run.status == SyncRun.Status.PAUSED:
            return Result([Outcome(job, "done")])
        return Result([_onward(job, run, pulled.wait)])


def _onward(job: SyncJob, run: SyncRun, wait: float) -> Outcome:
    return Outcome(job, "ready", wait=wait, counts=False, payload={"run": run.pk})


def _hand_over_some(connection: CrmConnection, run: SyncRun) -> bool:
    """The next contacts go to the outbox, together with the cursor. True at the end, and when somebody paused the run."""
    with transaction.atomic():
        cursor, _created = FeedCursor.objects.select_for_update().get_or_create(
            connection=connection, feed=feed_of("", run), defaults={"tenant_id": connection.tenant_id}
        )
        links = SyncRecord.objects.filter(
            connection=connection, local_table=Contact._meta.db_table, local_record_id__isnull=False
        )
        run.expected = links.count() if run.expected is None else run.expected
        some = links.filter(pk__gt=(cursor.value or {}).get("after", _FIRST)).order_by("pk")[:CONTACTS_AT_ONCE]
        rows = list(some.values_list("pk", "local_record_id"))
        contacts = Contact.objects.filter(pk__in=[contact_id for _pk, contact_id in rows], deleted_at=None)
        concerned = _with_values(contacts, run.fields_only)
        enqueue_pushes(concerned, lane=Lane.BACKFILL, only_for=connection.pk, run_id=run.pk)
        if rows:
            cursor.value = {"after": str(rows[-1][0])}
        finished = len(rows) < CONTACTS_AT_ONCE
        cursor.complete_at = timezone.now() if finished else None
        cursor.save()
        _note(run, len(concerned), len(rows) - len(concerned), finished=finished)
    return finished or is_paused(run)


def _note(run: SyncRun, handed_over: int, without: int, *, finished: bool) -> None:
    run.updated += handed_over
    run.skipped += without
    run.save(update_fields=["expected", "updated", "skipped"])
    if finished:
        run.status, run.finished_at = SyncRun.Status.DONE, timezone.now()
        run.save(update_fields=["status", "finished_at"])


_FIRST = "00000000-0000-0000-0000-000000000000"


def _with_values(contacts: Iterable[Contact], fields: Sequence[str]) -> list[Contact]:
    return [
        one for one in contacts if any(value not in (None, "", False) for value in values.read(one, fields).values())
    ]
