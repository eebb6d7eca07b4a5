"""Bayeux over long polling: handshake, subscribe, connect, disconnect, each one message in one request.

The server keeps nothing for us that it has sent: an answer that was lost takes its events with it. So nothing here is ever
sent twice; whatever goes wrong ends the session (`Lost`), and the next one subscribes again from the last stored position.
Errors stand in the body of a 200. Those that say the token is dead are shown to the transport, which renews it and asks again.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import requests
from django.conf import settings

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.salesforce import failures
from integrations.providers.salesforce.schema import data_path, date_of
from integrations.transport.classify import json_of

HANDSHAKE, SUBSCRIBE, CONNECT, DISCONNECT = ("/meta/handshake", "/meta/subscribe", "/meta/connect", "/meta/disconnect")
NEW_ONLY, RETAINED = -1, -2
READ_TIMEOUT = 30.0
HOLD_TIMEOUT = 130.0
"""The server answers a connect after 110 seconds at the latest."""
WATCHDOG = 180.0
"""Without an answer to a connect for so long, the subscription counts as lost."""
GOODBYE_TIMEOUT = 2.0
MAX_INTERVAL = 30.0
"""A session without a connect for 40 seconds is dropped, whatever pause the server advises."""
_MARK = b"401::"


class Lost(Exception):
    """The session is over. `reason` is for the caller if no other session can be had."""

    def __init__(self, reason: errors.CrmError) -> None:
        super().__init__(reason.message)
        self.reason = reason


class ReplayRefused(Lost):
    """The position is no longer known to the server: events behind it may be gone."""


@dataclass(slots=True)
class Batch:
    """What one answer held: events in the order they came, and what is wrong with the session if something is."""

    events: list[Mapping[str, Any]] = field(default_factory=list)
    problem: Exception | None = None
    alive: bool = False
    """A connect was answered."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What an error means. `kind` None: the session is lost, and another one may help."""

    pattern: str
    kind: type[errors.CrmError] | None
    cause: str
    sentence: str
    after: float | None = None


POLLED = "Until then, changes are polled."
RULES: tuple[Rule, ...] = (
    # Beside events; without them the transport has seen it already. The next handshake shows it again.
    Rule(r"401::", None, failures.SESSION_EXPIRED, "The Salesforce session has ended."),
    Rule(r"unknown client|invalid connection type|cookie", None, "stream_lost", "Salesforce ended the stream."),
    Rule(r"503::|too busy", None, "service_unavailable", "Salesforce is too busy to stream changes.", 30),
    Rule(
        r"events daily limit",
        errors.Throttled,
        "stream_quota",
        f"The Salesforce organisation has used up its change events for today; some come back hour by hour. {POLLED}",
        3600,
    ),
    Rule(
        r"restricted channel",
        errors.Throttled,
        "stream_restricted",
        f"Salesforce does not deliver {{channel}} to this user at the moment; we ask again in an hour. {POLLED}",
        3600,
    ),
    Rule(
        r"concurrent user limit|simultaneous|too many",
        errors.Throttled,
        "stream_crowded",
        f"Too many programs listen to this Salesforce organisation at once. Stop one that is not needed. {POLLED}",
        300,
    ),
    Rule(
        r"view all|without required permission|not allowed to subscribe",
        errors.FixConfig,
        "stream_permission",
        "The integration user may not listen to {channel}. In Salesforce, give it 'View All Records' on the object in a "
        f"permission set ('View All Data' for tasks, events and everything together). {POLLED}",
    ),
    Rule(
        r"not exist|n't exist|channel you requested",
        errors.FixConfig,
        "stream_disabled",
        "Salesforce has no channel {channel}. In Setup, Change Data Capture, select Lead and Contact and save. "
        + POLLED,
    ),
)


