"""Writes records under the organisation's rules: types, lengths, picklists, unique keys, what a Task may point at."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from integrations.providers.salesforce.ids import is_id, to_18
from integrations.providers.salesforce.sandbox.objects import BY_PREFIX, PREFIXES, Field
from integrations.providers.salesforce.sandbox.org import Org
from integrations.providers.salesforce.sandbox.refused import Refused
from integrations.sandbox.faults import Faults
from integrations.sandbox.store import Document

PEOPLE = ("Lead", "Contact")
ASSIGNED = ("Lead",)
"""Objects with an assignment rule, which runs unless a header says no."""


# Objects whose records are told apart by two fields together.
PAIRS: Mapping[str, tuple[str, str]] = {
    "FieldPermissions": ("ParentId", "Field"),
    "PermissionSetAssignment": ("AssigneeId", "PermissionSetId"),
}


@dataclass(frozen=True, slots=True)
class Writer:
    """The changes of one request."""

    org: Org
    faults: Faults
    user_id: str
    path: str
    auto_assign: bool

    def create(self, object_type: str, values: Mapping[str, Any]) -> str:
        self._lock()
        fields = self.org.visible(object_type, self.user_id)
        row = self._checked(object_type, fields, values, create=True)
        missing = [field.name for field in fields.values() if field.required and row.get(field.name) in (None, "")]
        if missing:
            raise Refused("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", missing)
        row = {"Id": self.org.new_id(object_type), "CreatedDate": self.org.now(), "IsDeleted": False} | row
        row.setdefault("OwnerId", self.user_id)
        self._store(object_type, row, fields)
        return str(row["Id"])

    def update(self, object_type: str, record_id: str, values: Mapping[str, Any]) -> None:
        self._lock()
        row = self.existing(object_type, record_id)
        if row.get("IsConverted"):
            raise Refused("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")
        fields = self.org.visible(object_type, self.user_id)
        self._store(object_type, {**row, **self._checked(object_type, fields, values, create=False)}, fields)

    def upsert(self, object_type: str, key_field: str, key: Any, values: Mapping[str, Any]) -> tuple[str, bool]:
        """The record's id and whether it was made."""
        found = self.matching(object_type, key_field, key)
        if len(found) > 1:
            raise Refused("DUPLICATE_EXTERNAL_ID", f"{key_field}: more than one record found for external id field")
        if found:
            self.update(object_type, found[0], values)
            return found[0], False
        return self.create(object_type, {**values, key_field: key}), True

    def matching(self, object_type: str, key_field: str, key: Any) -> list[str]:
        """Ids of the records that hold an external id. Raises when the user sees no such field."""
        field = self.org.visible(object_type, self.user_id).get(key_field)
        if field is None or not field.external:
            message = f"Provided external ID field does not exist or is not accessible: {key_field}"
            raise Refused("NOT_FOUND", message, status=404)
        if key in (None, ""):
            raise Refused("MISSING_ARGUMENT", f"{key_field} not specified")
        return [row["Id"] for row in self._holding(object_type, key_field, key) if not row.get("IsDeleted")]

    def delete(self, object_type: str, record_id: str) -> None:
        row = {**self.existing(object_type, record_id), "IsDeleted": True}
        self._stamp_and_save(object_type, row)

    def existing(self, object_type: str, record_id: str) -> Document:
        if not is_id(record_id):
            raise Refused("MALFORMED_ID", f"{object_type} ID: id value of incorrect type: {record_id}", ["Id"])
        row = self.org.store.get(object_type, to_18(record_id))
        if row is None:
            raise Refused("NOT_FOUND", "The requested resource does not exist", status=404)
        if row.get("IsDeleted"):
            raise Refused("ENTITY_IS_DELETED", "entity is deleted", status=404)
        return row

    # --- saving -------------------------------------------------------------------------------------------------------

    def _store(self, object_type: str, row: Document, fields: Mapping[str, Field]) -> None:
        if object_type == "Task":
            _check_task(self.org, row)
            row["IsClosed"] = row.get("Status") == "Completed"
        if object_type in PEOPLE:
            row["Name"] = " ".join(filter(None, (row.get("FirstName"), row.get("LastName"))))
        self._check_unique(object_type, row, fields)
        if self.auto_assign and object_type in ASSIGNED:
            row["OwnerId"] = next(self.org.store.all("Group"))["Id"]
        self._stamp_and_save(object_type, row)

    def _stamp_and_save(self, object_type: str, row: Document) -> None:
        row["SystemModstamp"] = row["LastModifiedDate"] = self.org.now()
        late = self.faults.draw("PATCH", self.path, "late_commit") if object_type in PEOPLE else None
        self.org.save(object_type, row, seen_after=late.seconds if late else 0)

    def _lock(self) -> None:
        if self.faults.draw("PATCH", self.path, "lock"):
            raise Refused("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record or 1 records")

    def _check_unique(self, object_type: str, row: Document, fields: Mapping[str, Field]) -> None:
        first, second = PAIRS.get(object_type, ("", ""))
        for other in self.org.store.all(object_type) if first else ():
            if other["Id"] != row["Id"] and (other[first], other[second]) == (row[first], row[second]):
                message = f"duplicate value found: {first} duplicates value on record with id: {other['Id']}"
                raise Refused("DUPLICATE_VALUE", message)
        for field in fields.values():
            if not field.unique or row.get(field.name) in (None, ""):
                continue
            for other in self._holding(object_type, field.name, row[field.name]):
                if other["Id"] != row["Id"]:
                    message = f"duplicate value found: {field.name} duplicates value on record with id: {other['Id']}"
                    raise Refused("DUPLICATE_VALUE", message)

    def _holding(self, object_type: str, name: str, value: Any) -> list[Document]:
        if self.org.indexed(object_type, name):
            found = (self.org.store.get(object_type, key) for key in self.org.with_value(object_type, name, str(value)))
            return [row for row in found if row is not None and row.get(name) == value]
        return [row for row in self.org.store.all(object_type) if row.get(name) == value]

    # --- values -------------------------------------------------------------------------------------------------------

    def _checked(
        self, object_type: str, fields: Mapping[str, Field], values: Mapping[str, Any], *, create: bool
    ) -> Document:
        row = {
            field.name: field.default
            for field in fields.values()
            if create and field.default is not None and field.name != "OwnerId"
        }
        for name, value in values.items():
            if name == "attributes":
                continue
            field = fields.get(name)
            if field is None:
                raise Refused("INVALID_FIELD", f"No such column '{name}' on sobject of type {object_type}", [name])
            if not (field.createable if create else field.updateable):
                raise Refused(
                    "INVALID_FIELD_FOR_INSERT_UPDATE",
                    f"Unable to create/update fields: {name}. Please check the security settings of this field and "
                    "verify that it is read/write for your profile or permission set.",
                    [name],
                )
            row[field.name] = self._value(field, value)
        return row

    def _value(self, field: Field, value: Any) -> Any:
        if value is None or value == "":
            return None
        if field.type == "reference":
            return _reference(self.org, field, value)
        if field.type in {"boolean", "int", "double"}:
            return _plain(field, value)
        if not isinstance(value, str):
            raise Refused("JSON_PARSER_ERROR", f"Cannot deserialize {field.name} from {type(value).__name__}")
        if field.type == "date":
            return _day(value)
        if field.length and len(value.encode("utf-16-le")) // 2 > field.length:
            raise Refused(
                "STRING_TOO_LONG", f"{field.name}: data value too large (max length={field.length})", [field.name]
            )
        if field.restricted and value not in field.options:
            message = f"{field.name}: bad value for restricted picklist field: {value}"
            raise Refused("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, [field.name])
        return value.strip()


def _reference(org: Org, field: Field, value: Any) -> str:
    kind = BY_PREFIX.get(str(value)[:3], "")
    if not is_id(str(value)) or kind not in field.refers:
        name = "Name" if field.name == "WhoId" else field.name.removesuffix("Id")
        code = "FIELD_INTEGRITY_EXCEPTION" if field.name in {"WhoId", "WhatId"} else "MALFORMED_ID"
        raise Refused(code, f"{name} ID: id value of incorrect type: {value}", [field.name])
    target = org.get(to_18(str(value)))
    if target is None:
        raise Refused("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", [field.name])
    if target.get("IsDeleted"):
        raise Refused("ENTITY_IS_DELETED", "entity is deleted", [field.name])
    if kind == "User" and target.get("IsActive") is False:
        raise Refused("INACTIVE_OWNER_OR_USER", f"operation performed with inactive user [{value}] as owner")
    return str(target["Id"])


def _plain(field: Field, value: Any) -> Any:
    if field.type == "boolean" and isinstance(value, bool):
        return value
    if field.type != "boolean" and isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise Refused("JSON_PARSER_ERROR", f"Cannot deserialize {field.name} from {value!r}")


def _day(value: str) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError as error:
        raise Refused(
            "JSON_PARSER_ERROR", f"Cannot deserialize instance of date from VALUE_STRING value {value}"
        ) from error


def _check_task(org: Org, row: Document) -> None:
    who = str(row.get("WhoId") or "")
    if not who.startswith(PREFIXES["Lead"]):
        return
    if row.get("WhatId"):
        raise Refused("FIELD_INTEGRITY_EXCEPTION", "Cannot set both WhoId to a lead and WhatId", ["WhatId"])
    lead = org.get(who)
    if lead and lead.get("IsConverted"):
        raise Refused("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead", ["WhoId"])
