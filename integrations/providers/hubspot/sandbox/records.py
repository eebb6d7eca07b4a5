"""The fake portal's records: storing, finding, merging, and the search index that lags behind them."""

from bisect import bisect_right, insort
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from typing import Any

from integrations.providers.hubspot.sandbox.portal import Portal, RefusalError
from integrations.providers.hubspot.sandbox.schema import Definition, clean
from integrations.sandbox.store import Document

STAMPS = {"contacts": ("createdate", "lastmodifieddate"), "calls": ("hs_createdate", "hs_lastmodifieddate")}
DEFAULTS = {
    "contacts": ("createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"),
    "calls": ("hs_createdate", "hs_lastmodifieddate", "hs_object_id"),
}
"""The properties that come back when none is asked for."""
FIRST_ID = 20_001


class Records(Portal):
    """Derived tables live in memory and are rebuilt from the store on start."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.order: defaultdict[str, list[int]] = defaultdict(list)
        self.indexed: defaultdict[str, dict[str, dict[str, str]]] = defaultdict(dict)
        self.calls_of: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._owners_of_value: dict[tuple[str, str, str], str] = {}
        self._unindexed: deque[tuple[float, Document]] = deque()
        self._definitions: defaultdict[str, dict[str, Definition]] = defaultdict(dict)
        self.owner_ids: set[str] = set()

    def rebuild(self) -> None:
        for definition in self.store.all("properties"):
            self.learn(definition["object"], definition["definition"])
        self.owner_ids = {owner["id"] for owner in self.store.all("owners") if not owner["archived"]}
        for kind in STAMPS:
            for document in self.store.all(kind):
                self._derive(document)
                self._index(document)

    # --- properties -------------------------------------------------------------------------------------------------

    def learn(self, kind: str, definition: Definition) -> None:
        self._definitions[kind][definition["name"]] = definition

    def definitions(self, kind: str) -> dict[str, Definition]:
        return self._definitions[kind]

    def unique_names(self, kind: str) -> list[str]:
        own = [name for name, definition in self._definitions[kind].items() if definition["hasUniqueValue"]]
        return [*own, "email"] if kind == "contacts" else own

    # --- finding ----------------------------------------------------------------------------------------------------

    def find(self, kind: str, value: str, id_property: str = "", *, archived: bool = False) -> Document | None:
        if id_property and id_property != "hs_object_id":
            if id_property not in self.unique_names(kind):
                raise RefusalError(400, f"Property '{id_property}' is not a unique property of {kind}")
            value = self._owners_of_value.get((kind, id_property, _folded(id_property, value)), "")
        document = self.store.get(kind, value)
        if document is None or document["archived"] != archived or document.get("merged_into"):
            return None
        return document

    def winner(self, kind: str, record_id: str) -> str:
        """Follows merges, as HubSpot does for a single read or update."""
        document = self.store.get(kind, record_id)
        while document is not None and document.get("merged_into"):
            record_id = document["merged_into"]
            document = self.store.get(kind, record_id)
        return record_id

    def missing(self, kind: str, *ids: str) -> RefusalError:
        message = (
            f"Could not get some {kind.upper()} objects, they may be deleted or not exist. Check that ids are valid."
        )
        return RefusalError(404, message, "OBJECT_NOT_FOUND", context={"ids": list(ids)})

    def after_id(self, kind: str, last: int) -> Iterator[str]:
        ids = self.order[kind]
        return (str(ids[place]) for place in range(bisect_right(ids, last), len(ids)))

    # --- writing ----------------------------------------------------------------------------------------------------

    def check(self, kind: str, values: Any, *, new: bool, own_id: str = "") -> dict[str, str]:
        """The values to store; raises what HubSpot would refuse."""
        cleaned = clean(self._definitions[kind], values, self.owner_ids)
        if new and kind == "calls" and not cleaned.get("hs_timestamp"):
            raise RefusalError(
                400,
                "Error creating CALL. Some required properties were not set.",
                context={"properties": ["hs_timestamp"]},
            )
        for name in self.unique_names(kind):
            holder = self._owners_of_value.get((kind, name, _folded(name, cleaned.get(name, ""))))
            if cleaned.get(name) and holder not in {None, own_id}:
                if name == "email":
                    raise RefusalError(409, f"Contact already exists. Existing ID: {holder}", "CONFLICT")
                message = f"Cannot set PropertyValueCoordinates: {holder} already has that value for {name}"
                raise RefusalError(400, message, context={"propertyName": [name]})
        return cleaned

    def create(self, kind: str, cleaned: Mapping[str, str], *, stamp: str = "", indexed: bool = False) -> Document:
        record_id = str(self.store.next_number("record_id", FIRST_ID))
        stamp = stamp or self.stamp()
        created, modified = STAMPS[kind]
        properties = {name: value for name, value in cleaned.items() if value}
        document: Document = {
            "kind": kind,
            "id": record_id,
            "properties": {**properties, "hs_object_id": record_id, created: stamp, modified: stamp},
            "createdAt": stamp,
            "updatedAt": stamp,
            "archived": False,
            "associations": {"contacts": []} if kind == "calls" else {},
        }
        return self._keep(document, indexed=indexed)

    def change(self, document: Document, cleaned: Mapping[str, str], **parts: Any) -> Document:
        """Writes properties, an empty value clearing one, and moves the modified date, as any write does."""
        kind, stamp = document["kind"], self.stamp()
        properties = {**document["properties"], **cleaned, STAMPS[kind][1]: stamp}
        kept = {name: value for name, value in properties.items() if value != ""}
        return self._keep({**document, **parts, "properties": kept, "updatedAt": stamp})

    def _keep(self, document: Document, *, indexed: bool = False) -> Document:
        before = self.store.get(document["kind"], document["id"])
        if before is not None:
            self._forget_values(before)
        self.store.put(document["kind"], document["id"], document)
        self._derive(document)
        if indexed:
            self._index(document)
        else:
            self._unindexed.append((self.clock.timestamp() + self.index_lag, document))
        return document

    def _derive(self, document: Document) -> None:
        kind, number = document["kind"], int(document["id"])
        ids = self.order[kind]
        if not ids or number > ids[-1]:
            ids.append(number)
        elif ids[bisect_right(ids, number) - 1] != number:
            insort(ids, number)
        if not document["archived"] and not document.get("merged_into"):
            for name in self.unique_names(kind):
                value = document["properties"].get(name)
                if value:
                    self._owners_of_value[kind, name, _folded(name, value)] = document["id"]
        for contact in document["associations"].get("contacts", ()):
            self.calls_of[contact][document["id"]] = None

    def _forget_values(self, document: Document) -> None:
        for name in self.unique_names(document["kind"]):
            value = document["properties"].get(name)
            if value:
                self._owners_of_value.pop((document["kind"], name, _folded(name, value)), None)

    # --- the lagging index ------------------------------------------------------------------------------------------

    def catch_up(self) -> None:
        """Takes in what is old enough; newer changes stay invisible to a search."""
        while self._unindexed and self._unindexed[0][0] <= self.clock.timestamp():
            self._index(self._unindexed.popleft()[1])

    def _index(self, document: Document) -> None:
        if document["archived"] or document.get("merged_into"):
            self.indexed[document["kind"]].pop(document["id"], None)
        else:
            self.indexed[document["kind"]][document["id"]] = document["properties"]

    # --- showing ----------------------------------------------------------------------------------------------------

    def show(self, document: Document, names: list[str], properties: Mapping[str, str] | None = None) -> dict[str, Any]:
        """A record with the properties asked for; unknown names are left out, empty values are null."""
        kind = document["kind"]
        values = document["properties"] if properties is None else properties
        wanted = [name for name in names if name in self._definitions[kind]] if names else DEFAULTS[kind]
        return {
            "id": document["id"],
            "properties": {name: values.get(name) for name in wanted},
            "createdAt": document["createdAt"],
            "updatedAt": values[STAMPS[kind][1]],
            "archived": document["archived"],
            **({"archivedAt": document["archivedAt"]} if document["archived"] else {}),
        }


def _folded(name: str, value: str) -> str:
    return value.strip().lower() if name == "email" else value
