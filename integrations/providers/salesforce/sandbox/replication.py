"""What changed and what went, by time: getUpdated and getDeleted, whose log outlives the recycle bin's rows."""

from datetime import UTC, datetime, timedelta
from typing import Any

from integrations.providers.salesforce.sandbox.base import DATA, Counter
from integrations.providers.salesforce.sandbox.org import DELETED
from integrations.providers.salesforce.sandbox.refused import Refused
from integrations.providers.salesforce.sandbox.soql import stamp
from integrations.sandbox.http import Answer, Request, route

LONGEST = timedelta(days=30)
KEPT = timedelta(days=15)
SHORTEST = timedelta(minutes=1)


class Replication(Counter):
    most_ids = 600_000

    @route("GET", f"{DATA}/sobjects/{{object_type}}/updated")
    def updated(self, request: Request, object_type: str, **_: str) -> Answer:
        begin, end = self._range(request, object_type)
        rows = [row for row in self.store.all(object_type) if begin <= row.get("SystemModstamp", "") < end]
        ids = [row["Id"] for row in rows if not row.get("IsDeleted")]
        self._check_count(len(ids))
        return Answer(200, {"ids": ids, "latestDateCovered": end})

    @route("GET", f"{DATA}/sobjects/{{object_type}}/deleted")
    def deleted(self, request: Request, object_type: str, **_: str) -> Answer:
        begin, end = self._range(request, object_type)
        oldest = stamp(self.clock.now() - KEPT)
        if begin < oldest:
            raise Refused("INVALID_REPLICATION_DATE", f"startDate before the earliest date available: {oldest}")
        found = [row for row in self.store.all(DELETED) if row["object"] == object_type and begin <= row["at"] < end]
        self._check_count(len(found))
        body: dict[str, Any] = {
            "deletedRecords": [{"id": row["id"], "deletedDate": row["at"]} for row in found],
            "earliestDateAvailable": oldest,
            "latestDateCovered": end,
        }
        return Answer(200, body)

    def _range(self, request: Request, object_type: str) -> tuple[str, str]:
        """Seconds are ignored, as the real one does."""
        self._visible(object_type)
        begin, end = (_minute(request.arg(name)) for name in ("start", "end"))
        if end > self.clock.now() + SHORTEST:
            raise Refused("INVALID_REPLICATION_DATE", "endDate is in the future")
        if end - begin < SHORTEST:
            raise Refused("INVALID_REPLICATION_DATE", "startDate must be at least one minute before endDate")
        if end - begin > LONGEST:
            raise Refused("INVALID_REPLICATION_DATE", "the range can't be longer than 30 days")
        return stamp(begin), stamp(end)

    def _check_count(self, count: int) -> None:
        if count > self.most_ids:
            raise Refused("EXCEEDED_ID_LIMIT", f"too many ids: {count}")


def _minute(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Refused("INVALID_REPLICATION_DATE", f"not a date-time: {text}") from error
    if moment.tzinfo is None:
        raise Refused("INVALID_REPLICATION_DATE", f"no time zone: {text}")
    return moment.astimezone(UTC).replace(second=0, microsecond=0)
