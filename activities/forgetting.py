"""Calls with somebody who was erased stay as figures: when, how long, what came of it; not whom, nor what was said."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from activities.models import Call


def forget(contact_ids: Collection[UUID], **_: Any) -> None:
    """In the transaction that erases the contacts."""
    Call.objects.filter(contact__in=list(contact_ids)).update(
        phone="", notes="", summary="", key_points=[], next_steps=[], recording_url="", metadata={}
    )
