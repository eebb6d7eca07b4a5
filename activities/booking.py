"""Meetings that were booked in calls, and what agents have to do afterwards, on their way into the CRMs.

A call's meeting becomes one in each CRM that keeps meetings, unless its disposition says that it books none. A follow-up comes
with the call, or from its disposition: so many days after it. Both are jobs of their own beside the call's, made again with each
later stage, and updated in place.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Generic, TypeVar
from uuid import UUID

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from activities import agents
from activities.dispositions import plain
from activities.models import Call, DispositionEffect
from activities.payload import related_record
from activities.targets import Target
from activities.writer import known_ids, outcome_of, tried_before
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.records import FollowUp, Meeting, Written
from integrations.registry import provider_class
from sync import queue
from sync.bulk import read
from sync.handlers import Result
from sync.models import Lane, SyncJob, SyncRecord
from sync.queue import Claim, NewJob, Outcome
from sync.restoring import LostTime, lost_time

MEETING, FOLLOW_UP = "book_meeting", "set_follow_up"
USUAL_LENGTH = timedelta(minutes=30)
ON_THE_WAY: Mapping[str, str] = {MEETING: "meeting_type", FOLLOW_UP: "follow_up_type"}
"""Kind of job → the provider's attribute that is empty where its CRM keeps no such thing."""

Agreed = TypeVar("Agreed", Meeting, FollowUp)
Effects = Mapping[str, DispositionEffect]


# --- which jobs there are -------------------------------------------------------------------------------------------


def enqueue(calls: Sequence[Call], targets: Mapping[UUID, Sequence[Target]]) -> None:
    """In the transaction that stores the calls or a later stage of them. `targets`: by call."""
    queue.enqueue(jobs(calls, targets))


def jobs(calls: Sequence[Call], targets: Mapping[UUID, Sequence[Target]], known: Effects | None = None) -> list[NewJob]:
    """The jobs that `enqueue` adds, for who adds others with them. At most two queries, none where nothing was agreed.

    `known`: the effects of these calls' dispositions, where the caller has read them already.
    """
    placed = [call for call in calls if targets.get(call.pk)]
    effects = effects_of(placed) if known is None else known
    wanted = [(kind, call) for call in placed for kind in _kinds(call, effects)]
    connections = {target.connection_id for _, call in wanted for target in targets[call.pk]}
    providers = dict(CrmConnection.objects.filter(pk__in=connections).values_list("pk", "provider")) if wanted else {}
    return [
        _job(kind, call, target)
        for kind, call in wanted
        for target in targets[call.pk]
        if getattr(provider_class(providers[target.connection_id]), ON_THE_WAY[kind])
    ]


def effects_of(calls: Collection[Call]) -> dict[str, DispositionEffect]:
    """What the dispositions of these calls bring about, by their plain name. One tenant's."""
    if not any(call.disposition for call in calls):
        return {}
    rows = read(DispositionEffect, "tenant_id = ANY(%s)", [list({call.tenant_id for call in calls})])
    return {plain(row.disposition): row for row in rows}


def _kinds(call: Call, effects: Effects) -> Iterator[str]:
    if _books(call, effects):
        yield MEETING
    if _due(call, effects) is not None:
        yield FOLLOW_UP


def _books(call: Call, effects: Effects) -> bool:
    effect = effects.get(plain(call.disposition))
    return bool(call.meeting) and (effect is None or effect.books_meeting)


def _due(call: Call, effects: Effects) -> datetime | None:
    """The call's own word goes before its disposition's."""
    if call.follow_up:
        return _moment(call.follow_up, "due_at")
    effect = effects.get(plain(call.disposition))
    if effect is None or effect.follow_up_days is None:
        return None
    return call.started_at + timedelta(seconds=call.duration_seconds, days=effect.follow_up_days)


def _job(kind: str, call: Call, target: Target) -> NewJob:
    return NewJob(
        tenant_id=call.tenant_id,
        connection_id=target.connection_id,
        kind=kind,
        key=str(call.pk),
        local_record_id=call.pk,
        payload={"object_type": target.object_type, "record_id": target.record_id},
        lane=Lane.CALLS,
    )


# --- what is written ------------------------------------------------------------------------------------------------


