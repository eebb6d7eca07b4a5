"""How a demo or a test gets in, and what the organisation's tasks say in plain words."""

from typing import Any, ClassVar

from integrations.providers.salesforce.sandbox.tokens import CLIENT_ID, CLIENT_SECRET, KEYS, USERNAME
from integrations.sandbox.http import LoggedCall, Service


class Books(Service):
    outcomes: ClassVar[dict[str, str]] = {
        "Connected": "Connected",
        "No Answer": "No Answer",
        "Voicemail": "Left Voicemail",
        "Meeting Booked": "Meeting Booked",
        "Not Interested": "Not Interested",
        "DNC": "Do Not Call",
    }

    def environment(self, url: str) -> dict[str, str]:
        return {
            "SALESFORCE_LOGIN_URL": url,
            "SALESFORCE_TEST_LOGIN_URL": url,
            "SALESFORCE_CLIENT_ID": CLIENT_ID,
            "SALESFORCE_CLIENT_SECRET": CLIENT_SECRET,
        }

    def credential(self, url: str) -> dict[str, Any]:
        key = next(self.store.all(KEYS))
        return {
            "auth": "jwt",
            "client_id": CLIENT_ID,
            "username": USERNAME,
            "private_key": key["private_key"],
            "login_url": url,
            "audience": "https://login.salesforce.com",
        }

    def logged_calls(self) -> list[LoggedCall]:
        return [
            LoggedCall(
                task.get("Dialer_Call_Id__c") or task.get("CallObject") or "",
                task.get("WhoId") or "",
                task.get("CallDisposition") or "",
            )
            for task in self.store.all("Task")
            if not task.get("IsDeleted")
        ]
