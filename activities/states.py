"""What became of a call in each CRM, with its meeting, its follow-up and its note there, read from its jobs and links."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID

from activities.agreements import CANCELLED
from activities.models import Call
from activities.summary_notes import NOTE
from activities.summary_notes import TABLE as NOTES
from activities.targets import KIND
from sync.models import SyncJob, SyncRecord

WORDS = {"ready": "pending", "leased": "sending", "done": "logged", "dead": "failed", "dismissed": "failed"}
SIDES = {"book_meeting": ("meeting", "call_meetings"), "set_follow_up": ("follow_up", "call_follow_ups")}
"""Kind of job → its entry in the state, and what its links call themselves. What dialers are told."""
SHOWN = {**SIDES, NOTE: ("note", NOTES)}
"""What people are shown besides."""
TABLES = {KIND: Call._meta.db_table, **{kind: table for kind, (_entry, table) in SHOWN.items()}}
Sides = Mapping[str, tuple[str, str]]
_Links = dict[tuple[UUID | None, UUID | None, str], SyncRecord]


def sync_states(call_ids: Collection[UUID], sides: Sides = SIDES) -> dict[UUID, list[dict[str, Any]]]:
    """For each call, one entry per CRM, by its name; two queries for any number of calls."""
    rows = SyncRecord.objects.filter(local_record_id__in=call_ids, local_table__in=TABLES.values())
    jobs = SyncJob.objects.filter(local_record_id__in=call_ids, kind__in=TABLES).select_related("connection")
    return states_from(call_ids, rows, jobs, sides)


def states_from(
    call_ids: Collection[UUID], rows: Iterable[SyncRecord], jobs: Iterable[SyncJob], sides: Sides = SIDES
) -> dict[UUID, list[dict[str, Any]]]:
    """The same from links and jobs that were read already."""
    links: _Links = {(row.local_record_id, row.connection_id, row.local_table): row for row in rows}
    newest: dict[tuple[UUID, UUID, str], SyncJob] = {}
    for job in sorted(jobs, key=lambda one: (one.connection.provider, one.pk)):
        if job.kind in TABLES and job.local_record_id:
            newest[job.local_record_id, job.connection_id, job.kind] = job
    states: dict[UUID, list[dict[str, Any]]] = {call_id: [] for call_id in call_ids}
    for (call_id, connection_id, kind), job in newest.items():
        if kind == KIND:
            besides = {
                entry: _state(side, links)
                for side_kind, (entry, _table) in sides.items()
                if (side := newest.get((call_id, connection_id, side_kind)))
            }
            states[call_id].append({"provider": job.connection.provider, **_state(job, links), **besides})
    return states


def _state(job: SyncJob, links: _Links) -> dict[str, Any]:
    link = links.get((job.local_record_id, job.connection_id, TABLES[job.kind])) if job.local_record_id else None
    return {
        "status": "cancelled" if _is_cancelled(job, link) else WORDS[job.state],
        "crm_record_id": link.crm_record_id if link else None,
        "url": (link.url or None) if link else None,
        "error": job.error or None,
        "attempts": job.attempts,
    }


def _is_cancelled(job: SyncJob, link: SyncRecord | None) -> bool:
    """Whether a later stage took it back, and nothing is left to do: it is marked in the CRM, or not there (any more)."""
    if job.kind == KIND or job.state != SyncJob.State.DONE:
        return False
    return link is None or CANCELLED in link.metadata
