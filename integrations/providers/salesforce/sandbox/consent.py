"""The consent page and the codes it gives out: a person who always says yes, and an app with one registered callback path.

A code is good for fifteen minutes and one use, and ends in `==`, so it comes back URL-encoded.
"""

import base64
import hashlib
import re
import secrets
from typing import Any
from urllib.parse import urlencode, urlsplit

from integrations.providers.salesforce.sandbox.org import Org
from integrations.sandbox.faults import Faults
from integrations.sandbox.http import Answer, Request

CODES = "_codes"
CODE_SECONDS = 900
CALLBACK_PATH = "/connect/salesforce/callback/"
SCOPES = {"api", "refresh_token", "offline_access", "id", "openid", "full", "web"}
PROMPTS = {"login", "consent", "select_account"}
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
# Fault → what comes back to the callback address.
SAID_NO = {
    "deny_consent": ("access_denied", "end-user denied authorization"),
    "block_app": ("OAUTH_APPROVAL_ERROR_GENERIC", "An unexpected error has occurred during authentication"),
}


class ConsentPage:
    def __init__(self, org: Org, faults: Faults, client_id: str) -> None:
        self._org = org
        self._faults = faults
        self._client_id = client_id

    def show(self, request: Request, user_id: str) -> Answer:
        """Goes back to the callback address at once; an address that can't be trusted is never gone to."""
        redirect_uri = request.arg("redirect_uri")
        if request.arg("client_id") != self._client_id:
            return _page("error=invalid_client_id&error_description=client%20identifier%20invalid")
        if not _is_registered(redirect_uri):
            return _page("error=redirect_uri_mismatch&error_description=redirect_uri must match configuration")
        error = self._error(request)
        if error:
            return _back(redirect_uri, request, error=error[0], error_description=error[1])
        code = "aPrx" + secrets.token_urlsafe(30) + "=="
        self._org.store.put(
            CODES,
            code,
            {
                "user_id": user_id,
                "redirect_uri": redirect_uri,
                "challenge": request.arg("code_challenge"),
                "scope": request.arg("scope") or "api refresh_token id",
                "at": self._org.clock.timestamp(),
            },
        )
        return _back(redirect_uri, request, code=code)

    def _error(self, request: Request) -> tuple[str, str] | None:
        for kind, refusal in SAID_NO.items():
            if self._faults.draw(request.method, request.path, kind):
                return refusal
        if request.arg("response_type") != "code":
            return "unsupported_response_type", "response type not supported"
        challenge = request.arg("code_challenge")
        if challenge and not _CHALLENGE.fullmatch(challenge):
            return "invalid_request", "invalid code challenge"
        if set(request.arg("scope").split()) - SCOPES:
            return "invalid_scope", "the requested scope is invalid, unknown, or malformed"
        if set(request.arg("prompt").split()) - PROMPTS:
            return "invalid_request", "invalid prompt value"
        return None

    def take(self, form: dict[str, str]) -> dict[str, Any] | tuple[str, str]:
        """What a code stands for, or why it stands for nothing. Whoever asks has used it up."""
        held = self._org.store.get(CODES, form.get("code", ""))
        if held is None:
            return "invalid_grant", "invalid authorization code"
        self._org.store.delete(CODES, form["code"])
        if self._org.clock.timestamp() - held["at"] > CODE_SECONDS:
            return "invalid_grant", "expired authorization code"
        if form.get("redirect_uri") != held["redirect_uri"]:
            return "redirect_uri_mismatch", "redirect_uri must match configuration"
        if held["challenge"] and not form.get("code_verifier"):
            return "invalid_grant", "code verifier missing"
        if held["challenge"] and _challenge(form["code_verifier"]) != held["challenge"]:
            return "invalid_request", "invalid code verifier"
        return held


def _is_registered(redirect_uri: str) -> bool:
    parts = urlsplit(redirect_uri)
    secure = parts.scheme == "https" or parts.hostname in {"127.0.0.1", "localhost"}
    return secure and parts.path == CALLBACK_PATH and not parts.query and not parts.fragment


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _back(redirect_uri: str, request: Request, **answer: str) -> Answer:
    query = urlencode({**answer, "state": request.arg("state")})
    return Answer(302, None, {"Location": f"{redirect_uri}?{query}"})


def _page(text: str) -> Answer:
    return Answer(400, f"<html><body>{text}</body></html>", {"Content-Type": "text/html"})
