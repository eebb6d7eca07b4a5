"""The fake portal's properties: their definitions, and what HubSpot accepts as a value of each."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from integrations.providers.hubspot.outcomes import STANDARD
from integrations.providers.hubspot.sandbox.portal import bad_values, iso

LONGEST_TEXT = 65_536
MILLIS_OF_A_DAY = 86_400_000
UNIQUE_PROPERTIES = 10

Definition = dict[str, Any]


def define(
    name: str,
    label: str,
    type_: str = "string",
    field_type: str = "text",
    *,
    options: Sequence[tuple[str, str]] = (),
    custom: bool = False,
    read_only: bool = False,
    calculated: bool = False,
    owner: bool = False,
) -> Definition:
    return {
        "name": name,
        "label": label,
        "description": "",
        "groupName": "dialer" if custom else "information",
        "type": type_,
        "fieldType": field_type,
        "options": [
            {"label": shown, "value": value, "displayOrder": order, "hidden": False}
            for order, (value, shown) in enumerate(options)
        ],
        "displayOrder": -1,
        "calculated": calculated,
        "externalOptions": owner,
        **({"referencedObjectType": "OWNER"} if owner else {}),
        "hasUniqueValue": False,
        "hidden": False,
        **({} if custom else {"hubspotDefined": True}),
        "formField": not read_only,
        "archived": False,
        "dataSensitivity": "non_sensitive",
        "modificationMetadata": {
            "archivable": custom,
            "readOnlyDefinition": not custom,
            "readOnlyOptions": not custom,
            "readOnlyValue": read_only,
        },
    }


def _choices(*labels: str) -> list[tuple[str, str]]:
    return [(re.sub(r"\W+", "_", label).upper(), label) for label in labels]


LEAD_STATUSES = _choices("New", "Open", "In progress", "Open deal", "Unqualified", "Attempted to contact", "Bad timing")
LIFECYCLE = [("subscriber", "Subscriber"), ("lead", "Lead"), ("opportunity", "Opportunity"), ("customer", "Customer")]
INTERESTS = [("voice", "Voice"), ("sms", "Text messages"), ("coaching", "Coaching")]
RATINGS = [("hot", "Hot"), ("warm", "Warm"), ("cold", "Cold")]
PIPELINES = [("default", "Sales Pipeline")]
STAGES = [
    *(("appointmentscheduled", "Appointment scheduled"), ("qualifiedtobuy", "Qualified to buy")),
    *(("contractsent", "Contract sent"), ("closedwon", "Closed won"), ("closedlost", "Closed lost")),
]
INDUSTRIES = _choices("Computer software", "Real estate", "Retail", "Construction")
YES_NO = [("true", "Yes"), ("false", "No")]
CUSTOM_OUTCOME = ("0b8f6f4e-6c0e-4a3f-9a51-6d2c5c1f7a10", "Meeting booked")
OUTCOMES = [*((guid, word.replace("-", " ").capitalize()) for word, guid in STANDARD.items()), CUSTOM_OUTCOME]
STATUSES = (
    *("BUSY", "CALLING_CRM_USER", "CANCELED", "COMPLETED", "CONNECTING", "FAILED", "IN_PROGRESS"),
    *("NO_ANSWER", "QUEUED", "RINGING", "MISSED"),
)

MEETING_OUTCOMES = _choices("Scheduled", "Completed", "Rescheduled", "No show", "Canceled")
TASK_STATUSES = _choices("Not started", "In progress", "Waiting", "Completed", "Deferred")
TASK_TYPES = [("CALL", "Call"), ("EMAIL", "Email"), ("TODO", "To-do")]

COMMON = (
    define("hs_object_id", "Record ID", "number", "number", read_only=True),
    define("hubspot_owner_id", "Owner", "enumeration", "select", owner=True),
)
DATED = (
    define("createdate", "Create date", "datetime", "date", read_only=True),
    define("hs_lastmodifieddate", "Last modified date", "datetime", "date", read_only=True),
    define("hs_merged_object_ids", "Merged record IDs", "enumeration", "checkbox", read_only=True),
)
MADE = (
    define("hs_createdate", "Create date", "datetime", "date", read_only=True),
    define("hs_lastmodifieddate", "Last modified date", "datetime", "date", read_only=True),
)
PROPERTIES: Mapping[str, Sequence[Definition]] = {
    "companies": (
        *COMMON,
        *DATED,
        define("name", "Company name"),
        define("domain", "Company domain name"),
        define("phone", "Phone Number", "string", "phonenumber"),
        define("city", "City"),
        define("industry", "Industry", "enumeration", "select", options=INDUSTRIES),
        define("numberofemployees", "Number of employees", "number", "number"),
        define("lifecyclestage", "Lifecycle Stage", "enumeration", "radio", options=LIFECYCLE),
    ),
    "deals": (
        *COMMON,
        *DATED,
        define("dealname", "Deal name"),
        define("amount", "Amount", "number", "number"),
        define("pipeline", "Pipeline", "enumeration", "select", options=PIPELINES),
        define("dealstage", "Deal stage", "enumeration", "radio", options=STAGES),
        define("closedate", "Close date", "datetime", "date"),
        define("hs_priority", "Priority", "enumeration", "select", options=_choices("Low", "Medium", "High")),
    ),
    "contacts": (
        *COMMON,
        define("firstname", "First Name"),
        define("lastname", "Last Name"),
        define("email", "Email"),
        define("phone", "Phone Number", "string", "phonenumber"),
        define("mobilephone", "Mobile Phone Number", "string", "phonenumber"),
        define("company", "Company Name"),
        define("jobtitle", "Job Title"),
        define("address", "Street Address"),
        define("city", "City"),
        define("zip", "Postal Code"),
        define("country", "Country/Region"),
        define("hs_lead_status", "Lead Status", "enumeration", "radio", options=LEAD_STATUSES),
        define("lifecyclestage", "Lifecycle Stage", "enumeration", "radio", options=LIFECYCLE),
        define("message", "Message", "string", "textarea"),
        define("createdate", "Create Date", "datetime", "date", read_only=True),
        define("lastmodifieddate", "Last Modified Date", "datetime", "date", read_only=True),
        define("notes_last_contacted", "Last Contacted", "datetime", "date", read_only=True),
        define("num_contacted_notes", "Number of times contacted", "number", "number", read_only=True),
        define("hs_merged_object_ids", "Merged record IDs", "enumeration", "checkbox", read_only=True),
        define("hs_additional_emails", "Additional email addresses", "enumeration", "checkbox", read_only=True),
        define("hs_full_name_or_email", "Full name or email", field_type="calculation_equation", calculated=True),
        define("lead_rating", "Lead rating", "enumeration", "select", options=RATINGS, custom=True),
        define("interests", "Interests", "enumeration", "checkbox", options=INTERESTS, custom=True),
        define("budget_confirmed", "Budget confirmed", "bool", "booleancheckbox", options=YES_NO, custom=True),
        define("renewal_date", "Renewal date", "date", "date", custom=True),
        define("seats", "Seats", "number", "number", custom=True),
        define("sdr_owner", "SDR", "enumeration", "select", owner=True, custom=True),
    ),
    "calls": (
        *COMMON,
        define("hs_timestamp", "Activity date", "datetime", "date"),
        define("hs_call_title", "Call Title"),
        define("hs_call_body", "Call notes", "string", "html"),
        define("hs_call_duration", "Call duration", "number", "number"),
        define("hs_call_direction", "Direction", "enumeration", "select", options=_choices("Inbound", "Outbound")),
        define("hs_call_status", "Status", "enumeration", "select", options=[(word, word) for word in STATUSES]),
        define("hs_call_disposition", "Call outcome", "enumeration", "select", options=OUTCOMES),
        define("hs_call_from_number", "From number"),
        define("hs_call_to_number", "To number"),
        define("hs_call_recording_url", "Recording URL"),
        define("hs_call_external_id", "External ID"),
        *MADE,
    ),
    "meetings": (
        *COMMON,
        define("hs_timestamp", "Activity date", "datetime", "date"),
        define("hs_meeting_title", "Meeting name"),
        define("hs_meeting_body", "Meeting description", "string", "html"),
        define("hs_internal_meeting_notes", "Internal meeting notes", "string", "html"),
        define("hs_meeting_start_time", "Meeting start time", "datetime", "date"),
        define("hs_meeting_end_time", "Meeting end time", "datetime", "date"),
        define("hs_meeting_location", "Meeting location"),
        define("hs_meeting_external_url", "External URL"),
        define("hs_meeting_outcome", "Meeting outcome", "enumeration", "select", options=MEETING_OUTCOMES),
        *MADE,
    ),
    "tasks": (
        *COMMON,
        define("hs_timestamp", "Due date", "datetime", "date"),
        define("hs_task_subject", "Task Title"),
        define("hs_task_body", "Notes", "string", "html"),
        define("hs_task_status", "Task Status", "enumeration", "select", options=TASK_STATUSES),
        define("hs_task_type", "Task Type", "enumeration", "select", options=TASK_TYPES),
        define(
            "hs_task_priority", "Priority", "enumeration", "select", options=_choices("None", "Low", "Medium", "High")
        ),
        *MADE,
    ),
}


def clean(definitions: Mapping[str, Definition], values: Any, owners: set[str]) -> dict[str, str]:
    """The values as HubSpot would store them, all text. Raises a 400 that names every bad one."""
    cleaned: dict[str, str] = {}
    bad: list[Mapping[str, str]] = []
    for name, value in dict(values or {}).items():
        definition = definitions.get(name)
        if definition is None:
            bad.append(_bad(name, "PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist'))
        elif definition["calculated"] or definition["modificationMetadata"]["readOnlyValue"]:
            bad.append(_bad(name, "READ_ONLY_VALUE", f'"{name}" is a read only property; its value cannot be set.'))
        else:
            text = {True: "true", False: "false", None: ""}.get(value, str(value)) if _scalar(value) else None
            problem = "Cannot deserialize value" if text is None else _problem(definition, text, owners)
            if problem:
                bad.append(_bad(name, _CODES.get(definition["type"], "INVALID_VALUE"), problem))
            else:
                cleaned[name] = _stored(definition, text or "")
    if bad:
        raise bad_values(bad)
    return cleaned


_CODES = {
    "enumeration": "INVALID_OPTION",
    "bool": "INVALID_OPTION",
    "number": "INVALID_INTEGER",
    "date": "INVALID_DATE",
}


def _bad(name: str, code: str, message: str) -> Mapping[str, str]:
    return {"message": message, "error": code, "name": name}


def _scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _problem(definition: Definition, text: str, owners: set[str]) -> str:
    """What is wrong with a value, empty if nothing is."""
    if text == "" or (definition["externalOptions"] and text in owners):
        return ""
    if definition["externalOptions"]:
        return f"{text} is not a valid owner"
    return _bad_choice(definition, text) or _bad_form(definition, text)


def _bad_choice(definition: Definition, text: str) -> str:
    allowed = [option["value"] for option in definition["options"]]
    parts = text.lstrip(";").split(";") if definition["fieldType"] == "checkbox" else [text]
    wrong = [part for part in parts if allowed and part not in allowed]
    return f"{wrong[0]} was not one of the allowed options: [{', '.join(allowed)}]" if wrong else ""


def _bad_form(definition: Definition, text: str) -> str:
    if definition["name"] == "email" and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", text.strip()):
        return f"Email address {text} is invalid"
    if definition["type"] == "number" and not re.fullmatch(r"-?\d+(\.\d+)?", text):
        return f"{text} was not a valid number."
    if definition["type"] in {"date", "datetime"} and millis(text) is None:
        return f"{text} was not a valid date."
    if definition["type"] == "date" and (millis(text) or 0) % MILLIS_OF_A_DAY:
        return f"{text} is not midnight in UTC, as a date has to be."
    return f"{definition['name']} is longer than {LONGEST_TEXT} characters" if len(text) > LONGEST_TEXT else ""


def _stored(definition: Definition, text: str) -> str:
    moment = millis(text)
    if definition["type"] == "datetime" and moment is not None:
        return iso(datetime.fromtimestamp(moment / 1000, UTC))
    if definition["type"] == "date" and moment is not None:
        return datetime.fromtimestamp(moment / 1000, UTC).date().isoformat()
    return text.strip().lower() if definition["name"] == "email" else text


def settle(definitions: Mapping[str, Definition], held: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """What is stored of new values beside those held: a leading `;` adds choices, and no lead goes back to an earlier stage.

    HubSpot says nothing about a stage that it did not take.
    """
    settled = dict(new)
    for name, value in new.items():
        if definitions[name]["fieldType"] == "checkbox" and value.startswith(";"):
            choices = [*held.get(name, "").split(";"), *value.split(";")]
            settled[name] = ";".join(dict.fromkeys(filter(None, choices)))
    stages = [value for value, _ in LIFECYCLE]
    before, after = held.get("lifecyclestage", ""), new.get("lifecyclestage", "")
    if before in stages and after in stages and stages.index(after) < stages.index(before):
        del settled["lifecyclestage"]
    return settled


@lru_cache(maxsize=65_536)
def millis(text: str) -> int | None:
    """Epoch milliseconds of an ISO time or of milliseconds as text, None for anything else."""
    if re.fullmatch(r"-?\d{9,}", text):
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
