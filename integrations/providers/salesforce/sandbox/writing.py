"""Writes records under the organisation's rules: rights, unique keys, duplicates, what a Task may point at.

Every change is told, with who made it and from where, to whoever listens (`tell`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from integrations.providers.salesforce.ids import is_id, to_18
from integrations.providers.salesforce.sandbox import rules
from integrations.providers.salesforce.sandbox.objects import Field
from integrations.providers.salesforce.sandbox.org import DELETED, Org
from integrations.providers.salesforce.sandbox.refused import Refused
from integrations.providers.salesforce.sandbox.values import checked
from integrations.sandbox.faults import Faults
from integrations.sandbox.store import Document

PEOPLE = ("Lead", "Contact")
ASSIGNED = ("Lead",)
"""Objects with an assignment rule, which runs unless a header says no."""

Tell = Callable[[str, Sequence[str], str, Sequence[str], str, str], None]
"""(object type, ids, kind of change, changed fields, origin, user)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """The changes of one request, or of one person (`by_hand`), who may do everything."""

    org: Org
    faults: Faults
    user_id: str
    tell: Tell
    path: str = ""
    auto_assign: bool = False
    allow_duplicates: bool = False
    unmodified_since: str = ""
    origin: str = ""
    by_hand: bool = False

    def create(self, object_type: str, values: Mapping[str, Any]) -> str:
        self._may("create", object_type)
        self._trouble()
        fields = self._fields(object_type)
        row = self._checked(object_type, fields, values, create=True)
        missing = [field.name for field in fields.values() if field.required and row.get(field.name) in (None, "")]
        if missing:
            raise Refused("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", missing)
        row = {"Id": self.org.new_id(object_type), "CreatedDate": self.org.now(), "IsDeleted": False} | row
        row.setdefault("OwnerId", self.user_id)
        self._store(object_type, row, fields, "CREATE", ())
        return str(row["Id"])

    def update(self, object_type: str, record_id: str, values: Mapping[str, Any]) -> None:
        self._may("edit", object_type)
        self._trouble()
        row = self.existing(object_type, record_id)
        if row.get("IsConverted"):
            raise Refused("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")
        fields = self._fields(object_type)
        new = self._checked(object_type, fields, values, create=False)
        cleared = [name for name, value in new.items() if value is None and fields[name].required]
        if cleared:
            raise Refused("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(cleared)}]", cleared)
        changed = tuple(name for name, value in new.items() if row.get(name) != value)
        self._store(object_type, {**row, **new}, fields, "UPDATE", changed)

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
        field = self._fields(object_type).get(key_field)
        if field is None or not field.external:
            message = f"Provided external ID field does not exist or is not accessible: {key_field}"
            raise Refused("NOT_FOUND", message, status=404)
        if key in (None, ""):
            raise Refused("MISSING_ARGUMENT", f"{key_field} not specified")
        return [row["Id"] for row in self.org.holding(object_type, key_field, key) if not row.get("IsDeleted")]

    def delete(self, object_type: str, record_id: str) -> None:
        self._may("delete", object_type)
        self._trouble()
        self.discard(object_type, self.existing(object_type, record_id))

    def delete_any(self, record_id: str) -> str:
        """Deletes by the id alone, which tells the object type."""
        object_type = self.org.type_of(record_id)
        if not object_type:
            raise Refused("MALFORMED_ID", f"malformed id {record_id}")
        self.delete(object_type, record_id)
        return to_18(record_id)

    def discard(self, object_type: str, row: Document) -> None:
        """To the recycle bin, and into the log of deletions."""
        log = {"object": object_type, "id": row["Id"], "at": self.org.now()}
        self.org.store.put(DELETED, row["Id"], log)
        self.stamp_and_save(object_type, {**row, "IsDeleted": True}, "DELETE", ())

    def existing(self, object_type: str, record_id: str) -> Document:
        if not is_id(record_id):
            raise Refused("MALFORMED_ID", f"{object_type} ID: id value of incorrect type: {record_id}", ["Id"])
        row = self.org.store.get(object_type, to_18(record_id))
        if row is None:
            raise Refused("NOT_FOUND", "The requested resource does not exist", status=404)
        if row.get("IsDeleted"):
            raise Refused("ENTITY_IS_DELETED", "entity is deleted", status=404)
        return row

    def is_stale(self, object_type: str, record_id: str) -> bool:
        """Whether the record changed after the moment that the request names. Seconds are all there is."""
        if not self.unmodified_since:
            return False
        return is_older(self.unmodified_since, str(self.existing(object_type, record_id)["LastModifiedDate"]))

    def stamp_and_save(self, object_type: str, row: Document, kind: str, changed: Sequence[str]) -> None:
        row["SystemModstamp"] = row["LastModifiedDate"] = self.org.now()
        late = self.faults.draw("PATCH", self.path, "late_commit") if object_type in PEOPLE else None
        self.org.save(object_type, row, seen_after=late.seconds if late else 0)
        self.tell(object_type, [row["Id"]], kind, changed, self.origin, self.user_id)

    # --- rules --------------------------------------------------------------------------------------------------------

    def _fields(self, object_type: str) -> Mapping[str, Field]:
        return self.org.fields(object_type) if self.by_hand else self.org.visible(object_type, self.user_id)

    def _may(self, right: str, object_type: str) -> None:
        if not self.by_hand and not self.org.may(right, object_type, self.user_id):
            raise Refused("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id", status=403)

    def _trouble(self) -> None:
        """Dials that strike single records."""
        if self.faults.draw("PATCH", self.path, "lock"):
            raise Refused("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record or 1 records")
        fault = self.faults.draw("PATCH", self.path, "refuse")
        if fault is not None:
            body = dict(fault.body or {})
            raise Refused(body["errorCode"], body.get("message", "no"), body.get("fields", ()))

    def _store(
        self, object_type: str, row: Document, fields: Mapping[str, Field], kind: str, changed: Sequence[str]
    ) -> None:
        rules.check(self.org, object_type, row, fields)
        if not self.by_hand:
            rules.check_duplicates(self.org, object_type, row, override=self.allow_duplicates)
        if object_type in PEOPLE:
            row["Name"] = " ".join(filter(None, (row.get("FirstName"), row.get("LastName"))))
        if self.auto_assign and object_type in ASSIGNED:
            row["OwnerId"] = next(self.org.store.all("Group"))["Id"]
        self.stamp_and_save(object_type, row, kind, changed)

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
            row[field.name] = checked(self.org, field, value)
        return row


def is_older(header: str, moment: str) -> bool:
    """Whether the moment is later than the one that a conditional header names."""
    try:
        return parsedate_to_datetime(header) < datetime.fromisoformat(moment)
    except (TypeError, ValueError):
        return False
