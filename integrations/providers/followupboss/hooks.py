"""Registers our webhooks in an account, and takes them back.

One registration names one event; an account takes two of each from one system. What is there is listed first: ours is
reused or switched on again, what is left of an earlier address of ours goes away. Only the account's owner may do any of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.followupboss import failures, listing
from integrations.providers.followupboss.webhooks import event_of
from integrations.records.events import RemoteEvent
from integrations.transport.classify import json_of

EVENTS = (
    *("peopleCreated", "peopleUpdated", "peopleDeleted", "peopleStageUpdated", "peopleTagsCreated"),
    *("callsCreated", "notesCreated", "tasksCreated", "tasksUpdated"),
    *("customFieldsCreated", "customFieldsUpdated", "customFieldsDeleted"),
    *("stageCreated", "stageUpdated", "stageDeleted"),
)
"""What we listen to."""
PER_EVENT = 2
ACTIVE = "Active"
OWNER_ONLY = (
    "Follow Up Boss lets only the account's owner register webhooks, so changes arrive by the regular reading alone. Connect "
    "with the owner's API key, or let the owner approve the connection."
)


class Hooks:
    def __init__(self, api: Api) -> None:
        self._api = api

    def listed(self, **filters: str) -> list[dict[str, Any]]:
        """Every registration of our system in this account; filters: `event`, `status`."""
        return listing.everything(self._api, "webhooks", filters)

    def subscribe(self, url: str) -> list[str]:
        try:
            present = self.listed()
            warnings = [self._place(event, url, present) for event in EVENTS]
            for hook in present:
                if hook.get("event") not in EVENTS and is_ours(hook, url):
                    self.delete(hook["id"])
        except errors.FixConfig as refusal:
            return [failures.NOT_REGISTERED if refusal.cause == "system_not_registered" else self._owner_only(refusal)]
        except errors.FixData as refusal:
            return [
                f"Follow Up Boss refused our webhook address. It has to be reachable over https. It said: {refusal.detail}"
            ]
        return [warning for warning in warnings if warning]

    def unsubscribe(self) -> None:
        """Removes every webhook of this installation. Raises FixConfig where the credential is not the owner's any more."""
        for hook in self.listed():
            if is_ours(hook, home()):
                self.delete(hook["id"])

    def lost(self, event_id: str) -> RemoteEvent:
        """An event whose delivery got lost. Raises Gone when the service does not have it any more."""
        content = json_of(self._api.request("GET", f"/webhookEvents/{event_id}"))
        if not isinstance(content, dict):
            raise errors.Retry("Follow Up Boss sent an answer without the event. We will ask again.")
        return event_of(content)

    def create(self, event: str, url: str) -> None:
        self._api.request("POST", "/webhooks", json={"event": event, "url": url}, repeatable=False)

    def update(self, hook_id: Any, event: str, url: str) -> None:
        """Also switches a disabled one on again."""
        body = {"event": event, "url": url, "status": ACTIVE}
        self._api.request("PUT", f"/webhooks/{hook_id}", json=body, repeatable=True)

    def delete(self, hook_id: Any) -> None:
        self._api.request("DELETE", f"/webhooks/{hook_id}", repeatable=True, accept=(404, 410))

    def _place(self, event: str, url: str, present: Sequence[Mapping[str, Any]]) -> str:
        """One registration of ours for this event, and a warning if there is no room for it."""
        rivals = [hook for hook in present if hook.get("event") == event]
        ours = sorted((hook for hook in rivals if is_ours(hook, url)), key=lambda hook: hook.get("url") != url)
        for extra in ours[1:]:
            self.delete(extra["id"])
        if ours:
            if ours[0].get("url") != url or ours[0].get("status") != ACTIVE:
                self.update(ours[0]["id"], event, url)
            return ""
        if len(rivals) >= PER_EVENT:
            return (
                f"Follow Up Boss takes {PER_EVENT} webhooks for {event} and other installations of our system hold both. "
                "Disconnect this account there, then subscribe again."
            )
        self.create(event, url)
        return ""

    def _owner_only(self, refusal: errors.FixConfig) -> str:
        return refusal.message if refusal.cause == "account_expired" else OWNER_ONLY


def is_ours(hook: Mapping[str, Any], url: str) -> bool:
    """Whether it leads to this installation (same host and path up to the token), or with the same token to an older host."""
    one, other = urlsplit(str(hook.get("url") or "")), urlsplit(url)
    one_path, other_path = (parts.path.rstrip("/").rpartition("/") for parts in (one, other))
    same_place = (one.netloc.lower(), one_path[0]) == (other.netloc.lower(), other_path[0])
    return same_place or (
        one_path[0].endswith("/followupboss") and bool(other_path[2]) and one_path[2] == other_path[2]
    )


def home() -> str:
    return f"{settings.PUBLIC_URL}/webhooks/followupboss/any"
