"""Which meetings were booked in calls, and what agents have to do afterwards, as jobs for each CRM.

A call's meeting becomes one in each CRM that keeps meetings, unless its disposition says that it books none. A follow-up comes
with the call, or from its disposition: so many days after it. Both are jobs of their own beside the call's, made again with each
later stage, and updated in place (see `agreements`). A stage that takes a meeting back makes its job again as well: what it has to
do, it finds out when it runs.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils.dateparse import parse_datetime

from activities.dispositions import plain
from activities.models import Call, DispositionEffect
from activities.targets import Target
from integrations.models import CrmConnection
from integrations.registry import provider_class
from sync import queue
from sync.bulk import read
from sync.models import Lane, SyncJob
from sync.queue import NewJob

MEETING, FOLLOW_UP = "book_meeting", "set_follow_up"
ON_THE_WAY: Mapping[str, str] = {MEETING: "meeting_type", FOLLOW_UP: "follow_up_type"}
"""Kind of job → the provider's attribute that is empty where its CRM keeps no such thing."""

BOOKS = frozenset({"meeting", "disposition"})
"""What of a call decides whether it has a meeting."""
Effects = Mapping[str, DispositionEffect]


def enqueue(calls: Sequence[Call], targets: Mapping[UUID, Sequence[Target]]) -> None:
    """In the transaction that stores the calls or a later stage of them. `targets`: by call."""
    queue.enqueue(jobs(calls, targets))


def jobs(
    calls: Sequence[Call],
    targets: Mapping[UUID, Sequence[Target]],
    known: Effects | None = None,
    changed: Collection[str] = (),
) -> list[NewJob]:
    """The jobs that `enqueue` adds, for who adds others with them. At most three queries, none where nothing was agreed.

    `known`: the effects of these calls' dispositions, where the caller has read them already. `changed`: what a later stage
    changed.
    """
    placed = [call for call in calls if targets.get(call.pk)]
    effects = effects_of(calls) if known is None else known
    wanted = [(kind, call) for call in placed for kind in _kinds(call, effects)]
    connections = {target.connection_id for _, call in wanted for target in targets[call.pk]}
    providers = dict(CrmConnection.objects.filter(pk__in=connections).values_list("pk", "provider")) if wanted else {}
    found = [
        _job(kind, call, target)
        for kind, call in wanted
        for target in targets[call.pk]
        if getattr(provider_class(providers[target.connection_id]), ON_THE_WAY[kind])
    ]
    return found if BOOKS.isdisjoint(changed) else found + _to_take_back([c for c in calls if not books(c, effects)])


def _to_take_back(calls: Collection[Call]) -> list[NewJob]:
    """Jobs for meetings that an earlier stage asked for, where they were to be. What was erased since says nothing of that."""
    by_id = {call.pk: call for call in calls}
    rows = SyncJob.objects.filter(local_record_id__in=by_id, kind=MEETING, payload__has_key="record_id").order_by("pk")
    places = {(row.local_record_id, row.connection_id): row.payload for row in rows}
    return [
        _job(MEETING, by_id[call_id], Target(connection_id, payload.get("object_type") or "", payload["record_id"]))
        for (call_id, connection_id), payload in places.items()
        if call_id
    ]


def effects_of(calls: Collection[Call]) -> dict[str, DispositionEffect]:
    """What the dispositions of these calls bring about, by their plain name. One tenant's."""
    if not any(call.disposition for call in calls):
        return {}
    rows = read(DispositionEffect, "tenant_id = ANY(%s)", [list({call.tenant_id for call in calls})])
    return {plain(row.disposition): row for row in rows}


def _kinds(call: Call, effects: Effects) -> Iterator[str]:
    if books(call, effects):
        yield MEETING
    if due(call, effects) is not None:
        yield FOLLOW_UP


def books(call: Call, effects: Effects) -> bool:
    """Whether the call has a meeting, as far as is known now."""
    effect = effects.get(plain(call.disposition))
    return bool(call.meeting) and (effect is None or effect.books_meeting)


def due(call: Call, effects: Effects) -> datetime | None:
    """When the call's follow-up is due. The call's own word goes before its disposition's."""
    if call.follow_up:
        return moment(call.follow_up, "due_at")
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


def moment(told: Mapping[str, Any], name: str) -> datetime | None:
    found = parse_datetime(str(told.get(name) or ""))
    return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)
