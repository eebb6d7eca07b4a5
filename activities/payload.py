"""From a stored call to the activity that any CRM can be given. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from activities.models import Call
from activities.notes import call_notes
from integrations.records.activities import CallActivity, Direction
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
    related_to: str = "",
    note_template: str = "",
    agent_id: str | None = None,
    forgets_in_crms: bool = False,
) -> CallActivity:
    """`call.contact` is read: load it with the call.

    `public_url` is our own address: the CRM gets a link that stays good, never the recording's signed one. `agent_id` is the
    agent's user in this CRM: None where the e-mail has to tell, empty where somebody said that there is none. `forgets_in_crms`:
    whether what was forgotten here is to go there, too.
    """
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
        notes=notes_of(call, note_template),
        phone=call.phone or _number_of(call.contact),
        from_number=call.from_number,
        recording_url=recording,
        agent_email="" if agent_id == "" else call.agent_email,
        agent_id=agent_id or "",
        metadata=call.metadata,
        first_attempt_at=first_attempt_at,
        crm_record_id=crm_record_id,
        related_to=related_to,
        keeps_text=keeps_text(call, forgets_in_crms=forgets_in_crms),
    )


def keeps_text(call: Call, *, forgets_in_crms: bool) -> bool:
    """Whether the CRM knows more of what was said than we still do, and may."""
    return call.texts_purged_at is not None and not forgets_in_crms


def notes_of(call: Call, template: str) -> str:
    """What the call says in the CRMs. Raises TemplateError for a template that is wrong."""
    return call_notes(
        template=template,
        notes=call.notes,
        summary=call.summary,
        key_points=call.key_points,
        next_steps=call.next_steps,
        duration_seconds=call.duration_seconds,
        metrics=call.metadata,
        disposition=call.disposition,
        direction=call.direction,
        agent=call.agent_email,
    )


def _number_of(contact: Contact | None) -> str:
    return (contact.phone or contact.mobile_phone) if contact else ""


def related_record(call: Call, provider: str) -> str:
    """The account or deal that the call was about; its id means something in the dialled CRM only."""
    return call.related_record_id if call.crm_provider == provider else ""
