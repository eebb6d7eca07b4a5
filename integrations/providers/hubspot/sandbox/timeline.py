"""Timeline events of the app and custom behavioural events: for OAuth tokens with the scope, and for the right edition."""

from typing import Any

from integrations.providers.hubspot.sandbox.portal import PORTAL_ID, RefusalError
from integrations.providers.hubspot.sandbox.records import Records
from integrations.sandbox.http import Answer, Request, route

TEMPLATE_ID = "123456"
TOKENS = frozenset({"callDuration", "disposition", "aiScore", "sentiment"})
EVENTS = frozenset(
    f"pe{PORTAL_ID}_{name}"
    for name in ("dialer_call", "voicemail_drop", "ai_coaching_trigger", "disposition_change", "call_score")
)
BATCH_LIMIT = 500


class Timelines(Records):
    @route("POST", "/integrators/timeline/v3/events")
    @route("POST", "/integrators/timeline/2026-03/events")
    @route("POST", "/crm/v3/timeline/events")
    def send_timeline_event(self, request: Request) -> Answer:
        self._need(request, "timeline")
        event = self.body(request)
        self._check_timeline_event(event)
        return Answer(201, self._keep_timeline_event(event))

    @route("POST", "/integrators/timeline/v3/events/batch/create")
    @route("POST", "/integrators/timeline/2026-03/events/batch/create")
    @route("POST", "/crm/v3/timeline/events/batch/create")
    def send_timeline_events(self, request: Request) -> Answer:
        """One bad event refuses all."""
        self._need(request, "timeline")
        events = _inputs(self.body(request))
        for event in events:
            self._check_timeline_event(event)
        return Answer(201, {"status": "COMPLETE", "results": [self._keep_timeline_event(event) for event in events]})

    @route("GET", "/integrators/timeline/v3/events/{template}/{event_id}")
    @route("GET", "/integrators/timeline/2026-03/events/{template}/{event_id}")
    def timeline_event(self, request: Request, template: str, event_id: str) -> Answer:
        self._need(request, "timeline")
        held = self.store.get("timeline_events", f"{template}|{event_id}")
        if held is None:
            raise RefusalError(404, "No event was found for the given template and id", "OBJECT_NOT_FOUND")
        return Answer(200, held)

    def _check_timeline_event(self, event: dict[str, Any]) -> None:
        template, event_id = str(event.get("eventTemplateId")), str(event.get("id") or "")
        if template != TEMPLATE_ID:
            raise RefusalError(404, f"Event template {template} does not exist", "OBJECT_NOT_FOUND")
        unknown = sorted(set(event.get("tokens") or {}) - TOKENS)
        if unknown:
            raise RefusalError(400, f"The event template has no tokens {', '.join(unknown)}")
        self._check_contact(event)
        if event_id and self.store.get("timeline_events", f"{template}|{event_id}"):
            raise RefusalError(409, f"An event with the id {event_id} already exists", "CONFLICT")

    def _keep_timeline_event(self, event: dict[str, Any]) -> dict[str, Any]:
        event_id = str(event.get("id") or self.store.next_number("timeline_event"))
        held = {"createdAt": self.stamp(), "objectType": "CONTACT", **event, "id": event_id}
        return self.store.put("timeline_events", f"{TEMPLATE_ID}|{event_id}", held)

    # --- custom behavioural events ----------------------------------------------------------------------------------

    @route("POST", "/events/v3/send")
    @route("POST", "/events/custom/2026-09/send")
    def send_custom_event(self, request: Request) -> Answer:
        self._need(request, "analytics.behavioral_events.send")
        self._take_custom_events([self.body(request)])
        return Answer(204)

    @route("POST", "/events/v3/send/batch")
    @route("POST", "/events/custom/2026-09/send/batch")
    def send_custom_events(self, request: Request) -> Answer:
        self._need(request, "analytics.behavioral_events.send")
        self._take_custom_events(_inputs(self.body(request)))
        return Answer(204)

    def _take_custom_events(self, events: list[dict[str, Any]]) -> None:
        """The first event of a uuid stays; later ones are taken without a word and forgotten."""
        for event in events:
            if event.get("eventName") not in EVENTS:
                raise RefusalError(400, f"Event definition {event.get('eventName')} does not exist")
            self._check_contact(event)
        for event in events:
            key = str(event.get("uuid") or self.store.next_number("custom_event"))
            if self.store.get("custom_events", key) is None:
                self.store.put("custom_events", key, dict(event))

    # --- rights -----------------------------------------------------------------------------------------------------

    def _need(self, request: Request, scope: str) -> None:
        """A private app has no timeline, whatever its scopes."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        held = self.store.get("tokens", token) or {"scopes": []}
        if scope not in held["scopes"] or token.startswith("pat-"):
            message = "This app hasn't been granted all required scopes to make this call."
            detail = {"message": message, "context": {"requiredGranularScopes": [scope]}}
            raise RefusalError(403, message, "MISSING_SCOPES", errors=[detail])

    def _check_contact(self, event: dict[str, Any]) -> None:
        if not any(event.get(key) for key in ("objectId", "email", "utk")):
            raise RefusalError(400, "One of objectId, email and utk is required")
        if event.get("objectId") and self.find("contacts", self.winner("contacts", str(event["objectId"]))) is None:
            raise self.missing("contacts", str(event["objectId"]))


def _inputs(body: dict[str, Any]) -> list[dict[str, Any]]:
    inputs = body.get("inputs") or []
    if not 1 <= len(inputs) <= BATCH_LIMIT:
        raise RefusalError(400, f"inputs must hold between 1 and {BATCH_LIMIT} events")
    return list(inputs)
