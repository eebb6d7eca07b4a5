"""Pulls as jobs: one per object type of a connection, in slices, so that a long load never holds a worker."""

from collections.abc import Iterable
from typing import Any

from django.db import transaction

from integrations.errors import Retry
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.registry import provider_class
from integrations.transport.client import WORKER
from sync import queue
from sync.handlers import Result
from sync.inbound import ALREADY_RUNNING
from sync.models import Lane, SyncJob, SyncRun
from sync.pull import pull
from sync.queue import Claim, Outcome

KIND = "pull"
SLICE_SECONDS = 5.0


def enqueue_all(connections: Iterable[CrmConnection], *, full: bool = False) -> int:
    """A pull of every object type of these connections. Returns how many jobs that makes at most."""
    jobs = [
        SyncJob(
            tenant_id=connection.tenant_id,
            connection=connection,
            kind=KIND,
            key=object_type,
            payload={"full": full},
            lane=Lane.BACKFILL,
        )
        for connection in connections
        for object_type in provider_class(connection.provider).person_types
    ]
    with transaction.atomic():
        queue.enqueue(jobs)
    return len(jobs)


class PullHandler:
    """One object type for some seconds; the job then goes to the end of its lane with what it needs to go on."""

    def batch_size(self, provider: type[CrmProvider]) -> int:
        return 1

    def work(self, provider: CrmProvider, claimed: Claim) -> Result:
        job = claimed.jobs[0]
        connection = CrmConnection.objects.select_related("tenant").get(pk=job.connection_id)
        if _is_paused(connection, job.key):
            return Result([Outcome(job, "done")])
        try:
            pulled = pull(
                connection,
                job.key,
                WORKER,
                full=bool(job.payload.get("full")),
                seconds=SLICE_SECONDS,
                run=_run_to_go_on(job.payload),
            )
        except Retry as error:
            if error.cause == ALREADY_RUNNING:
                return Result([Outcome(job, "done")])
            raise
        if pulled.finished or pulled.run.status == SyncRun.Status.PAUSED:
            return Result([Outcome(job, "done")])
        return Result([Outcome(job, "ready", wait=pulled.wait, counts=False, payload={"run": pulled.run.pk})])


def pause(run: SyncRun) -> bool:
    """Stops a run after the page at hand, and keeps new ones of the same feed from starting. False: it was not running."""
    return bool(SyncRun.objects.filter(pk=run.pk, status=SyncRun.Status.RUNNING).update(status=SyncRun.Status.PAUSED))


def resume(run: SyncRun, kind: str) -> bool:
    """Has a paused run go on where it stopped, as a job of this kind. False: it was not paused."""
    with transaction.atomic():
        found = SyncRun.objects.filter(pk=run.pk, status=SyncRun.Status.PAUSED).update(status=SyncRun.Status.RUNNING)
        if found:
            key = str(run.pk) if run.fields_only or run.kind == SyncRun.Kind.UNDO else run.object_type
            queue.enqueue(
                [
                    SyncJob(
                        tenant_id=run.tenant_id,
                        connection_id=run.connection_id,
                        kind=kind,
                        key=key,
                        payload={"run": run.pk},
                        lane=Lane.BACKFILL,
                    )
                ]
            )
    return bool(found)


def _is_paused(connection: CrmConnection, object_type: str) -> bool:
    runs = SyncRun.objects.filter(connection=connection, object_type=object_type, status=SyncRun.Status.PAUSED)
    return bool(runs.filter(kind__in=[SyncRun.Kind.INITIAL, SyncRun.Kind.CATCH_UP]).exists())


def _run_to_go_on(payload: dict[str, Any]) -> SyncRun | None:
    found: SyncRun | None = SyncRun.objects.filter(pk=payload.get("run"), status=SyncRun.Status.RUNNING).first()
    return found
