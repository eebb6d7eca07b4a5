"""The app's webhooks: the developer's settings and subscriptions, and the sender, which is no kinder than the real one.

An array holds the events in no order and the first of them twice; every third also has an event of another portal. Each
attempt has its number, its own time and its own signatures. Only portals that installed the app by consent are told of; a
private app's token alone installs nothing. Fault: `lost_webhook` (an array never arrives).
"""

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Timer
from typing import Any

from integrations.providers.hubspot.sandbox.consent import APP_ID
from integrations.providers.hubspot.sandbox.portal import CLIENT_SECRET, KINDS, PORTAL_ID, RefusalError
from integrations.providers.hubspot.sandbox.records import BY_API, Records
from integrations.sandbox.http import Answer, Handler, Request, route
from integrations.sandbox.sender import Sender
from integrations.sandbox.store import Document

DEVELOPER_KEY = "sandbox-hubspot-developer-key"
PRIVATE_APP_ID = 7002
OTHER_PORTAL_ID = 5522334
USER_ID = 77
ADDRESSES = ("/webhooks/v3/{app}", "/webhooks/2026-03/{app}", "/app-webhooks/2026-09/{app}")
SINGULAR = {"contacts": "contact", "companies": "company", "deals": "deal"}
CHANGES = ("creation", "deletion", "merge", "propertyChange", "restore", "associationChange")
TYPES = {f"{kind}.{change}" for kind in (*SINGULAR.values(), "ticket", "object") for change in CHANGES}
TYPES |= {"contact.privacyDeletion"}
FLAGS = {"creation": "CREATED", "deletion": "DELETED", "restore": "RESTORED"}
MOST_SUBSCRIPTIONS, MOST_EVENTS, LEAST_CONCURRENT = 1_000, 100, 5
GATHERING = 0.05
"""Seconds that events are gathered before an array is sent."""
ESCAPES = re.compile("%(3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)")


def administered(method: str, tail: str) -> Callable[[Handler], Handler]:
    """A route of the developer's in all versions."""

    def mark(handler: Handler) -> Handler:
        for address in ADDRESSES:
            handler = route(method, address + tail)(handler)
        return handler

    return mark


