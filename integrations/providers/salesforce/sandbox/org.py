"""The organisation's records: what is stored, what the user may see of it, and the indexes that keep look-ups quick.

A change of a person can be committed late (dial `late_commit`): its stamp is the moment of writing, it is seen later.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from integrations.providers.salesforce.ids import checksum
from integrations.providers.salesforce.sandbox.objects import (
    ACTIVITIES,
    BY_PREFIX,
    METADATA_TYPES,
    OBJECTS,
    PREFIXES,
    TOOLING,
    Field,
)
from integrations.providers.salesforce.sandbox.soql import stamp
from integrations.sandbox.clock import Clock
from integrations.sandbox.store import Document, Store

PENDING = "_pending"
HIDDEN = "_hidden"
"""Documents {"object", "field"}: standard fields that the integration user may not see."""
INDEXED: Mapping[str, tuple[str, ...]] = {
    "Task": ("CallObject", "Dialer_Call_Id__c", "WhoId"),
    "User": ("Email", "Username"),
}
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Org:
    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self._index: dict[tuple[str, str], dict[str, dict[str, None]]] = {}
        for object_type, names in INDEXED.items():
            for name in names:
                self._index[object_type, name] = defaultdict(dict)
            for row in store.all(object_type):
                self._remember(object_type, row)

    # --- records ------------------------------------------------------------------------------------------------------

    def now(self) -> str:
        return stamp(self.clock.now())

    def new_id(self, object_type: str) -> str:
        number = self.store.next_number(object_type, start=1_000)
        tail = ""
        while number:
            number, digit = divmod(number, 62)
            tail = _DIGITS[digit] + tail
        first_15 = PREFIXES[object_type] + "Hs" + tail.rjust(10, "0")
        return first_15 + checksum(first_15)

    def get(self, record_id: str) -> Document | None:
        """By id alone, as a lookup field has it."""
        object_type = BY_PREFIX.get(record_id[:3], "")
        return self.store.get(object_type, record_id) if object_type else None

    def save(self, object_type: str, row: Document, *, seen_after: float = 0) -> None:
        if seen_after:
            document = {"object": object_type, "row": row, "at": self.clock.timestamp() + seen_after}
            self.store.put(PENDING, row["Id"], document)
            return
        self._forget(object_type, row["Id"])
        self.store.put(object_type, row["Id"], row)
        self._remember(object_type, row)

    def commit_due(self) -> None:
        """Late changes whose time has come are seen from now on."""
        if not self.store.count(PENDING):
            return
        for late in list(self.store.all(PENDING)):
            if late["at"] <= self.clock.timestamp():
                self.store.delete(PENDING, late["row"]["Id"])
                self.save(late["object"], late["row"])

    def indexed(self, object_type: str, name: str) -> bool:
        return (object_type, name) in self._index

    def with_value(self, object_type: str, name: str, value: str) -> list[str]:
        """Ids of the records whose indexed field has this value, whatever its case."""
        return list(self._index[object_type, name].get(value.lower(), ()))

    def _remember(self, object_type: str, row: Document) -> None:
        for name in INDEXED.get(object_type, ()):
            if row.get(name):
                self._index[object_type, name][str(row[name]).lower()][row["Id"]] = None

    def _forget(self, object_type: str, record_id: str) -> None:
        row = self.store.get(object_type, record_id)
        for name in INDEXED.get(object_type, ()) if row else ():
            if row and row.get(name):
                self._index[object_type, name][str(row[name]).lower()].pop(record_id, None)

    # --- what there is to see -----------------------------------------------------------------------------------------

    def fields(self, object_type: str) -> dict[str, Field]:
        """All fields, also those that the integration user can't see."""
        standard = OBJECTS.get(object_type) or TOOLING.get(object_type) or ()
        return {field.name: field for field in (*standard, *self._custom(object_type))}

    def visible(self, object_type: str, user_id: str) -> dict[str, Field]:
        """Field-level security: a custom field is seen only where an assigned permission set grants it."""
        granted = self._granted(user_id)
        hidden = {row["field"] for row in self.store.all(HIDDEN) if row["object"] == object_type}
        return {
            name: field
            for name, field in self.fields(object_type).items()
            if name not in hidden and (not field.custom or f"{object_type}.{name}" in granted)
        }

    def _custom(self, object_type: str) -> Iterator[Field]:
        host = "Activity" if object_type in ACTIVITIES else object_type
        for row in self.store.all("CustomField"):
            if row["TableEnumOrId"] == host and row["visible_from"] <= self.clock.timestamp():
                yield custom_field(f"{row['DeveloperName']}__c", row["Metadata"])

    def _granted(self, user_id: str) -> set[str]:
        sets = {
            row["PermissionSetId"] for row in self.store.all("PermissionSetAssignment") if row["AssigneeId"] == user_id
        }
        return {
            row["Field"]
            for row in self.store.all("FieldPermissions")
            if row["ParentId"] in sets and row.get("PermissionsRead")
        }


def custom_field(name: str, metadata: Mapping[str, Any]) -> Field:
    return Field(
        name,
        METADATA_TYPES[metadata["type"]],
        int(metadata.get("length") or (255 if metadata["type"] == "Url" else 0)),
        default=False if metadata["type"] == "Checkbox" else None,
        unique=bool(metadata.get("unique")),
        external=bool(metadata.get("externalId")),
    )
