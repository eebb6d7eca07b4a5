"""Webhooks of Follow Up Boss, on arrival: is the signature theirs, and what do they tell.

The signature is the hex HMAC-SHA256 over the *base64 text* of the body, with our system's key, which is the same for all
accounts; the account is known by the address that was called. A body names ids only. Its `uri` is never called: it lacks
`fields`, and a foreign address must not get our key.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from integrations import errors
from integrations.providers.followupboss import listing
from integrations.records.events import Change, Delivery, RemoteEvent, Trust

SIGNATURE, PLAIN_SIGNATURE = "fub-signature", "x-fub-signature"
TOO_OLD = timedelta(hours=24)
"""Retries come for some hours; what is older was kept by somebody and sent again."""

OBJECTS: Mapping[str, str] = {
    "people": "people",
    "person": "people",
    "call": "calls",
    "note": "notes",
    "task": "tasks",
    "textMessage": "textMessages",
    "event": "events",
    "stage": "stages",
    "customField": "customFields",
}
"""What an event's name begins with → object type. Others go by their own plural."""
CHANGES: Mapping[str, Change] = {"Created": Change.CREATED, "Updated": Change.UPDATED, "Deleted": Change.DELETED}
PERSON_CHANGES: Mapping[str, str] = {"peopleTagsCreated": "tags", "peopleStageUpdated": "stage"}
"""Events about one field of people → that field."""
# The plural is the real spelling (`tasksCreated`); the singular (`taskCreated`) is taken as well.
_NAME = re.compile(r"(?P<noun>[a-z]\w*?)s?(?P<change>Created|Updated|Deleted|Opened|Clicked|Unsubscribed)")


def verify(delivery: Delivery, trust: Trust) -> None:
    if SIGNATURE in delivery.headers:
        key = trust.secrets.get("system_key") or str(settings.FOLLOWUPBOSS_SYSTEM_KEY or "")
        genuine = _is_signed(delivery.headers[SIGNATURE], key, base64.b64encode(delivery.body))
    else:
        genuine = _is_signed_plainly(delivery, trust)
    if not genuine:
        raise errors.BadSignature("This delivery does not carry the signature of Follow Up Boss.")
    happened = _occurred_at(_content(delivery.body) or {})
    if happened is not None and abs(delivery.received_at - happened) > TOO_OLD:
        raise errors.BadSignature("This delivery was signed too long ago.", cause="too_old")


def read(delivery: Delivery) -> list[RemoteEvent]:
    content = _content(delivery.body)
    if content is None or not isinstance(content.get("event"), str):
        raise errors.FixData("This delivery is no event of Follow Up Boss: it is no JSON object, or names no event.")
    return [event_of(content, fallback_key=f"body:{hashlib.sha256(delivery.body).hexdigest()}")]


def event_of(content: Mapping[str, Any], *, fallback_key: str = "") -> RemoteEvent:
    """From a delivery (`eventId`) or from `/webhookEvents` (`id`)."""
    name = str(content.get("event") or "")
    object_type, change = _meaning(name)
    ids = content.get("resourceIds")
    field = PERSON_CHANGES.get(name, "")
    data = content.get("data")
    told = data.get(field) if isinstance(data, Mapping) and field == "stage" else None  # tags are only the new ones
    return RemoteEvent(
        dedupe_key=str(content.get("eventId") or content.get("id") or fallback_key)[:200],
        change=change,
        object_type=object_type,
        record_ids=tuple(dict.fromkeys(str(one) for one in ids if one)) if isinstance(ids, list) else (),
        occurred_at=_occurred_at(content),
        changed=(field,) if field else (),
        values={field: told} if told else {},
        raw=dict(content),
    )


def _meaning(name: str) -> tuple[str, Change]:
    """A change of a field, a tag or the stage of people is an update of people."""
    if name in PERSON_CHANGES:
        return "people", Change.UPDATED
    match = _NAME.fullmatch(name)
    if match is None:
        return name[:100], Change.UPDATED
    noun = match["noun"]
    return OBJECTS.get(noun, f"{noun}s"), CHANGES.get(match["change"], Change.UPDATED)


def _is_signed_plainly(delivery: Delivery, trust: Trust) -> bool:
    """The HMAC of the raw body with a secret of the connection's own: for a go-between that signs so, and only if chosen."""
    if trust.settings.get("accept_body_signature") is not True:
        return False
    return _is_signed(delivery.headers.get(PLAIN_SIGNATURE, ""), trust.secrets.get("webhook_secret", ""), delivery.body)


def _is_signed(signature: str, key: str, message: bytes) -> bool:
    if not key:
        return False
    expected = hmac.new(key.encode(), message, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.encode("utf-8", "surrogatepass"))


def _content(body: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _occurred_at(content: Mapping[str, Any]) -> datetime | None:
    """Both `Z` and `+00:00` are in use."""
    written = content.get("eventCreated") or content.get("timestamp")
    moment = listing.parse_stamp(written)
    return moment if moment.year > 1 else None
