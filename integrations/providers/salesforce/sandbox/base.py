"""What the parts of the fake organisation's HTTP side share: who asks, what they may see, and the form of bodies."""

import re
from collections.abc import Sequence
from typing import Any

from integrations.providers.salesforce.sandbox.books import Books
from integrations.providers.salesforce.sandbox.listing import Listing
from integrations.providers.salesforce.sandbox.objects import Field
from integrations.providers.salesforce.sandbox.org import Org
from integrations.providers.salesforce.sandbox.refused import Refused, not_found
from integrations.providers.salesforce.sandbox.tokens import Tokens
from integrations.providers.salesforce.sandbox.writing import Writer
from integrations.sandbox.clock import Clock
from integrations.sandbox.faults import Faults
from integrations.sandbox.http import Answer, Request
from integrations.sandbox.store import Document, Store

DATA = "/services/data/{version}"
DAILY_LIMIT = 100_000
OLDEST_VERSION = 31


class Counter(Books):
    """The organisation's counter: every part of the HTTP side stands behind it."""

    def __init__(self, store: Store, clock: Clock, faults: Faults) -> None:
        super().__init__(store, clock, faults)
        self.org = Org(store, clock)
        self.tokens = Tokens(self.org, faults)
        self.daily_limit = DAILY_LIMIT
        self._listing = Listing(self.org, faults)
        self._user: Document = {}
        self._used = 0

    def handle(self, request: Request) -> Answer:
        try:
            return super().handle(request)
        except Refused as refused:
            return self.after(request, refused.answer())

    def before(self, request: Request) -> Answer | None:
        self.org.commit_due()
        if not request.path.startswith("/services/data/"):
            return None
        user = self.tokens.user_of(request)
        if user is None:
            raise Refused("INVALID_SESSION_ID", "Session expired or invalid", status=401)
        if self._used >= self.daily_limit:
            raise Refused("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", status=403)
        version = re.match(r"/services/data/v(\d+)\.0/", request.path)
        if version and int(version.group(1)) < OLDEST_VERSION:
            raise Refused("UNSUPPORTED_API_VERSION", "This API version is retired", status=410)
        self._user = user
        return None

    def after(self, request: Request, answer: Answer) -> Answer:
        if request.path.startswith("/services/data/"):
            self._used += 1
            answer.headers["Sforce-Limit-Info"] = (
                f"api-usage={self._used}/{self.daily_limit}; per-app-api-usage=17/250(appName=sandbox)"
            )
        return answer

    def not_found(self, request: Request) -> Answer:
        return not_found(f"The requested resource does not exist: {request.path}").answer()

    # --- helpers of the parts -----------------------------------------------------------------------------------------

    def changed(
        self,
        object_type: str,
        ids: Sequence[str],
        change_type: str,
        changed_fields: Sequence[str],
        origin: str,
        user: str,
    ) -> None:
        """Something was written; `origin` is that of change events, empty for a person's own hand."""

    def _visible(self, object_type: str) -> dict[str, Field]:
        """The fields that the user may see. An object that the user may not read is not there at all."""
        if not self.org.may("read", object_type, self._user["Id"]):
            raise not_found()
        return self.org.visible(object_type, self._user["Id"])

    def _writer(self, request: Request) -> Writer:
        return Writer(
            org=self.org,
            faults=self.faults,
            user_id=self._user["Id"],
            path=request.path,
            auto_assign=request.headers.get("sforce-auto-assign", "TRUE").upper() != "FALSE",
            allow_duplicates="allowsave=true" in request.headers.get("sforce-duplicate-rule-header", "").lower(),
            unmodified_since=request.headers.get("if-unmodified-since", ""),
            origin=_origin(request),
            tell=self.changed,
        )

    def may_customize(self, request: Request) -> None:
        if self.faults.draw(request.method, request.path, "no_customizing"):
            raise Refused("INSUFFICIENT_ACCESS", "insufficient access rights on cross-reference id", status=403)


def _origin(request: Request) -> str:
    version = re.match(r"/services/data/v([\d.]+)/", request.path)
    client = re.search(r"client=([^;,\s]+)", request.headers.get("sforce-call-options", ""))
    origin = f"com/salesforce/api/rest/{version.group(1) if version else '59.0'}"
    return f"{origin};client={client.group(1)}" if client else origin


def body_of(request: Request) -> dict[str, Any]:
    try:
        body = request.json()
    except ValueError as error:
        raise Refused("JSON_PARSER_ERROR", str(error)) from error
    if not isinstance(body, dict):
        raise Refused("JSON_PARSER_ERROR", "The HTTP entity body is required, but this request has no entity body.")
    return body
