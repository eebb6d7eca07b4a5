"""Signing in: the three grants, revoking, looking a token up, and who the user is.

No token answer ever says when the token will end. A user may have approved the app five times; the sixth approval silently
ends the oldest.
"""

import base64
import hashlib
import hmac
import secrets
from typing import Any
from urllib.parse import urlencode

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from integrations.providers.salesforce.sandbox.consent import ConsentPage
from integrations.providers.salesforce.sandbox.org import Org
from integrations.sandbox.faults import Faults
from integrations.sandbox.http import Answer, Request
from integrations.sandbox.store import Document

CLIENT_ID = "sandbox-client"
CLIENT_SECRET = "sandbox-secret"  # noqa: S105 - worthless elsewhere
REFRESH_TOKEN = "5Aep-sandbox-refresh"  # noqa: S105 - worthless elsewhere
USERNAME = "integration@acme.example"
SESSION_SECONDS = 7_200
ASSERTION_SECONDS = 180
APPROVALS = 5
AUDIENCE = "https://login.salesforce.com"

KEYS, ACCESS, REFRESH = "_keys", "_access_tokens", "_refresh_tokens"


def make_key() -> Document:
    """The app's key pair: a sandbox key, worthless elsewhere, so a demo may read it from the control panel."""
    key = RSAKey.generate_key(2048)
    return {
        "client_id": CLIENT_ID,
        "username": USERNAME,
        "private_key": key.as_pem(private=True).decode(),
        "public_key": key.as_pem(private=False).decode(),
    }