class Webhooks(Records):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.sender = Sender()
        self.arrays = 0
        self._pending: list[dict[str, Any]] = []
        self._writer = APP_ID

    def environment(self, url: str) -> dict[str, str]:
        developer = {"HUBSPOT_APP_ID": str(APP_ID), "HUBSPOT_DEVELOPER_API_KEY": DEVELOPER_KEY}
        return {**super().environment(url), **developer}

    def before(self, request: Request) -> Answer | None:
        """The developer's pages know no tenant's token, and a tenant's none of theirs."""
        if not request.path.startswith(("/webhooks/", "/app-webhooks/")):
            pasted = request.headers.get("authorization", "").startswith("Bearer pat-")
            self._writer = PRIVATE_APP_ID if pasted else APP_ID
            return super().before(request)
        if request.arg("hapikey") != DEVELOPER_KEY:
            refusal = RefusalError(401, "The API key provided is invalid.", "INVALID_AUTHENTICATION")
            return Answer(401, refusal.body)
        known = request.path.split("/")[3] == str(APP_ID)
        return None if known else Answer(404, RefusalError(404, "App not found", "OBJECT_NOT_FOUND").body)

    # --- settings ---------------------------------------------------------------------------------------------------

    @administered("GET", "/settings")
    def webhook_settings(self, _: Request, app: str) -> Answer:
        held = self.store.get("webhook_settings", app)
        if held is None:
            raise RefusalError(404, "No webhook settings exist for this app", "OBJECT_NOT_FOUND")
        return Answer(200, held)

    @administered("PUT", "/settings")
    def keep_webhook_settings(self, request: Request, app: str) -> Answer:
        body = self.body(request)
        target, limit = (
            str(body.get("targetUrl") or ""),
            (body.get("throttling") or {}).get("maxConcurrentRequests", 10),
        )
        if not target.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
            raise RefusalError(400, "targetUrl must be an https address")
        if not isinstance(limit, int) or limit < LEAST_CONCURRENT:
            raise RefusalError(400, f"maxConcurrentRequests must be at least {LEAST_CONCURRENT}")
        held = {"targetUrl": target, "throttling": {"maxConcurrentRequests": limit}, "createdAt": self.stamp()}
        return Answer(200, self.store.put("webhook_settings", app, held))

    @administered("DELETE", "/settings")
    def drop_webhook_settings(self, _: Request, app: str) -> Answer:
        self.store.delete("webhook_settings", app)
        return Answer(204)

    # --- subscriptions ----------------------------------------------------------------------------------------------

    @administered("GET", "/subscriptions")
    def subscriptions(self, _: Request, app: str) -> Answer:
        return Answer(200, {"results": list(self.store.all("webhook_subscriptions"))})

    @administered("POST", "/subscriptions")
    def create_subscription(self, request: Request, app: str) -> Answer:
        """Inactive unless told otherwise."""
        body = self.body(request)
        kind, name = str(body.get("eventType")), body.get("propertyName")
        _check_subscription(kind, name, body)
        if any((one["eventType"], one.get("propertyName")) == (kind, name) for one in self._subscribed()):
            raise RefusalError(400, f"A subscription of {kind} {name or ''} already exists")
        if self.store.count("webhook_subscriptions") >= MOST_SUBSCRIPTIONS:
            raise RefusalError(400, f"An app can have {MOST_SUBSCRIPTIONS} subscriptions")
        number = self.store.next_number("webhook_subscription", 501)
        held = {
            "id": str(number),
            "eventType": kind,
            **({"propertyName": name} if name else {}),
            **({"objectTypeId": body["objectTypeId"]} if body.get("objectTypeId") else {}),
            "active": bool(body.get("active", False)),
            "createdAt": self.stamp(),
        }
        return Answer(201, self.store.put("webhook_subscriptions", str(number), held))

    @administered("PATCH", "/subscriptions/{number}")
    def change_subscription(self, request: Request, app: str, number: str) -> Answer:
        return Answer(200, self._activate(number, self.body(request)))

    @administered("DELETE", "/subscriptions/{number}")
    def drop_subscription(self, _: Request, app: str, number: str) -> Answer:
        self.store.delete("webhook_subscriptions", number)
        return Answer(204)

    @administered("POST", "/subscriptions/batch/update")
    def change_subscriptions(self, request: Request, app: str) -> Answer:
        inputs = self.body(request).get("inputs") or []
        return Answer(
            200, {"results": [self._activate(str(one.get("id")), one) for one in inputs], "status": "COMPLETE"}
        )

    def _activate(self, number: str, order: Mapping[str, Any]) -> Document:
        held = self.store.get("webhook_subscriptions", number)
        if held is None:
            raise RefusalError(404, f"Subscription {number} does not exist", "OBJECT_NOT_FOUND")
        return self.store.put("webhook_subscriptions", number, {**held, "active": bool(order.get("active"))})

    def _subscribed(self) -> Iterator[Document]:
        return self.store.all("webhook_subscriptions")

    # --- events -----------------------------------------------------------------------------------------------------

    def changed(
        self, object_type: str, ids: Sequence[str], change: str, properties: Mapping[str, Any], source: str
    ) -> None:
        """A creation also tells of each property that it set."""
        super().changed(object_type, ids, change, properties, source)
        if self.store.get("webhook_settings", str(APP_ID)) is None or not self.store.count("refresh_tokens"):
            return
        told = list(self._told(object_type, ids, change, properties))
        who = {"changeSource": source, "sourceId": str(self._writer) if source == BY_API else f"userId:{USER_ID}"}
        new = [{**self._common(one), **rest, **who} for one, rest in told]
        with self.store.lock:
            if new and not self._pending:
                timer = Timer(GATHERING, self.send_pending)
                timer.daemon = True
                timer.start()
            self._pending += new

    def _told(
        self, object_type: str, ids: Sequence[str], change: str, properties: Mapping[str, Any]
    ) -> Iterator[tuple[Document, dict[str, Any]]]:
        """Each subscription that hears of the change, with what it hears."""
        if change in {"creation", "propertyChange"}:
            for name, value in properties.items():
                rest = {"objectId": int(ids[0]), "propertyName": name, "propertyValue": value}
                yield from self._heard(object_type, "propertyChange", rest)
        if change == "merge":
            yield from self._heard(object_type, change, _merged([int(one) for one in ids]))
        elif change == "associationChange":
            for side in dict.fromkeys((object_type, KINDS.get(properties["toObjectTypeId"], object_type))):
                yield from self._heard(side, change, dict(properties))
        elif change != "propertyChange":
            rest = {"objectId": int(ids[0]), **({"changeFlag": FLAGS[change]} if change in FLAGS else {})}
            yield from self._heard(object_type, change, rest)

    def _heard(self, object_type: str, change: str, rest: dict[str, Any]) -> Iterator[tuple[Document, dict[str, Any]]]:
        number = next((number for number, kind in KINDS.items() if kind == object_type), "")
        for one in self._subscribed():
            named = one["eventType"] == f"{SINGULAR.get(object_type)}.{change}"
            generic = one["eventType"] == f"object.{change}" and one.get("objectTypeId") == number
            if one["active"] and (named or generic) and one.get("propertyName") in {None, rest.get("propertyName")}:
                yield one, {**rest, **({"objectTypeId": number} if generic else {})}

    def _common(self, subscription: Document) -> dict[str, Any]:
        return {
            "eventId": self.store.next_number("webhook_event", 100),
            "subscriptionId": int(subscription["id"]),
            "portalId": PORTAL_ID,
            "appId": APP_ID,
            "occurredAt": int(self.clock.timestamp() * 1000),
            "subscriptionType": subscription["eventType"],
            "attemptNumber": 0,
            "isSensitive": False,
        }

    # --- sending ----------------------------------------------------------------------------------------------------

    def send_pending(self) -> None:
        with self.store.lock:
            pending, self._pending = self._pending, []
            held = self.store.get("webhook_settings", str(APP_ID))
            for start in range(0, len(pending), MOST_EVENTS - 2):
                if held is not None:
                    self._send(held["targetUrl"], pending[start : start + MOST_EVENTS - 2])

    def _send(self, url: str, events: list[dict[str, Any]]) -> None:
        self.arrays += 1
        array = [*reversed(events), events[-1]]
        if self.arrays % 3 == 0:
            array.insert(1, {**events[0], "portalId": OTHER_PORTAL_ID})
        if self.faults.draw("POST", url, "lost_webhook") is None:
            self.sender.send(url, lambda attempt: signed(url, array, attempt))


