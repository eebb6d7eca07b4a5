"""The app's consent page, which approves by itself, and the life of its tokens, in the first and the later versions."""

import base64
import hashlib
import re
import uuid
from typing import Any
from urllib.parse import urlencode

from integrations.providers.hubspot.sandbox.portal import (
    ALL_SCOPES,
    CLIENT_ID,
    CLIENT_SECRET,
    PORTAL_ID,
    TOKEN_SECONDS,
)
from integrations.providers.hubspot.sandbox.records import Records
from integrations.sandbox.http import Answer, Request, route
from integrations.sandbox.store import Document

APP_ID = 9001
REQUIRED_SCOPES = frozenset(
    {
        "oauth",
        *(f"crm.objects.{kind}" for kind in ("contacts.read", "contacts.write", "companies.read")),
        *(f"crm.objects.{kind}" for kind in ("deals.read", "deals.write", "owners.read")),
        *("crm.schemas.contacts.read", "crm.schemas.contacts.write"),
    }
)
OPTIONAL_SCOPES = frozenset({"timeline", "sales-email-read", "analytics.behavioral_events.send"})
ENTERPRISE_SCOPES = frozenset({"analytics.behavioral_events.send"})
GRANTED = sorted({*ALL_SCOPES, *REQUIRED_SCOPES, *(OPTIONAL_SCOPES - ENTERPRISE_SCOPES)})
"""What the portal's first installation of the app was given."""
CALLBACK = re.compile(r"(https://[^/?#]+|http://(127\.0\.0\.1|localhost)(:\d+)?)/connect/hubspot/callback/")
CODE_SECONDS = 600
USER = {"user": "admin@northwind.example", "user_id": 9001, "hub_domain": "northwind.example"}
EARLIER = "/oauth/v1/"


class TokenRefusalError(Exception):
    """An error of the token endpoints: a word, and what it means."""


