"""Later stages of a call: its disposition, then its summary, then its recording, in whatever order they arrive.

For each field the call remembers when the dialer said it. A stage that was said earlier than what a field holds leaves that
field alone and says so. What a stage changed is one new revision of the call, and each CRM's activity is updated in place: a
job that still waits will write the newest state, else there is a new one.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from rest_framework.exceptions import ValidationError

from activities import posting, targets
from activities.models import Call, CallStage
from activities.serializers import FIXED, MAX_METADATA
from activities.targets import Target, TargetError

PLAIN = (
    "duration_seconds", "disposition", "notes", "summary", "key_points", "next_steps", "recording_url", "agent_email", "meeting",
    "follow_up",
)  # fmt: skip
SAVED = (
    *PLAIN,
    "metadata",
    "contact",
    "review",
    "said_at",
    "revision",
    "updated_at",
    "recording_purged_at",
    "texts_purged_at",
)
METADATA = "metadata."


class NoSuchCall(LookupError):
    pass


class KeyUsed(ValueError):
    """The idempotency key came with another stage before."""


@dataclass(slots=True)
class Taken:
    """What a stage did to its call."""

    call: Call
    changed: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


def add(call_id: UUID, said: Mapping[str, Any], key: str = "") -> Taken:
    """Adds a checked stage to the call. Raises NoSuchCall, KeyUsed, and ValidationError for what a stage can't say of this call."""
    mark = _fingerprint(said)
    with transaction.atomic():
        call: Call | None = Call.objects.select_for_update(of=("self",)).filter(pk=call_id).first()
        if call is None:
            raise NoSuchCall
        earlier = CallStage.objects.filter(call=call, key=key).first() if key else None
        if earlier is not None:
            if earlier.fingerprint != mark:
                raise KeyUsed
            return Taken(call, earlier.changed, earlier.ignored)
        return _take(call, said, key, mark)


def _take(call: Call, said: Mapping[str, Any], key: str, mark: str) -> Taken:
    _refuse_changes(call, said)
    taken, heard, was_nobodys = Taken(call), call.said_at, call.contact_id is None
    _merge(taken, said)
    _name(taken, said)
    places = {call.pk: _places(call)} if taken.changed else {}
    if taken.changed:
        call.revision += 1
    if taken.changed or call.said_at != heard:
        call.save(update_fields=SAVED)
    if taken.changed:
        named = [call] if was_nobodys and call.contact_id else []
        posting.set_going([call], places, new=named, changed=taken.changed)
    if key or taken.changed or taken.ignored:
        CallStage.objects.create(
            tenant_id=call.tenant_id,
            call=call,
            key=key,
            fingerprint=mark,
            said_at=said.get("said_at") or timezone.now(),
            changed=taken.changed,
            ignored=taken.ignored,
        )
    return taken


def _refuse_changes(call: Call, said: Mapping[str, Any]) -> None:
    changed = [name for name in FIXED if name in said and said[name] != getattr(call, name)]
    if changed:
        text = "This was settled when the call was posted and can't change. Post another call under another id."
        raise ValidationError(dict.fromkeys(changed, text))


# --- what a stage says ----------------------------------------------------------------------------------------------


def _merge(taken: Taken, said: Mapping[str, Any]) -> None:
    call, moment = taken.call, said.get("said_at")
    for name in PLAIN:
        if name in said and _is_heard(taken, name, moment) and said[name] != getattr(call, name):
            setattr(call, name, said[name])
            taken.changed.append(name)
            _fresh_again(call, name)
    call.metadata = dict(call.metadata)
    for name, value in said.get("metadata", {}).items():
        if _is_heard(taken, METADATA + name, moment) and call.metadata.get(name) != value:
            call.metadata[name] = value
            taken.changed.append(METADATA + name)
    call.metadata = {name: value for name, value in call.metadata.items() if value is not None}
    if len(str(call.metadata)) > MAX_METADATA:
        raise ValidationError({"metadata": "With what the call has already this is too much. Keep it under 16 KB."})


def _is_heard(taken: Taken, name: str, moment: datetime | None) -> bool:
    """Whether the field may be set, which is then remembered; a stage without a time is the youngest of all."""
    held = parse_datetime(taken.call.said_at.get(name, ""))
    if moment is not None and held is not None and moment < held:
        taken.ignored.append(name)
        return False
    at = moment or max(timezone.now(), held or timezone.now())
    taken.call.said_at = {**taken.call.said_at, name: at.isoformat()}
    return True


def _fresh_again(call: Call, name: str) -> None:
    """What was forgotten for its age and is said again is there again."""
    if name == "recording_url":
        call.recording_purged_at = None
    elif name in {"notes", "summary", "key_points", "next_steps"}:
        call.texts_purged_at = None


def _name(taken: Taken, said: Mapping[str, Any]) -> None:
    """Notes whom the call was with, if nobody knew before."""
    call, contact_id = taken.call, said.get("contact_id")
    if contact_id is None or contact_id == call.contact_id:
        return
    if call.contact_id is not None:
        raise ValidationError({"contact_id": "This call was with another contact. That can't change."})
    try:
        targets.locate(call, contact_id)
    except TargetError as error:
        raise ValidationError({error.field: str(error)}) from error
    taken.changed.append("contact_id")


def _places(call: Call) -> list[Target]:
    """Where the call belongs now. One that waits for a person goes on waiting; in a CRM that is gone nothing is logged."""
    if not (call.contact_id or call.crm_record_id):
        return []
    review = call.review
    try:
        return targets.locate(call, call.contact_id)
    except TargetError:
        call.review = review
        return []


def _fingerprint(said: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(said), cls=DjangoJSONEncoder, sort_keys=True).encode()).hexdigest()
