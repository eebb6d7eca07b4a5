"""How a demo or a test gets in, and what the call log holds in plain words."""

from typing import Any, ClassVar

from integrations.providers.followupboss.marking import marker_of
from integrations.providers.followupboss.sandbox.door import Door
from integrations.providers.followupboss.sandbox.seed import CLIENT_ID, CLIENT_SECRET, OWNER_KEY
from integrations.sandbox.http import Agreed, LoggedCall
from integrations.sandbox.store import Document


class Books(Door):
    outcomes: ClassVar[dict[str, str]] = {
        "Connected": "",
        "No Answer": "No Answer",
        "Voicemail": "Left Message",
        "Meeting Booked": "Interested",
        "Not Interested": "Not Interested",
        "DNC": "Not Interested",
    }

    def environment(self, url: str) -> dict[str, str]:
        return {
            "FOLLOWUPBOSS_API_URL": f"{url}/v1",
            "FOLLOWUPBOSS_TOKEN_URL": f"{url}/oauth/token",
            "FOLLOWUPBOSS_AUTHORIZE_URL": f"{url}/oauth/authorize",
            "FOLLOWUPBOSS_CLIENT_ID": CLIENT_ID,
            "FOLLOWUPBOSS_CLIENT_SECRET": CLIENT_SECRET,
            "FOLLOWUPBOSS_SYSTEM": "Dialbridge",
            "FOLLOWUPBOSS_SYSTEM_KEY": "sandbox-system-key",
        }

    def credential(self, url: str) -> dict[str, Any]:
        return {"auth": "api_key", "api_key": OWNER_KEY}

    def key_of(self, call_id: str) -> str:
        return marker_of(call_id)

    def logged_calls(self) -> list[LoggedCall]:
        return [
            LoggedCall(
                str(call.get("note") or "").rstrip().rpartition("\n")[2],
                str(call["personId"]),
                call.get("outcome") or "",
            )
            for call in self.store.all("calls")
        ]

    def meetings(self) -> list[Agreed]:
        """Those that became tasks are among them."""
        booked = [_appointment(one) for one in self.store.all("appointments")]
        return booked + [_task(one) for one in self.store.all("tasks") if one.get("type") == "Appointment"]

    def follow_ups(self) -> list[Agreed]:
        return [_task(one) for one in self.store.all("tasks") if one.get("type") == "Follow Up"]

    def call_summaries(self) -> list[Agreed]:
        return [_note(one) for one in self.store.all("notes")]


def _note(one: Document) -> Agreed:
    text = str(one.get("body") or "")
    return Agreed(text.rpartition("\n")[2], str(one["personId"]), one["subject"], one["created"], text=text)


def _appointment(one: Document) -> Agreed:
    owner = next((str(guest["userId"]) for guest in one["invitees"] if guest.get("userId")), "")
    text = str(one.get("description") or "")
    key = text.rpartition("\n")[2]
    return Agreed(key, str(one["personId"]), one["title"], one["start"], text=text, owner=owner)


def _task(one: Document) -> Agreed:
    title, _, key = str(one.get("name") or "").rpartition(" ")
    at = one.get("dueDateTime") or one.get("dueDate") or ""
    owner, done = str(one.get("assignedUserId") or ""), bool(one.get("isCompleted"))
    return Agreed(key, str(one["personId"]), title, at, owner=owner, cancelled=done and title.startswith("Cancelled"))
