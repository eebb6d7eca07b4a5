"""The resources of the REST API: what there is, single records, and queries page by page.

An update says nothing of what it does not name. A conditional write names a moment, to the second; a record that changed
since then answers 412, which is raised as Stale. An external id that several records hold answers 300, raised as FixData.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.salesforce import failures, soql
from integrations.providers.salesforce.ids import to_18
from integrations.providers.salesforce.schema import data_path, id_of, json_object
from integrations.transport.classify import json_of

WRITE_HEADERS: Mapping[str, str] = {
    # Otherwise every write of a lead runs the assignment rules, which may give it to somebody else.
    "Sforce-Auto-Assign": "FALSE",
    # Names us in the change events that our own writes cause.
    "Sforce-Call-Options": "client=DialerSync",
}
SAVE_DUPLICATES: Mapping[str, str] = {
    "Sforce-Duplicate-Rule-Header": "allowSave=true; includeRecordDetails=false; runAsCurrentUser=true"
}
"""Overrides duplicate rules that only warn; those that block stay."""


class Rest:
    def __init__(self, api: Api) -> None:
        self._api = api

    def versions(self) -> list[str]:
        """The API versions of this organisation, oldest first, as they stand in addresses: `v59.0`."""
        found = json_of(self._api.request("GET", "/services/data"))
        listed = found if isinstance(found, list) else []
        return sorted((f"v{one['version']}" for one in listed), key=lambda name: float(name[1:]))

    def limits(self) -> dict[str, Any]:
        """Name → {"Max", "Remaining"}. The figures lag behind by some minutes."""
        return json_object(self._api.request("GET", data_path("/limits")))

    def objects(self) -> dict[str, Mapping[str, Any]]:
        """Every object that the user may see, by name, with what may be done with it (`queryable`, `createable`, …)."""
        body = json_object(self._api.request("GET", data_path("/sobjects")))
        return {str(one.get("name")): one for one in body.get("sobjects") or ()}

    # --- single records -----------------------------------------------------------------------------------------------

    def get(self, object_type: str, record_id: str, fields: Sequence[str] = ()) -> dict[str, Any]:
        """All fields that the user may see, or these. Raises Gone."""
        params = {"fields": ",".join(map(soql.name, fields))} if fields else {}
        return json_object(self._api.request("GET", record_path(object_type, record_id), params=params))

    def create(self, object_type: str, values: Mapping[str, Any], *, headers: Mapping[str, str] | None = None) -> str:
        """The id of the new record. Not repeatable: a lost answer raises OutcomeUnknown."""
        path = data_path(f"/sobjects/{soql.name(object_type)}")
        response = self._api.request("POST", path, json=dict(values), headers=headers, repeatable=False)
        return id_of(json_object(response), "id")

    def update(
        self,
        object_type: str,
        record_id: str,
        values: Mapping[str, Any],
        *,
        unmodified_since: datetime | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """None as a value clears. Raises Stale when the record changed after `unmodified_since`."""
        self._api.request(
            "PATCH",
            record_path(object_type, record_id),
            json=dict(values),
            headers={**(headers or {}), **_condition(unmodified_since)},
            repeatable=unmodified_since is None,
        )

    def delete(self, object_type: str, record_id: str, *, unmodified_since: datetime | None = None) -> None:
        """To the recycle bin. Raises Gone for one that is there already."""
        path = record_path(object_type, record_id)
        self._api.request("DELETE", path, headers=_condition(unmodified_since), repeatable=True)

    def upsert(self, object_type: str, key_field: str, key: str, values: Mapping[str, Any]) -> tuple[str, bool]:
        """The record's id, empty where an old version answers an update with nothing, and whether it was made."""
        path = data_path(f"/sobjects/{soql.name(object_type)}/{soql.name(key_field)}/{quote(key, safe='')}")
        response = self._api.request("PATCH", path, json=dict(values), repeatable=True)
        if response.status_code == 204:
            return "", False
        body = json_object(response)
        return id_of(body, "id"), bool(body.get("created", response.status_code == 201))

    # --- queries ------------------------------------------------------------------------------------------------------

    def page(self, query: str, *, deleted: bool = False) -> dict[str, Any]:
        """The first page of an answer; `deleted` includes the recycle bin, archived rows and losers of merges."""
        path = data_path("/queryAll" if deleted else "/query")
        return json_object(self._api.request("GET", path, params={"q": query}))

    def more(self, locator: str) -> dict[str, Any]:
        """The page behind a locator of `next_page`. Raises Stale once the service has forgotten it."""
        return json_object(self._api.request("GET", locator))

    def rows(self, query: str, *, deleted: bool = False) -> Iterator[Mapping[str, Any]]:
        """Every row, page after page. Raises Stale when it is read so slowly that the service forgets its place."""
        body, locator = self.page(query, deleted=deleted), ""
        while True:
            yield from body.get("records") or ()
            if body.get("done", True):
                return
            locator = next_page(body, locator)
            body = self.more(locator)

    def ids(self, object_type: str) -> Iterator[list[str]]:
        """Pages of every id. A forgotten place is found again behind the last id."""
        last, body, locator = "", dict[str, Any](), ""
        while True:
            try:
                body = self.more(locator) if locator else self.page(_ids_after(object_type, last))
            except errors.Stale as error:
                if error.cause != failures.CURSOR_EXPIRED or not locator:
                    raise
                locator = ""
                continue
            found = [to_18(str(row["Id"])) for row in body.get("records") or ()]
            if found:
                yield found
                last = found[-1]
            if body.get("done", True):
                return
            locator = next_page(body, locator)


def record_path(object_type: str, record_id: str) -> str:
    return data_path(f"/sobjects/{soql.name(object_type)}/{soql.checked_id(record_id)}")


def next_page(body: Mapping[str, Any], before: str) -> str:
    """The path to the next page. The service must not send us, and our token, to another host, nor round in circles."""
    path = str(body.get("nextRecordsUrl") or "")
    if not path.startswith("/services/data/") or path == before:
        raise errors.Retry(
            "Salesforce's list has a next page but does not say where. We will try again.",
            detail=path,
            cause="unreadable_answer",
        )
    return path


def _ids_after(object_type: str, last: str) -> str:
    where = [f"Id > {soql.record_id(last)}"] if last else []
    return soql.select(["Id"], object_type, where, ["Id"])


def _condition(moment: datetime | None) -> dict[str, str]:
    return {"If-Unmodified-Since": format_datetime(moment.astimezone(UTC), usegmt=True)} if moment else {}
