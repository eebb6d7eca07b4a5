"""Puts a rehearsed candidate in force, exactly as it was rehearsed, and moves the affected fields.

The affected fields come from the snapshots, by the same pages that a feed makes: mapped, compared three ways, written with their
history and counted on a run. Only records of which the snapshots say too little are fetched, by their ids. Everybody's edits since
are our side's moves, so the comparison protects them; no other field moves, and the feeds' own cursors stay where they are.
"""

import time
from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone

from integrations.errors import CrmError, Throttled
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.records.remote import ChangePage, RemoteRecord
from mapping import editor_drafts
from mapping.compiled import MappingError, MappingSession
from mapping.models import ConflictPolicy, MappingVersion
from mapping.publishing import adopt, compiled
from sync import backfilling, holding, queue, snapshots
from sync.drafts import Candidate, basis_of, concerned, fingerprint
from sync.handlers import Result
from sync.inbound import PageWriter
from sync.models import FeedCursor, Lane, Rehearsal, SyncJob, SyncRun
from sync.pull import is_paused, only
from sync.queue import Claim, Outcome
from sync.rehearsing import Refused

KIND = "reapply"
SLICE_SECONDS = 5.0
RECORDS_AT_ONCE = 500
IDS_AT_ONCE = 100

NOT_READY = "Only a rehearsal that has come to its end can be put in force. This one is: {state}."
OTHER_DRAFT = "The draft was changed after it was rehearsed. Rehearse it again first."
MOVED_ON = (
    "The mapping or the conflict policy was changed after this rehearsal ({what}), so its results may not be true any more. "
    "Rehearse it again first."
)


def why_not(rehearsal: Rehearsal) -> str:
    """Why it can't be put in force, as a sentence; empty when it can."""
    if rehearsal.status != Rehearsal.Status.READY:
        return NOT_READY.format(state=rehearsal.get_status_display())
    if fingerprint(rehearsal) != rehearsal.tried:
        return OTHER_DRAFT
    present = basis_of(concerned(rehearsal)).as_json()
    if present == rehearsal.basis:
        return ""
    if present["policy"] != rehearsal.basis.get("policy"):
        return MOVED_ON.format(what="another conflict policy")
    return MOVED_ON.format(what="another version is in force")


def promote(rehearsal: Rehearsal, *, by: str, user_id: int | None = None) -> list[SyncRun]:
    """Puts the candidate in force and begins to move the affected fields. Raises Refused, and then nothing has changed."""
    with transaction.atomic():
        row = (
            Rehearsal.objects.select_for_update(of=("self",)).select_related("connection__tenant").get(pk=rehearsal.pk)
        )
        refusal = why_not(row)
        if refusal:
            raise Refused(refusal)
        candidate = Candidate(row)
        parts = candidate.parts
        with backfilling.held_off():
            version = _publish(row, candidate, by, user_id)
        if row.policy is not None:
            policy, _created = ConflictPolicy.objects.get_or_create(tenant_id=row.tenant_id)
            policy.default, policy.overrides = row.policy["default"], row.policy["overrides"]
            policy.save()
        runs = [run for part in parts for run in _begin(part.connection, part.inbound, version)]
        for part in parts:
            if part.outbound:
                backfilling.start(part.connection, outbound=part.outbound)
        row.status, row.promoted_at = Rehearsal.Status.PROMOTED, timezone.now()
        row.save(update_fields=["status", "promoted_at", "updated_at"])
        editor_drafts.over(row.pk)
    return runs


def _publish(row: Rehearsal, candidate: Candidate, by: str, user_id: int | None) -> MappingVersion | None:
    """The new version; None when the rows are as they were. Raises Refused when somebody else publishes at this moment."""
    provider = row.connection.provider
    before = candidate.basis.versions.get(provider, 0)
    if candidate.basis.rows.get(provider) == row.rows:
        return None
    try:
        version = adopt(
            row.tenant_id,
            provider,
            row.rows,
            note=f"Rehearsed by {by}"[:300],
            user_id=user_id,
            parked=editor_drafts.parked_for(row.pk),
        )
    except MappingError as error:
        raise Refused(f"This mapping can't be used. {error}") from error
    if version.number != before + 1:
        raise Refused(MOVED_ON.format(what="another version is in force"))
    return version


