"""The fake portal's gate and ground: tokens, scopes, quotas, error bodies, and what all routes share."""

import json
import re
import uuid
from collections import defaultdict, deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from integrations.sandbox.clock import Clock
from integrations.sandbox.faults import Faults
from integrations.sandbox.http import Answer, Request, Service
from integrations.sandbox.store import Document, Store

PORTAL_ID = 4411223
PRIVATE_TOKEN = "pat-na1-sandbox-0001"  # noqa: S105 - opens nothing but this fake
LIMITED_TOKEN = "pat-na1-sandbox-0002"  # noqa: S105 - may only read and write contacts
CLIENT_ID = "sandbox-hubspot-client"
CLIENT_SECRET = "sandbox-hubspot-secret"  # noqa: S105
ACCESS_TOKEN = "sandbox-hubspot-access-0001"  # noqa: S105
REFRESH_TOKEN = "sandbox-hubspot-refresh-0001"  # noqa: S105
TOKEN_SECONDS = 1800

KINDS = {
    "0-1": "contacts",
    "0-2": "companies",
    "0-3": "deals",
    "0-27": "tasks",
    "0-47": "meetings",
    "0-48": "calls",
}
TYPES = {**KINDS, **{name: name for name in KINDS.values()}}
DATED = re.compile(r"/crm/(?P<family>objects|properties|owners|associations)/20\d\d-\d\d(?P<rest>/.*|$)")
TYPED_LINK = re.compile(r"/associations/(?!default/)[^/]+/[^/]+/[^/]+$")
READS = r"(GET /crm/v3/objects/{0}\b|POST /crm/v3/objects/{0}/(batch/read|search)$)"
SCOPES = (
    (r"GET /crm/v3/owners", "crm.objects.owners.read"),
    (r"POST /crm/v3/properties", "crm.schemas.contacts.write"),
    (READS.format("(companies|0-2)"), "crm.objects.companies.read"),
    (r"\w+ /crm/v3/objects/(companies|0-2)\b", "crm.objects.companies.write"),
    (READS.format("(deals|0-3)"), "crm.objects.deals.read"),
    (r"\w+ /crm/v3/objects/(deals|0-3)\b", "crm.objects.deals.write"),
    (r"GET |POST .*/(batch/read|search)$", "crm.objects.contacts.read"),
    (r"", "crm.objects.contacts.write"),
)
"""The first row that matches the request tells the scope it needs; calls, meetings and tasks are covered by those of contacts."""
ALL_SCOPES = sorted({scope for _, scope in SCOPES})
WINDOW = 10.0
LONGEST_QUERY = 8000
DAILY = 625_000


