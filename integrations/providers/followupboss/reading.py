"""Reads people: the feed of changes, and single records by id.

A run asks for everybody updated since two minutes before the last run's start, lowest id first, and follows the
service's `next` tokens. How far it got stands in the cursor twice, as the token and as the last id: when a token has
grown too old, the run goes on with `idGreaterThan`. The time of a run's start becomes the next run's `since`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.followupboss import listing
from integrations.providers.followupboss.directory import Directory
from integrations.providers.followupboss.listing import LIMIT, Listing
from integrations.providers.followupboss.schema import Schema, Selection
from integrations.records.remote import ChangePage, Cursor, Fetched, RemoteRecord

OVERLAP = timedelta(minutes=2)
TRASH = "trash"
"""The stage that hides a person; compared in lower case."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run stands. Between two runs only `since` is set."""

    since: str = ""
    started: str = ""
    floor: int = 0
    """`idGreaterThan` of the requests that the current token belongs to."""
    last: int = 0
    """Highest id handed out in this run."""
    next: str = ""

    @classmethod
    def of(cls, cursor: Cursor | None) -> "Place":
        known = {item.name for item in fields(cls)}
        return cls(**{key: value for key, value in (cursor or {}).items() if key in known})

    def after(self, page: Listing) -> tuple["Place", bool]:
        """The place behind this page, and whether there may be more."""
        token = page.next if page.next != self.next else ""
        last = max([self.last, *(int(item["id"]) for item in page.items)])
        # A full page without a fresh token is not trusted to be the last one: the ids tell.
        more = bool(token) or (bool(page.items) and (bool(page.next) or len(page.items) >= LIMIT))
        return replace(self, next=token, last=last, floor=self.floor if token else last), more


class PeopleReader:
    def __init__(
        self,
        api: Api,
        schema: Schema,
        directory: Directory,
        url_of: Callable[[str], str],
        sees_everybody: Callable[[], bool],
    ) -> None:
        self._api = api
        self._schema = schema
        self._directory = directory
        self._url_of = url_of
        self._sees_everybody = sees_everybody

    def changes(self, cursor: Cursor | None, paths: Sequence[str]) -> Iterator[ChangePage]:
        selection = self._schema.select(paths)
        place = Place.of(cursor)
        more = True
        while more:
            place, page = self._page(place, selection)
            place, more = place.after(page)
            onward: Cursor = asdict(place) if more else {"since": place.started}
            yield ChangePage(self._records(page.items, selection), onward, page.total, not more)

    def _page(self, place: Place, selection: Selection) -> tuple[Place, Listing]:
        asked_at = datetime.now(UTC)
        try:
            response = self._get(place, selection)
        except (errors.FixData, errors.Gone):
            if not place.next:
                raise
            place = replace(place, next="", floor=place.last)
            response = self._get(place, selection)
        # The service's clock decides when ours is ahead: a run must not start later than the service thinks.
        started = place.started or listing.stamp(min(asked_at, listing.service_time(response, asked_at)))
        return replace(place, started=started), listing.read(response, "people")

    def _get(self, place: Place, selection: Selection) -> requests.Response:
        params: dict[str, Any] = {"sort": "id", "limit": LIMIT, **_common(selection)}
        if place.since:
            params["updatedAfter"] = listing.stamp(listing.parse_stamp(place.since) - OVERLAP)
        if place.floor:
            params["idGreaterThan"] = place.floor
        if place.next:
            params["next"] = place.next
        return self._api.request("GET", "/people", params=params)

    def ids(self) -> Iterator[Sequence[str]]:
        for page, _last, _done in listing.by_ids(self._api, "people", {"fields": "id", "includeTrash": "true"}):
            if page.items:
                yield [str(one["id"]) for one in page.items]

    def fetch(self, ids: Sequence[str], paths: Sequence[str]) -> Fetched:
        """Whom an agent's credential does not see may be there all the same, so they are not called missing: for such a
        credential they are neither among the records nor among the missing.
        """
        selection = self._schema.select(paths)
        wanted = [item for item in dict.fromkeys(ids) if item.isdecimal()]
        records: list[RemoteRecord] = []
        for start in range(0, len(wanted), LIMIT):
            chunk = ",".join(wanted[start : start + LIMIT])
            found_here = listing.everything(self._api, "people", {"id": chunk, **_common(selection)})
            records += self._records(found_here, selection)
        found = {record.id for record in records}
        absent = [item for item in dict.fromkeys(ids) if item not in found]
        hidden = {item for item in absent if item.isdecimal()}
        if hidden and not self._sees_everybody():
            absent = [item for item in absent if item not in hidden]
        return Fetched(records, tuple(absent))

    def _records(self, people: Sequence[Mapping[str, Any]], selection: Selection) -> list[RemoteRecord]:
        owners = {person.get("assignedUserId") for person in people} if selection.owner else set()
        emails = self._directory.emails(owners) if owners else {}
        return [self._record(person, selection, emails) for person in people]

    def _record(
        self, person: Mapping[str, Any], selection: Selection, emails: Mapping[int, str] | None
    ) -> RemoteRecord:
        shown = {**person, "customFields": {label: person.get(name) for label, name in selection.labels.items()}}
        if selection.owner:
            shown["assignedTo"] = (emails or {}).get(person.get("assignedUserId") or 0)
        if emails is None:
            del shown["assignedTo"]  # unknown is not the same as nobody
        person_id = str(person["id"])
        return RemoteRecord(
            object_type="people",
            id=person_id,
            fields=shown,
            modified_at=listing.parse_stamp(person.get("updated") or person.get("created")),
            url=self._url_of(person_id),
            raw=person,
            inactive=str(person.get("stage") or "").lower() == TRASH,
        )


def _common(selection: Selection) -> dict[str, Any]:
    return {"fields": ",".join(selection.names), "includeTrash": "true"}