class Tokens:
    def __init__(self, org: Org, faults: Faults) -> None:
        self._org = org
        self._faults = faults
        self._page = ConsentPage(org, faults, CLIENT_ID)

    def ask_for_consent(self, request: Request) -> Answer:
        """Whoever opens the page is the integration user, and agrees."""
        return self._page.show(request, self._org.with_value("User", "Username", USERNAME)[0])

    def user_of(self, request: Request) -> Document | None:
        """The signed-in user; None for an unknown, revoked or expired token. Each use keeps a session alive."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        found = self._org.store.get(ACCESS, token) if scheme in {"Bearer", "OAuth"} else None
        if found is None:
            return None
        now = self._org.clock.timestamp()
        if now - found["used_at"] > SESSION_SECONDS or self._faults.draw(
            request.method, request.path, "expire_session"
        ):
            self._org.store.delete(ACCESS, token)
            return None
        found["used_at"] = now
        return self._org.store.get("User", found["user_id"])

    def grant(self, request: Request) -> Answer:
        form = request.form()
        kind = form.get("grant_type", "")
        if kind == "urn:ietf:params:oauth:grant-type:jwt-bearer":
            return self._assertion(request, form.get("assertion", ""))
        if kind not in {"authorization_code", "refresh_token"}:
            return _refused("unsupported_grant_type", "grant type not supported")
        if self._faults.draw(request.method, request.path, "unapproved_app"):
            return _refused("invalid_app_access", "user is not admin approved to access this app")
        refusal = _wrong_client(form)
        if refusal:
            return refusal
        return self._code(request, form) if kind == "authorization_code" else self._refresh(request, form)

    def _code(self, request: Request, form: dict[str, str]) -> Answer:
        held = self._page.take(form)
        if isinstance(held, tuple):
            return _refused(*held)
        refreshing = not {"refresh_token", "offline_access"}.isdisjoint(held["scope"].split())
        refresh_token = f"5Aep-{secrets.token_hex(12)}" if refreshing else ""
        if refreshing:
            self._approve(held["user_id"], refresh_token)
        body = self._signed(self._session(request, held["user_id"], refresh_token))
        return Answer(200, body | {"scope": held["scope"]} | ({"refresh_token": refresh_token} if refreshing else {}))

    def _approve(self, user_id: str, refresh_token: str) -> None:
        store = self._org.store
        store.put(REFRESH, refresh_token, {"token": refresh_token, "user_id": user_id})
        mine = [row.get("token", REFRESH_TOKEN) for row in store.all(REFRESH) if row["user_id"] == user_id]
        for oldest in mine[:-APPROVALS]:
            self._end(oldest)

    def _refresh(self, request: Request, form: dict[str, str]) -> Answer:
        old = form.get("refresh_token", "")
        known = self._org.store.get(REFRESH, old)
        if known is None:
            return _refused("invalid_grant", "expired access/refresh token")
        rotating = self._faults.draw(request.method, request.path, "rotate") is not None
        current = f"5Aep-{secrets.token_hex(12)}" if rotating else old
        body = self._signed(self._session(request, known["user_id"], current))
        if rotating:
            self._org.store.delete(REFRESH, old)
            self._org.store.put(REFRESH, current, {**known, "token": current})
            body["refresh_token"] = current
        return Answer(200, body)

    def _assertion(self, request: Request, assertion: str) -> Answer:
        now = self._org.clock.timestamp()
        keys = self._org.store.get(KEYS, CLIENT_ID) or {}
        try:
            claims = jwt.decode(assertion, RSAKey.import_key(keys["public_key"]), algorithms=["RS256"]).claims
        except (JoseError, ValueError):
            return _refused("invalid_grant", "invalid assertion")
        users = self._org.with_value("User", "Username", str(claims.get("sub") or ""))
        if claims.get("iss") != CLIENT_ID:
            return _refused("invalid_client_id", "client identifier invalid")
        if claims.get("aud") != AUDIENCE:
            return _refused("invalid_grant", "audience is invalid")
        if not now < int(claims.get("exp") or 0) <= now + ASSERTION_SECONDS:
            return _refused("invalid_grant", "expired authorization code")
        if not users:
            return _refused("invalid_grant", "user hasn't approved this consumer")
        return Answer(200, self._session(request, users[0], ""))

    def _session(self, request: Request, user_id: str, refresh_token: str) -> dict[str, Any]:
        org_id = next(self._org.store.all("Organization"))["Id"]
        token = f"{org_id[:15]}!AQ{secrets.token_hex(20)}"
        now = self._org.clock.timestamp()
        session = {"token": token, "user_id": user_id, "refresh_token": refresh_token, "used_at": now}
        self._org.store.put(ACCESS, token, session)
        return {
            "access_token": token,
            "scope": "refresh_token api id",
            "instance_url": f"http://{request.headers.get('host', '127.0.0.1')}",
            "id": f"https://login.salesforce.com/id/{org_id}/{user_id}",
            "token_type": "Bearer",
        }

    def _signed(self, body: dict[str, Any]) -> dict[str, Any]:
        """When it was issued, and a signature of that and of whom it was issued for."""
        issued_at = str(int(self._org.clock.timestamp() * 1000))
        digest = hmac.new(CLIENT_SECRET.encode(), f"{body['id']}{issued_at}".encode(), hashlib.sha256).digest()
        return {
            **body,
            "issued_at": issued_at,
            "signature": base64.b64encode(digest).decode(),
            "token_format": "opaque",
        }

    def revoke(self, request: Request) -> Answer:
        """A refresh token takes its access tokens with it."""
        token = request.form().get("token", "") or request.arg("token")
        if self._org.store.get(REFRESH, token) is None and self._org.store.get(ACCESS, token) is None:
            body = urlencode({"error": "invalid_token", "error_description": "invalid token"})
            return Answer(400, body, {"Content-Type": "application/x-www-form-urlencoded"})
        self._end(token)
        return Answer(200)

    def _end(self, token: str) -> None:
        store = self._org.store
        for session in store.all(ACCESS):
            if token in {session["token"], session["refresh_token"]}:
                store.delete(ACCESS, session["token"])
        store.delete(REFRESH, token)

    def introspect(self, request: Request) -> Answer:
        """Only here does the service say when a session will end, if nobody uses it. Looking does not keep it alive."""
        form = request.form()
        refusal = _wrong_client(form)
        if refusal:
            return refusal
        found = self._org.store.get(ACCESS, form.get("token", ""))
        now = self._org.clock.timestamp()
        if found is None or now - found["used_at"] > SESSION_SECONDS:
            return Answer(200, {"active": False})
        user = self._org.store.get("User", found["user_id"]) or {}
        seen, end = int(found["used_at"]), int(found["used_at"]) + SESSION_SECONDS
        who = {"client_id": CLIENT_ID, "username": user.get("Username"), "sub": found["user_id"]}
        times = {"exp": end, "iat": seen, "nbf": seen}
        return Answer(
            200, {"active": True, "scope": "api refresh_token id", "token_type": "access_token", **who, **times}
        )

    def user_info(self, request: Request) -> Answer:
        """Unlike the data services, this one answers a dead token with 403 and a bare word."""
        user = self.user_of(request)
        if user is None:
            return Answer(403, "Bad_OAuth_Token")
        if self._faults.draw(request.method, request.path, "no_id_scope"):
            return Answer(403, "Missing_OAuth_Token")
        body = {
            "user_id": user["Id"],
            "organization_id": next(self._org.store.all("Organization"))["Id"],
            "preferred_username": user["Username"],
            "name": user["Name"],
            "email": user["Email"],
        }
        return Answer(200, body)


def _wrong_client(form: dict[str, str]) -> Answer | None:
    if form.get("client_id") != CLIENT_ID:
        return _refused("invalid_client_id", "client identifier invalid")
    if form.get("client_secret") != CLIENT_SECRET:
        return _refused("invalid_client", "invalid client credentials")
    return None


def _refused(error: str, description: str) -> Answer:
    return Answer(400, {"error": error, "error_description": description})
