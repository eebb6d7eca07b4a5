"""The settings that an operator may give for HubSpot, and what they are otherwise."""

SETTINGS: dict[str, str | list[str]] = {
    "HUBSPOT_CLIENT_ID": "",
    "HUBSPOT_CLIENT_SECRET": "",
    "HUBSPOT_APP_ID": "",
    "HUBSPOT_DEVELOPER_API_KEY": "",
    "HUBSPOT_API_VERSIONS": [],
    "HUBSPOT_API_URL": "https://api.hubapi.com",
    "HUBSPOT_AUTHORIZE_URL": "https://app.hubspot.com/oauth/authorize",
}
