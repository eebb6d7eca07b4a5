"""Writes what was agreed in calls into the CRMs: the handlers of the jobs that `booking` makes.

A meeting that does not hold any more is cancelled by the same job that would have booked it, so that both never run at once. That a
cancellation began is noted with the link before anything is sent: after a crash it is gone through again before the meeting may be
booked anew, since nobody knows how far it came.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, ClassVar, Generic, TypeVar
from uuid import UUID

from django.utils import timezone

from activities import agents
from activities.answers import UNANSWERED, outcome_of
from activities.booking import Effects, books, due, effects_of, moment
from activities.dispositions import plain
from activities.links import Links, link, links_of
from activities.models import Call, CallSettings
from activities.payload import keeps_text, related_record
from activities.tried import Tried
from integrations import errors
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.records.activities import Agreed, FollowUp, Meeting
from integrations.records.remote import Written
from sync.handlers import Result
from sync.models import SyncJob, SyncRecord
from sync.queue import Claim, Outcome
from sync.work import unknown_pause

USUAL_LENGTH = timedelta(minutes=30)
CANCELLING, CANCELLED = "cancelling", "cancelled"
"""In a link's metadata: what was begun, and what is done while the CRM still shows it."""

Kind = TypeVar("Kind", Meeting, FollowUp)


@dataclass(slots=True)
class _Batch:
    """The jobs of a claim, sorted by what they have to do, and what came of them."""

    provider: CrmProvider
    claimed: Claim
    links: Links
    tried: Tried
    forgets_in_crms: bool
    calls: Mapping[UUID | None, Call]
    written: dict[int, Written] = field(default_factory=dict)
    """By job. One that is not here had nothing to do."""
    cancelled: set[int] = field(default_factory=set)
    """Jobs whose answer is that of a cancellation."""

    def link(self, job: SyncJob) -> SyncRecord | None:
        return self.links.get(job.local_record_id)


class Agreement(ABC, Generic[Kind]):
    """Handler of one kind of job; a batch of one connection goes out together."""

    table: ClassVar[str]
    """What the links call themselves."""

    def batch_size(self, provider: type[CrmProvider]) -> int:
        return provider.call_batch_size

    def work(self, provider: CrmProvider, claimed: Claim) -> Result:
        calls: dict[UUID | None, Call] = Call.objects.in_bulk([job.local_record_id for job in claimed.jobs])
        batch = _Batch(
            provider, claimed, links_of(claimed, self.table), Tried(claimed), _forgets_in_crms(claimed), calls
        )
        effects, owners = effects_of(list(calls.values())), _owners(claimed, calls)
        agreed: dict[int, Kind] = {}
        for job in claimed.jobs:
            call = calls.get(job.local_record_id)
            one = self.make(call, effects, **_common(batch, job, call, owners)) if call else None
            if one is not None:
                agreed[job.pk] = one
        self.take_back(batch, agreed)
        sent = {one.key: job_id for job_id, one in agreed.items()}
        for answer in self.send(provider, list(agreed.values())) if agreed else ():
            if answer.key in sent:
                batch.written[sent[answer.key]] = answer
        return self._result(batch, agreed)

    def _result(self, batch: _Batch, agreed: Mapping[int, Kind]) -> Result:
        connection = CrmConnection.objects.get(pk=batch.claimed.jobs[0].connection_id)
        pause = unknown_pause(connection, batch.provider)
        outcomes, links = [], []
        for job in batch.claimed.jobs:
            answer = batch.written.get(job.pk)
            idle = answer is None and job.pk not in agreed
            outcomes.append(Outcome(job, "done") if idle else outcome_of(job, answer, pause))
            if answer and answer.id and not (answer.error and job.pk in batch.cancelled):
                more = {CANCELLED: timezone.now().isoformat()} if job.pk in batch.cancelled else {}
                place = (self.table, self.object_type(batch.provider))
                links.append(link(batch.provider, connection, job, place, answer, **more))
        return Result(outcomes, links)

    def take_back(self, batch: _Batch, agreed: dict[int, Kind]) -> None:
        """Undoes in the CRM what does not hold any more. Nothing, where what was agreed stays whatever is said later."""

    @abstractmethod
    def make(self, call: Call, effects: Effects, **common: Any) -> Kind | None:
        """None when nothing is agreed any more: a later stage took it back."""

    @abstractmethod
    def send(self, provider: CrmProvider, agreed: Sequence[Kind]) -> list[Written]: ...

    @abstractmethod
    def object_type(self, provider: CrmProvider) -> str: ...


