"""The organisation's records: what is stored, what the user may see of it, and the indexes that keep look-ups quick.

A change of a person can be committed late (dial `late_commit`): its stamp is the moment of writing, it is seen later.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from integrations.providers.salesforce.ids import checksum
from integrations.providers.salesforce.sandbox.objects import (
    ACTIVITIES,
    BY_PREFIX,
    MADE,
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
DELETED = "_deleted"
"""The log of deletions: {"object", "id", "at"}."""
HIDDEN = "_hidden"
"""Documents {"object", "field"}: standard fields that the integration user may not see."""
DENIED = "_denied"
"""Documents {"object", "right"}: what the integration user may not do with standard objects."""
RULES = "_duplicate_rules"
"""Documents {"object", "field", "blocking"}."""
SCHEMA = "_schema"
"""When an object's fields last changed: {"at"}."""
SETUP = ("PermissionSet", "FieldPermissions", "ObjectPermissions", "PermissionSetAssignment")
NAMED = {
    "read": "PermissionsRead",
    "create": "PermissionsCreate",
    "edit": "PermissionsEdit",
    "delete": "PermissionsDelete",
}
INDEXED: Mapping[str, tuple[str, ...]] = {
    "Task": ("CallObject", "Dialer_Call_Id__c", "WhoId"),
    "Lead": ("Email", "Dialer_Contact_Id__c"),
    "Contact": ("Email", "Dialer_Contact_Id__c"),
    "User": ("Email", "Username"),
}
FIRST_SCHEMA = 1_700_000_000.0
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
        prefix = PREFIXES.get(object_type) or self._custom_object(object_type)["Prefix"]
        first_15 = prefix + "Hs" + tail.rjust(10, "0")
        return first_15 + checksum(first_15)

    def type_of(self, record_id: str) -> str:
        """The object type that an id's first characters name, empty for none that we know."""
        prefix = record_id[:3]
        if prefix in BY_PREFIX:
            return BY_PREFIX[prefix]
        made = (row for row in self.store.all("CustomObject") if row["Prefix"] == prefix)
        return next((f"{row['DeveloperName']}__c" for row in made), "")

    def get(self, record_id: str) -> Document | None:
        """A record of any type: the first three characters of an id tell which."""
        return self.store.get(self.type_of(record_id), record_id)

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

    def holding(self, object_type: str, name: str, value: Any, *, any_case: bool = False) -> list[Document]:
        """The records with this value in a field, the deleted ones too."""

        def same(row: Document) -> bool:
            found = row.get(name)
            return bool(str(found or "").lower() == str(value).lower() if any_case else found == value)

        if self.indexed(object_type, name):
            rows = (self.store.get(object_type, key) for key in self.with_value(object_type, name, str(value)))
            return [row for row in rows if row is not None and same(row)]
        return [row for row in self.store.all(object_type) if same(row)]

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

    def object_types(self) -> list[str]:
        return [*OBJECTS, *(f"{row['DeveloperName']}__c" for row in self.store.all("CustomObject"))]

    def may(self, right: str, object_type: str, user_id: str) -> bool:
        """Standard objects are open unless denied; custom ones are closed until a permission set opens them."""
        if object_type in OBJECTS:
            return self.store.get(DENIED, f"{object_type}.{right}") is None
        sets = self.sets_of(user_id)
        return any(
            row["SobjectType"] == object_type and row["ParentId"] in sets and row.get(NAMED[right])
            for row in self.store.all("ObjectPermissions")
        )

    def fields(self, object_type: str) -> dict[str, Field]:
        """All fields, also those that the integration user can't see."""
        standard = OBJECTS.get(object_type) or TOOLING.get(object_type) or ()
        if not standard and self._custom_object(object_type):
            standard = MADE
        return {field.name: field for field in (*standard, *self._custom(object_type))}

    def visible(self, object_type: str, user_id: str) -> dict[str, Field]:
        """Field-level security: a custom field is seen only where an assigned permission set grants it."""
        granted = self._granted(user_id)
        hidden = {row["field"] for row in self.store.all(HIDDEN) if row["object"] == object_type}
        standard = {field.name for field in OBJECTS.get(object_type, ())}
        shown = {}
        for name, field in self.fields(object_type).items():
            if name in hidden:
                continue
            path = f"{object_type}.{name}"
            if name in standard or not field.custom:
                shown[name] = field
            elif path in granted:
                shown[name] = field if granted[path] else replace(field, createable=False, updateable=False)
        return shown

    def schema_changed_at(self, object_type: str) -> float:
        """Seconds since the epoch. Changes of rights are not changes of the schema."""
        host = "Activity" if object_type in ACTIVITIES else object_type
        return float((self.store.get(SCHEMA, host) or {"at": FIRST_SCHEMA})["at"])

    def sets_of(self, user_id: str) -> set[str]:
        """The permission sets that the user has."""
        rows = self.store.all("PermissionSetAssignment")
        return {row["PermissionSetId"] for row in rows if row["AssigneeId"] == user_id and not row.get("IsDeleted")}

    def _custom_object(self, object_type: str) -> Document:
        name = object_type.removesuffix("__c")
        return next((row for row in self.store.all("CustomObject") if row["DeveloperName"] == name), {})

    def _custom(self, object_type: str) -> Iterator[Field]:
        host = "Activity" if object_type in ACTIVITIES else object_type
        for row in self.store.all("CustomField"):
            if row.get("Host", row["TableEnumOrId"]) == host and row["visible_from"] <= self.clock.timestamp():
                yield custom_field(f"{row['DeveloperName']}__c", row["Metadata"])

    def _granted(self, user_id: str) -> dict[str, bool]:
        """Field path → whether it may be edited, too."""
        sets, found = self.sets_of(user_id), dict[str, bool]()
        for row in self.store.all("FieldPermissions"):
            if row["ParentId"] in sets and row.get("PermissionsRead") and not row.get("IsDeleted"):
                found[row["Field"]] = found.get(row["Field"], False) or row.get("PermissionsEdit", True)
        return found


def custom_field(name: str, metadata: Mapping[str, Any]) -> Field:
    kind = METADATA_TYPES[metadata["type"]]
    return Field(
        name,
        kind,
        int(metadata.get("length") or (255 if kind == "url" else 80 if kind == "email" else 0)),
        default=False if metadata["type"] == "Checkbox" else None,
        unique=bool(metadata.get("unique")),
        external=bool(metadata.get("externalId")),
        precision=int(metadata.get("precision") or 0),
        scale=int(metadata.get("scale") or 0),
        refers=(metadata["referenceTo"],) if kind == "reference" else (),
        relation=name.removesuffix("__c") + "__r" if kind == "reference" else "",
    )
