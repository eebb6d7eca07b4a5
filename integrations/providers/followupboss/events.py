"""Lead intake of Follow Up Boss: `POST /events`. It matches or makes a person and may start automations.

Therefore calls are not logged with it. We send one kind: an incoming call of somebody whose number nobody knows, to get the
person that the call is then logged on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.followupboss import listing
from integrations.providers.followupboss.people import People
from integrations.records.activities import CallActivity
from integrations.transport.classify import json_of

TYPES = (
    *("Registration", "Inquiry", "Seller Inquiry", "Property Inquiry", "General Inquiry", "Viewed Property"),
    *("Saved Property", "Visited Website", "Incoming Call", "Unsubscribed", "Property Search", "Saved Property Search"),
    *("Visited Open House", "Viewed Page"),
)
"""The only event types that the service takes."""
SOURCE = "Dialbridge"


@dataclass(frozen=True, slots=True)
class Intake:
    """What became of an event. No person id: the account's rule for such leads is archived, and it was dropped."""

    person_id: str = ""
    created: bool = False


class Events:
    def __init__(self, api: Api) -> None:
        self._api = api

    def send(self, event: Mapping[str, Any]) -> Intake:
        """Raises FixData for a type that there is not, Gone for a `person.id` that there is not."""
        if event.get("type") not in TYPES:
            raise errors.FixData(
                f'Follow Up Boss has no event type "{event.get("type")}". It takes: {", ".join(TYPES)}.',
                fields=["type"],
            )
        return self.send_any(event)

    def send_any(self, event: Mapping[str, Any]) -> Intake:
        response = self._api.request("POST", "/events", json={"source": SOURCE, **event}, repeatable=False)
        if response.status_code == 204:
            return Intake()
        person = json_of(response)  # not the event
        if not isinstance(person, dict) or not person.get("id"):
            raise errors.OutcomeUnknown("Follow Up Boss did not say who this event belongs to. We will look them up.")
        return Intake(str(person["id"]), response.status_code == 201)

    def listed(self, **filters: Any) -> list[dict[str, Any]]:
        """Events, newest last; filters: `personId`, `type`, `createdAfter`, … A scarce bucket of its own: 20 in 10 seconds."""
        return listing.everything(self._api, "events", filters)


class Callers:
    """Finds or makes the person behind a number that called in."""

    def __init__(self, people: People, events: Events) -> None:
        self._people = people
        self._events = events

    def person_id(self, call: CallActivity) -> str:
        """Safe to repeat: somebody who is known by the number is taken as they are. Raises FixData when nobody was made."""
        known = self._people.search(phones=[call.phone])
        if known:
            return str(known[0]["id"])
        intake = self._events.send(
            {
                "type": "Incoming Call",
                "person": {"phones": [{"value": call.phone}]},
                "message": call.subject,
                "occurredAt": listing.stamp(call.started_at),
            }
        )
        if not intake.person_id:
            raise errors.FixData(
                "Follow Up Boss dropped this caller: the lead flow rule for our source is archived. Activate it there under "
                "Admin, Lead Flow, or link the call to a contact.",
                cause="lead_flow_archived",
            )
        return intake.person_id
