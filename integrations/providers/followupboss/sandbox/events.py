"""Lead intake of the fake Follow Up Boss: events match or make a person.

Dials: `lead_flow_archived` (the event is dropped without a word), `takes_call_events` (a service that knows the type `Call`).
"""

from typing import Any

from integrations.providers.followupboss.sandbox.activities import Activities
from integrations.providers.followupboss.sandbox.door import refuse
from integrations.providers.followupboss.sandbox.lists import BadRequestError
from integrations.providers.followupboss.sandbox.people import People
from integrations.providers.followupboss.sandbox.shapes import body_of, checked_list, shown
from integrations.sandbox.http import Answer, Request, route
from integrations.sandbox.store import Document

TYPES = (
    *("Registration", "Inquiry", "Seller Inquiry", "Property Inquiry", "General Inquiry", "Viewed Property"),
    *("Saved Property", "Visited Website", "Incoming Call", "Unsubscribed", "Property Search", "Saved Property Search"),
    *("Visited Open House", "Viewed Page"),
)
KEPT = ("type", "message", "description", "source", "occurredAt", "metadata")


class Events(People, Activities):
    @route("GET", "/v1/events")
    def list_events(self, request: Request) -> Answer:
        return self.list_activities(request, "events", equal=("personId", "type"))

    @route("GET", "/v1/events/{event_id}")
    def read_event(self, _request: Request, event_id: str) -> Answer:
        event = self.visible_activity("events", event_id)
        return Answer(200, event) if event else refuse(404, "Event not found.")

    @route("POST", "/v1/events")
    def create_event(self, request: Request) -> Answer:
        try:
            body = body_of(request)
            loose = self._check_type(request, body)
            person = _person(body, loose=loose)
        except BadRequestError as problem:
            return refuse(400, str(problem))
        if self.faults.draw(request.method, request.path, "lead_flow_archived"):
            return Answer(204)
        found = self.store.get("people", str(person["id"])) if person.get("id") else self.twin(person)
        if found is None and person.get("id"):
            return refuse(404, "Person not found.")
        subject = found or self.new_person({**person, "source": str(body.get("source") or "Unspecified")})
        self.add_activity("events", {"personId": subject["id"], **{key: body.get(key) for key in KEPT}})
        return Answer(200 if found else 201, shown(subject, ""))

    def _check_type(self, request: Request, body: dict[str, Any]) -> bool:
        """Whether the type is one that only a looser service takes. Raises BadRequestError."""
        loose = body.get("type") == "Call" and self.faults.draw(request.method, request.path, "takes_call_events")
        if body.get("type") not in TYPES and not loose:
            raise BadRequestError(f"Invalid type. Allowed values: {', '.join(TYPES)}.")
        if "metadata" in body and not loose:
            raise BadRequestError("Unknown field metadata.")
        return bool(loose)


def _person(body: dict[str, Any], *, loose: bool) -> Document:
    person = body.get("person")
    if not isinstance(person, dict):
        raise BadRequestError("person is required.")
    known = {key: person[key] for key in ("id", "firstName", "lastName") if key in person}
    for key in ("emails", "phones"):
        given = person.get(key) or []
        objects = [{"value": one} if loose and isinstance(one, str) else one for one in given]
        known[key] = checked_list(key, objects)
    return known
