"""Finds activities that an earlier attempt may have written, without the search index, which may not know them yet.

Where our unique property is in use, HubSpot is asked for its value. An activity without it carries a mark in its text: we read
the contact's, newest first, back to a while before the first attempt.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.hubspot.linking import Links
from integrations.providers.hubspot.objects import BATCH, Objects
from integrations.providers.hubspot.shaping import chunks
from integrations.records.activities import CallActivity, FollowUp, Meeting

ID_PROPERTY = "dialer_call_id"
"""Our unique property of a call."""
SLACK = timedelta(hours=1)
"""By how much HubSpot's clock and ours may differ."""

Wanted = CallActivity | Meeting | FollowUp


@dataclass(frozen=True, slots=True)
class Place:
    """Where records of one type are kept, and which of their properties hold our key and our mark."""

    object_type: str
    key_property: str
    text_property: str

    def holds(self, key: str, record: Mapping[str, Any]) -> bool:
        properties = record.get("properties") or {}
        return properties.get(self.key_property) == key or mark(key) in (properties.get(self.text_property) or "")


def mark(key: str) -> str:
    return f"[ref:{hashlib.sha256(key.encode()).hexdigest()[:16]}]"


def find_by_key(api: Api, place: Place, keys: Sequence[str]) -> dict[str, str]:
    """Key → HubSpot id of those that exist under our unique property."""
    found: dict[str, str] = {}
    for some in chunks(list(keys), BATCH):
        body = Objects(api).batch_read(place.object_type, some, [place.key_property], id_property=place.key_property)
        for record in body.get("results", []):
            found[str((record.get("properties") or {}).get(place.key_property))] = str(record["id"])
    return found


def find_marked(api: Api, place: Place, wanted: Sequence[Wanted]) -> dict[str, str]:
    """Key → HubSpot id of those that exist on their contacts."""
    by_contact: defaultdict[str, list[Wanted]] = defaultdict(list)
    for one in wanted:
        by_contact[one.record_id].append(one)
    found: dict[str, str] = {}
    for contact_id, some in by_contact.items():
        found |= _find_on_contact(api, place, contact_id, some)
    return found


def _find_on_contact(api: Api, place: Place, contact_id: str, wanted: Sequence[Wanted]) -> dict[str, str]:
    earliest = min(one.first_attempt_at or datetime.now(UTC) for one in wanted) - SLACK
    found: dict[str, str] = {}
    newest_first = sorted(_tied_to(api, place, contact_id), key=int, reverse=True)
    for ids in chunks(newest_first, BATCH):
        records = _read(api, place, ids)
        found |= {one.key: str(record["id"]) for record in records for one in wanted if place.holds(one.key, record)}
        oldest = min((str(record.get("createdAt", "")) for record in records), default="")
        if len(found) == len(wanted) or (oldest and datetime.fromisoformat(oldest) < earliest):
            break
    return found


def _tied_to(api: Api, place: Place, contact_id: str) -> Iterator[str]:
    try:
        yield from Links(api, "contacts", place.object_type).of(contact_id)
    except errors.Gone:
        return


def _read(api: Api, place: Place, ids: Sequence[str]) -> list[dict[str, Any]]:
    names = [place.text_property, place.key_property]
    return list(Objects(api).batch_read(place.object_type, ids, names).get("results", []))