def signed(url: str, events: Sequence[Mapping[str, Any]], attempt: int) -> tuple[dict[str, str], bytes]:
    """Headers and body of one attempt. The time is the real one, since the receiver's clock is."""
    told = [{**event, "attemptNumber": attempt} for event in events]
    body = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
    stamp = str(int(time.time() * 1000))
    plain = ESCAPES.sub(lambda escape: chr(int(escape[1], 16)), url)
    proof = hmac.new(CLIENT_SECRET.encode(), f"POST{plain}".encode() + body + stamp.encode(), hashlib.sha256)
    headers = {
        "Content-Type": "application/json",
        "X-HubSpot-Signature": hashlib.sha256(CLIENT_SECRET.encode() + body).hexdigest(),
        "X-HubSpot-Signature-Version": "v1",
        "X-HubSpot-Signature-v3": base64.b64encode(proof.digest()).decode(),
        "X-HubSpot-Request-Timestamp": stamp,
    }
    return headers, body


def _merged(ids: list[int]) -> dict[str, Any]:
    """`ids`: what is left, then what went into it; the primary record is the one that is left, or the first that went."""
    primary, *losers = ids if len(ids) == 2 else ids[1:]
    told = {"primaryObjectId": primary, "mergedObjectIds": losers, "newObjectId": ids[0]}
    return {"objectId": ids[0], **told, "numberOfPropertiesMoved": 0}


def _check_subscription(kind: str, name: Any, body: Mapping[str, Any]) -> None:
    if kind not in TYPES:
        raise RefusalError(400, f"Invalid eventType: {kind}")
    if kind.startswith("object.") and not body.get("objectTypeId"):
        raise RefusalError(400, "objectTypeId is required for object events")
    if bool(name) != kind.endswith(".propertyChange"):
        raise RefusalError(400, "propertyName is for propertyChange events, and required there")
    if name == "hs_lastmodifieddate":
        raise RefusalError(400, "hs_lastmodifieddate cannot be subscribed to")