class RefusalError(Exception):
    """An error answer in HubSpot's shape."""

    def __init__(self, status: int, message: str, category: str = "VALIDATION_ERROR", **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {
            "status": "error",
            "message": message,
            "correlationId": str(uuid.uuid4()),
            "category": category,
            **more,
        }


def rate_limit_body(policy: str) -> dict[str, Any]:
    """The body of a 429; `policy` is TEN_SECONDLY_ROLLING, SECONDLY or DAILY."""
    return {
        "status": "error",
        "message": f"You have reached your {policy.lower()} limit.",
        "errorType": "RATE_LIMIT",
        "correlationId": str(uuid.uuid4()),
        "policyName": policy,
        "requestId": str(uuid.uuid4()),
    }


class Portal(Service):
    """Faults of its own: `locked` (423), `moving` (477), `throttled` (429; the dial's body names the policy),
    `no_partial` (a batch is taken or refused as a whole), `untraced` (errors of a batch do not say whose they are),
    `sparse` (what is empty is left out of answers), `no_unique_calls`, `no_unique_contacts`,
    `no_unique_meetings` and `no_unique_tasks` (these may not get unique properties), `merge_makes_new` (a
    merge ends in a record with a new id) and `rotate_refresh_token`.
    """

    slug = "hubspot"

    def __init__(
        self,
        store: Store,
        clock: Clock,
        faults: Faults,
        *,
        burst: int = 190,
        searches: int = 5,
        index_lag: float = 3.0,
    ) -> None:
        """`burst` requests in ten seconds, `searches` a second; `index_lag` seconds until a search sees a change."""
        super().__init__(store, clock, faults)
        self.burst = burst
        self.searches = searches
        self.index_lag = index_lag
        self._recent: defaultdict[str, deque[float]] = defaultdict(deque)
        self._today: defaultdict[str, int] = defaultdict(int)

    def handle(self, request: Request) -> Answer:
        """Dated paths lead to the same places as the classic ones."""
        if dated := DATED.match(request.path):
            family, rest = dated["family"], dated["rest"]
            tied = family == "associations" or ("/associations/" in rest and not TYPED_LINK.search(rest))
            request.path = f"/crm/{'v4' if tied else 'v3'}/{family}{rest}"
        return super().handle(request)

    # --- the gate ---------------------------------------------------------------------------------------------------

    def before(self, request: Request) -> Answer | None:
        if request.path.startswith("/oauth/"):
            return None
        try:
            token = self._authenticate(request)
            self._strike(request)
            self._count(request, token["token"])
            self._check_scope(request, token)
        except RefusalError as refusal:
            return Answer(refusal.status, refusal.body)
        long = sum(len(name) + len(value) for name, values in request.query.items() for value in values)
        return Answer(414, "<html><body>URI Too Long</body></html>") if long > LONGEST_QUERY else None

    def _dispatch(self, request: Request) -> Answer:
        try:
            return super()._dispatch(request)
        except RefusalError as refusal:
            return Answer(refusal.status, refusal.body)

    def after(self, request: Request, answer: Answer) -> Answer:
        token = _bearer(request)
        if request.path.endswith("/search") or answer.status == 401 or not self.store.get("tokens", token):
            return answer
        used = self._recent[token]
        answer.headers |= {
            "X-HubSpot-RateLimit-Max": str(self.burst),
            "X-HubSpot-RateLimit-Remaining": str(max(0, self.burst - len(used))),
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(int(WINDOW * 1000)),
        }
        if token.startswith("pat-"):
            answer.headers["X-HubSpot-RateLimit-Daily"] = str(DAILY)
            answer.headers["X-HubSpot-RateLimit-Daily-Remaining"] = str(DAILY - self._today[token])
        return answer

    def _authenticate(self, request: Request) -> Document:
        token = self.store.get("tokens", _bearer(request))
        if token is None:
            message = "Authentication credentials not found. This API supports OAuth 2.0 authentication."
            raise RefusalError(401, message, "INVALID_AUTHENTICATION")
        late = self.clock.timestamp() - (token["expires_at"] or self.clock.timestamp())
        if late > 0:
            message = f"The OAuth token used to make this call expired {int(late)} second(s) ago."
            raise RefusalError(401, message, "EXPIRED_AUTHENTICATION")
        return token

    def _strike(self, request: Request) -> None:
        fault = self.faults.draw(request.method, request.path, "locked", "moving", "throttled")
        if fault is None:
            return
        if fault.kind == "locked":
            raise RefusalError(423, "The object is locked by another process.", "LOCKED")
        if fault.kind == "moving":
            raise RefusalError(477, "This account is being migrated to another data hosting location.", "MIGRATION")
        raise self._exceeded((fault.body or {}).get("policyName", "TEN_SECONDLY_ROLLING"))

    def _count(self, request: Request, token: str) -> None:
        """Searches have a bucket of their own, for all apps of the account together."""
        if request.path.endswith("/search"):
            self._take("search", self.searches, 1.0, "SECONDLY")
        else:
            self._take(token, self.burst, WINDOW, "TEN_SECONDLY_ROLLING")
        self._today[token] += 1

    def _take(self, bucket: str, limit: int, seconds: float, policy: str) -> None:
        now = self.clock.timestamp()
        recent = self._recent[bucket]
        while recent and recent[0] <= now - seconds:
            recent.popleft()
        if len(recent) >= limit:
            raise self._exceeded(policy)
        recent.append(now)

    def _exceeded(self, policy: str) -> RefusalError:
        refusal = RefusalError(429, "")
        refusal.body = rate_limit_body(policy)
        return refusal

    def _check_scope(self, request: Request, token: Document) -> None:
        if request.path.startswith("/account-info/"):
            return
        asked = f"{request.method} {request.path}"
        scope = next(scope for pattern, scope in SCOPES if re.match(pattern, asked))
        if scope not in token["scopes"]:
            message = "This app hasn't been granted all required scopes to make this call."
            detail = {"message": message, "context": {"requiredGranularScopes": [scope]}}
            raise RefusalError(403, message, "MISSING_SCOPES", errors=[detail])

    # --- shared by the routes ---------------------------------------------------------------------------------------

    def kind(self, name: str) -> str:
        if name not in TYPES:
            raise RefusalError(400, f"Unable to infer object type from: {name}")
        return TYPES[name]

    def body(self, request: Request) -> dict[str, Any]:
        try:
            body = request.json()
        except ValueError as error:
            raise RefusalError(400, f"Invalid input JSON on line 1, column 1: {error}") from error
        if not isinstance(body, dict):
            raise RefusalError(400, "Invalid JSON input: a request body was expected, but none found")
        return body

    def stamp(self) -> str:
        return iso(self.clock.now())


def limit_of(given: Any, default: int, highest: int) -> int:
    try:
        limit = int(given or default)
    except (TypeError, ValueError) as error:
        raise RefusalError(400, f"Invalid limit: {given!r}") from error
    if not 1 <= limit <= highest:
        raise RefusalError(400, f"Invalid limit: {limit}. It must be between 1 and {highest}.")
    return limit


def page_of(results: list[Any], after: str | None) -> dict[str, Any]:
    return {"results": results, **({"paging": {"next": {"after": after}}} if after else {})}


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def bad_values(values: list[Mapping[str, str]]) -> RefusalError:
    """HubSpot's own way to refuse property values: a JSON list inside a text."""
    told = [{"isValid": False, **value, "localizedErrorMessage": value["message"]} for value in values]
    unknown = [
        {"message": value["message"], "code": value["error"], "context": {"propertyName": [value["name"]]}}
        for value in values
        if value["error"] == "PROPERTY_DOESNT_EXIST"
    ]
    more: dict[str, Any] = {"errors": unknown} if unknown else {}
    return RefusalError(400, f"Property values were not valid: {json.dumps(told)}", **more)


def _bearer(request: Request) -> str:
    return request.headers.get("authorization", "").removeprefix("Bearer ")
