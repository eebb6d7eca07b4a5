"""The sandbox's small HTTP layer: requests, answers, routes. One `Service` is one fake CRM on a port of its own."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote

from integrations.sandbox.clock import Clock
from integrations.sandbox.faults import Faults
from integrations.sandbox.store import Store


@dataclass(slots=True)
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    """Keys in lower case."""
    body: bytes = b""

    def arg(self, name: str, default: str = "") -> str:
        return self.query.get(name, [default])[0]

    def json(self) -> Any:
        """The parsed body; raises ValueError when it is not JSON."""
        return json.loads(self.body.decode("utf-8")) if self.body else None

    def form(self) -> dict[str, str]:
        return {key: values[0] for key, values in parse_qs(self.body.decode("utf-8"), keep_blank_values=True).items()}


@dataclass(slots=True)
class Answer:
    """`body`: dict or list is sent as JSON, str as text, bytes as they are, an iterator of bytes as it comes, None as nothing.

    `later` is called without the store's lock and its answer is sent instead: for a request that is held open.
    """

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    later: "Callable[[], Answer] | None" = None


@dataclass(frozen=True, slots=True)
class LoggedCall:
    """A call as the fake CRM holds it, in words that any demo or test can compare."""

    key: str
    """What our call id left in the record; see `Service.key_of`."""
    record_id: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Agreed:
    """A meeting, a follow-up or a note beside a call as the fake CRM holds it, in words that any demo or test can compare."""

    key: str
    """As with `LoggedCall`."""
    record_id: str
    title: str
    at: str
    """The start, or when it is due: a time, or the day alone where the CRM keeps no more. Of a note when it was made."""
    text: str = ""
    owner: str = ""
    cancelled: bool = False
    """It is still there, and marked as cancelled."""


Handler = Callable[..., Answer]


def route(method: str, pattern: str) -> Callable[[Handler], Handler]:
    """Marks a method of a `Service`: `{name}` in the pattern matches one path segment and is passed, unquoted, by name."""

    def mark(handler: Handler) -> Handler:
        handler.routes = [*getattr(handler, "routes", []), (method, pattern)]  # type: ignore[attr-defined]
        return handler

    return mark


class Service:
    """Base of the fake CRMs. Subclasses declare routes; `before` and `after` wrap each of them."""

    slug: ClassVar[str]
    outcomes: ClassVar[Mapping[str, str]]
    """Disposition of the dialer → how a person reads it in this CRM, for the default maps."""

    def __init__(self, store: Store, clock: Clock, faults: Faults) -> None:
        self.store = store
        self.clock = clock
        self.faults = faults
        self._routes = sorted(self._declared(), key=lambda item: item[1].pattern.count("("))

    def _declared(self) -> list[tuple[str, re.Pattern[str], Handler]]:
        found = []
        for name in dir(type(self)):
            for method, pattern in getattr(getattr(type(self), name), "routes", []):
                escaped = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(pattern))
                found.append((method, re.compile(escaped + "/?"), getattr(self, name)))
        return found

    def seed(self) -> None:
        """Fills an empty store. The same store seed always gives the same content."""

    def environment(self, url: str) -> dict[str, str]:
        """The settings that point us at this sandbox instead of the vendor."""
        raise LookupError(f"The {self.slug} sandbox names no settings.")

    def credential(self, url: str) -> dict[str, Any]:
        """A credential of the seeded account, in the form that `connect_crm` takes."""
        raise LookupError(f"The {self.slug} sandbox has no credential.")

    def logged_calls(self) -> list[LoggedCall]:
        """Every call that was logged here, twins included."""
        raise LookupError(f"The {self.slug} sandbox logs no calls.")

    def meetings(self) -> list[Agreed]:
        """Every meeting that was booked here, twins included."""
        raise LookupError(f"The {self.slug} sandbox books no meetings.")

    def follow_ups(self) -> list[Agreed]:
        """Every follow-up that was set here, twins included."""
        raise LookupError(f"The {self.slug} sandbox sets no follow-ups.")

    def call_summaries(self) -> list[Agreed]:
        """Every note that stands beside a call here, twins included. None where the CRM keeps no such notes."""
        return []

    def key_of(self, call_id: str) -> str:
        """What a call id of ours looks like in a logged call."""
        return call_id

    # --- what people do in the CRM's own pages; each tells whoever listens -------------------------------------------

    def edit(self, object_type: str, record_id: str, fields: Mapping[str, Any]) -> None:
        """Somebody changes a record by hand. Raises KeyError for one that isn't there."""
        raise LookupError(f"Nobody edits {object_type} in the {self.slug} sandbox.")

    def add(self, object_type: str, fields: Mapping[str, Any]) -> str:
        """Somebody makes a record by hand. Returns its id."""
        raise LookupError(f"Nobody adds {object_type} in the {self.slug} sandbox.")

    def remove(self, object_type: str, record_id: str) -> None:
        """Somebody deletes a record by hand."""
        raise LookupError(f"Nobody deletes {object_type} in the {self.slug} sandbox.")

    def before(self, request: Request) -> Answer | None:
        """Authentication and rate limits: an answer here is final."""
        return None

    def after(self, request: Request, answer: Answer) -> Answer:
        """Headers that the service adds to every answer."""
        return answer

    def not_found(self, request: Request) -> Answer:
        return Answer(404, f"<html><body>Not found: {request.path}</body></html>", {"Content-Type": "text/html"})

    def handle(self, request: Request) -> Answer:
        answer = self.before(request) or self._dispatch(request)
        return self.after(request, answer)

    def _dispatch(self, request: Request) -> Answer:
        known_path = False
        for method, pattern, handler in self._routes:
            match = pattern.fullmatch(request.path)
            if match is None:
                continue
            known_path = True
            if method == request.method:
                return handler(request, **{key: unquote(value) for key, value in match.groupdict().items()})
        return Answer(405, {"message": "Method not allowed"}) if known_path else self.not_found(request)
