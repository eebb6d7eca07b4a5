"""The organisation's streaming server: Bayeux over long polling, with the real one's moods.

It wants its cookie back, drops a client that stays away for 40 seconds, forgets what it has sent, answers in mixed order, and
keeps its errors in the body of a 200. A held connect waits without the store's lock and is answered by the next event.

The dial `bayeux` answers one message of the channel that `match` names with its `body` (`{"error", "advice", "ext"}`), or with
nothing when it has none. `repeat_events` sends each event twice.
"""

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from threading import Condition
from typing import Any

from integrations.providers.salesforce.sandbox.events import Journal, message
from integrations.providers.salesforce.sandbox.objects import OBJECTS
from integrations.providers.salesforce.sandbox.org import Org
from integrations.sandbox.faults import Faults
from integrations.sandbox.http import Answer, Request
from integrations.sandbox.store import Document

MAX_BODY = 32_768
MAX_SELECTED = 5
ABSENCE = 40.0
COOKIE = "BAYEUX_BROWSER"
ALL_CHANGES = "/data/ChangeEvents"
SUFFIX = "ChangeEvent"
PER_ANSWER = 20
RETRY = {"reconnect": "retry", "interval": 0, "timeout": 110_000}
AGAIN = {"reconnect": "handshake", "interval": 0}
NEVER = {"reconnect": "none", "interval": 0}
Message = dict[str, Any]


@dataclass(slots=True)
class Client:
    id: str
    user_id: str
    token: str
    cookie: str
    seen_at: float
    subscriptions: dict[str, int] = field(default_factory=dict)
    greeted: bool = False
    connect: str = ""
    """Id of the connect that is held; a newer one replaces it."""


