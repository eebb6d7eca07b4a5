"""How a demo or a test gets in, and what the organisation's tasks say in plain words."""

from typing import Any, ClassVar

from integrations.providers.salesforce.sandbox.tokens import CLIENT_ID, CLIENT_SECRET, KEYS, USERNAME
from integrations.sandbox.http import Agreed, LoggedCall, Service
from integrations.sandbox.store import Document


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
            if not task.get("IsDeleted") and task.get("TaskSubtype") == "Call"
        ]

    def meetings(self) -> list[Agreed]:
        return [
            _agreed(event, event["StartDateTime"]) for event in self.store.all("Event") if not event.get("IsDeleted")
        ]

    def follow_ups(self) -> list[Agreed]:
        return [
            _agreed(task, task.get("ActivityDate") or "")
            for task in self.store.all("Task")
            if not task.get("IsDeleted") and task.get("TaskSubtype") != "Call"
        ]


def _agreed(row: Document, at: str) -> Agreed:
    text = str(row.get("Description") or "")
    key = row.get("Dialer_Call_Id__c") or row.get("CallObject") or text.rpartition("\n")[2]
    return Agreed(
        str(key), row.get("WhoId") or "", row.get("Subject") or "", at, text=text, owner=str(row.get("OwnerId") or "")
    )
