"""The fake portal's records: storing, finding, merging, and the search index that lags behind them."""

from bisect import bisect_right, insort
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from integrations.providers.hubspot.sandbox.portal import Portal, RefusalError
from integrations.providers.hubspot.sandbox.schema import Definition, clean, settle
from integrations.sandbox.store import Document

ACTIVITIES = ("calls", "meetings", "tasks")
STAMPS = {
    "contacts": ("createdate", "lastmodifieddate"),
    "companies": ("createdate", "hs_lastmodifieddate"),
    "deals": ("createdate", "hs_lastmodifieddate"),
    **dict.fromkeys(ACTIVITIES, ("hs_createdate", "hs_lastmodifieddate")),
}
DEFAULTS = {
    "contacts": ("createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"),
    "companies": ("createdate", "domain", "hs_lastmodifieddate", "hs_object_id", "name"),
    "deals": (
        *("amount", "closedate", "createdate", "dealname", "dealstage", "hs_lastmodifieddate", "hs_object_id"),
        "pipeline",
    ),
    **dict.fromkeys(ACTIVITIES, ("hs_createdate", "hs_lastmodifieddate", "hs_object_id")),
}
"""The properties that come back when none is asked for."""
FIRST_ID = 20_001
BY_API, BY_HAND, BY_CALCULATION, SILENT = "INTEGRATION", "CRM_UI", "CALCULATED", ""
"""Who makes a change, in HubSpot's words for it. What happened before anybody looked is told to nobody."""


class Records(Portal):
    """Derived tables live in memory and are rebuilt from the store on start."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.order: defaultdict[str, list[int]] = defaultdict(list)
        self.indexed: defaultdict[str, dict[str, dict[str, str]]] = defaultdict(dict)
        self.links: defaultdict[tuple[str, str], defaultdict[str, dict[str, list[int]]]] = defaultdict(
            lambda: defaultdict(dict)
        )
        self.source = BY_API
        self._owners_of_value: dict[tuple[str, str, str], str] = {}
        self._unindexed: deque[tuple[float, Document]] = deque()
        self._definitions: defaultdict[str, dict[str, Definition]] = defaultdict(dict)
        self.owner_ids: set[str] = set()

    def changed(
        self, object_type: str, ids: Sequence[str], change: str, properties: Mapping[str, Any], source: str
    ) -> None:
        """Called after every change of the account's data, for those who tell others of it.

        `change` is creation, propertyChange (`properties`: the new values), deletion, restore, privacyDeletion, merge (`ids`:
        the surviving record, then those merged into it) or associationChange (`properties`: both ends, as a webhook has them).
        """

    @contextmanager
    def by(self, source: str) -> Iterator[None]:
        """Whatever changes inside was done by `source`."""
        before, self.source = self.source, source
        try:
            yield
        finally:
            self.source = before

    def tell(self, object_type: str, ids: Sequence[str], change: str, properties: Mapping[str, Any]) -> None:
        if self.source != SILENT:
            self.changed(object_type, ids, change, properties, self.source)

    def rebuild(self) -> None:
        for definition in self.store.all("properties"):
            self.learn(definition["object"], definition["definition"])
        self.owner_ids = {owner["id"] for owner in self.store.all("owners") if not owner["archived"]}
        for kind in STAMPS:
            for document in self.store.all(kind):
                self._derive(document)
                self._index(document)
        for link in self.store.all("links"):
            self.links[link["kind"], link["id"]][link["other"]][link["other_id"]] = link["types"]

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
        if new and kind in ACTIVITIES and not cleaned.get("hs_timestamp"):
            raise RefusalError(
                400,
                f"Error creating {kind.removesuffix('s').upper()}. Some required properties were not set.",
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
        settled = settle(self._definitions[kind], {}, cleaned)
        properties = {name: value for name, value in settled.items() if value}
        document: Document = {
            "kind": kind,
            "id": record_id,
            "properties": {**properties, "hs_object_id": record_id, created: stamp, modified: stamp},
            "createdAt": stamp,
            "updatedAt": stamp,
            "archived": False,
        }
        kept = self._keep(document, indexed=indexed)
        self.tell(kind, [record_id], "creation", properties)
        return kept

    def change(self, document: Document, cleaned: Mapping[str, str], **parts: Any) -> Document:
        """Writes properties, an empty value clearing one, and moves the modified date, as any write does."""
        kind, stamp = document["kind"], self.stamp()
        before = document["properties"]
        settled = settle(self._definitions[kind], before, cleaned)
        properties = {**before, **settled, STAMPS[kind][1]: stamp}
        kept = {name: value for name, value in properties.items() if value != ""}
        changed = self._keep({**document, **parts, "properties": kept, "updatedAt": stamp})
        told = {name: value for name, value in settled.items() if value != before.get(name, "")}
        if told:
            self.tell(kind, [document["id"]], "propertyChange", told)
        return changed

    def archive(self, document: Document) -> None:
        self.change(document, {}, archived=True, archivedAt=self.stamp())
        self.tell(document["kind"], [document["id"]], "deletion", {})

    def restore(self, kind: str, record_id: str) -> None:
        """Somebody takes a record out of the recycle bin, which only HubSpot's pages can do."""
        document = self.store.get(kind, record_id)
        if document is None or not document["archived"]:
            raise KeyError(record_id)
        with self.by(BY_HAND):
            self.change(document, {}, archived=False)
            self.tell(kind, [record_id], "restore", {})

    def erase(self, document: Document) -> None:
        """Deletes for good, for privacy. A search may still show the record for a while, empty-handed."""
        kind, record_id = document["kind"], document["id"]
        self._forget_values(document)
        self.store.delete(kind, record_id)
        self.indexed[kind].pop(record_id, None)
        self.tell(kind, [record_id], "privacyDeletion", {})
        self.tell(kind, [record_id], "deletion", {})

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
            for name, value in self._unique_values(document):
                self._owners_of_value[kind, name, value] = document["id"]

    def _forget_values(self, document: Document) -> None:
        for name, value in self._unique_values(document):
            self._owners_of_value.pop((document["kind"], name, value), None)

    def _unique_values(self, document: Document) -> Iterator[tuple[str, str]]:
        """A contact is known by its further addresses, too."""
        properties = document["properties"]
        for name in self.unique_names(document["kind"]):
            if properties.get(name):
                yield name, _folded(name, properties[name])
        for address in filter(None, properties.get("hs_additional_emails", "").split(";")):
            yield "email", _folded("email", address)

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
        sparse = any(dial.kind == "sparse" for dial in self.faults.dials)
        return {
            "id": document["id"],
            "properties": {name: values.get(name) for name in wanted if name in values or not sparse},
            "createdAt": document["createdAt"],
            "updatedAt": values[STAMPS[kind][1]],
            "archived": document["archived"],
            **({"archivedAt": document["archivedAt"]} if document["archived"] else {}),
        }


def _folded(name: str, value: str) -> str:
    return value.strip().lower() if name == "email" else value
