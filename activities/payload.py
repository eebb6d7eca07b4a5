"""From a stored call to the activity that any CRM can be given. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from activities.models import Call
from activities.notes import call_notes
from integrations.records import CallActivity, Direction
from sync.models import Contact


def activity_of(
    call: Call,
    *,
    object_type: str,
    record_id: str,
    outcome: Mapping[str, Any],
    public_url: str,
    first_attempt_at: datetime | None = None,
    crm_record_id: str = "",
) -> CallActivity:
    """`call.contact` is read: load it with the call.

    `public_url` is our own address: the CRM gets a link that stays good, never the recording's signed one."""
    recording = f"{public_url}/api/recordings/{call.pk}/play" if call.recording_url else ""
    return CallActivity(
        key=str(call.pk),
        object_type=object_type,
        record_id=record_id,
        direction=Direction(call.direction),
        started_at=call.started_at,
        duration_seconds=call.duration_seconds,
        disposition=call.disposition,
        outcome=outcome,
        subject=f"Call - {call.disposition}" if call.disposition else "Call",
        notes=call_notes(
            notes=call.notes,
            summary=call.summary,
            key_points=call.key_points,
            next_steps=call.next_steps,
            duration_seconds=call.duration_seconds,
            metrics=call.metadata,
        ),
        phone=call.phone or _number_of(call.contact),
        recording_url=recording,
        agent_email=call.agent_email,
        metadata=call.metadata,
        first_attempt_at=first_attempt_at,
        crm_record_id=crm_record_id,
    )


def _number_of(contact: Contact | None) -> str:
    return (contact.phone or contact.mobile_phone) if contact else ""
