"""The limits of Follow Up Boss: ten-second windows, one for the account and one for each context that its headers name.

We start low and follow the headers. `ceiling` is ours: no header moves it, so that an operator can hold a connection down
(`{"rate_limits": {"ceiling": [200, 60]}}`). `followupboss.system` counts all connections together, since the service also
counts all accounts of our registered system.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import requests
from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from integrations.records.limits import RateHint, RateLimit

WINDOW_SECONDS = 10.0
LIMITS = (
    RateLimit("global", 20, WINDOW_SECONDS),
    RateLimit("PUT.people", 20, WINDOW_SECONDS),
    RateLimit("notes", 10, WINDOW_SECONDS),
    RateLimit("GET.events", 10, WINDOW_SECONDS),
    RateLimit("ceiling", 250, WINDOW_SECONDS),
    # Of the 750 that all accounts of one system have together by default.
    RateLimit("followupboss.system", 700, WINDOW_SECONDS, shared=True),
)

WORDS: Mapping[str, Promise] = {
    "ceiling": _("Highest rate of all"),
    "followupboss.system": _("All requests of our system, whatever the account"),
    "global": _("All requests"),
}
METHODS: Mapping[str, Promise] = {
    "DELETE": _("Deleting %(what)s"),
    "GET": _("Reading %(what)s"),
    "POST": _("Adding %(what)s"),
    "PUT": _("Changing %(what)s"),
}


def buckets(method: str, path: str) -> tuple[str, ...]:
    """The account's bucket first: after a 429 the service wants no request of any kind."""
    base = urlsplit(str(settings.FOLLOWUPBOSS_API_URL)).path.rstrip("/")
    resource = urlsplit(path).path.removeprefix(base).strip("/").split("/")[0]
    return ("global", "notes" if resource == "notes" else f"{method.upper()}.{resource}", "ceiling")


def words(bucket: str) -> str:
    method, _dot, what = bucket.partition(".")
    return str(METHODS[method]) % {"what": what} if method in METHODS else str(WORDS.get(bucket, ""))


def hints(response: requests.Response, counted: Sequence[str]) -> list[RateHint]:
    context = response.headers.get("X-RateLimit-Context", "").strip()
    limit, remaining, window = (
        _whole(response.headers.get(f"X-RateLimit-{name}")) for name in ("Limit", "Remaining", "Window")
    )
    if not counted or limit is None:
        return []
    bucket = counted[0] if context.lower() in {"", "global"} else counted[1]
    return [RateHint(bucket, limit=limit, seconds=float(window or WINDOW_SECONDS), remaining=remaining)]


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.strip().isdecimal() else None
