"""The organisation's rules for whole records: unique keys, duplicate rules, and what activities may point at."""

from collections.abc import Callable, Mapping
from typing import Any

from integrations.providers.salesforce.sandbox.objects import PREFIXES, Field
from integrations.providers.salesforce.sandbox.org import RULES, Org
from integrations.providers.salesforce.sandbox.refused import Refused
from integrations.sandbox.store import Document

# Objects whose records are told apart by two fields together.
PAIRS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "FieldPermissions": (("ParentId", "Field"),),
    "ObjectPermissions": (("ParentId", "SobjectType"),),
    "PermissionSetAssignment": (("AssigneeId", "PermissionSetId"),),
    "CampaignMember": (("CampaignId", "LeadId"), ("CampaignId", "ContactId")),
}
DUPLICATE_TEXT = "Use one of these records?"


def check(org: Org, object_type: str, row: Document, fields: Mapping[str, Field]) -> None:
    """Raises Refused; completes what the organisation derives by itself."""
    own = _OWN_RULES.get(object_type)
    if own:
        own(org, row)
    for pair in PAIRS.get(object_type, ()):
        _check_pair(org, object_type, row, pair)
    for field in fields.values():
        if field.unique and row.get(field.name) not in (None, ""):
            _check_unique(org, object_type, row, field)


def check_duplicates(org: Org, object_type: str, row: Document, *, override: bool) -> None:
    """A rule looks at new records, and at old ones when the value that it compares has changed."""
    before = org.store.get(object_type, row["Id"]) or {}
    for rule in org.store.all(RULES):
        if rule["object"] != object_type or (override and not rule["blocking"]):
            continue
        value = str(row.get(rule["field"]) or "")
        if value.lower() == str(before.get(rule["field"]) or "").lower():
            continue
        matches = [
            other
            for other in (org.holding(object_type, rule["field"], value, any_case=True) if value else ())
            if other["Id"] != row["Id"] and not other.get("IsDeleted")
        ]
        if matches:
            extra = {"duplicateResut": _result(object_type, matches, blocking=rule["blocking"])}
            raise Refused("DUPLICATES_DETECTED", DUPLICATE_TEXT, extra=extra)


def _result(object_type: str, matches: list[Document], *, blocking: bool) -> dict[str, Any]:
    """The key is really spelled so."""
    found = [
        {
            "additionalInformation": [],
            "fieldDiffs": [],
            "matchConfidence": 100.0,
            "record": {
                "attributes": {"type": object_type, "url": f"/services/data/v59.0/sobjects/{object_type}/{row['Id']}"},
                "Id": row["Id"],
            },
        }
        for row in matches
    ]
    match = {
        "entityType": object_type,
        "errors": [],
        "matchEngine": "FuzzyMatchEngine",
        "matchRecords": found,
        "rule": "Std_Match",
        "size": len(found),
        "success": True,
    }
    return {
        "allowSave": not blocking,
        "duplicateRule": f"Std_{object_type}",
        "duplicateRuleEntityType": object_type,
        "errorMessage": DUPLICATE_TEXT,
        "matchResults": [match],
    }


def _check_pair(org: Org, object_type: str, row: Document, pair: tuple[str, str]) -> None:
    first, second = pair
    if not row.get(first) or not row.get(second):
        return
    for other in org.store.all(object_type):
        same = (other.get(first), other.get(second)) == (row[first], row[second])
        if other["Id"] != row["Id"] and same and not other.get("IsDeleted"):
            if object_type == "CampaignMember":
                raise Refused("DUPLICATE_VALUE", "Already a campaign member.")
            message = f"duplicate value found: {first} duplicates value on record with id: {other['Id']}"
            raise Refused("DUPLICATE_VALUE", message)


def _check_unique(org: Org, object_type: str, row: Document, field: Field) -> None:
    for other in org.holding(object_type, field.name, row[field.name]):
        if other["Id"] != row["Id"] and not other.get("IsDeleted"):
            message = f"duplicate value found: {field.name} duplicates value on record with id: {other['Id']}"
            raise Refused("DUPLICATE_VALUE", message)


def _check_activity(org: Org, row: Document) -> None:
    who = str(row.get("WhoId") or "")
    if not who.startswith(PREFIXES["Lead"]):
        return
    if row.get("WhatId"):
        raise Refused("FIELD_INTEGRITY_EXCEPTION", "Cannot set both WhoId to a lead and WhatId", ["WhatId"])
    lead = org.get(who)
    if lead and lead.get("IsConverted"):
        raise Refused("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead", ["WhoId"])


def _check_task(org: Org, row: Document) -> None:
    _check_activity(org, row)
    row["IsClosed"] = row.get("Status") == "Completed"


def _check_event(org: Org, row: Document) -> None:
    _check_activity(org, row)
    if not row.get("StartDateTime") or not (row.get("EndDateTime") or row.get("DurationInMinutes") is not None):
        missing = ["StartDateTime", "DurationInMinutes"]
        raise Refused("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", missing)
    if row.get("EndDateTime") and str(row["EndDateTime"]) < str(row["StartDateTime"]):
        raise Refused("FIELD_INTEGRITY_EXCEPTION", "An event can't end before it starts", ["EndDateTime"])


def _check_member(_: Org, row: Document) -> None:
    if bool(row.get("LeadId")) == bool(row.get("ContactId")):
        raise Refused("FIELD_INTEGRITY_EXCEPTION", "A campaign member is a lead or a contact", ["LeadId"])


_OWN_RULES: Mapping[str, Callable[[Org, Document], None]] = {
    "Task": _check_task,
    "Event": _check_event,
    "CampaignMember": _check_member,
}
