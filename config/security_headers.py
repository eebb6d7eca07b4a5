"""What a browser may do with our pages: the Content-Security-Policy, and the other headers that say so.

Nothing may be loaded from elsewhere, no inline script runs and no inline style is applied, except one `<style>` of the theme with
a nonce. The theme's menus are written for Alpine, whose expressions need `unsafe-eval`; that is allowed on the theme's pages
alone, and nothing that is typed in by anybody is ever made part of such an expression.
"""

from typing import Any

from csp.constants import NONCE, NONE, SELF, UNSAFE_EVAL
from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest
from django.http.response import HttpResponseBase

THEMED = ("/admin/", "/connect/", "/people/")
"""Where the theme's pages stand."""
POLICY: dict[str, Any] = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
        "object-src": [NONE],
    }
}
PERMISSIONS = ", ".join(
    f"{feature}=()"
    for feature in (
        "accelerometer",
        "autoplay",
        "camera",
        "display-capture",
        "geolocation",
        "gyroscope",
        "magnetometer",
        "microphone",
        "midi",
        "payment",
        "usb",
    )
)


class SecurityHeaders(CSPMiddleware):
    """An answer that brings a policy of its own keeps it."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response.setdefault("Permissions-Policy", PERMISSIONS)
        return super().process_response(request, response)

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts = super().get_policy_parts(request, response, report_only)
        if request.path_info.startswith(THEMED):
            parts.update = {**(parts.update or {}), "script-src": [UNSAFE_EVAL]}
        return parts
