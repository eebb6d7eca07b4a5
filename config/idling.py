"""Whoever leaves a browser open is signed out: a session ends some hours after the last thing that was done with it.

The session's row says when it ends. Using it puts the end off, at most every few minutes, so that pages do not write with every
request; a page that keeps itself up to date in the background is not used by anybody. A session also ends with the password that
it began with, which Django sees to.
"""

import time
from collections.abc import Callable
from typing import Any

from django.contrib.auth.signals import user_logged_in
from django.http import HttpRequest
from django.http.response import HttpResponseBase

SEEN = "seen_at"
PRECISION = 300
"""Seconds between two times of writing it down."""
BY_ITSELF = "HTTP_X_LIVE"
"""What a page sends that asks for its own parts (static/dialbridge/live.js)."""


class Idle:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.user.is_authenticated and BY_ITSELF not in request.META:
            _put_off(request.session)
        return self.get_response(request)


def _put_off(session: Any) -> None:
    """Writing anything into a session moves its end."""
    seen, now = session.get(SEEN), int(time.time())
    if not isinstance(seen, int) or now - seen >= PRECISION or seen > now:
        session[SEEN] = now


def _begun(request: Any, **_: object) -> None:
    session = getattr(request, "session", None)
    if session is not None:
        session[SEEN] = int(time.time())


user_logged_in.connect(_begun, dispatch_uid="idling_begins")
