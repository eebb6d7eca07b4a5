"""Calls with somebody who was erased stay as figures: when, how long, what came of it; not whom, nor what was said."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from activities import recordings
from activities.models import Call
from integrations import exchanges

SIDES = ("", ":meeting", ":follow-up", ":note")
"""Of a call's id, what requests to the CRMs go by."""

NO_TEXTS: dict[str, Any] = {"notes": "", "summary": "", "key_points": [], "next_steps": []}
HAS_TEXTS = ~Q(notes="") | ~Q(summary="") | ~Q(key_points=[]) | ~Q(next_steps=[])


def forget(contact_ids: Collection[UUID], **_: Any) -> None:
    """In the transaction that erases the contacts."""
    forget_calls(Call.objects.filter(contact__in=list(contact_ids)))


def forget_calls(calls: QuerySet[Call]) -> None:
    forget_requests(calls.values_list("tenant_id", "pk"))
    recordings.forget_listeners(calls.values("pk"))
    calls.exclude(recording_url="").update(recording_url="", recording_purged_at=Now())
    calls.filter(HAS_TEXTS).update(texts_purged_at=Now(), **NO_TEXTS)
    calls.update(phone="", metadata={}, meeting=None, follow_up=None)


def forget_requests(calls: Iterable[tuple[UUID, UUID]]) -> None:
    """What was said to the CRMs of these calls, given as tenant and call."""
    keys: dict[UUID, list[str]] = defaultdict(list)
    for tenant_id, call_id in calls:
        keys[tenant_id] += (f"{call_id}{side}" for side in SIDES)
    for tenant_id, known in keys.items():
        exchanges.forget(tenant_id, known)
