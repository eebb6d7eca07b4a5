"""The settings that an operator may give for Follow Up Boss, and what they are otherwise."""

SETTINGS: dict[str, str | list[str]] = {
    "FOLLOWUPBOSS_CLIENT_ID": "",
    "FOLLOWUPBOSS_CLIENT_SECRET": "",
    "FOLLOWUPBOSS_API_URL": "https://api.followupboss.com/v1",
    "FOLLOWUPBOSS_AUTHORIZE_URL": "https://app.followupboss.com/oauth/authorize",
    "FOLLOWUPBOSS_TOKEN_URL": "https://app.followupboss.com/oauth/token",
    "FOLLOWUPBOSS_SYSTEM": "",
    "FOLLOWUPBOSS_SYSTEM_KEY": "",
}
