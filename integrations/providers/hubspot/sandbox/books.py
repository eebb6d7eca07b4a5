"""How a demo or a test gets in, and what the portal's calls say in plain words."""

from typing import Any, ClassVar

from integrations.providers.hubspot.outcomes import STANDARD
from integrations.providers.hubspot.sandbox.portal import CLIENT_ID, CLIENT_SECRET, PRIVATE_TOKEN
from integrations.providers.hubspot.sandbox.records import Records
from integrations.sandbox.http import Agreed, LoggedCall

LABELS = {guid: word for word, guid in STANDARD.items()}


class Books(Records):
    outcomes: ClassVar[dict[str, str]] = {
        "Connected": "connected",
        "No Answer": "no-answer",
        "Voicemail": "left-voicemail",
        "Meeting Booked": "connected",
        "Not Interested": "busy",
        "DNC": "busy",
    }

    def environment(self, url: str) -> dict[str, str]:
        return {
            "HUBSPOT_API_URL": url,
            "HUBSPOT_AUTHORIZE_URL": f"{url}/oauth/authorize",
            "HUBSPOT_CLIENT_ID": CLIENT_ID,
            "HUBSPOT_CLIENT_SECRET": CLIENT_SECRET,
        }

    def credential(self, url: str) -> dict[str, Any]:
        return {"auth": "private_app", "access_token": PRIVATE_TOKEN}

    def logged_calls(self) -> list[LoggedCall]:
        found = []
        for call in self.store.all("calls"):
            properties = call["properties"]
            linked = self.links["calls", call["id"]]["contacts"]
            guid = properties.get("hs_call_disposition") or ""
            on = ",".join(linked)
            found.append(LoggedCall(properties.get("dialer_call_id") or "", on, LABELS.get(guid, guid)))
        return found

    def meetings(self) -> list[Agreed]:
        return self._agreed("meetings", "dialer_meeting_id", "hs_meeting_title", "hs_meeting_body")

    def follow_ups(self) -> list[Agreed]:
        return self._agreed("tasks", "dialer_task_id", "hs_task_subject", "hs_task_body")

    def _agreed(self, kind: str, key: str, title: str, text: str) -> list[Agreed]:
        return [
            Agreed(
                one["properties"].get(key) or one["properties"].get(text, "").rpartition("<br>")[2],
                ",".join(self.links[kind, one["id"]]["contacts"]),
                one["properties"].get(title, ""),
                one["properties"]["hs_timestamp"],
                text=one["properties"].get(text, ""),
                owner=one["properties"].get("hubspot_owner_id", ""),
                cancelled=one["properties"].get("hs_meeting_outcome") == "CANCELED",
            )
            for one in self.store.all(kind)
            if not one["archived"]
        ]
