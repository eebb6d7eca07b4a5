"""What HubSpot tells by webhook: a list of up to a hundred events of any portals, in no order, some of them twice.

An event names a record and rarely says all of it, so the record is read again. Types that nobody here has heard of become
an update of whatever they name: more work is better than a change that was missed.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings

from integrations.errors import FixData
from integrations.providers.hubspot.endpoints import OBJECT_TYPE_IDS
from integrations.records.events import Change, Delivery, RemoteEvent, Trust

Event = Mapping[str, Any]

OBJECTS: Mapping[str, str] = {
    "contact": "contacts",
    "company": "companies",
    "deal": "deals",
    "ticket": "tickets",
    "product": "products",
    "line_item": "line_items",
    "conversation": "conversations",
}
"""First half of a subscription type → object type. `object` is told apart by `objectTypeId`."""
CHANGES: Mapping[str, Change] = {
    "creation": Change.CREATED,
    "propertyChange": Change.UPDATED,
    "associationChange": Change.UPDATED,
    "deletion": Change.DELETED,
    "restore": Change.RESTORED,
    "merge": Change.MERGED,
    "privacyDeletion": Change.ERASED,
}
"""Second half of a subscription type → what happened."""
WRITTEN_BY_PROGRAM = frozenset({"INTEGRATION", "API"})
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
LONGEST_KEY = 200


def read(delivery: Delivery, trust: Trust) -> list[RemoteEvent]:
    """Events of another portal than the connection's own are left out where the address belongs to a connection."""
    events = [_event(told, trust) for told in _told(delivery.body)]
    return [event for event in events if not trust.account_id or event.account_id == trust.account_id]


def _told(body: bytes) -> list[Event]:
    try:
        told = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise FixData("The delivery is no readable JSON.", detail=type(error).__name__) from error
    events = [told] if isinstance(told, dict) else told
    if not isinstance(events, list) or not all(isinstance(event, dict) and _type(event) for event in events):
        raise FixData("The delivery is no list of HubSpot events.")
    return events


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON.")


def _type(told: Event) -> str:
    return _text(told.get("subscriptionType") or told.get("eventType"))


def _event(told: Event, trust: Trust) -> RemoteEvent:
    kind, _, what = _type(told).partition(".")
    object_type = _object_type(kind, told)
    change = CHANGES.get(what, Change.UPDATED)
    name = _text(told.get("propertyName"))
    return RemoteEvent(
        dedupe_key=_dedupe_key(told),
        change=change,
        object_type=object_type,
        record_ids=_record_ids(told, change, object_type),
        occurred_at=_moment(told.get("occurredAt")),
        account_id=_text(told.get("portalId")) or trust.account_id,
        changed=(name,) if name else (),
        values={name: _value(told["propertyValue"])} if name and "propertyValue" in told else {},
        moved_to=_survivor(told) if change == Change.MERGED else "",
        ours=_is_ours(told),
        raw=told,
    )


def _object_type(kind: str, told: Event) -> str:
    if kind != "object":
        return OBJECTS.get(kind, kind)
    number = _text(told.get("objectTypeId"))
    return next((name for name, known in OBJECT_TYPE_IDS.items() if known == number), number)


def _record_ids(told: Event, change: Change, object_type: str) -> tuple[str, ...]:
    """The record that changed; of a merge all that are gone, of a link its end on this side."""
    if change == Change.MERGED:
        merged = told.get("mergedObjectIds")
        parts = [told.get("primaryObjectId"), *(merged if isinstance(merged, list) else [])]
        return tuple(one for one in _texts(parts) if one != _survivor(told))
    if "fromObjectId" in told:
        other_way = told.get("toObjectTypeId") == OBJECT_TYPE_IDS.get(object_type) != told.get("fromObjectTypeId")
        return _texts([told.get("toObjectId") if other_way else told["fromObjectId"]])
    return _texts([told.get("objectId")])


def _survivor(told: Event) -> str:
    """A merge of contacts makes a third record, others keep the first."""
    return _text(told.get("newObjectId") or told.get("primaryObjectId") or told.get("objectId"))


def _is_ours(told: Event) -> bool:
    """The mark of writes by the app that this very delivery was signed for."""
    if told.get("changeSource") not in WRITTEN_BY_PROGRAM:
        return False
    source = _text(told.get("sourceId")).removeprefix("appId:")
    return source in {_text(told.get("appId")), str(settings.HUBSPOT_APP_ID)} - {""}


def _dedupe_key(told: Event) -> str:
    """The same for each attempt to deliver an event. `eventId` alone is not promised to be unique."""
    parts = [
        told.get("portalId"),
        _type(told),
        told.get("objectId") or _survivor(told),
        told.get("propertyName"),
        told.get("occurredAt"),
        told.get("eventId"),
    ]
    links = [told.get(key) for key in ("fromObjectId", "toObjectId", "associationTypeId", "associationRemoved")]
    key = "|".join(_text(part) for part in [*parts, *(links if "fromObjectId" in told else [])])
    return key if len(key) <= LONGEST_KEY else "sha256:" + hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


# --- values ---------------------------------------------------------------------------------------------------------


def _moment(millis: Any) -> datetime | None:
    try:
        return BEGINNING + timedelta(milliseconds=int(millis))
    except (TypeError, ValueError, OverflowError):
        return None


def _texts(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in map(_text, values) if text))


def _text(value: Any) -> str:
    """Ids are numbers here and texts everywhere else."""
    kind = value.__class__
    if kind is str or kind is int:  # as nearly all are
        return str(value)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int) else ""


def _value(value: Any) -> Any:
    """All values are texts in HubSpot's API; nothing stands for an empty one."""
    return None if value in (None, "") else _text(value) or value
