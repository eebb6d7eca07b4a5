"""The standard objects of the fake organisation and their fields, as data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TASK_STATUSES = ("Not Started", "In Progress", "Completed", "Waiting on someone else", "Deferred")
LEAD_STATUSES = ("Open - Not Contacted", "Working - Contacted", "Closed - Converted", "Closed - Not Converted")
SUBTYPES = ("Task", "Email", "ListEmail", "Call", "LinkedIn")


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    type: str = "string"
    length: int = 0
    required: bool = False
    createable: bool = True
    updateable: bool = True
    default: Any = None
    options: tuple[str, ...] = ()
    restricted: bool = False
    """Only listed options are taken."""
    unique: bool = False
    external: bool = False
    filterable: bool = True
    refers: tuple[str, ...] = ()
    relation: str = ""

    @property
    def custom(self) -> bool:
        return self.name.endswith("__c")

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "label": self.name.removesuffix("__c").replace("_", " "),
            "type": self.type,
            "length": self.length,
            "custom": self.custom,
            "deprecatedAndHidden": False,
            "createable": self.createable,
            "updateable": self.updateable,
            "nillable": not self.required and self.type != "boolean",
            "defaultedOnCreate": self.default is not None or self.type == "boolean",
            "externalId": self.external,
            "unique": self.unique,
            "filterable": self.filterable,
            "restrictedPicklist": self.restricted,
            "referenceTo": list(self.refers),
            "relationshipName": self.relation or None,
            "picklistValues": [
                {
                    "active": True,
                    "defaultValue": value == self.default,
                    "label": value,
                    "value": value,
                    "validFor": None,
                }
                for value in self.options
            ],
        }


def _read_only(name: str, kind: str = "string", length: int = 0, **more: Any) -> Field:
    return Field(name, kind, length, createable=False, updateable=False, **more)


def _lookup(name: str, *refers: str, relation: str = "", **more: Any) -> Field:
    return Field(name, "reference", 18, refers=refers, relation=relation or name.removesuffix("Id"), **more)


SYSTEM = (
    _read_only("Id", "id", 18),
    _read_only("IsDeleted", "boolean", default=False),
    _read_only("CreatedDate", "datetime"),
    _read_only("LastModifiedDate", "datetime"),
    _read_only("SystemModstamp", "datetime"),
)
_OWNED = (_lookup("OwnerId", "User", "Group", relation="Owner", default="-"),)
_PERSON = (
    _read_only("MasterRecordId", "reference", 18, refers=("Lead", "Contact"), relation="MasterRecord"),
    Field("LastName", length=80, required=True),
    Field("FirstName", length=40),
    _read_only("Name", length=121),
    Field("Title", length=128),
    Field("Email", "email", 80),
    Field("Phone", "phone", 40),
    Field("MobilePhone", "phone", 40),
    Field("DoNotCall", "boolean", default=False),
    Field("Description", "textarea", 32_000, filterable=False),
)
_LEAD = (
    Field("Company", length=255, required=True),
    Field("Status", "picklist", 255, required=True, options=LEAD_STATUSES, default=LEAD_STATUSES[0]),
    Field("Street", "textarea", 255),
    Field("City", length=40),
    Field("PostalCode", length=20),
    Field("Country", length=80),
    _read_only("Address", "address"),
    _read_only("IsConverted", "boolean", default=False),
    _read_only("ConvertedDate", "date"),
    _read_only("ConvertedContactId", "reference", 18, refers=("Contact",), relation="ConvertedContact"),
    _read_only("ConvertedAccountId", "reference", 18, refers=("Account",), relation="ConvertedAccount"),
)
_CONTACT = (
    _lookup("AccountId", "Account"),
    Field("MailingStreet", "textarea", 255),
    Field("MailingCity", length=40),
    Field("MailingPostalCode", length=20),
    Field("MailingCountry", length=80),
    _read_only("MailingAddress", "address"),
)
_TASK = (
    _lookup("WhoId", "Contact", "Lead", relation="Who"),
    _lookup("WhatId", "Account", relation="What"),
    Field("Subject", "combobox", 255, options=("Call", "Email", "Other")),
    Field("Status", "picklist", 255, required=True, options=TASK_STATUSES, default="Not Started", restricted=True),
    Field("Priority", "picklist", 255, options=("High", "Normal", "Low"), default="Normal", restricted=True),
    Field("TaskSubtype", "picklist", 40, options=SUBTYPES, default="Task", restricted=True, updateable=False),
    Field("CallType", "picklist", 40, options=("Inbound", "Internal", "Outbound")),
    Field("CallDurationInSeconds", "int"),
    Field("CallDisposition", length=255),
    Field("CallObject", length=255),
    Field("ActivityDate", "date"),
    Field("Description", "textarea", 32_000, filterable=False),
    _read_only("IsClosed", "boolean", default=False),
    _read_only("AccountId", "reference", 18, refers=("Account",), relation="Account"),
)
_USER = (
    _read_only("Username", length=80),
    _read_only("Name", length=121),
    _read_only("Email", "email", 128),
    _read_only("IsActive", "boolean", default=True),
    _read_only("UserType", "picklist", 40),
)
_PERMISSIONS: Mapping[str, tuple[Field, ...]] = {
    "PermissionSet": (Field("Name", length=80, required=True, unique=True), Field("Label", length=80, required=True)),
    "FieldPermissions": (
        _lookup("ParentId", "PermissionSet", required=True),
        Field("SobjectType", length=40, required=True),
        Field("Field", length=255, required=True),
        Field("PermissionsRead", "boolean", default=False),
        Field("PermissionsEdit", "boolean", default=False),
    ),
    "PermissionSetAssignment": (
        _lookup("AssigneeId", "User", required=True),
        _lookup("PermissionSetId", "PermissionSet", required=True),
    ),
}

OBJECTS: Mapping[str, tuple[Field, ...]] = {
    "Lead": (*SYSTEM, *_OWNED, *_PERSON, *_LEAD),
    "Contact": (*SYSTEM, *_OWNED, *_PERSON, *_CONTACT),
    "Account": (*SYSTEM, *_OWNED, Field("Name", length=255, required=True)),
    "Task": (*SYSTEM, *_OWNED, *_TASK),
    "Event": (*SYSTEM, *_OWNED, Field("Subject", "combobox", 255)),
    "User": (*SYSTEM, *_USER),
    "Group": (*SYSTEM, _read_only("Name", length=40)),
    "Organization": (*SYSTEM, _read_only("Name", length=80), _read_only("IsSandbox", "boolean", default=False)),
    **{name: (*SYSTEM, *fields) for name, fields in _PERMISSIONS.items()},
}
TOOLING: Mapping[str, tuple[Field, ...]] = {
    "CustomField": (*SYSTEM, _read_only("DeveloperName", length=40), _read_only("TableEnumOrId", length=40)),
}
# Fields made on Activity belong to both of these.
ACTIVITIES = ("Task", "Event")
PREFIXES: Mapping[str, str] = {
    "Lead": "00Q",
    "Contact": "003",
    "Account": "001",
    "Task": "00T",
    "Event": "00U",
    "User": "005",
    "Group": "00G",
    "Organization": "00D",
    "PermissionSet": "0PS",
    "FieldPermissions": "01k",
    "PermissionSetAssignment": "0Pa",
    "CustomField": "00N",
}
BY_PREFIX = {prefix: name for name, prefix in PREFIXES.items()}
METADATA_TYPES: Mapping[str, str] = {
    "Text": "string",
    "Url": "url",
    "Number": "double",
    "DateTime": "datetime",
    "Checkbox": "boolean",
    "LongTextArea": "textarea",
}
