"""Looking after a connection: what fields the CRM has now, what its credential may do. As jobs, so that they wait their turn."""

from collections.abc import Iterable

from django.db import transaction

from integrations import preflight
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.transport.client import WORKER
from mapping import discovery
from sync import queue
from sync.handlers import Result
from sync.models import Lane, SyncJob
from sync.queue import Claim, Outcome

FIELDS, RIGHTS = "fields", "rights"


def enqueue(kind: str, connections: Iterable[CrmConnection], *, full: bool = False) -> None:
    """One job of this kind for each connection; one that waits already is enough."""
    jobs = [
        SyncJob(
            tenant_id=connection.tenant_id,
            connection=connection,
            kind=kind,
            key="all",
            payload={"full": full},
            lane=Lane.BACKFILL,
        )
        for connection in connections
    ]
    with transaction.atomic():
        queue.enqueue(jobs)


class FieldsHandler:
    """Reads the CRM's fields and notes what changed."""

    def batch_size(self, provider: type[CrmProvider]) -> int:
        return 1

    def work(self, provider: CrmProvider, claimed: Claim) -> Result:
        job = claimed.jobs[0]
        connection = CrmConnection.objects.select_related("tenant").get(pk=job.connection_id)
        discovery.refresh(connection, provider, full=bool(job.payload.get("full")))
        return Result([Outcome(job, "done")])


class RightsHandler:
    """Checks what the credential may do and keeps the findings on the connection."""

    def batch_size(self, provider: type[CrmProvider]) -> int:
        return 1

    def work(self, provider: CrmProvider, claimed: Claim) -> Result:
        job = claimed.jobs[0]
        preflight.run(CrmConnection.objects.select_related("tenant").get(pk=job.connection_id), WORKER)
        return Result([Outcome(job, "done")])
