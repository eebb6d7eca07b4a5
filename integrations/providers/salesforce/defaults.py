"""What a new Salesforce connection starts with: field mappings and dispositions, as data that tenants change later."""

from collections.abc import Mapping
from typing import Any

from integrations.records.fields import MappingDefault

MAPPINGS: tuple[MappingDefault, ...] = (
    MappingDefault("first_name", "FirstName", "bidirectional"),
    MappingDefault("last_name", "LastName", "bidirectional", required=True),
    MappingDefault("email", "Email", "bidirectional", "lowercase"),
    MappingDefault("phone", "Phone", "bidirectional", "phone_e164"),
    MappingDefault("mobile_phone", "MobilePhone", "bidirectional", "phone_e164"),
    MappingDefault("company", "Company", "bidirectional", overrides={"Contact": "Account.Name"}),
    MappingDefault("title", "Title", "bidirectional"),
    MappingDefault("lead_status", "Status", "bidirectional", overrides={"Contact": None}),
    MappingDefault("do_not_call", "DoNotCall", "bidirectional"),
    MappingDefault("owner_email", "Owner.Email", "inbound", "lowercase"),
    MappingDefault("last_called_at", "Dialer_Last_Called__c", "outbound", "date_iso"),
    MappingDefault("call_count", "Dialer_Call_Count__c", "outbound"),
    MappingDefault("ai_score", "Dialer_AI_Score__c", "outbound"),
    MappingDefault("last_disposition", "Dialer_Last_Disposition__c", "outbound"),
)


def _outcome(disposition: str) -> Mapping[str, Any]:
    return {"TaskSubtype": "Call", "CallDisposition": disposition, "Status": "Completed"}


DISPOSITIONS: Mapping[str, Mapping[str, Any]] = {
    "Connected": _outcome("Connected"),
    "No Answer": _outcome("No Answer"),
    "Voicemail": _outcome("Left Voicemail"),
    "Meeting Booked": _outcome("Meeting Booked"),
    "Not Interested": _outcome("Not Interested"),
    "DNC": _outcome("Do Not Call"),
}
