"""Carries our side's changes of contacts to the CRMs: in batches, and as one bulk job when very many wait.

A job says only that a contact has to be looked at; see `sync.outgoing` for what is sent. A bulk job takes minutes: its jobs
stay leased under one token, and a job of another kind comes back for the results with the CRM's ticket, which is stored before
the CRM starts. Should that never happen the leases run out, and the jobs are done in batches after all.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models.functions import Now

from integrations import errors
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.records.remote import Ticket, Written
from sync import queue
from sync.bulk import upsert
from sync.handlers import Result
from sync.models import Contact, Lane, SyncJob, SyncRecord
from sync.outgoing import Change, Push
from sync.pushes import KIND
from sync.queue import Claim, Outcome
from sync.work import judge

RESULTS = "push_results"
MOST_AT_ONCE = 10_000
"""Contacts that one bulk job takes."""
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class PushHandler:
    """A batch of contacts of one connection, in the CRM's best batch."""

    def batch_size(self, provider: type[CrmProvider]) -> int:
        return provider.write_batch_size

    def work(self, provider: CrmProvider, claimed: Claim) -> Result:
        connection = CrmConnection.objects.select_related("tenant").get(pk=claimed.jobs[0].connection_id)
        if _is_mass(connection, provider, claimed):
            return _hand_over(connection, provider, claimed)
        return Push(connection, provider, claimed).run()


def _is_mass(connection: CrmConnection, provider: CrmProvider, claimed: Claim) -> bool:
    """Whether so many wait that a bulk job costs less. It makes no new records: only batches look for twins first."""
    least = int(connection.settings.get("bulk_from", provider.bulk_from))
    known = sum("new" not in job.payload for job in claimed.jobs)
    if not least or claimed.jobs[0].lane == Lane.DO_NOT_CALL or not known:
        return False
    others = SyncJob.objects.filter(
        connection=connection, kind=KIND, state=SyncJob.State.READY, not_before__lte=Now(), lane__gt=Lane.DO_NOT_CALL
    ).exclude(payload__has_key="new")
    return known + others[:least].count() >= least


def _hand_over(connection: CrmConnection, provider: CrmProvider, claimed: Claim) -> Result:
    """Starts the bulk job with everything that waits. What is no update of a known record goes in a batch as usual."""
    more = queue.claim(connection.pk, KIND, MOST_AT_ONCE - len(claimed.jobs), joins=claimed)
    push = Push(connection, provider, replace(claimed, jobs=[*claimed.jobs, *more.jobs]))
    push.prepare(read_first=False)
    creating = [change for change in push.changes if change.link is None and change.write]
    bulk = [change for change in push.changes if change.link is not None and change.write]
    push.send(creating[: provider.write_batch_size])
    parts: dict[int, list[Change]] = defaultdict(list)
    for change in bulk:
        parts[change.job.pk].append(change)
    late = {change.job.pk for change in creating[provider.write_batch_size :]}
    try:
        tickets = _start(provider, bulk)
    except errors.CrmError as error:
        return _none_started(push, error, {*parts, *late})
    others = [job for job in push.claimed.jobs if job.pk not in parts and job.pk not in late]
    result = push.result([change for change in push.changes if change.job.pk not in {*parts, *late}], others)
    kept = result.after
    result.outcomes = [*result.outcomes, *(_later(job) for job in push.claimed.jobs if job.pk in late)]

    def after() -> None:
        if kept:
            kept()
        _wait_for_results(connection, claimed.token, tickets, parts)

    return Result(result.outcomes, after=after)


def _start(provider: CrmProvider, changes: Sequence[Change]) -> dict[str, Ticket]:
    kinds = dict.fromkeys(change.kind for change in changes)
    return {
        kind: provider.start_bulk(kind, (one.write for one in changes if one.kind == kind and one.write))
        for kind in kinds
    }