class Session:
    """One client of the server. `handshake` begins it anew at any time; cookies are kept by the transport."""

    def __init__(self, api: Api, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._number = 0
        self._client_id = ""
        self._answered_at = clock()
        self.interval = 0.0
        """Seconds that the server wants us to wait before the next connect."""
        self.server_time = datetime.now(UTC)

    def handshake(self) -> None:
        self._client_id, self.interval = "", 0.0
        asked = {"version": "1.0", "minimumVersion": "1.0", "supportedConnectionTypes": ["long-polling"]}
        _, reply = self._ask(HANDSHAKE, {**asked, "ext": {"replay": True}})
        problem = _problem(reply, HANDSHAKE)
        if problem is not None:
            raise problem
        if not _inner(reply, "ext", "replay"):
            raise errors.FixConfig(
                "Salesforce's stream of changes can't be resumed with this version of its API. The operator must set "
                "SALESFORCE_API_VERSION to v37.0 or later.",
                cause="api_version",
            )
        self._client_id = str(reply.get("clientId") or "")
        self._answered_at = self._clock()

    def subscribe(self, channel: str, replay: int) -> Batch:
        """The problem is ReplayRefused when the server doesn't know the position any more."""
        events, reply = self._ask(SUBSCRIBE, {"subscription": channel, "ext": {"replay": {channel: replay}}})
        return Batch(events, _problem(reply, channel))

    def connect(self) -> Batch:
        """Waits for events, two minutes at most."""
        events, reply = self._ask(CONNECT, {"connectionType": "long-polling"}, HOLD_TIMEOUT)
        if not reply:
            silent = self._clock() - self._answered_at > WATCHDOG
            problem = _lost("Salesforce's stream of changes went silent.", "stream_lost") if silent else None
            return Batch(events, problem)
        self._answered_at = self._clock()
        self._heed(reply)
        return Batch(events, _problem(reply, CONNECT), alive=True)

    def disconnect(self) -> None:
        """Ends the session at the server, which answers a waiting connect at once."""
        client_id, self._client_id = self._client_id, ""
        if client_id:
            self._ask(DISCONNECT, {"clientId": client_id}, GOODBYE_TIMEOUT)

    def _heed(self, reply: Mapping[str, Any]) -> None:
        interval = _inner(reply, "advice", "interval")
        if isinstance(interval, int | float):
            self.interval = min(MAX_INTERVAL, max(0.0, interval / 1000))

    def _ask(
        self, channel: str, more: Mapping[str, Any], read_timeout: float = READ_TIMEOUT
    ) -> tuple[list[Mapping[str, Any]], Mapping[str, Any]]:
        """The events of the answer, and the reply to this very message; empty if there is none."""
        self._number += 1
        number = str(self._number)
        mine = {"clientId": self._client_id} if self._client_id else {}
        message = {"channel": channel, "id": number, **mine, **more}
        answer = self._post(message, read_timeout)
        events = [one for one in answer if "data" in one and not _is_meta(one)]
        replies = [one for one in answer if one.get("channel") == channel and str(one.get("id") or number) == number]
        return events, replies[-1] if replies else {}

    def _post(self, message: Mapping[str, Any], read_timeout: float) -> list[Mapping[str, Any]]:
        try:
            response = self._api.request("POST", path(), json=[message], repeatable=False, read_timeout=read_timeout)
        except errors.FixConfig as error:
            if error.status != 403:
                raise
            self._check_token()
            raise Lost(error) from error
        self.server_time = date_of(response) or self.server_time
        body = json_of(response)
        if not isinstance(body, list) or not all(isinstance(one, Mapping) for one in body):
            raise _lost("Salesforce's stream sent something unreadable.", "unreadable_answer", response.text[:200])
        return body

    def _check_token(self) -> None:
        """A dead token may be answered with a bare 403 here. A data service says 401, and the transport renews it."""
        self._api.request("GET", data_path("/limits"), accept=(403, 404))


def path() -> str:
    return f"/cometd/{str(settings.SALESFORCE_API_VERSION).removeprefix('v')}"


def refused_session(response: requests.Response) -> errors.CrmError | None:
    """The error of a stream's answer that says nothing but that the token is dead. Events beside it are worth more."""
    if "/cometd/" not in response.url or response.status_code != 200 or _MARK not in response.content:
        return None
    body = json_of(response)
    replies = [one for one in body if isinstance(one, Mapping)] if isinstance(body, list) else []
    if any("data" in one and not _is_meta(one) for one in replies):
        return None
    texts = [_error_text(one) for one in replies if one.get("successful") is False]
    found = next((text for text in texts if "401::" in text), "")
    return failures.from_code("INVALID_SESSION_ID", found, status=401) if found else None


def _is_meta(message: Mapping[str, Any]) -> bool:
    return str(message.get("channel") or "").startswith("/meta/")


def _error_text(reply: Mapping[str, Any]) -> str:
    ext = reply.get("ext")
    reasons: Sequence[Any] = (reply.get("error"), _inner(ext, "sfdc", "failureReason"))
    return " ".join(str(reason) for reason in reasons if reason)


def _inner(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _problem(reply: Mapping[str, Any], channel: str) -> Exception | None:
    """What a reply means for the session: an error that somebody has to mend, a lost session, or nothing."""
    text = _error_text(reply)
    if reply.get("successful") is True:
        told_to_leave = _inner(reply, "advice", "reconnect") in {"handshake", "none"}
        return _lost("Salesforce asked us to begin the stream anew.", "stream_lost") if told_to_leave else None
    if re.search(r"replay\s*id", text, re.IGNORECASE):
        return ReplayRefused(errors.Retry("Salesforce no longer knows our place in its events.", detail=text))
    rule = next((rule for rule in RULES if re.search(rule.pattern, text, re.IGNORECASE)), None)
    if rule is not None:
        return _by_rule(rule, channel, text)
    if channel.startswith("/meta/") or not text:
        return _lost("Salesforce ended the stream of changes.", "stream_lost", text)
    return errors.FixConfig(f"Salesforce refuses the channel {channel}: {text}. {POLLED}", cause="stream_refused")


def _by_rule(rule: Rule, channel: str, text: str) -> Exception:
    sentence = rule.sentence.format(channel=channel)
    if rule.kind is None:
        return _lost(f"{sentence} We subscribe again.", rule.cause, text, rule.after)
    if issubclass(rule.kind, errors.Retry):
        return rule.kind(sentence, after=rule.after, detail=text, cause=rule.cause)
    return rule.kind(sentence, detail=text, cause=rule.cause)


def _lost(sentence: str, cause: str, detail: str = "", after: float | None = None) -> Lost:
    return Lost(errors.Retry(sentence, after=after, detail=detail, cause=cause))
