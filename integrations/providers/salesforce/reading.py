"""Reads records: by window of change time, and by id.

A row is stamped when it is written and seen when it is committed, so a long transaction appears behind a cursor that
has passed it. A window therefore begins ten minutes before the last one ended, and ends a little before the service's
own clock. Within a window rows are ordered by stamp and id, which is where reading goes on when the service has
forgotten its own place in the list (it keeps that for two days).

A record that an ordinary query does not find may be deleted, merged away or hidden: the recycle bin is asked before it counts
as missing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.salesforce import failures, heirs, soql
from integrations.providers.salesforce.ids import is_id, to_18
from integrations.providers.salesforce.rest import Rest, next_page
from integrations.providers.salesforce.schema import Schemas
from integrations.records.remote import ChangePage, Cursor, Fetched, RemoteRecord

OVERLAP = timedelta(minutes=10)
LAG = timedelta(seconds=2)
ORDER = ("SystemModstamp", "Id")
# Read beside the mapped fields: who they are, and whether they may still be dialled.
OWN_FIELDS = ("Id", "SystemModstamp", "IsDeleted", "MasterRecordId", "IsConverted", "ConvertedContactId")


@dataclass(frozen=True, slots=True)
class Window:
    """Where reading stands. `since` None is the whole object, `after` the last row read, `locator` the way on."""

    since: datetime | None
    until: datetime
    after: tuple[datetime, str] | None = None
    locator: str = ""

    @classmethod
    def from_cursor(cls, cursor: Cursor | None, server_now: datetime) -> "Window":
        until = server_now - LAG
        if not cursor:
            return cls(None, until)
        ended = _time(cursor["until"])
        if "after" not in cursor:
            return cls(ended, max(until, ended))
        stamp, last_id = cursor["after"]
        since = _time(cursor["since"]) if cursor["since"] else None
        return cls(since, ended, (_time(stamp), str(last_id)), str(cursor.get("locator") or ""))

    def cursor(self) -> Cursor:
        """Resumes behind `after`; without it, begins the next window."""
        until = self.until.isoformat()
        if self.after is None:
            return {"until": until}
        stamp, last_id = self.after
        since = self.since.isoformat() if self.since else None
        return {"since": since, "until": until, "after": [stamp.isoformat(), last_id], "locator": self.locator}

    def conditions(self) -> list[str]:
        found = [f"SystemModstamp < {soql.moment(self.until)}"]
        if self.after is not None:
            stamp = soql.moment(self.after[0])
            last_id = soql.record_id(self.after[1])
            found.append(f"(SystemModstamp > {stamp} OR (SystemModstamp = {stamp} AND Id > {last_id}))")
        elif self.since is not None:
            found.append(f"SystemModstamp >= {soql.moment(self.since - OVERLAP)}")
        return found


class Reader:
    def __init__(self, api: Api, schemas: Schemas, record_url: Callable[[str, str], str]) -> None:
        self._api = api
        self._rest = Rest(api)
        self._schemas = schemas
        self._record_url = record_url

    def changes(self, object_type: str, cursor: Cursor | None, paths: Sequence[str]) -> Iterator[ChangePage]:
        schema = self._schemas.get(object_type, fresh=True)
        window = Window.from_cursor(cursor, self._server_time())
        while True:
            body = self._page(object_type, window, schema.known([*OWN_FIELDS, *schema.mapped(paths)]))
            records = [self._record(object_type, row) for row in body.get("records") or ()]
            if body.get("done", True):
                yield ChangePage(records, replace(window, after=None).cursor(), body.get("totalSize"), last=True)
                return
            window = replace(window, locator=next_page(body, window.locator))
            if records:
                window = replace(window, after=(records[-1].modified_at, records[-1].id))
                yield ChangePage(records, window.cursor(), body.get("totalSize"))

    def fetch(self, object_type: str, ids: Sequence[str], paths: Sequence[str]) -> Fetched:
        """Deleted records come too, marked, with the heir of a merge; what is in no recycle bin either is missing."""
        schema = self._schemas.get(object_type)
        fields = schema.known([*OWN_FIELDS, *schema.mapped(paths)])
        wanted = {to_18(record_id): record_id for record_id in ids if is_id(record_id)}
        found = self._by_id(object_type, fields, list(wanted), deleted=False)
        lost = [record_id for record_id in wanted if record_id not in found]
        found |= self._by_id(object_type, fields, lost, deleted=True)
        missing = [record_id for record_id in ids if not is_id(record_id) or to_18(record_id) not in found]
        return Fetched(list(found.values()), missing)

    def query(self, query: str, *, deleted: bool = False) -> Iterator[Mapping[str, Any]]:
        """Every row; `deleted` includes the recycle bin."""
        return self._rest.rows(query, deleted=deleted)

    def query_all(self, query: str) -> Iterator[Mapping[str, Any]]:
        return self._rest.rows(query, deleted=True)

    def _server_time(self) -> datetime:
        return self._schemas.now()

    def _by_id(
        self, object_type: str, fields: Sequence[str], ids: Sequence[str], *, deleted: bool
    ) -> dict[str, RemoteRecord]:
        def by_id(some: Sequence[str]) -> str:
            return soql.select(fields, object_type, [soql.among_ids(some)])

        rows = (row for query in soql.queries(by_id, ids) for row in self.query(query, deleted=deleted))
        records = (self._record(object_type, row) for row in rows)
        return {record.id: record for record in records}

    def _page(self, object_type: str, window: Window, fields: Sequence[str]) -> dict[str, Any]:
        if window.locator:
            try:
                return self._rest.more(window.locator)
            except errors.Stale as error:
                if error.cause != failures.CURSOR_EXPIRED:
                    raise
        # A first load wants what is there; later runs also want to hear what went.
        query = soql.select(fields, object_type, window.conditions(), ORDER)
        return self._rest.page(query, deleted=window.since is not None)

    def _record(self, object_type: str, row: Mapping[str, Any]) -> RemoteRecord:
        record_id = to_18(str(row["Id"]))
        return RemoteRecord(
            object_type=object_type,
            id=record_id,
            fields={key: value for key, value in row.items() if key != "attributes"},
            modified_at=_time(str(row["SystemModstamp"])),
            url=self._record_url(object_type, record_id),
            raw=row,
            deleted=row.get("IsDeleted") is True,
            inactive=row.get("IsConverted") is True,
            moved_to=heirs.heir_of(object_type, row),
        )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
