"""What a new Follow Up Boss connection starts with: field mappings and dispositions that tenants change later."""

from collections.abc import Mapping
from typing import Any

from integrations.records.fields import MappingDefault

EMAIL = "emails[isPrimary=1].value || emails[0].value"
WORK_PHONE = "phones[type=work].value || phones[type=home].value || phones[0].value"
MOBILE_PHONE = "phones[type=mobile].value"

MAPPINGS: tuple[MappingDefault, ...] = (
    MappingDefault("first_name", "firstName", "bidirectional"),
    MappingDefault("last_name", "lastName", "bidirectional"),
    MappingDefault("email", EMAIL, "bidirectional", "lowercase"),
    MappingDefault("phone", WORK_PHONE, "bidirectional", "phone_e164"),
    MappingDefault("mobile_phone", MOBILE_PHONE, "bidirectional", "phone_e164"),
    MappingDefault("company", 'customFields."Company"', "bidirectional"),
    MappingDefault("title", 'customFields."Title"', "bidirectional"),
    MappingDefault("lead_status", "stage", "bidirectional"),
    MappingDefault("owner_email", "assignedTo", "inbound", "lowercase"),
    # There is no checkbox: a dropdown of Yes and No stands in for it, and takes any word for either.
    MappingDefault("do_not_call", 'customFields."Do Not Call"', "bidirectional", "boolean_yn"),
    # A custom field of type "date" takes a day without a time.
    MappingDefault("last_called_at", 'customFields."Last Called"', "outbound", "date_sfdc"),
    MappingDefault("call_count", 'customFields."Dialer Call Count"', "outbound"),
    MappingDefault("ai_score", 'customFields."Last AI Score"', "outbound"),
    MappingDefault("last_disposition", 'customFields."Last Disposition"', "outbound"),
)


def _outcome(label: str) -> Mapping[str, Any]:
    return {"type": "Call", "outcome": label}


DISPOSITIONS: Mapping[str, Mapping[str, Any]] = {
    "Connected": _outcome("Connected"),
    "No Answer": _outcome("No Answer"),
    "Voicemail": _outcome("Left Voicemail"),
    "Meeting Booked": _outcome("Appointment Set"),
    "Not Interested": _outcome("Not Interested"),
    "DNC": _outcome("DNC"),
}
