"""Stores posted calls and sets going what follows from them: one transaction, and a number of statements that does not grow with
the calls.

A call is known by the dialer's id. What was posted under it before answers a repetition; that another request stores the same id at
the same instant is found out by the table's own rule, and then everything is looked at once more. What has to be read is read in
one statement, and what is written goes to the server together: a call costs as many waits as a row of calls.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.db import IntegrityError, transaction

from activities import asking, booking, counters, dialer_webhooks, effects, targets, unknown
from activities.asking import Known
from activities.booking import Effects
from activities.models import Call
from activities.models.calls import id_of
from activities.targets import Placed, TargetError
from integrations import prepared
from integrations.models import Tenant
from sync.bulk import insert
from sync.queue import NewJob

TRIES = 5
NEWER_KEYS = ("from_number", "related_record_id", "meeting", "follow_up", "contact_id")
"""Optional keys that a blank leaves out of the fingerprint, as in calls that were posted before there were such keys."""


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of one posted call; `status` is that of the HTTP answer."""

    status: int
    external_id: str
    id: UUID | None = None
    errors: Mapping[str, str] = field(default_factory=dict)
    """Field → what is wrong."""


def store(tenant: Tenant, asked: Sequence[Mapping[str, Any]]) -> list[Posted]:
    """Stores checked calls of the current tenant, each with its `external_id`. Answers in their order."""
    for _ in range(TRIES):
        known = asking.ask(tenant.pk, asked)
        try:
            with transaction.atomic():
                return _Request(tenant, asked, known).run()
        except IntegrityError as error:
            if "call_once" not in str(error):
                raise
    raise RuntimeError("The same calls were posted by many at once. Post them again.")


def fingerprint(data: Mapping[str, Any]) -> str:
    """The same for the same call, however it was written down."""
    said = {name: value for name, value in data.items() if value or name not in NEWER_KEYS}
    return hashlib.sha256(json.dumps(said, cls=DjangoJSONEncoder, sort_keys=True).encode()).hexdigest()


class _Request:
    """The calls of one request, in one try."""

    def __init__(self, tenant: Tenant, asked: Sequence[Mapping[str, Any]], known: Known) -> None:
        self.tenant = tenant
        self.asked = [(one, fingerprint(one)) for one in asked]
        self.read = known
        self.known = dict(known.earlier)
        self.refused: dict[str, TargetError] = {}

    def run(self) -> list[Posted]:
        fresh = self._fresh()
        found = targets.locate_all(list(fresh.values()), self.read.links)
        placed = self._accepted(fresh, found)
        calls = sorted((call for call, _contact_id in fresh.values() if call.pk in placed), key=_external_id)
        if calls:
            unknown.introduce(self.tenant, calls, placed)
            with prepared.sent_together():
                insert(Call, calls, few=True)
                set_going(calls, placed, new=calls, brings=self.read.effects)
        new = {call.external_id: call.pk for call in calls}
        return [self._answer(data["external_id"], mark, new) for data, mark in self.asked]

    def _fresh(self) -> dict[str, targets.Asked]:
        """Those that were never posted before, each id once."""
        found: dict[str, targets.Asked] = {}
        for data, mark in self.asked:
            name = data["external_id"]
            if name not in self.known and name not in found:
                fields = {key: value for key, value in data.items() if key not in {"contact_id", "provider"}}
                pk = id_of(self.tenant.pk, name)
                call = Call(pk=pk, tenant=self.tenant, fingerprint=mark, crm_provider=data["provider"], **fields)
                found[name] = call, data.get("contact_id")
        return found

    def _accepted(
        self, fresh: Mapping[str, targets.Asked], found: Mapping[UUID, list[targets.Target] | TargetError]
    ) -> dict[UUID, Sequence[targets.Target]]:
        placed: dict[UUID, Sequence[targets.Target]] = {}
        for name, (call, _contact_id) in fresh.items():
            place = found[call.pk]
            if isinstance(place, TargetError):
                self.refused[name] = place
            else:
                placed[call.pk] = place
                self.known[name] = call.pk, call.fingerprint
        return placed

    def _answer(self, name: str, mark: str, new: dict[str, UUID]) -> Posted:
        if name in self.refused:
            error = self.refused[name]
            return Posted(400, name, errors={error.field: str(error)})
        call_id, known = self.known[name]
        if mark != known:
            return Posted(409, name, errors={"external_id": other_call(name)})
        # Of an id that stands in the request twice the first is the new call.
        return Posted(201 if new.pop(name, None) else 200, name, call_id)


def _external_id(call: Call) -> str:
    """Requests store their calls in one order, so that two with the same calls never wait for each other in a circle."""
    return call.external_id


def other_call(name: str) -> str:
    return (
        f"Another call was posted as {name!r}. Send each call under an id of its own; "
        "later stages of the same call go to PATCH."
    )


def set_going(
    calls: Sequence[Call],
    placed: Placed,
    *,
    new: Sequence[Call] = (),
    changed: Collection[str] | None = None,
    brings: Effects | None = None,
) -> None:
    """Everything that follows from calls that were just stored, in the same transaction.

    `new`: those that count as one more call of their person. `changed`: what a later stage changed; None for calls just posted.
    `brings`: the effects of the calls' dispositions, where the caller has read them already.
    """
    besides: list[NewJob] = []
    brings = booking.effects_of(calls) if brings is None else brings
    if changed is None or counters.told(changed):
        counters.count(calls, new=new)
        besides = counters.jobs(calls, placed)
    if changed is None or not {"disposition", "contact_id"}.isdisjoint(changed):
        effects.apply(calls, brings)
    if changed is not None:
        targets.hold_waiting(calls)
    else:
        dialer_webhooks.tell_of_reviews(calls)
    targets.enqueue(calls, placed, [*booking.jobs(calls, placed, brings, changed or ()), *besides])
