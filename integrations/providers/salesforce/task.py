"""A call as a Salesforce Task: which field takes what, and what becomes of the things that have no field."""

from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from integrations.providers.salesforce.ids import is_id
from integrations.providers.salesforce.schema import ObjectSchema
from integrations.records.activities import CallActivity, Direction

OBJECT = "Task"
KEY_FIELD = "Dialer_Call_Id__c"
RECORDING_FIELD = "Dialer_Call_Recording_URL__c"
FALLBACK_KEY_FIELD = "CallObject"
CREATE_ONLY = "TaskSubtype"
TEXT_FIELD = "Description"

DESCRIPTION_SIZE = 32_000
TEXT_SIZE = 255
CUT_MARK = "\n[… cut: Salesforce takes no longer text]"
CALL_TYPES: Mapping[Direction, str] = {Direction.OUTBOUND: "Outbound", Direction.INBOUND: "Inbound"}
PRIORITY = "Normal"
OURS: Mapping[str, str] = {"Status": "Completed", "Priority": PRIORITY, CREATE_ONLY: "Call"}
"""What a call's Task says unless the disposition map says otherwise."""
PEOPLE_AND_USERS = ("00Q", "003", "005", "00G")
"""Beginnings of ids that `WhatId` never takes."""

# Words for what goes to the description because the account has no field for it; other fields keep their API name.
WORDS: Mapping[str, str] = {
    "CallDisposition": "Disposition",
    "CallDurationInSeconds": "Duration in seconds",
    "CallType": "Direction",
    "ActivityDate": "Date",
    "StartDateTime": "Start",
    "EndDateTime": "End",
    "WhatId": "Related record",
    RECORDING_FIELD: "Recording",
}
_WORTHLESS_AS_TEXT = {KEY_FIELD, FALLBACK_KEY_FIELD, *OURS, "OwnerId", "WhoId"}


def sendable(schema: ObjectSchema) -> dict[str, int]:
    """The fields of a Task or Event that we may set and how long their text may be (0: no limit known)."""
    found = {
        name: int(field.get("length") or 0)
        for name, field in schema.fields.items()
        if field.get("createable") or field.get("updateable")
    }
    if PRIORITY not in {item.get("value") for item in schema.fields.get("Priority", {}).get("picklistValues") or ()}:
        found.pop("Priority", None)  # renamed in this account; its own default is as good
    return found


def build(call: CallActivity, fields: Mapping[str, int], who_id: str, owner_id: str, timezone: str) -> dict[str, Any]:
    """The Task's values, limited to `fields`; what does not fit there is said in the description.

    An open task would lock its lead or account while it is written, so it is written once, complete. `ActivityDate` is
    a day without a zone: the tenant's day.
    """
    values: dict[str, Any] = {
        "Subject": call.subject,
        **OURS,
        "CallDisposition": call.disposition,
        "WhatId": call.related_to,
        **call.outcome,
        "CallType": CALL_TYPES[call.direction],
        "CallDurationInSeconds": max(0, round(call.duration_seconds)),
        "ActivityDate": call.started_at.astimezone(ZoneInfo(timezone)).date().isoformat(),
        "WhoId": who_id,
        KEY_FIELD: call.key,
        FALLBACK_KEY_FIELD: call.key,
        RECORDING_FIELD: call.recording_url,
        "OwnerId": owner_id,
    }
    return fitted(values, fields, call.notes, call.agent_email)


def fitted(
    values: Mapping[str, Any], fields: Mapping[str, int], notes: str, agent_email: str, more: Sequence[str] = ()
) -> dict[str, Any]:
    """The values that have a field, cut to it; the others are said in the description, below the notes and above `more`."""
    given = {name: value for name, value in values.items() if value not in (None, "")}
    left_over = {name: value for name, value in given.items() if not _fits(name, value, fields, given)}
    kept = {name: _cut_to(name, value, fields[name]) for name, value in given.items() if name not in left_over}
    lines = [f"{WORDS.get(name, name)}: {value}" for name, value in left_over.items() if name not in _WORTHLESS_AS_TEXT]
    if agent_email and "OwnerId" not in kept:
        lines.append(f"Agent: {agent_email}")
    if TEXT_FIELD in fields:
        kept[TEXT_FIELD] = describe(notes, [*lines, *more])
    return kept


def describe(notes: str, lines: list[str]) -> str:
    """The notes and then the lines. Only the notes are cut, and it shows."""
    rest = "".join(f"\n{line}" for line in lines)
    return (cut(notes, DESCRIPTION_SIZE - size(rest), CUT_MARK) + rest).lstrip("\n")


def size(text: str) -> int:
    """Characters as Salesforce counts them: an emoji is two."""
    return len(text.encode("utf-16-le", "replace")) // 2


def cut(text: str, limit: int, mark: str = "…") -> str:
    if size(text) <= limit:
        return text
    kept = text.encode("utf-16-le", "replace")[: max(0, limit - size(mark)) * 2]
    return kept.decode("utf-16-le", "ignore") + mark


def _fits(name: str, value: Any, fields: Mapping[str, int], values: Mapping[str, Any]) -> bool:
    if name == "WhatId" and not _may_relate(str(value), str(values.get("WhoId") or "")):
        return False
    if name == RECORDING_FIELD and size(str(value)) > TEXT_SIZE:
        return False  # half a link is none
    return name in fields


def _may_relate(record_id: str, who_id: str) -> bool:
    """A lead's activity may not have a related record as well, and no activity is related to a person or a user."""
    return is_id(record_id) and not record_id.startswith(PEOPLE_AND_USERS) and not who_id.startswith("00Q")


def _cut_to(name: str, value: Any, limit: int) -> Any:
    if not isinstance(value, str) or not limit or name in {KEY_FIELD, FALLBACK_KEY_FIELD}:
        return value  # a shortened key would be another call's key
    return cut(value, limit)
