"""Reads people out of HubSpot: everything by listing, what changed by searching, some by their ids.

A list has no ceiling, but cannot be limited to changes. A search can, yet shows at most 10,000 records and sees a
change only after a while. So the first run lists; later runs search, from two minutes before what the last vouched for.

Every page of a search begins after the last id of the page before and has no offset. That never meets the ceiling, and
a record that changes while we read cannot push another one over the edge of a page: the order of ids stays. What
changes behind our back during a run is later than the run's start, where the next run begins.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from integrations import errors
from integrations.providers.base import Api
from integrations.providers.hubspot.answers import body_of, by_category, next_after, problem_of, service_time
from integrations.providers.hubspot.endpoints import path
from integrations.providers.hubspot.owners import Owners
from integrations.providers.hubspot.schema import Schema, modified_property
from integrations.records import ChangePage, Cursor, Fetched, RemoteRecord

LIST_PAGE = 100
SEARCH_PAGE = 200
BATCH = 100
SETTLING = timedelta(seconds=60)
"""A run vouches for changes up to this long before its start: the search index lags behind."""
OVERLAP = timedelta(seconds=120)
"""How far the next run reaches back behind that."""
URL_ROOM = 6000
"""Longer property lists do not fit into an address (414) and go into a batch read's body."""

RecordUrl = Callable[[str, str], str]