def _begin(connection: CrmConnection, fields: Sequence[str], version: MappingVersion | None) -> list[SyncRun]:
    kinds = snapshots.kinds_of(connection) if fields else []
    own = version is not None and version.crm_provider == connection.provider
    runs = [
        SyncRun.objects.create(
            tenant_id=connection.tenant_id,
            connection=connection,
            kind=SyncRun.Kind.SNAPSHOTS,
            object_type=kind,
            fields_only=sorted(fields),
            mapping_version=version.number if version and own else compiled(connection, kind).version,
            expected=snapshots.linked(connection, kind).count(),
        )
        for kind in kinds
    ]
    queue.enqueue(job_for(run) for run in runs)
    return runs


def job_for(run: SyncRun) -> SyncJob:
    return SyncJob(
        tenant_id=run.tenant_id,
        connection_id=run.connection_id,
        kind=KIND,
        key=str(run.pk),
        payload={"run": run.pk},
        lane=Lane.BACKFILL,
    )


# --- moving the fields ----------------------------------------------------------------------------------------------


class ReapplyHandler:
    """One run for some seconds; the job then goes to the end of its lane."""

    def batch_size(self, provider: type[CrmProvider]) -> int:
        return 1

    def work(self, provider: CrmProvider, claimed: Claim) -> Result:
        job = claimed.jobs[0]
        run = SyncRun.objects.select_related("connection__tenant").filter(pk=job.payload.get("run")).first()
        if run is None or run.status not in (SyncRun.Status.RUNNING, SyncRun.Status.FAILED):
            return Result([Outcome(job, "done")])
        try:
            over = go_on(provider, run, seconds=SLICE_SECONDS)
        except CrmError as error:
            if not isinstance(error, Throttled):
                _end(run, SyncRun.Status.FAILED, error.message)
            raise
        return Result([Outcome(job, "done") if over else Outcome(job, "ready", counts=False)])


def go_on(provider: CrmProvider, run: SyncRun, *, seconds: float) -> bool:
    """Applies slices for about `seconds`, at least one. True: it is done, or somebody paused it."""
    started = time.monotonic()
    mapping = compiled(run.connection, run.object_type)
    with only(mapping.engine, run.fields_only).session() as session:
        while True:
            if _slice(provider, run, session):
                FeedCursor.objects.filter(connection=run.connection, feed=feed_of(run)).delete()
                _end(run, SyncRun.Status.DONE)
                return True
            if is_paused(run):
                return True
            if time.monotonic() - started > seconds:
                return False


def _end(run: SyncRun, status: SyncRun.Status, error: str = "") -> None:
    run.status, run.error, run.finished_at = status, error, timezone.now()
    run.save(update_fields=["status", "error", "finished_at"])


def _slice(provider: CrmProvider, run: SyncRun, session: MappingSession) -> bool:
    """True: that was the last one. Asks the CRM before it locks anything, and takes the slice again if that was not enough."""
    after = _after(run)
    fetched = _fetched(provider, run, session, _read(run, session, after).lacking)
    with transaction.atomic():
        holding.lock_tenant(run.tenant_id)
        found = _read(run, session, after)
        if any(link.crm_record_id not in fetched for link in found.lacking):
            return False
        here = [fetched[link.crm_record_id] for link in found.lacking]
        records = [*found.known, *(one for one in here if one and not one.deleted and not one.moved_to)]
        held = {"after": after} if after else None
        page = ChangePage(records, {"after": found.after}, total=run.expected)
        PageWriter(run.connection, run, session).apply(page, feed_of(run), held)
        run.skipped += found.size - len(records)
        run.save(update_fields=["skipped"])
    return not found.after


def feed_of(run: SyncRun) -> str:
    return f"snapshots:{run.pk}"


def _after(run: SyncRun) -> str:
    cursor = FeedCursor.objects.filter(connection=run.connection, feed=feed_of(run)).first()
    return str((cursor.value or {}).get("after", "")) if cursor else ""


def _read(run: SyncRun, session: MappingSession, after: str) -> snapshots.Slice:
    return snapshots.read(run.connection, run.object_type, session.mapping, after=after, limit=RECORDS_AT_ONCE)


def _fetched(
    provider: CrmProvider, run: SyncRun, session: MappingSession, lacking: Sequence[Any]
) -> dict[str, RemoteRecord | None]:
    """The records by id; None for one that the CRM does not show now. What that means is found out by the feeds."""
    ids = [link.crm_record_id for link in lacking]
    found: dict[str, RemoteRecord | None] = dict.fromkeys(ids)
    for start in range(0, len(ids), IDS_AT_ONCE):
        some = ids[start : start + IDS_AT_ONCE]
        answer = provider.fetch(run.object_type, some, session.mapping.crm_fields)
        found |= {record.id: record for record in answer.records}
        run.api_calls += 1
    return found
