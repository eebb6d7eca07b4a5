"""What HubSpot still tells of deletions and merges: its recycle bin, and on every survivor the ids merged into it."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from integrations.providers.hubspot.answers import body_of, next_after
from integrations.providers.hubspot.objects import SEARCH_PAGE, Objects, Record
from integrations.providers.hubspot.schema import modified_property
from integrations.providers.hubspot.shaping import millis_of, stamp_of
from integrations.records.events import Change, RemoteEvent

MERGED = "hs_merged_object_ids"


def removals(objects: Objects, object_type: str, since: datetime) -> Iterator[RemoteEvent]:
    """The bin keeps a record for 90 days, and can only be read as a whole. Merges come through the search, so a fresh one
    may be missed until its index has caught up: look back further than the last look.
    """
    for record in _archived(objects, object_type):
        at = stamp_of(record.get("archivedAt") or record.get("updatedAt"))
        if millis_of(at) >= millis_of(since):  # HubSpot knows no smaller times
            yield _event(object_type, str(record["id"]), Change.DELETED, at, record)
    for record in _survivors(objects, object_type, since):
        at = stamp_of(record["properties"].get(modified_property(object_type)))
        for loser in (record["properties"].get(MERGED) or "").split(";"):
            if loser:
                yield _event(object_type, loser, Change.MERGED, at, record, str(record["id"]))


def _event(
    object_type: str, record_id: str, change: Change, at: datetime, raw: Record, moved_to: str = ""
) -> RemoteEvent:
    return RemoteEvent(
        dedupe_key=f"{object_type}|{change}|{record_id}|{moved_to or at.isoformat()}",
        change=change,
        object_type=object_type,
        record_ids=(record_id,),
        occurred_at=at,
        moved_to=moved_to,
        raw=raw,
    )


def _archived(objects: Objects, object_type: str) -> Iterator[Record]:
    after = ""
    while True:
        body = body_of(objects.page(object_type, [modified_property(object_type)], after=after, archived=True))
        yield from body.get("results", [])
        after = next_after(body)
        if not after:
            return


def _survivors(objects: Objects, object_type: str, since: datetime) -> Iterator[Record]:
    modified, last_id = modified_property(object_type), ""
    while True:
        filters: list[dict[str, Any]] = [
            {"propertyName": modified, "operator": "GTE", "value": str(millis_of(since))},
            {"propertyName": MERGED, "operator": "HAS_PROPERTY"},
        ]
        if last_id:
            filters.append({"propertyName": "hs_object_id", "operator": "GT", "value": last_id})
        query = {
            "filterGroups": [{"filters": filters}],
            "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
            "properties": [modified, MERGED],
            "limit": SEARCH_PAGE,
        }
        body = body_of(objects.search(object_type, query))
        page = body.get("results", [])
        yield from page
        if not page or not next_after(body):
            return
        last_id = str(page[-1]["id"])
