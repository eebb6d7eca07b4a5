"""The routes of HubSpot's objects, the same for contacts, companies, deals and calls. Ids and values are text everywhere."""

from collections.abc import Mapping, Sequence
from typing import Any

import requests

from integrations.contract.ports import Api
from integrations.providers.hubspot.answers import body_of
from integrations.providers.hubspot.endpoints import path

LIST_PAGE = 100
SEARCH_PAGE = 200
BATCH = 100
"""The most that HubSpot gives or takes in one request."""

Record = dict[str, Any]


class Objects:
    """What creates is never repeated by the transport; everything else may be."""

    def __init__(self, api: Api) -> None:
        self._api = api

    # --- one record -------------------------------------------------------------------------------------------------

    def read(
        self,
        object_type: str,
        record_id: str,
        names: Sequence[str],
        *,
        id_property: str = "",
        archived: bool = False,
        associations: Sequence[str] = (),
    ) -> Record:
        """With `id_property` the id is that unique property's value. The id of a merged record leads to the surviving one."""
        params: dict[str, str] = {"properties": ",".join(names), "archived": _word(archived)}
        if id_property:
            params["idProperty"] = id_property
        if associations:
            params["associations"] = ",".join(associations)
        return body_of(self._api.request("GET", path("object", type=object_type, id=record_id), params=params))

    def create(
        self, object_type: str, properties: Mapping[str, str], associations: Sequence[Mapping[str, Any]] = ()
    ) -> Record:
        order = {"properties": dict(properties), "associations": list(associations)}
        return body_of(self._api.request("POST", path("objects", type=object_type), json=order))

    def update(
        self, object_type: str, record_id: str, properties: Mapping[str, str], *, id_property: str = ""
    ) -> Record:
        """The answer's id differs from the one asked for when that record was merged into another."""
        address = path("object", type=object_type, id=record_id)
        params = {"idProperty": id_property} if id_property else {}
        order = {"properties": dict(properties)}
        return body_of(self._api.request("PATCH", address, params=params, json=order, repeatable=True))

    def archive(self, object_type: str, record_id: str) -> None:
        """To the recycle bin for 90 days; a record that is there already stays there."""
        self._api.request("DELETE", path("object", type=object_type, id=record_id), repeatable=True)

    def erase(self, object_type: str, value: str, *, id_property: str = "") -> None:
        """Deletes for good, for privacy: nobody can take it back."""
        order = {"objectId": value, **({"idProperty": id_property} if id_property else {})}
        self._api.request("POST", path("erase", type=object_type), json=order, repeatable=True)

    def merge(self, object_type: str, winner: str, loser: str) -> Record:
        """The surviving record, which may have a new id."""
        order = {"primaryObjectId": winner, "objectIdToMerge": loser}
        return body_of(self._api.request("POST", path("merge", type=object_type), json=order))

    # --- many -------------------------------------------------------------------------------------------------------

    def page(
        self,
        object_type: str,
        names: Sequence[str],
        *,
        after: str = "",
        archived: bool = False,
        associations: Sequence[str] = (),
    ) -> requests.Response:
        """A hundred records of the list, which has no ceiling and is up to date."""
        params: dict[str, str | int] = {"limit": LIST_PAGE, "properties": ",".join(names)}
        if archived:
            params["archived"] = _word(archived)
        if associations:
            params["associations"] = ",".join(associations)
        if after:
            params["after"] = after
        return self._api.request("GET", path("objects", type=object_type), params=params)

    def search(self, object_type: str, query: Mapping[str, Any]) -> requests.Response:
        """Sees a change after a while only, shows no more than 10,000 records, and nothing that is archived."""
        return self._api.request("POST", path("search", type=object_type), json=dict(query), repeatable=True)

    def batch_read(
        self,
        object_type: str,
        ids: Sequence[str],
        names: Sequence[str],
        *,
        id_property: str = "",
        archived: bool = False,
    ) -> dict[str, Any]:
        """The whole answer: `errors` beside `results` says which of at most 100 records there are not."""
        order: dict[str, Any] = {"properties": list(names), "inputs": [{"id": one} for one in ids]}
        if id_property:
            order["idProperty"] = id_property
        address, params = path("batch", type=object_type, action="read"), {"archived": _word(archived)}
        return body_of(self._api.request("POST", address, params=params, json=order, repeatable=True))

    def batch(
        self, object_type: str, action: str, inputs: Sequence[Mapping[str, Any]], *, accept: Sequence[int] = ()
    ) -> requests.Response:
        """`action` is create, update, upsert or archive; at most 100 inputs, no two of which may mean one record."""
        return self._api.request(
            "POST",
            path("batch", type=object_type, action=action),
            json={"inputs": list(inputs)},
            repeatable=action != "create",
            accept=accept,
        )


def _word(flag: bool) -> str:
    return str(flag).lower()
