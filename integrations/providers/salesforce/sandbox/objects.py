"""The standard objects of the fake organisation and their fields, as data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TASK_STATUSES = ("Not Started", "In Progress", "Completed", "Waiting on someone else", "Deferred")
LEAD_STATUSES = ("Open - Not Contacted", "Working - Contacted", "Closed - Converted", "Closed - Not Converted")
LEAD_SOURCES = ("Web", "Phone Inquiry", "Partner Referral", "Other")
STAGES = ("Prospecting", "Qualification", "Closed Won", "Closed Lost")
SYSTEM_PERMISSIONS = (
    "ApiEnabled",
    "ViewAllData",
    "ModifyAllData",
    "ViewSetup",
    "CustomizeApplication",
    "AssignPermissionSets",
)
OBJECT_PERMISSIONS = ("Read", "Create", "Edit", "Delete", "ViewAllRecords", "ModifyAllRecords")
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
    precision: int = 0
    scale: int = 0
    compound: str = ""
    """The compound field that this one is a part of."""
    lookup_key: bool = False
    """An upsert may look records up by it, though it is no external id."""

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
            "idLookup": self.external or self.lookup_key,
            "unique": self.unique,
            "precision": self.precision,
            "scale": self.scale,
            "calculated": False,
            "autoNumber": False,
            "permissionable": not self.required and self.name not in _ALWAYS_SEEN,
            "compoundFieldName": self.compound or None,
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


def _part(compound: str, name: str, kind: str = "string", length: int = 0, **more: Any) -> Field:
    return Field(name, kind, length, compound=compound, **more)


_ALWAYS_SEEN = {"Id", "IsDeleted", "CreatedDate", "LastModifiedDate", "SystemModstamp", "OwnerId", "Name"}
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
    _part("Name", "LastName", length=80, required=True),
    _part("Name", "FirstName", length=40),
    _read_only("Name", length=121),
    Field("Title", length=128),
    Field("Email", "email", 80, lookup_key=True),
    Field("LeadSource", "picklist", 255, options=LEAD_SOURCES),
    Field("Phone", "phone", 40),
    Field("MobilePhone", "phone", 40),
    Field("DoNotCall", "boolean", default=False),
    Field("Description", "textarea", 32_000, filterable=False),
)
_LEAD = (
    Field("Company", length=255, required=True),
    Field("Status", "picklist", 255, required=True, options=LEAD_STATUSES, default=LEAD_STATUSES[0]),
    _part("Address", "Street", "textarea", 255),
    _part("Address", "City", length=40),
    _part("Address", "PostalCode", length=20),
    _part("Address", "Country", length=80),
    _read_only("Address", "address"),
    Field("Rating", "picklist", 255, options=("Hot", "Warm", "Cold"), restricted=True),
    Field("Interests__c", "multipicklist", 255, options=("Dialer", "Coaching", "Reports"), restricted=True),
    Field("NumberOfEmployees", "int"),
    Field("AnnualRevenue", "currency", precision=18, scale=0),
    _read_only("IsConverted", "boolean", default=False),
    _read_only("ConvertedDate", "date"),
    _read_only("ConvertedContactId", "reference", 18, refers=("Contact",), relation="ConvertedContact"),
    _read_only("ConvertedAccountId", "reference", 18, refers=("Account",), relation="ConvertedAccount"),
    _read_only("ConvertedOpportunityId", "reference", 18, refers=("Opportunity",), relation="ConvertedOpportunity"),
)
_CONTACT = (
    _lookup("AccountId", "Account"),
    Field("Birthdate", "date"),
    _part("MailingAddress", "MailingStreet", "textarea", 255),
    _part("MailingAddress", "MailingCity", length=40),
    _part("MailingAddress", "MailingPostalCode", length=20),
    _part("MailingAddress", "MailingCountry", length=80),
    _read_only("MailingAddress", "address"),
)
_TASK = (
    _lookup("WhoId", "Contact", "Lead", relation="Who"),
    _lookup("WhatId", "Account", "Opportunity", relation="What"),
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
_EVENT = (
    _lookup("WhoId", "Contact", "Lead", relation="Who"),
    _lookup("WhatId", "Account", "Opportunity", relation="What"),
    Field("Subject", "combobox", 255, options=("Call", "Email", "Meeting")),
    Field("StartDateTime", "datetime"),
    Field("EndDateTime", "datetime"),
    Field("DurationInMinutes", "int"),
    Field("IsAllDayEvent", "boolean", default=False),
    Field("Location", length=255),
    Field("Description", "textarea", 32_000, filterable=False),
)
_ACCOUNT = (
    Field("Name", length=255, required=True),
    _read_only("MasterRecordId", "reference", 18, refers=("Account",), relation="MasterRecord"),
    Field("Phone", "phone", 40),
    Field("Website", "url", 255),
    Field("Industry", "picklist", 255, options=("Banking", "Energy", "Retail")),
)
_OPPORTUNITY = (
    Field("Name", length=120, required=True),
    _lookup("AccountId", "Account"),
    Field("StageName", "picklist", 255, required=True, options=STAGES),
    Field("CloseDate", "date", required=True),
    Field("Amount", "currency", precision=18, scale=2),
    _read_only("IsClosed", "boolean", default=False),
)
_MEMBER = (
    _lookup("CampaignId", "Campaign", required=True, updateable=False),
    _lookup("LeadId", "Lead", updateable=False),
    _lookup("ContactId", "Contact", updateable=False),
    Field("Status", "picklist", 40, options=("Sent", "Responded"), default="Sent"),
    _read_only("HasResponded", "boolean", default=False),
)
_PERMISSIONS: Mapping[str, tuple[Field, ...]] = {
    "PermissionSet": (
        Field("Name", length=80, required=True, unique=True),
        Field("Label", length=80, required=True),
        _read_only("IsOwnedByProfile", "boolean", default=False),
        *(Field(f"Permissions{name}", "boolean", default=False) for name in SYSTEM_PERMISSIONS),
    ),
    "ObjectPermissions": (
        _lookup("ParentId", "PermissionSet", required=True),
        Field("SobjectType", length=40, required=True),
        *(Field(f"Permissions{name}", "boolean", default=False) for name in OBJECT_PERMISSIONS),
    ),
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
    "Account": (*SYSTEM, *_OWNED, *_ACCOUNT),
    "Opportunity": (*SYSTEM, *_OWNED, *_OPPORTUNITY),
    "Campaign": (*SYSTEM, *_OWNED, Field("Name", length=80, required=True)),
    "CampaignMember": (*SYSTEM, *_MEMBER),
    "Task": (*SYSTEM, *_OWNED, *_TASK),
    "Event": (*SYSTEM, *_OWNED, *_EVENT),
    "User": (*SYSTEM, *_USER),
    "Group": (*SYSTEM, _read_only("Name", length=40)),
    "Organization": (*SYSTEM, _read_only("Name", length=80), _read_only("IsSandbox", "boolean", default=False)),
    **{name: (*SYSTEM, *fields) for name, fields in _PERMISSIONS.items()},
}
TOOLING: Mapping[str, tuple[Field, ...]] = {
    "CustomObject": (*SYSTEM, _read_only("DeveloperName", length=40)),
    "CustomField": (*SYSTEM, _read_only("DeveloperName", length=40), _read_only("TableEnumOrId", length=40)),
}
MADE: tuple[Field, ...] = (*SYSTEM, *_OWNED, Field("Name", length=80))
"""What every object that is made by an administrator has of itself."""
# Fields made on Activity belong to both of these.
ACTIVITIES = ("Task", "Event")
PREFIXES: Mapping[str, str] = {
    "Lead": "00Q",
    "Contact": "003",
    "Account": "001",
    "Opportunity": "006",
    "Campaign": "701",
    "CampaignMember": "00v",
    "Task": "00T",
    "Event": "00U",
    "User": "005",
    "Group": "00G",
    "Organization": "00D",
    "PermissionSet": "0PS",
    "FieldPermissions": "01k",
    "ObjectPermissions": "110",
    "PermissionSetAssignment": "0Pa",
    "CustomField": "00N",
    "CustomObject": "01I",
    "Deployment": "0Af",
}
# What an object's description says of each right.
RIGHTS: Mapping[str, str] = {
    "read": "queryable",
    "create": "createable",
    "edit": "updateable",
    "delete": "deletable",
}
BY_PREFIX = {prefix: name for name, prefix in PREFIXES.items()}
METADATA_TYPES: Mapping[str, str] = {
    "Text": "string",
    "Url": "url",
    "Number": "double",
    "DateTime": "datetime",
    "Checkbox": "boolean",
    "LongTextArea": "textarea",
    "Email": "email",
    "Lookup": "reference",
}
