"""A field that joins the mapping is filled for the people we have already: only that field, and nothing else moves.

Inbound, all records are read again with a cursor of the back-fill's own, by a mapping that has the new fields alone. Outbound,
every linked contact that has a value in one of the fields is looked at by the outbox, which sends what differs.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from django.db import transaction

from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.registry import provider_class
from integrations.transport.client import WORKER
from mapping.models import MappingVersion
from sync import queue, values
from sync.handlers import Result
from sync.models import Contact, Lane, SyncJob, SyncRecord, SyncRun
from sync.pull import pull
from sync.pushes import enqueue as enqueue_pushes
from sync.queue import Claim, Outcome

KIND = "backfill"
OUTBOUND = "out"
SLICE_SECONDS = 5.0
CONTACTS_AT_ONCE = 500
DECIDING = ("crm_object", "crm_field", "transform", "options", "object_overrides")
"""What of a mapping row makes other values of the same records."""


def start(connection: CrmConnection, inbound: Collection[str] = (), outbound: Collection[str] = ()) -> list[SyncRun]:
    """Begins back-fills of these dialer fields in the caller's transaction. Returns the runs that read the CRM."""
    runs = [
        SyncRun.objects.create(
            tenant_id=connection.tenant_id,
            connection=connection,
            kind=SyncRun.Kind.BACKFILL,
            object_type=object_type,
            fields_only=sorted(inbound),
        )
        for object_type in provider_class(connection.provider).person_types
        if inbound
    ]
    jobs = [_job(connection, str(run.pk), {"run": run.pk}) for run in runs]
    if outbound:
        jobs.append(_job(connection, f"{OUTBOUND}:{','.join(sorted(outbound))}"[:200], {"fields": sorted(outbound)}))
    queue.enqueue(jobs)
    return runs


def _job(connection: CrmConnection, key: str, payload: dict[str, Any]) -> SyncJob:
    return SyncJob(
        tenant_id=connection.tenant_id, connection=connection, kind=KIND, key=key, payload=payload, lane=Lane.BACKFILL
    )


def on_published(instance: MappingVersion, created: bool, **_: Any) -> None:
    """Fills the fields that a new mapping version adds, in every connection that holds people already."""
    before = MappingVersion.objects.filter(
        tenant_id=instance.tenant_id, crm_provider=instance.crm_provider, number__lt=instance.number
    ).first()
    if not created or before is None:
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
    """One run, or one set of outbound fields, for some seconds; the job then goes to the end of its lane."""

    def batch_size(self, provider: type[CrmProvider]) -> int:
        return 1

    def work(self, provider: CrmProvider, claimed: Claim) -> Result:
        job = claimed.jobs[0]
        connection = CrmConnection.objects.select_related("tenant").get(pk=job.connection_id)
        if "fields" in job.payload:
            return _push_some(connection, job)
        run = SyncRun.objects.filter(pk=job.payload.get("run"), connection=connection).first()
        if run is None or run.status not in (SyncRun.Status.RUNNING, SyncRun.Status.FAILED):
            return Result([Outcome(job, "done")])
        pulled = pull(connection, run.object_type, WORKER, seconds=SLICE_SECONDS, run=run)
        if pulled.finished or pulled.run.status == SyncRun.Status.PAUSED:
            return Result([Outcome(job, "done")])
        return Result([Outcome(job, "ready", wait=pulled.wait, counts=False, payload={"run": run.pk})])


def _push_some(connection: CrmConnection, job: SyncJob) -> Result:
    links = SyncRecord.objects.filter(connection=connection, local_table=Contact._meta.db_table)
    links = links.filter(local_record_id__isnull=False, pk__gt=job.payload.get("after") or _FIRST)
    rows = list(islice(links.order_by("pk").values_list("pk", "local_record_id"), CONTACTS_AT_ONCE))
    contacts = Contact.objects.filter(pk__in=[contact_id for _pk, contact_id in rows], deleted_at=None)
    with transaction.atomic():
        enqueue_pushes(_with_values(contacts, job.payload["fields"]), lane=Lane.BACKFILL, only_for=connection.pk)
    if len(rows) < CONTACTS_AT_ONCE:
        return Result([Outcome(job, "done")])
    return Result([Outcome(job, "ready", counts=False, payload={**job.payload, "after": str(rows[-1][0])})])


_FIRST = "00000000-0000-0000-0000-000000000000"


def _with_values(contacts: Iterable[Contact], fields: Sequence[str]) -> list[Contact]:
    return [
        one for one in contacts if any(value not in (None, "", False) for value in values.read(one, fields).values())
    ]
