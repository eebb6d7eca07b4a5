"""Middleware in two sizes: people get all of it, machines only what they need.

Sessions, cookies, CSRF tokens, messages and static files cost more than a webhook does, so on the routes that programs call
they step aside.
"""

from collections.abc import Callable
from typing import Any

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.common import CommonMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.middleware.locale import LocaleMiddleware
from whitenoise.middleware import WhiteNoiseMiddleware

from integrations import tenancy
from integrations.access import scope_of

MACHINE_ROUTES = ("/api/v1/", "/webhooks/", "/healthz", "/readyz", "/metrics")


class ForPeople:
    """Mixed in before a middleware: skips it on the routes that machines call."""

    get_response: Any

    def __call__(self, request: HttpRequest) -> Any:
        if request.path_info.startswith(MACHINE_ROUTES):
            return self.get_response(request)
        return super().__call__(request)  # type: ignore[misc]


class WhiteNoise(ForPeople, WhiteNoiseMiddleware): ...


class Sessions(ForPeople, SessionMiddleware): ...


class Locale(ForPeople, LocaleMiddleware): ...


class Common(ForPeople, CommonMiddleware): ...


class Csrf(ForPeople, CsrfViewMiddleware): ...


class Authentication(ForPeople, AuthenticationMiddleware): ...


class Messages(ForPeople, MessageMiddleware): ...


class Clickjacking(ForPeople, XFrameOptionsMiddleware): ...


class _Scoped:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with tenancy.entered(scope_of(request.user)):
            return self.get_response(request)


class TenantScope(ForPeople, _Scoped):
    """Everything a signed-in person does sees only that person's tenants."""
