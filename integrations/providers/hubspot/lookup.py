"""Finds calls that an earlier attempt may have written, without the search index, which may not know them yet.

A call without our unique property carries a mark in its text. We read the contact's calls, newest first, back to a
while before the first attempt.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from integrations import errors
from integrations.providers.base import Api
from integrations.providers.hubspot.linking import Links
from integrations.providers.hubspot.objects import BATCH, Objects
from integrations.providers.hubspot.shaping import chunks
from integrations.records import CallActivity

ID_PROPERTY = "dialer_call_id"
"""Our unique property of a call."""
SLACK = timedelta(hours=1)
"""By how much HubSpot's clock and ours may differ."""


def mark(key: str) -> str:
    return f"[ref:{hashlib.sha256(key.encode()).hexdigest()[:16]}]"


def find_calls(api: Api, calls: Sequence[CallActivity]) -> dict[str, str]:
    """Key → HubSpot id of those calls that exist."""
    by_contact: defaultdict[str, list[CallActivity]] = defaultdict(list)
    for call in calls:
        by_contact[call.record_id].append(call)
    found: dict[str, str] = {}
    for contact_id, wanted in by_contact.items():
        found |= _find_on_contact(api, contact_id, wanted)
    return found


def _find_on_contact(api: Api, contact_id: str, wanted: Sequence[CallActivity]) -> dict[str, str]:
    earliest = min(call.first_attempt_at or datetime.now(UTC) for call in wanted) - SLACK
    found: dict[str, str] = {}
    newest_first = sorted(_calls_of(api, contact_id), key=int, reverse=True)
    for ids in chunks(newest_first, BATCH):
        records = _read(api, ids)
        found |= {call.key: str(record["id"]) for record in records for call in wanted if is_of(call.key, record)}
        oldest = min((str(record.get("createdAt", "")) for record in records), default="")
        if len(found) == len(wanted) or (oldest and datetime.fromisoformat(oldest) < earliest):
            break
    return found


def is_of(key: str, record: Mapping[str, Any]) -> bool:
    properties = record.get("properties") or {}
    return properties.get(ID_PROPERTY) == key or mark(key) in (properties.get("hs_call_body") or "")


def _calls_of(api: Api, contact_id: str) -> Iterator[str]:
    try:
        yield from Links(api, "contacts", "calls").of(contact_id)
    except errors.Gone:
        return


def _read(api: Api, ids: Sequence[str]) -> list[dict[str, Any]]:
    return list(Objects(api).batch_read("calls", ids, ["hs_call_body", ID_PROPERTY]).get("results", []))