class Agreement(ABC, Generic[Agreed]):
    """Handler of one kind of job; a batch of one connection goes out together."""

    table: ClassVar[str]
    """What the links call themselves."""

    def batch_size(self, provider: type[CrmProvider]) -> int:
        return provider.call_batch_size

    def work(self, provider: CrmProvider, claimed: Claim) -> Result:
        calls = Call.objects.in_bulk([job.local_record_id for job in claimed.jobs])
        effects, known = effects_of(list(calls.values())), known_ids(claimed, self.table)
        owners = agents.ids(claimed.jobs[0].connection_id, {call.agent_email for call in calls.values()})
        lost = lost_time()
        agreed: dict[str, Agreed] = {}
        held: dict[str, SyncJob] = {}
        for job in claimed.jobs:
            call = calls.get(job.local_record_id)
            one = (
                self.make(call, effects, **_common(provider, claimed, job, call, known, owners, lost)) if call else None
            )
            if one is not None:
                agreed[one.key], held[one.key] = one, job
        written = {one.key: one for one in self.send(provider, list(agreed.values()))} if agreed else {}
        connection = CrmConnection.objects.get(pk=claimed.jobs[0].connection_id)
        pause = float(connection.settings.get("unknown_outcome_pause", provider.unknown_outcome_pause))
        done = {job.pk for job in held.values()}
        outcomes = [Outcome(job, "done") for job in claimed.jobs if job.pk not in done]
        outcomes += [outcome_of(job, written.get(key), pause) for key, job in held.items()]
        links = [
            self._link(provider, connection, held[key], one) for key, one in written.items() if one.id and key in held
        ]
        return Result(outcomes, links)

    @abstractmethod
    def make(self, call: Call, effects: Effects, **common: Any) -> Agreed | None:
        """None when nothing is agreed any more: a later stage took it back before it was written."""

    @abstractmethod
    def send(self, provider: CrmProvider, agreed: Sequence[Agreed]) -> list[Written]: ...

    @abstractmethod
    def object_type(self, provider: CrmProvider) -> str: ...

    def _link(self, provider: CrmProvider, connection: CrmConnection, job: SyncJob, result: Written) -> SyncRecord:
        now = timezone.now()
        return SyncRecord(
            tenant_id=job.tenant_id,
            connection=connection,
            crm_provider=provider.slug,
            crm_object_type=self.object_type(provider),
            crm_record_id=result.id,
            local_record_id=job.local_record_id,
            local_table=self.table,
            sync_direction="outbound",
            sync_status=SyncRecord.Status.ERROR if result.error else SyncRecord.Status.SYNCED,
            last_synced_at=now,
            metadata={"on": job.payload["record_id"], "attempts": job.attempts},
            url=result.url,
            updated_at=now,
        )


class BookMeetings(Agreement[Meeting]):
    table = "call_meetings"

    def make(self, call: Call, effects: Effects, **common: Any) -> Meeting | None:
        starts_at = _moment(call.meeting or {}, "starts_at")
        if starts_at is None or not _books(call, effects):
            return None
        told = call.meeting or {}
        return Meeting(
            key=f"{call.pk}:meeting",
            title=told.get("title") or "Meeting",
            starts_at=starts_at,
            ends_at=_moment(told, "ends_at") or starts_at + USUAL_LENGTH,
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
        due_at = _due(call, effects)
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


def _common(
    provider: CrmProvider,
    claimed: Claim,
    job: SyncJob,
    call: Call | None,
    known: Mapping[Any, str],
    owners: Mapping[str, str],
    lost: LostTime,
) -> dict[str, Any]:
    """What meetings and follow-ups have in common."""
    if call is None:
        return {}
    return {
        "object_type": job.payload.get("object_type") or provider.person_types[0],
        "record_id": job.payload["record_id"],
        "description": call.summary or call.notes,
        "agent_email": "" if owners.get(call.agent_email) == "" else call.agent_email,
        "agent_id": owners.get(call.agent_email, ""),
        "related_to": related_record(call, provider.slug),
        "first_attempt_at": tried_before(claimed, job, call, lost),
        "crm_record_id": known.get(job.local_record_id, ""),
    }


def _moment(told: Mapping[str, Any], name: str) -> datetime | None:
    found = parse_datetime(str(told.get(name) or ""))
    return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)
