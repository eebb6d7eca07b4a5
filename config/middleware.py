"""Middleware in two sizes: people get all of it, machines only what they need.

Sessions, cookies, CSRF tokens, messages and static files cost more than a webhook does, so on the routes that programs call
they step aside.
"""

from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponseForbidden, HttpResponsePermanentRedirect
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.common import CommonMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.middleware.locale import LocaleMiddleware
from django.utils import timezone
from whitenoise.middleware import WhiteNoiseMiddleware

from config.idling import Idle
from config.security_headers import SecurityHeaders
from integrations import tenancy
from integrations.access import scope_of

CHOSEN_ZONE, BROWSER_ZONE = "timezone", "browser_timezone"
"""Cookies: what was chosen on the profile page, and what the browser says of itself."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CHANGING_LINKS = ("/connect/",)
"""Where following a link changes something: the way to a CRM's consent page and back."""
MACHINE_ROUTES = ("/api/v1/", "/webhooks/", "/healthz", "/readyz", "/metrics")
PROGRAMS = ("/api/", *MACHINE_ROUTES)


class ForPeople:
    """Mixed in before a middleware: skips it on the routes that machines call."""

    get_response: Any

    def __call__(self, request: HttpRequest) -> Any:
        if request.path_info.startswith(MACHINE_ROUTES):
            return self.get_response(request)
        return super().__call__(request)  # type: ignore[misc]


class Policy(ForPeople, SecurityHeaders): ...


class WhiteNoise(ForPeople, WhiteNoiseMiddleware): ...


class Sessions(ForPeople, SessionMiddleware):
    """A cookie that can be no session's is left out: the database would refuse to look for some of them."""

    def process_request(self, request: HttpRequest) -> None:
        key = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
        if not (key.isascii() and key.isalnum()):
            request.COOKIES.pop(settings.SESSION_COOKIE_NAME, None)
        super().process_request(request)


class Locale(ForPeople, LocaleMiddleware): ...


class Common(ForPeople, CommonMiddleware):
    """An address with a NUL in it is refused before it is looked at: the database would not look for one."""

    def process_request(self, request: HttpRequest) -> HttpResponsePermanentRedirect | None:
        if "%00" in request.META.get("QUERY_STRING", "") or "\x00" in request.path_info:
            raise BadRequest("The address holds a NUL character.")
        return super().process_request(request)


class Csrf(ForPeople, CsrfViewMiddleware):
    """Programs bring no cookie that could be abused, and an address of theirs that is written wrongly is just not there."""

    def process_view(self, request: HttpRequest, *view: Any) -> HttpResponseForbidden | None:
        if request.path_info.startswith(PROGRAMS):
            return None
        return super().process_view(request, *view)


class Authentication(ForPeople, AuthenticationMiddleware): ...


class Idling(ForPeople, Idle): ...


class Messages(ForPeople, MessageMiddleware): ...


class Clickjacking(ForPeople, XFrameOptionsMiddleware): ...


class _Scoped:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        changes = request.method not in SAFE_METHODS or request.path_info.startswith(CHANGING_LINKS)
        with tenancy.entered(scope_of(request.user, to_change=changes)):
            return self.get_response(request)


class TenantScope(ForPeople, _Scoped):
    """Everything a signed-in person does sees only that person's tenants, and changes only those where they are an admin."""


class _Zone:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with timezone.override(zone_of(request)):
            return self.get_response(request)


class TimeZone(ForPeople, _Zone):
    """Times are shown in the zone that the person chose, else in that of the browser."""


def zone_of(request: HttpRequest) -> ZoneInfo | None:
    """None, for the server's own, when neither cookie names a zone that exists."""
    for name in (CHOSEN_ZONE, BROWSER_ZONE):
        zone = unquote(request.COOKIES.get(name, ""))
        if zone in available_zones():
            return ZoneInfo(zone)
    return None


@cache
def available_zones() -> frozenset[str]:
    return frozenset(available_timezones())
