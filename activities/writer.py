"""Logs calls in a CRM: the handler of `log_call` jobs."""

from functools import partial

from django.conf import settings

from activities import agents, summary_notes
from activities.answers import outcome_of
from activities.dispositions import DispositionTable
from activities.links import id_in, link, links_of
from activities.models import Call, CallSettings, DispositionMap
from activities.payload import activity_of, related_record
from activities.tried import Tried
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from sync import queue
from sync.handlers import Result
from sync.queue import Claim, Outcome
from sync.work import unknown_pause

CALLS = Call._meta.db_table
READ = ("note_template", "forget_in_crms")


class LogCalls:
    """A batch of calls of one connection in the CRM's best batch, each call once."""

    def batch_size(self, provider: type[CrmProvider]) -> int:
        return provider.call_batch_size

    def work(self, provider: CrmProvider, claimed: Claim) -> Result:
        calls = Call.objects.select_related("contact").in_bulk([job.local_record_id for job in claimed.jobs])
        known = links_of(claimed, CALLS)
        table = self._dispositions(provider, claimed)
        owners = agents.ids(claimed.jobs[0].connection_id, {call.agent_email for call in calls.values()})
        decided = CallSettings.objects.filter(tenant_id=claimed.jobs[0].tenant_id).only(*READ).first() or CallSettings()
        jobs = {str(job.local_record_id): job for job in claimed.jobs if job.local_record_id in calls}
        tried = Tried(claimed)
        activities = [
            activity_of(
                calls[job.local_record_id],
                object_type=job.payload.get("object_type") or provider.person_types[0],
                record_id=job.payload["record_id"],
                outcome=table.values_of(calls[job.local_record_id].disposition),
                public_url=settings.PUBLIC_URL,
                first_attempt_at=tried.before(job, calls[job.local_record_id]),
                crm_record_id=id_in(known, job),
                related_to=related_record(calls[job.local_record_id], provider.slug),
                note_template=decided.note_template,
                agent_id=owners.get(calls[job.local_record_id].agent_email),
                forgets_in_crms=decided.forget_in_crms,
            )
            for job in jobs.values()
        ]
        written = {one.key: one for one in provider.log_calls(activities)} if activities else {}
        connection = CrmConnection.objects.get(pk=claimed.jobs[0].connection_id)
        pause = unknown_pause(connection, provider)
        outcomes = [Outcome(job, "done") for job in claimed.jobs if job.local_record_id not in calls]
        links, logged = [], []
        for activity in activities:
            job, result = jobs[activity.key], written.get(activity.key)
            outcomes.append(outcome_of(job, result, pause))
            if outcomes[-1].state == "done":
                logged.append((job, calls[job.local_record_id], activity))
            # An id may stand beside an error: the activity exists, but something about it is wrong.
            if result is not None and result.id:
                links.append(link(provider, connection, job, (CALLS, provider.call_type), result))
        notes = summary_notes.jobs(provider, connection, logged)
        return Result(outcomes, links, partial(queue.enqueue, notes) if notes else None)

    def _dispositions(self, provider: CrmProvider, claimed: Claim) -> DispositionTable:
        rows = DispositionMap.objects.filter(tenant_id=claimed.jobs[0].tenant_id, crm_provider=provider.slug)
        return DispositionTable(provider.default_dispositions, dict(rows.values_list("disposition", "values")))
