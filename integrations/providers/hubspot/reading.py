"""Reads records out of HubSpot: everything by listing, what changed by searching.

A list has no ceiling, but cannot be limited to changes. A search can, yet shows at most 10,000 records and sees a
change only after a while. So the first run lists; later runs search, from two minutes before what the last vouched for.

Every page of a search begins after the last id of the page before and has no offset. That never meets the ceiling, and
a record that changes while we read cannot push another one over the edge of a page: the order of ids stays. What
changes behind our back during a run is later than the run's start, where the next run begins.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from integrations import errors
from integrations.providers.hubspot.answers import body_of, next_after, service_time
from integrations.providers.hubspot.fetching import read_batch
from integrations.providers.hubspot.objects import SEARCH_PAGE, Objects
from integrations.providers.hubspot.schema import modified_property
from integrations.providers.hubspot.shaping import Shaper, millis_of, property_names
from integrations.records.remote import ChangePage, Cursor

SETTLING = timedelta(seconds=60)
"""A run vouches for changes up to this long before its start: the search index lags behind."""
OVERLAP = timedelta(seconds=120)
"""How far the next run reaches back behind that."""
URL_ROOM = 6000
"""Longer property lists do not fit into an address (414) and go into a batch read's body."""


class Reader:
    def __init__(self, objects: Objects, shaper: Shaper) -> None:
        self._objects = objects
        self._shaper = shaper

    def changes(self, object_type: str, cursor: Cursor | None, paths: Sequence[str]) -> Iterator[ChangePage]:
        """Cursors: `{"until", "after", "total"}` within a list, `{"since"}` between runs, and within a search
        `{"since", "until", "last_id", "seen"}`. Times are epoch milliseconds.
        """
        names = property_names(object_type, paths)
        if cursor is None or "since" not in cursor:
            yield from self._list(object_type, names, dict(cursor or {}))
        else:
            yield from self._search(object_type, names, cursor)

    def ids(self, object_type: str) -> Iterator[list[str]]:
        after = ""
        while True:
            body = body_of(self._objects.page(object_type, [modified_property(object_type)], after=after))
            yield [str(record["id"]) for record in body.get("results", [])]
            before, after = after, next_after(body)
            _require_progress(before, after)
            if not after:
                return

    # --- everything -------------------------------------------------------------------------------------------------

    def _list(self, object_type: str, names: list[str], cursor: Cursor) -> Iterator[ChangePage]:
        total = cursor["total"] if "total" in cursor else self._count(object_type)
        while True:
            page, until, after = self._list_page(object_type, names, cursor)
            _require_progress(cursor.get("after"), after)
            cursor = {"until": until, "after": after, "total": total} if after else {"since": until}
            yield ChangePage(self._shaper.records(object_type, page, names), cursor, total, not after)
            if not after:
                return

    def _list_page(self, object_type: str, names: list[str], cursor: Cursor) -> tuple[list[dict[str, Any]], int, str]:
        in_body = sum(map(len, names)) + len(names) > URL_ROOM
        asked = [modified_property(object_type)] if in_body else names
        response = self._objects.page(object_type, asked, after=str(cursor.get("after") or ""))
        body = body_of(response)
        page = list(body.get("results", []))
        if in_body and page:
            page = read_batch(self._objects, object_type, [str(record["id"]) for record in page], names)
        return page, cursor.get("until") or millis_of(service_time(response) - SETTLING), next_after(body)

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
            until = until or max(since, millis_of(now - SETTLING))
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
            yield ChangePage(self._shaper.records(object_type, page, names), following, total, not more)
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
        response = self._objects.search(object_type, query)
        return body_of(response), service_time(response)


def _require_progress(before: str | None, now: str) -> None:
    """A page that starts where the last one did would be read for ever."""
    if before and before == now:
        raise errors.Retry("HubSpot sent the same page twice. We will try again.", cause="unreadable_answer")


def _millis_of(span: timedelta) -> int:
    return int(span.total_seconds() * 1000)
