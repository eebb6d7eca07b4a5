"""What a new HubSpot connection starts with. Tenants change both tables; the code reads neither after that."""

from collections.abc import Mapping

from integrations.records.fields import MappingDefault

MAPPINGS: tuple[MappingDefault, ...] = (
    MappingDefault("first_name", "firstname", "bidirectional"),
    MappingDefault("last_name", "lastname", "bidirectional"),
    MappingDefault("email", "email", "bidirectional", transform="lowercase"),
    MappingDefault("phone", "phone", "bidirectional", transform="phone_e164"),
    MappingDefault("mobile_phone", "mobilephone", "bidirectional", transform="phone_e164"),
    MappingDefault("company", "company", "bidirectional"),
    MappingDefault("title", "jobtitle", "bidirectional"),
    MappingDefault("lead_status", "hs_lead_status", "bidirectional"),
    MappingDefault("owner_email", "hubspot_owner_id", "inbound"),
    # These are not HubSpot's own: they exist once somebody created them.
    MappingDefault("do_not_call", "dialer_do_not_call", "bidirectional", transform="boolean_checkbox"),
    MappingDefault("last_called_at", "last_call_date", "outbound", transform="date_iso"),
    MappingDefault("call_count", "num_calls", "outbound"),
    MappingDefault("ai_score", "ai_call_score", "outbound"),
)

DISPOSITIONS: Mapping[str, Mapping[str, str]] = {
    "Connected": {"hs_call_status": "COMPLETED", "hs_call_disposition": "connected"},
    "No Answer": {"hs_call_status": "COMPLETED", "hs_call_disposition": "no-answer"},
    "Voicemail": {"hs_call_status": "COMPLETED", "hs_call_disposition": "left-voicemail"},
    "Meeting Booked": {"hs_call_status": "COMPLETED", "hs_call_disposition": "connected"},
    "Not Interested": {"hs_call_status": "COMPLETED", "hs_call_disposition": "busy"},
    "DNC": {"hs_call_status": "COMPLETED", "hs_call_disposition": "busy"},
}
