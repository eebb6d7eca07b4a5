"""Calls with somebody who was erased stay as figures: when, how long, what came of it; not whom, nor what was said."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.db.models.functions import Now

from activities import recordings
from activities.models import Call


def forget(contact_ids: Collection[UUID], **_: Any) -> None:
    """In the transaction that erases the contacts."""
    calls = Call.objects.filter(contact__in=list(contact_ids))
    recordings.forget_listeners(calls.values("pk"))
    calls.exclude(recording_url="").update(recording_url="", recording_purged_at=Now())
    calls.update(
        phone="", notes="", summary="", key_points=[], next_steps=[], metadata={}, meeting=None, follow_up=None
    )