class Streamer:
    """`hold` is how long a connect waits for events; the real server's 110 seconds are too long for tests."""

    def __init__(self, org: Org, faults: Faults, journal: Journal) -> None:
        self.hold = 5.0
        self.max_clients = 20
        self.daily_events = 10_000
        self.delivered = 0
        self.selected = ["Lead", "Contact"]
        self._org = org
        self._faults = faults
        self._journal = journal
        self._clients: dict[str, Client] = {}
        self._news = Condition(org.store.lock)

    def select(self, *object_types: str) -> None:
        """What an administrator ticks under Change Data Capture; five objects are free."""
        chosen = list(dict.fromkeys([*self.selected, *object_types]))
        if len(chosen) > MAX_SELECTED:
            raise ValueError(f"Your organization can select up to {MAX_SELECTED} entities for Change Data Capture.")
        self.selected = chosen

    def wake(self) -> None:
        with self._news:
            self._news.notify_all()

    def forget_clients(self) -> None:
        """The server was scaled: nobody is known any more."""
        self._clients.clear()
        self.wake()

    # --- messages -----------------------------------------------------------------------------------------------------

    def answer(self, request: Request, user: Document | None) -> Answer:
        if len(request.body) > MAX_BODY:
            return Answer(413, "<html><body>Request Entity Too Large</body></html>", {"Content-Type": "text/html"})
        try:
            messages = json.loads(request.body)
        except ValueError:
            messages = None
        if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
            return Answer(400, "<html><body>Bad Request</body></html>", {"Content-Type": "text/html"})
        replies: list[Message] = []
        result = Answer(200, replies)
        for one in messages:
            self._one(one, request, user, result, replies)
        return result

    def _one(
        self, asked: Message, request: Request, user: Document | None, result: Answer, replies: list[Message]
    ) -> None:
        channel = str(asked.get("channel") or "")
        dial = self._faults.draw("POST", request.path + channel, "bayeux")
        if dial is not None:
            replies += [_reply(asked, **dial.body)] if dial.body else []
            if (dial.body or {}).get("advice", {}).get("reconnect") in {"handshake", "none"}:
                self._clients.pop(str(asked.get("clientId")), None)
        elif user is None:
            replies.append(_unauthenticated(asked))
        elif channel == "/meta/handshake":
            self._handshake(asked, request, user, result, replies)
        else:
            self._known_only(asked, request, result, replies)

    def _handshake(
        self, asked: Message, request: Request, user: Document, result: Answer, replies: list[Message]
    ) -> None:
        self._drop_absent()
        if "long-polling" not in asked.get("supportedConnectionTypes", []):
            replies.append(_reply(asked, error="400::Invalid connection type", advice=NEVER))
            return
        if len(self._clients) >= self.max_clients:
            replies.append(_reply(asked, error="403::Organization concurrent user limit exceeded", advice=NEVER))
            return
        token = request.headers.get("authorization", "")
        client = Client(secrets.token_hex(12), user["Id"], token, secrets.token_hex(8), self._org.clock.timestamp())
        self._clients[client.id] = client
        result.headers["Set-Cookie"] = f"{COOKIE}={client.cookie}; Path=/; HttpOnly"
        offered = {"minimumVersion": "1.0", "version": "1.0", "supportedConnectionTypes": ["long-polling"]}
        ext = {"replay": True, "payload.format": True}
        replies.append(_reply(asked, successful=True, clientId=client.id, ext=ext, **offered))

    def _known_only(self, asked: Message, request: Request, result: Answer, replies: list[Message]) -> None:
        self._drop_absent()
        client = self._clients.get(str(asked.get("clientId") or ""))
        if client is None or client.token != request.headers.get("authorization", ""):
            replies.append(_reply(asked, error="403::Unknown client", advice=AGAIN))
            return
        if f"{COOKIE}={client.cookie}" not in request.headers.get("cookie", ""):
            error = f"400::The client {client.id} established a session, but no {COOKIE} cookie was found"
            replies.append(_reply(asked, error=error, advice=NEVER))
            return
        client.seen_at = self._org.clock.timestamp()
        channel = asked.get("channel")
        if channel == "/meta/subscribe":
            replies += self._subscribe(asked, client)
        elif channel == "/meta/connect":
            result.later = self._connect(asked, client, replies)
        elif channel == "/meta/disconnect":
            del self._clients[client.id]
            self.wake()
            replies.append(_reply(asked, successful=True, clientId=client.id))
        else:
            replies.append(_reply(asked, error=f"400::Unknown channel {channel}"))

    def _drop_absent(self) -> None:
        now = self._org.clock.timestamp()
        for client in list(self._clients.values()):
            if not client.connect and now - client.seen_at > ABSENCE:
                del self._clients[client.id]

    # --- subscribing --------------------------------------------------------------------------------------------------

    def _subscribe(self, asked: Message, client: Client) -> Iterator[Message]:
        channel = str(asked.get("subscription") or "")
        wish = ((asked.get("ext") or {}).get("replay") or {}).get(channel, -1)
        refusal = self._refusal(channel, client, wish)
        if refusal:
            yield _reply(asked, error=refusal, subscription=channel)
            return
        client.subscriptions[channel] = self._journal.last() if wish == -1 else max(0, wish)
        yield from self._take(client, PER_ANSWER // 2)
        yield _reply(asked, successful=True, clientId=client.id, subscription=channel)

    def _refusal(self, channel: str, client: Client, wish: int) -> str:
        object_type = _object_of(channel)
        if channel != ALL_CHANGES and object_type not in self.selected:
            return f"400::The channel you requested to subscribe to does not exist {{{channel}}}"
        if object_type and not self._sees_all(object_type, client):
            return "403::User not allowed to subscribe CDC without View All Data permissions"
        if self.delivered >= self.daily_events:
            return "403::Organization total events daily limit exceeded"
        if wish not in {-1, -2} and not self._journal.has(wish):
            return (
                f"400::The replayId {{{wish}}} you provided was invalid.  Please provide a valid ID, -2 to replay all "
                "events, or -1 to replay only new events."
            )
        return ""

    def _sees_all(self, object_type: str, client: Client) -> bool:
        return self._org.may("view_all" if object_type in OBJECTS else "read", object_type, client.user_id)

    # --- waiting for events -------------------------------------------------------------------------------------------

    def _connect(self, asked: Message, client: Client, replies: list[Message]) -> Callable[[], Answer]:
        client.connect = number = str(asked.get("id") or secrets.token_hex(4))
        advice = {} if client.greeted else {"advice": RETRY}
        hold = self.hold if client.greeted else 0.0
        client.greeted = True
        self.wake()

        def held() -> Answer:
            events = self._wait(client, number, hold)
            if client.id not in self._clients:
                return Answer(200, [*replies, *events, _reply(asked, error="403::Unknown client", advice=NEVER)])
            reply = _reply(asked, successful=True, clientId=client.id, **advice)
            mixed = [*events, reply] if len(events) % 2 else [reply, *events]
            return Answer(200, [*replies, *mixed])

        return held

    def _wait(self, client: Client, number: str, hold: float) -> list[Message]:
        until = time.monotonic() + hold
        with self._news:
            while client.connect == number and client.id in self._clients:
                events = list(self._take(client, PER_ANSWER))
                left = until - time.monotonic()
                if events or left <= 0:
                    client.connect, client.seen_at = "", self._org.clock.timestamp()
                    self._org.store.flush()
                    return events
                self._news.wait(left)
        return []

    def _take(self, client: Client, most: int) -> Iterator[Message]:
        """What is sent is forgotten: an answer that gets lost takes its events with it."""
        sent = 0
        for event in self._journal.after(min(client.subscriptions.values(), default=self._journal.last())):
            if sent >= most:
                return
            for channel, place in client.subscriptions.items():
                if event["replay"] > place and self._reaches(event, channel, client):
                    sent += 1
                    self.delivered += 1
                    client.subscriptions[channel] = event["replay"]
                    visible = self._org.visible(event["header"]["entityName"], client.user_id)
                    twice = 2 if self._faults.draw("EVENT", channel, "repeat_events") else 1
                    yield from [message(event, channel, visible)] * twice

    def _reaches(self, event: Document, channel: str, client: Client) -> bool:
        """On a channel of several objects, those that the user may not see in full are left out without a word."""
        object_type = event["header"]["entityName"]
        return _object_of(channel) in {"", object_type} and self._sees_all(object_type, client)


def _object_of(channel: str) -> str:
    """`/data/LeadChangeEvent` → `Lead`; empty for the channel of all objects."""
    if channel == ALL_CHANGES:
        return ""
    name = channel.removeprefix("/data/").removesuffix(SUFFIX)
    return f"{name}c" if name.endswith("__") else name


def _reply(asked: Mapping[str, Any], *, successful: bool = False, **more: Any) -> Message:
    told = {key: asked[key] for key in ("channel", "id") if key in asked}
    return {**told, "successful": successful, **more}


def _unauthenticated(asked: Mapping[str, Any]) -> Message:
    if asked.get("channel") == "/meta/handshake":
        ext = {"sfdc": {"failureReason": "401::Authentication invalid"}}
        return _reply(asked, error="403::Handshake denied", ext=ext, advice=NEVER)
    return _reply(asked, error="401::Authentication invalid", advice=NEVER)
