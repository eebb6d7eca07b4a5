"""The settings that an operator may give for Salesforce, and what they are otherwise."""

SETTINGS: dict[str, str | list[str]] = {
    "SALESFORCE_CLIENT_ID": "",
    "SALESFORCE_CLIENT_SECRET": "",
    "SALESFORCE_LOGIN_URL": "https://login.salesforce.com",
    "SALESFORCE_TEST_LOGIN_URL": "https://test.salesforce.com",
    "SALESFORCE_API_VERSION": "v59.0",
}