class Consents(Records):
    """`enterprise` portals have all optional scopes to give. Faults: `deny_consent`, `rotate_refresh_token`."""

    enterprise = False

    @route("GET", "/oauth/authorize")
    def authorize(self, request: Request) -> Answer:
        problem = self._wrong_with(request)
        if problem:
            return Answer(
                400, f"<html><body>Authorization failed: {problem}</body></html>", {"Content-Type": "text/html"}
            )
        back = {"state": request.arg("state")}
        if self.faults.draw(request.method, request.path, "deny_consent"):
            back |= {"error": "access_denied", "error_description": "The user denied access to the account"}
        else:
            back |= {"code": self._new_code(request)}
        return Answer(302, None, {"Location": f"{request.arg('redirect_uri')}?{urlencode(back)}"})

    def _wrong_with(self, request: Request) -> str:
        """Empty if nothing is. What is wrong here is shown on the page, since nobody knows where to go back to."""
        required, optional = set(request.arg("scope").split()), set(request.arg("optional_scope").split())
        if request.arg("client_id") != CLIENT_ID:
            return "we couldn't find the app."
        if not CALLBACK.fullmatch(request.arg("redirect_uri")):
            return "the redirect URL doesn't match one of the app's."
        if required != REQUIRED_SCOPES or not optional <= OPTIONAL_SCOPES:
            return "the scopes of the install URL don't match those of the app."
        challenged = request.arg("code_challenge") != ""
        return "unknown code_challenge_method" if challenged and request.arg("code_challenge_method") != "S256" else ""

    def _new_code(self, request: Request) -> str:
        code = str(uuid.uuid4())
        optional = set(request.arg("optional_scope").split())
        held = {
            "redirect_uri": request.arg("redirect_uri"),
            "challenge": request.arg("code_challenge"),
            "scopes": sorted(REQUIRED_SCOPES | (optional if self.enterprise else optional - ENTERPRISE_SCOPES)),
            "until": self.clock.timestamp() + CODE_SECONDS,
        }
        self.store.put("codes", code, held)
        return code

    # --- getting tokens ---------------------------------------------------------------------------------------------

    @route("POST", "/oauth/v1/token")
    @route("POST", "/oauth/v3/token")
    @route("POST", "/oauth/2026-09/token")
    def token(self, request: Request) -> Answer:
        form = request.form()
        try:
            _check_client(form)
            by_code = form.get("grant_type") == "authorization_code"
            held = self._by_code(form) if by_code else self._by_refresh_token(request, form)
        except TokenRefusalError as refusal:
            return _refused(request, *refusal.args)
        return Answer(200, self._issue(request, held))

    def _by_code(self, form: dict[str, str]) -> Document:
        code = form.get("code", "")
        held = self.store.get("codes", code)
        self.store.delete("codes", code)  # used up, whatever comes of it
        if held is None or held["until"] < self.clock.timestamp():
            raise TokenRefusalError("BAD_AUTH_CODE", "missing or unknown auth code")
        if form.get("redirect_uri") != held["redirect_uri"]:
            raise TokenRefusalError("BAD_REDIRECT_URI", "redirect_uri does not match the one of the auth code")
        if held["challenge"] and _challenge(form.get("code_verifier", "")) != held["challenge"]:
            raise TokenRefusalError("BAD_AUTH_CODE", "code_verifier does not match")
        return self.keep_refresh_token(str(uuid.uuid4()), held["scopes"])

    def _by_refresh_token(self, request: Request, form: dict[str, str]) -> Document:
        held = self.store.get("refresh_tokens", form.get("refresh_token", ""))
        if form.get("grant_type") != "refresh_token" or held is None:
            raise TokenRefusalError("BAD_REFRESH_TOKEN", "missing or unknown refresh token")
        if not self.faults.draw(request.method, request.path, "rotate_refresh_token"):
            return held
        self.store.delete("refresh_tokens", held["token"])
        return self.keep_refresh_token(str(uuid.uuid4()), held["scopes"])

    def _issue(self, request: Request, held: Document) -> dict[str, Any]:
        access_token = f"CKn{uuid.uuid4().hex}"
        self.keep_token(access_token, self.clock.timestamp() + TOKEN_SECONDS, held["scopes"])
        answer = {
            "token_type": "bearer",
            "access_token": access_token,
            "refresh_token": held["token"],
            "expires_in": TOKEN_SECONDS,
        }
        if request.path.startswith(EARLIER):
            return answer
        told = {"hub_id": PORTAL_ID, "scopes": held["scopes"], "user_id": USER["user_id"], "token_use": "access_token"}
        return answer | told

    def keep_token(self, token: str, expires_at: float | None, scopes: list[str] | None = None) -> None:
        held = {"token": token, "expires_at": expires_at, "scopes": ALL_SCOPES if scopes is None else scopes}
        self.store.put("tokens", token, held)

    def keep_refresh_token(self, token: str, scopes: list[str]) -> Document:
        return self.store.put("refresh_tokens", token, {"token": token, "scopes": scopes})

    # --- asking about tokens, and ending them -------------------------------------------------------------------------

    @route("GET", "/oauth/v1/access-tokens/{token}")
    def token_info(self, _: Request, token: str) -> Answer:
        held = self._alive(token)
        if held is None:
            return Answer(
                404, {"status": "error", "message": "access token not found", "correlationId": str(uuid.uuid4())}
            )
        return Answer(200, {"token": token, **self._about(held), "token_type": "access"})

    @route("POST", "/oauth/v3/token/introspect")
    @route("POST", "/oauth/2026-09/token/introspect")
    def introspect(self, request: Request) -> Answer:
        form = request.form()
        try:
            _check_client(form)
        except TokenRefusalError as refusal:
            return _refused(request, *refusal.args)
        held = self._alive(form.get("token", ""))
        if held is None:
            return Answer(200, {"active": False})
        return Answer(200, {"active": True, **self._about(held), "token_use": "access_token"})

    @route("DELETE", "/oauth/v1/refresh-tokens/{token}")
    def revoke(self, _: Request, token: str) -> Answer:
        """Access tokens that are out live on until they expire."""
        known = self.store.get("refresh_tokens", token) is not None
        self.store.delete("refresh_tokens", token)
        return Answer(204) if known else Answer(404, {"status": "error", "message": "refresh token not found"})

    @route("POST", "/oauth/v3/token/revoke")
    @route("POST", "/oauth/2026-09/token/revoke")
    def revoke_by_form(self, request: Request) -> Answer:
        form = request.form()
        try:
            _check_client(form)
            if self.store.get("refresh_tokens", form.get("token", "")) is None:
                raise TokenRefusalError("BAD_REFRESH_TOKEN", "missing or unknown refresh token")
        except TokenRefusalError as refusal:
            return _refused(request, *refusal.args)
        self.store.delete("refresh_tokens", form["token"])
        return Answer(200)

    def _alive(self, token: str) -> Document | None:
        """A token of the app; those of private apps are not looked up here."""
        held = self.store.get("tokens", token)
        return held if held and held["expires_at"] and held["expires_at"] > self.clock.timestamp() else None

    def _about(self, held: Document) -> dict[str, Any]:
        left = int(held["expires_at"] - self.clock.timestamp())
        return {**USER, "hub_id": PORTAL_ID, "app_id": APP_ID, "scopes": held["scopes"], "expires_in": left}


def _check_client(form: dict[str, str]) -> None:
    if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
        raise TokenRefusalError("BAD_CLIENT_ID", "missing or unknown client id")


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _refused(request: Request, status: str, message: str) -> Answer:
    """The later versions say it in the words of the standard, too."""
    told = {"status": status, "message": message, "correlationId": str(uuid.uuid4())}
    if not request.path.startswith(EARLIER):
        word = "invalid_client" if status == "BAD_CLIENT_ID" else "invalid_grant"
        told |= {"error": word, "error_description": message}
    return Answer(400, told)
