"""Webhooks of the fake Follow Up Boss: registering them, and what they send.

The signature is the hex HMAC-SHA256 of the base64 text of the body, with the key of the system that registered the hook.
406 and 410 delete a hook; one that fails for nine days is switched off. Dials: `webhook_twice`, `webhook_lost` (only
`/webhookEvents` tells of it). Bulk changes are split over several deliveries.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from uuid import NAMESPACE_URL, uuid5

from integrations.providers.followupboss.sandbox.door import Door, refuse
from integrations.providers.followupboss.sandbox.lists import BadRequestError, page
from integrations.providers.followupboss.sandbox.shapes import body_of
from integrations.sandbox.clock import Clock
from integrations.sandbox.faults import Faults
from integrations.sandbox.http import Answer, Request, route
from integrations.sandbox.sender import Sender
from integrations.sandbox.store import Document, Store

NOUNS = (
    *("people", "peopleRelationship", "notes", "emails", "tasks", "appointments", "textMessages", "calls", "deals"),
    *("stage", "pipeline", "pipelineStage", "customFields", "dealCustomFields", "reaction", "threadedReply"),
)
EVENTS = frozenset(
    {
        *(f"{noun}{change}" for noun in NOUNS for change in ("Created", "Updated", "Deleted")),
        *("peopleTagsCreated", "peopleStageUpdated", "eventsCreated", "emEventsOpened", "emEventsClicked"),
        "emEventsUnsubscribed",
    }
)
PER_EVENT = 2
SPLIT = 5
"""So many ids go into one delivery."""
RETRIES = (60.0, 300.0, 300.0, 600.0, 1800.0)
PACE = 0.002
"""Retries come this much faster than in life."""
PATIENCE = 9 * 86400.0
API = "https://api.followupboss.com/v1"
LOOPBACK = ("http://127.0.0.1:", "http://localhost:")


class Hooks(Door):
    def __init__(self, store: Store, clock: Clock, faults: Faults) -> None:
        super().__init__(store, clock, faults)
        self.sender = Sender(timeout=10.0, delays=RETRIES, pace=PACE)

    @route("GET", "/v1/webhooks")
    def list_hooks(self, request: Request) -> Answer:
        found = [
            _shown(hook)
            for hook in self.store.all("webhooks")
            if hook["key"] == self.system_key
            and all(hook[name] == request.arg(name) for name in ("event", "status") if request.arg(name))
        ]
        return self._refuse() or page(request, "webhooks", found, self.clock.timestamp())

    @route("GET", "/v1/webhooks/{hook_id}")
    def read_hook(self, _request: Request, hook_id: str) -> Answer:
        hook = self._hook(hook_id)
        return self._refuse() or (Answer(200, _shown(hook)) if hook else refuse(404, "Webhook not found."))

    @route("POST", "/v1/webhooks")
    def create_hook(self, request: Request) -> Answer:
        refusal = self._refuse()
        if refusal:
            return refusal
        try:
            body = _checked(body_of(request))
        except BadRequestError as problem:
            return refuse(400, str(problem))
        rivals = [
            one for one in self.store.all("webhooks") if (one["event"], one["key"]) == (body["event"], self.system_key)
        ]
        if len(rivals) >= PER_EVENT:
            return refuse(400, f"Only {PER_EVENT} webhooks per event are allowed.")
        number = self.store.next_number("webhooks", 1001)
        hook = {"id": number, "status": "Active", **body, "key": self.system_key, "failing": None}
        return Answer(201, _shown(self.store.put("webhooks", str(number), hook)))

    @route("PUT", "/v1/webhooks/{hook_id}")
    def update_hook(self, request: Request, hook_id: str) -> Answer:
        hook = self._hook(hook_id)
        if self._refuse() or hook is None:
            return self._refuse() or refuse(404, "Webhook not found.")
        try:
            changes = _checked({**hook, **body_of(request)})
        except BadRequestError as problem:
            return refuse(400, str(problem))
        return Answer(200, _shown(self.store.put("webhooks", hook_id, {**hook, **changes, "failing": None})))

    @route("DELETE", "/v1/webhooks/{hook_id}")
    def delete_hook(self, _request: Request, hook_id: str) -> Answer:
        if self._refuse() or self._hook(hook_id) is None:
            return self._refuse() or refuse(404, "Webhook not found.")
        self.store.delete("webhooks", hook_id)
        return Answer(204)

    @route("GET", "/v1/webhookEvents/{event_id}")
    def read_event_of_hook(self, _request: Request, event_id: str) -> Answer:
        """The key of the event is `id` here."""
        event = self.store.get("webhookevents", event_id)
        if self._refuse() or event is None:
            return self._refuse() or refuse(404, "Event not found.")
        told = {key: value for key, value in event.items() if key != "eventId"}
        return Answer(200, {"id": event_id, **told, "eventCreated": event["eventCreated"].replace("+00:00", "Z")})

    def _refuse(self) -> Answer | None:
        return self.refuse_unregistered() or (
            None if self.is_owner else refuse(403, "Only the owner may manage webhooks.")
        )

    def _hook(self, hook_id: str) -> Document | None:
        hook = self.store.get("webhooks", hook_id)
        return hook if hook and hook["key"] == self.system_key else None

    # --- sending ----------------------------------------------------------------------------------------------------

    def tell(self, event: str, ids: Sequence[int], data: Document | None = None) -> None:
        for start in range(0, len(ids), SPLIT):
            self._tell_one(event, ids[start : start + SPLIT], data)

    def _tell_one(self, event: str, ids: Sequence[int], data: Document | None) -> None:
        hooks = [hook for hook in self.store.all("webhooks") if (hook["event"], hook["status"]) == (event, "Active")]
        if not hooks:
            return
        event_id = str(uuid5(NAMESPACE_URL, f"{API}/{self.store.next_number('webhookevents')}"))
        noun = next(noun for noun in ("people", *NOUNS, "events", "emEvents") if event.startswith(noun))
        uri = None if event.endswith("Deleted") else f"{API}/{noun}?id={','.join(map(str, ids))}"
        content: Document = {
            "eventId": event_id,
            "eventCreated": self.clock.now().isoformat(timespec="seconds"),
            "event": event,
            "resourceIds": list(ids),
            "uri": uri,
            **({"data": data} if data else {}),
        }
        self.store.put("webhookevents", event_id, content)
        for hook in hooks:
            self._send(hook, content)

    def _send(self, hook: Document, content: Document) -> None:
        if self.faults.draw("POST", "/webhook", "webhook_lost"):
            return
        twice = self.faults.draw("POST", "/webhook", "webhook_twice")
        for _ in range(2 if twice else 1):
            self.sender.send(
                hook["url"], _signed(hook["key"], content), lambda status: self._heard(str(hook["id"]), status)
            )

    def _heard(self, hook_id: str, status: int) -> None:
        """What the last try of a delivery does to its hook. Comes from the sender's thread."""
        with self.store.lock:
            hook = self.store.get("webhooks", hook_id)
            if hook is None:
                return
            if status in {406, 410}:
                self.store.delete("webhooks", hook_id)
            else:
                now = self.clock.timestamp()
                failing = None if 200 <= status < 300 else hook["failing"] or now
                off = failing is not None and now - failing > PATIENCE
                changes = {"failing": failing, "status": "Disabled" if off else hook["status"]}
                self.store.put("webhooks", hook_id, {**hook, **changes})
            self.store.flush()


def signature(key: str, body: bytes) -> str:
    return hmac.new(key.encode(), base64.b64encode(body), hashlib.sha256).hexdigest()


def _signed(key: str, content: Document) -> Callable[[int], tuple[Mapping[str, str], bytes]]:
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("/", "\\/").encode()
    headers = {"Content-Type": "application/json", "FUB-Signature": signature(key, body)}
    return lambda _attempt: (headers, body)


def _checked(body: Mapping[str, object]) -> Document:
    if body.get("event") not in EVENTS:
        raise BadRequestError(f"Unknown event {body.get('event')}.")
    url = str(body.get("url") or "")
    if not url.startswith(("https://", *LOOPBACK)):
        raise BadRequestError("url must be https.")
    if body.get("status", "Active") not in {"Active", "Disabled"}:
        raise BadRequestError("status must be Active or Disabled.")
    return {"event": body["event"], "url": url, "status": body.get("status", "Active")}


def _shown(hook: Document) -> Document:
    return {key: hook[key] for key in ("id", "status", "event", "url")}
