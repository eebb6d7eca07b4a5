"""The marker that our calls and notes carry, and the words of a call's note.

The service has no external ids: what an earlier try may have written is found again by the marker in its last line.
"""

import hashlib
from datetime import timedelta

from integrations.providers.followupboss.custom_values import zone
from integrations.records.activities import CallActivity

LOOK_BACK = timedelta(minutes=5)
"""How long before the first try a look-up begins: clocks differ."""


def marker_of(key: str) -> str:
    return f"[ref:dlr-{hashlib.sha256(key.encode()).hexdigest()[:12]}]"


def marked(text: str, key: str) -> str:
    return "\n".join(part for part in (text.rstrip(), marker_of(key)) if part)


def note_of(call: CallActivity, timezone: str) -> str:
    """The real start stands in the note, since `created` is the time of our request and can't be set."""
    started = call.started_at.astimezone(zone(timezone))
    head = f"Disposition: {call.disposition}\nStarted {started:%Y-%m-%d %H:%M %Z}, {_clock(call.duration_seconds)}"
    related = f"Related deal: {call.related_to}" if call.related_to else ""
    return marked("\n".join(part for part in (head, call.notes.strip(), related) if part), call.key)


def _clock(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
