"""What became of a call in each CRM, read from its jobs and links."""

from typing import Any
from uuid import UUID

from activities.models import Call
from activities.targets import KIND
from sync.models import SyncJob, SyncRecord

WORDS = {"ready": "pending", "leased": "sending", "done": "logged", "dead": "failed"}


def sync_states(call_ids: list[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    """For each call, one entry per CRM in the order of posting; two queries for any number of calls."""
    links = {
        (link.local_record_id, link.connection_id): link
        for link in SyncRecord.objects.filter(local_record_id__in=call_ids, local_table=Call._meta.db_table)
    }
    newest: dict[tuple[UUID, UUID], SyncJob] = {}
    jobs = SyncJob.objects.filter(local_record_id__in=call_ids, kind=KIND).select_related("connection").order_by("pk")
    for job in jobs:
        newest[job.local_record_id, job.connection_id] = job
    states: dict[UUID, list[dict[str, Any]]] = {call_id: [] for call_id in call_ids}
    for (call_id, connection_id), job in newest.items():
        states[call_id].append(_state(job, links.get((call_id, connection_id))))
    return states


def _state(job: SyncJob, link: SyncRecord | None) -> dict[str, Any]:
    return {
        "provider": job.connection.provider,
        "status": WORDS[job.state],
        "crm_record_id": link.crm_record_id if link else None,
        "url": (link.url or None) if link else None,
        "error": job.error or None,
        "attempts": job.attempts,
    }