class Reader:
    def __init__(self, api: Api, owners: Owners, schema: Schema, record_url: RecordUrl) -> None:
        self._api = api
        self._owners = owners
        self._schema = schema
        self._record_url = record_url

    def changes(self, object_type: str, cursor: Cursor | None, paths: Sequence[str]) -> Iterator[ChangePage]:
        """Cursors: `{"until", "after", "total"}` within a list, `{"since"}` between runs, and within a search
        `{"since", "until", "last_id", "seen"}`. Times are epoch milliseconds.
        """
        names = property_names(object_type, paths)
        if cursor is None or "since" not in cursor:
            yield from self._list(object_type, names, dict(cursor or {}))
        else:
            yield from self._search(object_type, names, cursor)

    def fetch(self, object_type: str, ids: Sequence[str], paths: Sequence[str]) -> Fetched:
        """Archived records come back as deleted; an id that was merged into another record is missing."""
        names = property_names(object_type, paths)
        records: list[RemoteRecord] = []
        missing: list[str] = []
        for asked in chunks(list(dict.fromkeys(ids)), BATCH):
            found = self._read(object_type, asked, names)
            absent = _without(asked, found)
            archived = self._read(object_type, absent, names, archived=True) if absent else []
            missing += _without(absent, archived)
            records += self._records(object_type, [*found, *archived], names)
        return Fetched(records, missing)

    # --- everything -------------------------------------------------------------------------------------------------

    def _list(self, object_type: str, names: list[str], cursor: Cursor) -> Iterator[ChangePage]:
        total = cursor["total"] if "total" in cursor else self._count(object_type)
        while True:
            page, until, after = self._list_page(object_type, names, cursor)
            _require_progress(cursor.get("after"), after)
            cursor = {"until": until, "after": after, "total": total} if after else {"since": until}
            yield ChangePage(self._records(object_type, page, names), cursor, total)
            if not after:
                return

    def _list_page(self, object_type: str, names: list[str], cursor: Cursor) -> tuple[list[dict[str, Any]], int, str]:
        listed = ",".join(names)
        in_body = len(listed) > URL_ROOM
        params = {"limit": LIST_PAGE, "properties": modified_property(object_type) if in_body else listed}
        if cursor.get("after"):
            params["after"] = cursor["after"]
        response = self._api.request("GET", path("objects", type=object_type), params=params)
        body = body_of(response)
        page = list(body.get("results", []))
        if in_body and page:
            page = self._read(object_type, [str(record["id"]) for record in page], names)
        return page, cursor.get("until") or _millis(service_time(response) - SETTLING), next_after(body)

    def _count(self, object_type: str) -> int | None:
        """For the progress bar only, so a refusal does not matter."""
        try:
            return self._find(object_type, [], [], limit=1)[0].get("total")
        except errors.CrmError:
            return None

    # --- changes ----------------------------------------------------------------------------------------------------

    def _search(self, object_type: str, names: list[str], cursor: Cursor) -> Iterator[ChangePage]:
        since, until = int(cursor["since"]), cursor.get("until")
        last_id, seen = cursor.get("last_id"), int(cursor.get("seen", 0))
        start = str(since - _millis_of(OVERLAP))
        while True:
            filters = [{"propertyName": modified_property(object_type), "operator": "GTE", "value": start}]
            if last_id:
                filters.append({"propertyName": "hs_object_id", "operator": "GT", "value": last_id})
            body, now = self._find(object_type, filters, names, limit=SEARCH_PAGE)
            # A cursor never goes back, whatever the clocks say.
            until = until or max(since, _millis(now - SETTLING))
            page = list(body.get("results", []))
            total = seen + int(body.get("total", len(page)))
            seen += len(page)
            more = bool(next_after(body)) and bool(page)
            if more:
                _require_progress(last_id, str(page[-1]["id"]))
                last_id = str(page[-1]["id"])
            following: Cursor = {"since": until}
            if more:
                following = {"since": since, "until": until, "last_id": last_id, "seen": seen}
            yield ChangePage(self._records(object_type, page, names), following, total)
            if not more:
                return

    def _find(
        self, object_type: str, filters: list[dict[str, str]], names: list[str], *, limit: int
    ) -> tuple[dict[str, Any], datetime]:
        query = {
            "filterGroups": [{"filters": filters}] if filters else [],
            "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
            "properties": names,
            "limit": limit,
        }
        response = self._api.request("POST", path("search", type=object_type), json=query, repeatable=True)
        return body_of(response), service_time(response)

    # --- records ----------------------------------------------------------------------------------------------------

    def _read(
        self, object_type: str, ids: Sequence[str], names: Sequence[str], *, archived: bool = False
    ) -> list[dict[str, Any]]:
        """Those of at most 100 records that exist, in our order. Absence counts only if nothing else went wrong."""
        response = self._api.request(
            "POST",
            path("batch", type=object_type, action="read"),
            params={"archived": str(archived).lower()},
            json={"properties": list(names), "inputs": [{"id": record_id} for record_id in ids]},
            repeatable=True,
        )
        body = body_of(response)
        for entry in body.get("errors") or []:
            problem = problem_of(entry)
            if not problem.gone:
                raise by_category(problem) or errors.Retry(
                    "HubSpot could not read some records. We will try again.", detail=problem.detail
                )
        place = {record_id: number for number, record_id in enumerate(ids)}
        return sorted(body.get("results", []), key=lambda record: place.get(str(record["id"]), len(place)))

    def _records(self, object_type: str, page: Sequence[dict[str, Any]], names: Sequence[str]) -> list[RemoteRecord]:
        owned = self._schema.owner_properties(object_type, names)
        ids = {str(raw["properties"][name]) for raw in page for name in owned if raw["properties"].get(name)}
        emails = self._owners.emails(ids) if ids else {}
        return [self._record(object_type, raw, owned, emails) for raw in page]

    def _record(
        self, object_type: str, raw: dict[str, Any], owned: frozenset[str], emails: Mapping[str, str] | None
    ) -> RemoteRecord:
        fields = dict(raw.get("properties") or {})
        for name in owned & fields.keys():
            if emails is None:
                del fields[name]  # unknown is not the same as nobody
            else:
                fields[name] = emails.get(str(fields[name]))
        record_id = str(raw["id"])
        return RemoteRecord(
            object_type=object_type,
            id=record_id,
            fields=fields,
            modified_at=_stamp(fields.get(modified_property(object_type)) or raw.get("updatedAt")),
            url=raw.get("url") or self._record_url(object_type, record_id),
            raw=raw,
            deleted=bool(raw.get("archived")),
        )


def _require_progress(before: str | None, now: str) -> None:
    """A page that starts where the last one did would be read for ever."""
    if before and before == now:
        raise errors.Retry("HubSpot sent the same page twice. We will try again.", cause="unreadable_answer")


def property_names(object_type: str, paths: Sequence[str]) -> list[str]:
    """The properties that mapping paths speak of, and the one that we need ourselves. `a || b` speaks of two."""
    names = (re.match(r'\s*"?([A-Za-z0-9_]+)', part) for path_ in paths for part in path_.split("||"))
    return sorted({match[1] for match in names if match} | {modified_property(object_type)})


def chunks(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _without(ids: Sequence[str], found: Sequence[Mapping[str, Any]]) -> list[str]:
    present = {str(record["id"]) for record in found}
    return [record_id for record_id in ids if record_id not in present]


def _stamp(value: object) -> datetime:
    """ISO 8601 or epoch milliseconds, as an aware UTC time; the epoch for a record without a stamp."""
    text = str(value or "0")
    if text.isdigit():
        return datetime.fromtimestamp(int(text) / 1000, UTC)
    return datetime.fromisoformat(text).astimezone(UTC)


def _millis(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _millis_of(span: timedelta) -> int:
    return int(span.total_seconds() * 1000)