class BookMeetings(Agreement[Meeting]):
    table = "call_meetings"

    def take_back(self, batch: _Batch, agreed: dict[int, Meeting]) -> None:
        """Cancels meetings that hold no more, and those whose cancellation broke off, also where they are to be booked again."""
        doomed = {
            job.pk: job
            for job in batch.claimed.jobs
            if job.local_record_id in batch.calls and _has_to_go(batch, job, holds=job.pk in agreed)
        }
        if not doomed:
            return
        begun = [link for job in doomed.values() if (link := batch.link(job))]
        for link in begun:
            link.metadata = {**link.metadata, CANCELLING: timezone.now().isoformat()}
        SyncRecord.objects.bulk_update(begun, ["metadata"])
        orders = {job_id: _order(batch, job) for job_id, job in doomed.items()}
        by_key = {one.key: one for one in batch.provider.cancel_meetings(list(orders.values()))}
        for job_id, order in orders.items():
            answer = by_key.get(order.key) or Written(order.key, error=errors.OutcomeUnknown(UNANSWERED))
            if answer.error is None and not answer.id:
                _forget(batch.link(doomed[job_id]))
            if answer.error is None and job_id in agreed:
                agreed[job_id] = replace(agreed[job_id], crm_record_id=answer.id)
            else:
                agreed.pop(job_id, None)
                batch.written[job_id] = answer
                batch.cancelled.add(job_id)

    def make(self, call: Call, effects: Effects, **common: Any) -> Meeting | None:
        starts_at = moment(call.meeting or {}, "starts_at")
        if starts_at is None or not books(call, effects):
            return None
        told = call.meeting or {}
        return Meeting(
            key=f"{call.pk}:meeting",
            title=told.get("title") or "Meeting",
            starts_at=starts_at,
            ends_at=moment(told, "ends_at") or starts_at + USUAL_LENGTH,
            location=told.get("location") or "",
            **common,
        )

    def send(self, provider: CrmProvider, agreed: Sequence[Meeting]) -> list[Written]:
        return provider.book_meetings(agreed)

    def object_type(self, provider: CrmProvider) -> str:
        return provider.meeting_type


class SetFollowUps(Agreement[FollowUp]):
    table = "call_follow_ups"

    def make(self, call: Call, effects: Effects, **common: Any) -> FollowUp | None:
        due_at = due(call, effects)
        if due_at is None:
            return None
        effect = effects.get(plain(call.disposition))
        usual = (effect.follow_up_title if effect else "") or "Follow up"
        title = (call.follow_up or {}).get("title") or usual
        return FollowUp(key=f"{call.pk}:follow-up", title=title, due_at=due_at, **common)

    def send(self, provider: CrmProvider, agreed: Sequence[FollowUp]) -> list[Written]:
        return provider.set_follow_ups(agreed)

    def object_type(self, provider: CrmProvider) -> str:
        return provider.follow_up_type


def _has_to_go(batch: _Batch, job: SyncJob, *, holds: bool) -> bool:
    link = batch.link(job)
    if link is None:
        return not holds and batch.tried.before(job, batch.calls[job.local_record_id]) is not None
    return CANCELLING in link.metadata or not (holds or CANCELLED in link.metadata)


def _order(batch: _Batch, job: SyncJob) -> Agreed:
    link = batch.link(job)
    return Agreed(
        key=f"{job.local_record_id}:meeting",
        object_type=job.payload.get("object_type") or batch.provider.person_types[0],
        record_id=job.payload["record_id"],
        first_attempt_at=batch.tried.before(job, batch.calls[job.local_record_id]),
        crm_record_id=link.crm_record_id if link else "",
    )


def _forget(link: SyncRecord | None) -> None:
    """At once: if the worker dies now, nothing must look as if it were still there."""
    if link is not None:
        SyncRecord.objects.filter(pk=link.pk, crm_record_id=link.crm_record_id).delete()


def _forgets_in_crms(claimed: Claim) -> bool:
    return CallSettings.objects.filter(tenant_id=claimed.jobs[0].tenant_id, forget_in_crms=True).exists()


def _owners(claimed: Claim, calls: Mapping[UUID | None, Call]) -> Mapping[str, str]:
    return agents.ids(claimed.jobs[0].connection_id, {call.agent_email for call in calls.values()})


def _common(batch: _Batch, job: SyncJob, call: Call | None, owners: Mapping[str, str]) -> dict[str, Any]:
    """What meetings and follow-ups have in common."""
    if call is None:
        return {}
    link = batch.link(job)
    return {
        "object_type": job.payload.get("object_type") or batch.provider.person_types[0],
        "record_id": job.payload["record_id"],
        "description": call.summary or call.notes,
        "agent_email": "" if owners.get(call.agent_email) == "" else call.agent_email,
        "agent_id": owners.get(call.agent_email, ""),
        "related_to": related_record(call, batch.provider.slug),
        "first_attempt_at": batch.tried.before(job, call),
        "crm_record_id": link.crm_record_id if link else "",
        "keeps_text": keeps_text(call, forgets_in_crms=batch.forgets_in_crms),
        "renewed": link is not None and not {CANCELLING, CANCELLED}.isdisjoint(link.metadata),
    }
