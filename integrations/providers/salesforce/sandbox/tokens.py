"""Signing in: the two grants, revoking, and who the user is. No answer here ever says when a token will end."""

import secrets
from typing import Any
from urllib.parse import urlencode

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

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
        if kind == "refresh_token":
            return self._refresh(request, form)
        if kind == "urn:ietf:params:oauth:grant-type:jwt-bearer":
            return self._assertion(request, form.get("assertion", ""))
        return _refused("unsupported_grant_type", "grant type not supported")

    def _refresh(self, request: Request, form: dict[str, str]) -> Answer:
        if form.get("client_id") != CLIENT_ID:
            return _refused("invalid_client_id", "client identifier invalid")
        if form.get("client_secret") != CLIENT_SECRET:
            return _refused("invalid_client", "invalid client credentials")
        old = form.get("refresh_token", "")
        known = self._org.store.get(REFRESH, old)
        if known is None:
            return _refused("invalid_grant", "expired access/refresh token")
        body = self._session(request, known["user_id"], old)
        body["issued_at"] = str(int(self._org.clock.timestamp() * 1000))
        if self._faults.draw(request.method, request.path, "rotate"):
            body["refresh_token"] = f"5Aep-{secrets.token_hex(12)}"
            self._org.store.delete(REFRESH, old)
            self._org.store.put(REFRESH, body["refresh_token"], known)
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
            "signature": secrets.token_urlsafe(32),
            "scope": "refresh_token api id",
            "instance_url": f"http://{request.headers.get('host', '127.0.0.1')}",
            "id": f"https://login.salesforce.com/id/{org_id}/{user_id}",
            "token_type": "Bearer",
        }

    def revoke(self, request: Request) -> Answer:
        """A refresh token takes its access tokens with it."""
        token = request.form().get("token", "") or request.arg("token")
        store = self._org.store
        if store.get(REFRESH, token) is None and store.get(ACCESS, token) is None:
            body = urlencode({"error": "invalid_token", "error_description": "invalid token"})
            return Answer(400, body, {"Content-Type": "application/x-www-form-urlencoded"})
        for session in store.all(ACCESS):
            if token in {session["token"], session["refresh_token"]}:
                store.delete(ACCESS, session["token"])
        store.delete(REFRESH, token)
        return Answer(200)

    def user_info(self, request: Request) -> Answer:
        """Unlike the data services, this one answers a dead token with 403 and a bare word."""
        user = self.user_of(request)
        if user is None:
            return Answer(403, "Bad_OAuth_Token")
        body = {
            "user_id": user["Id"],
            "organization_id": next(self._org.store.all("Organization"))["Id"],
            "preferred_username": user["Username"],
            "name": user["Name"],
            "email": user["Email"],
        }
        return Answer(200, body)


def _refused(error: str, description: str) -> Answer:
    return Answer(400, {"error": error, "error_description": description})
