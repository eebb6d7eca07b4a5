"""What every request to the fake Follow Up Boss passes: who is it, is the account alive, is there quota left."""

import base64
import binascii
import math
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Any

from integrations.sandbox.clock import Clock
from integrations.sandbox.faults import Faults
from integrations.sandbox.http import Answer, Request, Service
from integrations.sandbox.store import Document, Store

WINDOW = 10
# Requests in ten seconds: (with system headers, without)
QUOTAS = {"global": (250, 125), "PUT.people": (25, 25), "notes": (10, 10), "GET.events": (20, 10)}
UNKNOWN_CALLER = (
    "Authentication is required. Use Basic HTTP Authentication with API Key as username and blank password, or use "
    "Bearer token authentication."
)
ADMINS = ("Broker", "Admin")
EMPTY_FIRST = "first"
"""The `next` of a page that holds nothing and is not the last."""
LEAD_INTAKE = ("POST", "/v1/events")
"""Neither limited nor closed when the account has expired."""


def refuse(status: int, text: str) -> Answer:
    return Answer(status, {"errorMessage": text})


class Door(Service):
    """Base of the endpoint groups. `me` is the caller's user while a request is handled."""

    def __init__(self, store: Store, clock: Clock, faults: Faults) -> None:
        super().__init__(store, clock, faults)
        self.me: Document = {}
        self.system_key = ""
        self._taken: defaultdict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._told: dict[str, str] = {}
        self._empty_first = False

    @property
    def is_admin(self) -> bool:
        return bool(self.me.get("isOwner")) or self.me.get("role") in ADMINS

    @property
    def is_owner(self) -> bool:
        return bool(self.me.get("isOwner"))

    def tell(self, event: str, ids: Sequence[int], data: Document | None = None) -> None:
        """Something happened: the webhooks hear of it."""

    def refuse_unregistered(self) -> Answer | None:
        return None if self.system_key else Answer(403, {"error": "Only registered systems can use this endpoint."})

    def stamp(self) -> str:
        return self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")

    def before(self, request: Request) -> Answer | None:
        self._told, self._empty_first = {}, False
        if not request.path.startswith("/v1/"):
            return None
        user = self._caller(request)
        if user is None:
            answer = refuse(401, UNKNOWN_CALLER)
            answer.headers["WWW-Authenticate"] = 'Basic realm="Follow Up Boss API"'
            return answer
        self.me = user
        self.system_key = _system_key(request)
        if request.arg("next") == EMPTY_FIRST:
            del request.query["next"]
        elif "next" not in request.query:
            self._empty_first = self.faults.draw(request.method, request.path, "empty_first") is not None
        if (request.method, request.path) == LEAD_INTAKE:
            return None
        limited = self._count(request)
        if limited is None and self.faults.draw(request.method, request.path, "account_expired"):
            return refuse(403, "Your account has expired.")
        return limited

    def after(self, request: Request, answer: Answer) -> Answer:
        answer.headers.update(self._told)
        if answer.status >= 300 or not request.path.startswith("/v1/"):
            return answer
        if self._empty_first and "_metadata" in (answer.body or {}):
            metadata = {**answer.body["_metadata"], "next": EMPTY_FIRST}
            answer.body = {"_metadata": metadata, metadata["collection"]: []}
        if request.method == "PUT" and self.faults.draw(request.method, request.path, "empty_answers"):
            return Answer(204, None, answer.headers)
        return answer

    def _caller(self, request: Request) -> Document | None:
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        credential: Document | None = None
        if scheme == "Basic":
            credential = self.store.get("api_keys", basic_of(request)[0])
        elif scheme == "Bearer":
            token = self.store.get("access_tokens", value)
            credential = token if token and token["expires"] > self.clock.timestamp() else None
        return self.store.get("users", str(credential["userId"])) if credential else None

    def _count(self, request: Request) -> Answer | None:
        """Takes one from the quota of the request's own context and from the global one."""
        registered = bool(self.system_key)
        contexts = [*_own_context(request), "global"]
        for context in contexts:
            limit = QUOTAS[context][0 if registered else 1]
            taken = self._window(context)
            if len(taken) >= limit:
                self._tell(context, limit)
                wait = math.ceil(taken[0] + WINDOW - self.clock.timestamp())
                answer = refuse(429, "Rate limit exceeded.")
                answer.headers["Retry-After"] = str(max(1, wait))
                return answer
        for context in contexts:
            self._window(context).append(self.clock.timestamp())
        self._tell(contexts[0], QUOTAS[contexts[0]][0 if registered else 1])
        return None

    def _window(self, context: str) -> deque[float]:
        taken = self._taken[str(self.me["id"]), context]
        while taken and taken[0] <= self.clock.timestamp() - WINDOW:
            taken.popleft()
        return taken

    def _tell(self, context: str, limit: int) -> None:
        self._told = {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(limit - len(self._window(context))),
            "X-RateLimit-Window": str(WINDOW),
            "X-RateLimit-Context": context,
        }

    def sees(self, person: Document) -> bool:
        mine = self.me["id"]
        return self.is_admin or person["assignedUserId"] == mine or mine in (c["id"] for c in person["collaborators"])

    def visible_person(self, person_id: Any) -> Document | None:
        person = self.store.get("people", str(person_id))
        return person if person and self.sees(person) else None


def _own_context(request: Request) -> list[str]:
    resource = request.path.removeprefix("/v1/").split("/")[0]
    if resource == "notes":
        return ["notes"]
    context = f"{request.method}.{resource}"
    return [context] if context in QUOTAS else []


def _system_key(request: Request) -> str:
    return request.headers.get("x-system-key", "") if request.headers.get("x-system") else ""


def basic_of(request: Request) -> tuple[str, str]:
    """User name and password; blank for anything else."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    try:
        name, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return (name, password) if scheme == "Basic" else ("", "")
