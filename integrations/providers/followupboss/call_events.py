"""Calls in the form of an event of type `Call`: read from such a payload, and sent so where a connection asks for it.

Follow Up Boss itself refuses this type. Payloads in this form that programs hand to us are translated into a call. A
connection to a service that does take them says so in its settings: `{"call_form": "event"}`.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from integrations import errors
from integrations.providers.followupboss import listing
from integrations.providers.followupboss.events import Events
from integrations.providers.followupboss.marking import LOOK_BACK, marker_of, note_of
from integrations.providers.followupboss.people import People
from integrations.records.activities import CallActivity, Direction
from integrations.records.remote import RecordWrite

OWN_FORM = "event"
"""The value of the setting `call_form` that sends events."""
INCOMING = ("inbound", "incoming")
_CLOCK = re.compile(r"Call Duration:\s*(?:(\d+):)?(\d+):(\d\d)")
_WORD = re.compile(r"Disposition:\s*([^|\n]+)")


def activity_of(
    payload: Mapping[str, Any], *, record_id: str, received_at: datetime, first_attempt_at: datetime | None = None
) -> CallActivity:
    """The call that a payload of type `Call` tells of. Raises FixData for another type.

    Its key is `metadata.callSid`, else made from the content, so that the same payload is the same call.
    """
    if payload.get("type") != "Call":
        raise errors.FixData(
            f'An event of type "{payload.get("type")}" is no call. Send it with type "Call".', fields=["type"]
        )
    told = payload.get("metadata") or {}
    description = str(payload.get("description") or "")
    word = _WORD.search(description)
    incoming = str(told.get("callDirection") or "").lower() in INCOMING
    disposition = str(told.get("disposition") or (word[1].strip() if word else "") or "Connected")
    return CallActivity(
        key=str(told.get("callSid") or _digest(payload)),
        object_type="people",
        record_id=record_id,
        direction=Direction.INBOUND if incoming else Direction.OUTBOUND,
        started_at=_moment(payload.get("occurredAt"), received_at),
        duration_seconds=int(told.get("callDuration") or _seconds(description)),
        disposition=disposition,
        outcome={"type": "Call", "outcome": disposition},
        subject=f"Call - {disposition}",
        notes=_notes(payload, told),
        phone=next(iter(phones_of(payload)), ""),
        recording_url=str(told.get("recordingUrl") or ""),
        metadata=dict(told),
        first_attempt_at=first_attempt_at,
    )


def record_of(
    payload: Mapping[str, Any], *, person_id: str, first_attempt_at: datetime | None
) -> tuple[str, RecordWrite]:
    """Object type and record that a payload of another type than `Call` becomes: a text message if it tells both numbers,
    else a note.
    """
    told = payload.get("metadata") or {}
    numbers = {name: told.get(name) for name in ("toNumber", "fromNumber")}
    values: dict[str, Any] = {"personId": person_id}
    if payload.get("type") == "Text Message" and all(numbers.values()):
        kind, incoming = "textMessages", str(told.get("direction") or "").lower() in INCOMING
        values |= {"message": str(payload.get("message") or ""), "isIncoming": incoming, **numbers}
    else:
        kind, parts = "notes", (payload.get("message"), payload.get("description"))
        values |= {
            "subject": str(payload.get("type") or "Note"),
            "body": "\n".join(str(part) for part in parts if part),
        }
    return kind, RecordWrite(_digest(payload), values, first_attempt_at=first_attempt_at)


def person_of(payload: Mapping[str, Any], people: People) -> str:
    """Whom it is about, by id, e-mail address or number; made if nobody is. Raises FixData for a payload about nobody."""
    person = payload.get("person") or {}
    if person.get("id"):
        return str(person["id"])
    emails, phones = emails_of(payload), phones_of(payload)
    if not (emails or phones):
        raise errors.FixData("This event names nobody. Give person.emails or person.phones.", fields=["person"])
    found = people.search(emails, phones)
    if found:
        return str(found[0]["id"])
    names = {key: person[key] for key in ("firstName", "lastName") if person.get(key)}
    lists = {"emails": [{"value": one} for one in emails], "phones": [{"value": one} for one in phones]}
    made, _new = people.create({**names, **{key: value for key, value in lists.items() if value}})
    return str(made["id"])


def emails_of(payload: Mapping[str, Any]) -> list[str]:
    return _plain(payload, "emails")


def phones_of(payload: Mapping[str, Any]) -> list[str]:
    return _plain(payload, "phones")


def payload_of(call: CallActivity, timezone: str) -> dict[str, Any]:
    """The call as an event of type `Call`. The marker in `description` makes it findable."""
    return {
        "type": "Call",
        "person": {"id": int(call.record_id), "phones": [call.phone] if call.phone else []},
        "message": call.notes or call.subject,
        "description": note_of(call, timezone),
        "occurredAt": listing.stamp(call.started_at),
        "metadata": {
            **call.metadata,
            "callDuration": call.duration_seconds,
            "callDirection": call.direction.value,
            "disposition": str(call.outcome.get("outcome") or call.disposition),
            "recordingUrl": call.recording_url,
        },
    }


class EventForm:
    """Logs calls as events, each once. What comes back names the person alone, so that the marker is the call's id."""

    def __init__(self, events: Events, timezone: str) -> None:
        self._events = events
        self._timezone = timezone

    def log(self, call: CallActivity) -> tuple[str, bool]:
        """The id of the call and whether it is new. Events can't be changed: a known one stays as it is."""
        marker = marker_of(call.key)
        if call.crm_record_id or (call.first_attempt_at is not None and self._is_there(call, marker)):
            return call.crm_record_id or marker, False
        self._events.send_any(payload_of(call, self._timezone))
        return marker, True

    def _is_there(self, call: CallActivity, marker: str) -> bool:
        assert call.first_attempt_at is not None  # noqa: S101 - for the type checker; `log` asks before
        since = listing.stamp(call.first_attempt_at - LOOK_BACK)
        recent = self._events.listed(personId=int(call.record_id), createdAfter=since)
        return any(marker in str(one.get("description") or "") for one in recent)


def _plain(payload: Mapping[str, Any], name: str) -> list[str]:
    """Both plain strings and objects with a value are in use."""
    given = (payload.get("person") or {}).get(name) or []
    texts = (one.get("value") if isinstance(one, Mapping) else one for one in given)
    return [str(text) for text in texts if text]


def _notes(payload: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    scores = (("AI Score", told.get("aiScore")), ("Sentiment", told.get("sentiment")))
    extra = " | ".join(f"{label}: {value}" for label, value in scores if value not in {None, ""})
    return "\n".join(part for part in (str(payload.get("message") or ""), extra) if part)


def _seconds(description: str) -> int:
    found = _CLOCK.search(description)
    return int(found[1] or 0) * 3600 + int(found[2]) * 60 + int(found[3]) if found else 0


def _moment(text: Any, otherwise: datetime) -> datetime:
    moment = listing.parse_stamp(text)
    return moment.astimezone(UTC) if moment.year > 1 else otherwise


def _digest(payload: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(payload, sort_keys=True, default=str).encode()).hexdigest()[:32]
