"""What the dialer is told of its calls and contacts by webhook: which events there are, and what a message says.

A message is a row, made in the transaction of what it tells, one for each address that wants to hear of it; `delivering` sends it.
Messages have the form of Standard Webhooks (https://www.standardwebhooks.com). `call.logged` is sent for each CRM by itself, since
one may be down for a day while the others have the call: whoever wants all of them reads `syncs`, which is the same as in the API.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django_q.tasks import async_task

from activities.models import Call, DialerEndpoint, DialerMessage
from activities.states import SIDES, sync_states
from activities.targets import KIND
from integrations import tenancy
from integrations.models import CrmConnection
from sync.models import FieldChange, SyncJob

LOGGED, FAILED, NEEDS_REVIEW, TEST = "call.logged", "call.failed", "call.needs_review", "endpoint.test"
DO_NOT_CALL = "contact.do_not_call"
EVENTS = {
    LOGGED: _("A CRM has the call, or a later stage of it"),
    FAILED: _("A CRM did not take a call, or its meeting or follow-up, and somebody has to help"),
    NEEDS_REVIEW: _("A call waits until a person says whom it was with"),
    DO_NOT_CALL: _("Somebody must not be called any more, or may be again, whoever said so"),
}
PARTS = {KIND: "call", **{kind: entry for kind, (entry, _table) in SIDES.items()}}
"""Kind of job → what of the call it carries to the CRM."""
FOR_PEOPLE = (Call.Review.UNKNOWN_NUMBER, Call.Review.AMBIGUOUS_NUMBER)
"""A call whose contact is in no CRM yet is not among them: it is logged by itself as soon as the contact is there."""
TASK = "activities.delivering.deliver"


# --- what is told -----------------------------------------------------------------------------------------------------


def tell_of_jobs(jobs: Sequence[SyncJob], **_: Any) -> None:
    """In the transaction that writes down the end of these jobs: calls that a CRM has now, and what needs help."""
    ended = [job for job in jobs if job.kind in PARTS and (job.kind == KIND or job.state == SyncJob.State.DEAD)]
    endpoints = _listeners({_event_of(job) for job in ended})
    if not endpoints:
        return
    told = _Calls([job.local_record_id for job in ended if job.local_record_id])
    crms = dict(CrmConnection.objects.filter(pk__in={job.connection_id for job in ended}).values_list("pk", "provider"))
    facts = []
    for job in ended:
        about = told.said_of(job.local_record_id)
        if about is not None:
            crm, part = crms[job.connection_id], PARTS[job.kind]
            problem = {"problem": {"part": part, "cause": job.cause, "error": job.error}}
            more = problem if job.state == SyncJob.State.DEAD else {}
            facts.append((_event_of(job), job.local_record_id, {**about, "provider": crm, **more}))
    _store(endpoints, facts)


def _event_of(job: SyncJob) -> str:
    return FAILED if job.state == SyncJob.State.DEAD else LOGGED


def tell_of_reviews(calls: Sequence[Call]) -> None:
    """In the transaction that stores new calls: those that somebody has to look at."""
    waiting = [call for call in calls if call.review in FOR_PEOPLE]
    endpoints = _listeners({NEEDS_REVIEW} if waiting else ())
    _store(endpoints, [(NEEDS_REVIEW, call.pk, _said(call, [])) for call in waiting] if endpoints else [])


def tell_of_do_not_call(changes: Sequence[FieldChange], **_: Any) -> None:
    """In the transaction that stores it: who must not be called any more, or may be again."""
    endpoints = _listeners({DO_NOT_CALL})
    for tenant_id in {one.tenant_id for one in changes} if endpoints else ():
        facts = [
            (
                DO_NOT_CALL,
                one.contact_id,
                {"id": str(one.contact_id), "do_not_call": bool(one.new), "said_by": one.source},
            )
            for one in changes
            if one.tenant_id == tenant_id
        ]
        _store([one for one in endpoints if one.tenant_id == tenant_id], facts)


class _Calls:
    """What messages say of these calls, read in three queries."""

    def __init__(self, call_ids: Collection[UUID]) -> None:
        self.calls = Call.objects.in_bulk(call_ids)
        self.states = sync_states(list(self.calls))

    def said_of(self, call_id: UUID | None) -> dict[str, Any] | None:
        call = self.calls.get(call_id)
        return _said(call, self.states[call.pk]) if call else None


def _said(call: Call, syncs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Ids and states only: neither numbers nor what was said."""
    return {
        "id": str(call.pk),
        "external_id": call.external_id,
        "contact_id": str(call.contact_id) if call.contact_id else None,
        "disposition": call.disposition,
        "review": call.review,
        "syncs": list(syncs),
    }


def _listeners(events: Collection[str]) -> list[DialerEndpoint]:
    if not events:
        return []
    rows = DialerEndpoint.objects.filter(is_active=True).only("pk", "tenant_id", "events")
    return [row for row in rows if not row.events or not set(row.events).isdisjoint(events)]


_Fact = tuple[str, UUID | None, dict[str, Any]]
"""Event, our id of the call or contact, and what is said of it."""


def _store(endpoints: Sequence[DialerEndpoint], facts: Iterable[_Fact]) -> None:
    rows = [
        made(endpoint, event, about, data)
        for event, about, data in facts
        for endpoint in endpoints
        if not endpoint.events or event in endpoint.events
    ]
    if not rows:
        return
    DialerMessage.objects.bulk_create(rows)
    for endpoint_id in {row.endpoint_id for row in rows}:
        transaction.on_commit(partial(wake, endpoint_id, {row.pk for row in rows}))


def made(endpoint: DialerEndpoint, event: str, about: UUID | None, data: Mapping[str, Any]) -> DialerMessage:
    """A message that is not stored yet."""
    payload = {"type": event, "timestamp": timezone.now().isoformat(), "data": data}
    return DialerMessage(
        tenant_id=endpoint.tenant_id, endpoint_id=endpoint.pk, event=event, about=about, payload=payload
    )


# --- waking -----------------------------------------------------------------------------------------------------------


def wake(endpoint_id: UUID, fresh: Collection[UUID] = ()) -> None:
    """Sends a worker there, unless one is on its way for an older message, or the address is in trouble and has to wait."""
    with tenancy.everyone():
        if DialerEndpoint.objects.filter(pk=endpoint_id).exclude(failing_since=None).exists():
            return
        first = DialerMessage.objects.filter(pk__in=fresh).order_by("created_at", "pk").first()
        if first is not None and _untouched_before(first):
            return
    async_task(TASK, str(endpoint_id))


def _untouched_before(message: DialerMessage) -> bool:
    """Whether an older message is still waiting for the worker that was sent for it: he will find this one as well."""
    older = DialerMessage.objects.filter(endpoint=message.endpoint_id, state=DialerMessage.State.READY, attempts=0)
    older = older.filter(not_before__lte=Now(), created_at__lte=message.created_at)
    return older.exclude(created_at=message.created_at, pk__gte=message.pk).exists()
