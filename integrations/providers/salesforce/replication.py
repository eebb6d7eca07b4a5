"""What changed and what went, by time: getUpdated and getDeleted.

A range may be thirty days long; the log of deletions goes back fifteen. An answer says how far it reaches
(`latestDateCovered`), which a long transaction can hold back: that is where the next one starts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.salesforce import failures, soql
from integrations.providers.salesforce.ids import to_18
from integrations.providers.salesforce.schema import data_path, json_object

LONGEST = timedelta(days=30)
LOG_KEPT = timedelta(days=15) - timedelta(minutes=5)
SHORTEST = timedelta(minutes=2)
"""Seconds are ignored, and less than a minute is refused."""


@dataclass(frozen=True, slots=True)
class Span:
    """What an answer told. `covered` is where to start the next time."""

    ids: tuple[tuple[str, datetime | None], ...]
    """(id, moment of the deletion)"""
    covered: datetime


class Replication:
    def __init__(self, api: Api) -> None:
        self._api = api

    def updated(self, object_type: str, start: datetime, end: datetime) -> Iterator[Span]:
        """Ids of records made or changed, from oldest to newest span. Raises Stale for a start before the organisation's."""
        return self._spans(object_type, "updated", start, end)

    def deleted(self, object_type: str, start: datetime, end: datetime) -> Iterator[Span]:
        """Ids of records deleted, also for good. Of a longer past than the log keeps only its last fifteen days are told."""
        return self._spans(object_type, "deleted", max(start, end - LOG_KEPT), end)

    def _spans(self, object_type: str, what: str, start: datetime, end: datetime) -> Iterator[Span]:
        start = min(start, end - SHORTEST)
        width = LONGEST
        while end - start >= SHORTEST:
            until = min(end, start + width)
            try:
                span = self._ask(object_type, what, start, until)
            except errors.Stale as error:
                if error.cause != failures.TOO_MANY_IDS or width < 2 * SHORTEST:
                    raise
                width = min(width, until - start) / 2
                continue
            yield span
            if span.covered <= start:
                return
            start = span.covered

    def _ask(self, object_type: str, what: str, start: datetime, end: datetime) -> Span:
        path = data_path(f"/sobjects/{soql.name(object_type)}/{what}/")
        params = {"start": _moment(start), "end": _moment(end)}
        body = json_object(self._api.request("GET", path, params=params))
        return Span(tuple(_ids(body)), datetime.fromisoformat(body["latestDateCovered"]).astimezone(UTC))


def _ids(body: dict[str, Any]) -> Iterator[tuple[str, datetime | None]]:
    for record_id in body.get("ids") or ():
        yield to_18(str(record_id)), None
    for row in body.get("deletedRecords") or ():
        yield to_18(str(row["id"])), datetime.fromisoformat(row["deletedDate"]).astimezone(UTC)


def _moment(value: datetime) -> str:
    """A plus sign that is not encoded would arrive as a space; the HTTP library encodes it."""
    return value.astimezone(UTC).replace(microsecond=0).isoformat()