def _none_started(push: Push, error: errors.CrmError, waiting: set[int]) -> Result:
    """Nothing of a bulk job is written before its results are asked for, so these jobs are as they were."""
    others = [job for job in push.claimed.jobs if job.pk not in waiting]
    result = push.result([change for change in push.changes if change.job.pk not in waiting], others)
    failed = [judge(job, error) for job in push.claimed.jobs if job.pk in waiting]
    return Result([*result.outcomes, *failed], after=result.after)


def _later(job: SyncJob) -> Outcome:
    return Outcome(job, "ready", counts=False)


def _wait_for_results(
    connection: CrmConnection, token: UUID, tickets: dict[str, Ticket], parts: dict[int, list[Change]]
) -> None:
    """Keeps with each job what it sent, and has somebody come back."""
    rows = [changes[0].job for changes in parts.values()]
    for row in rows:
        sent = [
            {"link": str(one.link.pk), "fields": one.fields, "problem": one.problem, "told": one.told}
            for one in parts[row.pk]
            if one.link
        ]
        row.payload = {**row.payload, "sent": sent}
    upsert(SyncJob, rows, ["payload"])
    _hold(connection, token, 0.0)
    queue.enqueue(
        [
            SyncJob(
                tenant_id=connection.tenant_id,
                connection=connection,
                kind=RESULTS,
                key=str(token),
                payload={"tickets": tickets},
                lane=Lane.EDITS,
            )
        ]
    )


def _hold(connection: CrmConnection, token: UUID, seconds: float) -> None:
    """Nobody else takes the jobs until well after we come back."""
    until = Now() + timedelta(seconds=seconds + 2 * settings.JOB_LEASE_SECONDS)
    SyncJob.objects.filter(connection=connection, lease_token=token, kind=KIND).update(lease_until=until)


class ResultsHandler:
    """Comes back for the results of one bulk job."""

    def batch_size(self, provider: type[CrmProvider]) -> int:
        return 1

    def work(self, provider: CrmProvider, claimed: Claim) -> Result:
        job = claimed.jobs[0]
        connection = CrmConnection.objects.select_related("tenant").get(pk=job.connection_id)
        token = UUID(job.key)
        _hold(connection, token, 0.0)
        try:
            written = {
                one.key: one for ticket in job.payload["tickets"].values() for one in provider.bulk_results(ticket)
            }
        except errors.NotReady as error:
            _hold(connection, token, error.after or 0.0)
            return Result([judge(job, error)])
        jobs = list(SyncJob.objects.filter(connection=connection, kind=KIND, lease_token=token).order_by("pk"))
        bulk = Claim(token, LONG_AGO, jobs)
        push = Push(connection, provider, bulk)
        changes = _sent(jobs)
        for change in changes:
            key = str(change.link.pk) if change.link else ""
            change.sent, change.written = True, written.get(key) or Written(key, error=_unknown())
        result = push.result(changes, jobs)
        for outcome in result.outcomes:
            outcome.payload = {}

        def after() -> None:
            if result.after:
                result.after()
            queue.settle(bulk, result.outcomes)

        return Result([Outcome(job, "done")], after=after)


def _unknown() -> errors.OutcomeUnknown:
    return errors.OutcomeUnknown("The CRM did not say what became of this contact.")


def _sent(jobs: Sequence[SyncJob]) -> list[Change]:
    """What was handed over for these jobs, as far as contact and link are still there."""
    contacts: dict[Any, Contact] = Contact.objects.in_bulk([job.local_record_id for job in jobs])
    parts = [(job, part) for job in jobs for part in job.payload.get("sent", ())]
    links = {str(pk): row for pk, row in SyncRecord.objects.in_bulk([part["link"] for _job, part in parts]).items()}
    return [
        Change(
            job,
            contacts[job.local_record_id],
            links[part["link"]].crm_object_type,
            links[part["link"]],
            fields=part["fields"],
            problem=part["problem"],
            told=part.get("told", []),
        )
        for job, part in parts
        if job.local_record_id in contacts and part["link"] in links
    ]
