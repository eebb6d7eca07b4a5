"""The links of calls, and of what belongs to them, to what they became in a CRM. `local_table` says what of the call it is."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.utils import timezone

from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.records.remote import Written
from sync.models import SyncJob, SyncRecord
from sync.queue import Claim

Links = Mapping[UUID | None, SyncRecord]
"""By call."""


def links_of(claimed: Claim, table: str) -> Links:
    """What the calls of these jobs became in their CRM."""
    return links_in(claimed.jobs[0].connection_id, table, [job.local_record_id for job in claimed.jobs])


def links_in(connection_id: UUID, table: str, call_ids: Iterable[UUID | None]) -> Links:
    rows = SyncRecord.objects.filter(connection_id=connection_id, local_table=table, local_record_id__in=list(call_ids))
    return {row.local_record_id: row for row in rows}


def id_in(links: Links, job: SyncJob) -> str:
    """The CRM's id of what the job's call became; blank before that."""
    held = links.get(job.local_record_id)
    return held.crm_record_id if held else ""


def link(
    provider: CrmProvider, connection: CrmConnection, job: SyncJob, place: tuple[str, str], result: Written, **more: Any
) -> SyncRecord:
    """The link to what was written for a job. `place`: what of the call it is, and of which type in the CRM."""
    table, object_type = place
    now = timezone.now()
    return SyncRecord(
        tenant_id=job.tenant_id,
        connection=connection,
        crm_provider=provider.slug,
        crm_object_type=object_type,
        crm_record_id=result.id,
        local_record_id=job.local_record_id,
        local_table=table,
        sync_direction="outbound",
        sync_status=SyncRecord.Status.ERROR if result.error else SyncRecord.Status.SYNCED,
        last_synced_at=now,
        metadata={"on": job.payload["record_id"], "attempts": job.attempts, **more},
        url=result.url,
        updated_at=now,
    )
