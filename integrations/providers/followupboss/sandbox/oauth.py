"""Consent and tokens of the fake Follow Up Boss. Every second renewal replaces the refresh token.

Whoever opens the consent page approves as the owner at once. Dials: `consent_denied`, `consent_by` (its `body` is the id of
another user who approves).
"""

from urllib.parse import urlencode

from integrations.providers.followupboss.sandbox.door import Door, basic_of, refuse
from integrations.providers.followupboss.sandbox.shapes import body_of
from integrations.sandbox.http import Answer, Request, route
from integrations.sandbox.store import Document

ACCESS_SECONDS = 3600
CODE_SECONDS = 15 * 60
IDLE_SECONDS = 90 * 86400
"""A refresh token that was not used for so long is dead."""
OWNER = 1


class Tokens(Door):
    @route("POST", "/v1/oauthApps")
    def create_app(self, request: Request) -> Answer:
        uris = body_of(request).get("redirectUris")
        if not self.system_key:
            return refuse(403, "Only registered systems can use this endpoint.")
        if not isinstance(uris, list) or not uris or not all(str(uri).startswith("https://") for uri in uris):
            return refuse(400, "redirectUris must be https addresses.")
        number = self.store.next_number("oauth_apps")
        made: Document = {
            "clientId": f"fub_client_{number}",
            "clientSecret": f"fub_app_secret_{number}",
            "redirectUris": uris,
        }
        self.store.put("oauth_clients", made["clientId"], made)
        return Answer(201, {"id": number, "name": "Dialbridge", "status": "Active", **made})

    @route("GET", "/oauth/authorize")
    def authorize(self, request: Request) -> Answer:
        client = self.store.get("oauth_clients", request.arg("client_id"))
        redirect = request.arg("redirect_uri")
        if client is None or not redirect or (client["redirectUris"] and redirect not in client["redirectUris"]):
            return Answer(400, "Unknown application or redirect_uri.")
        if request.arg("response_type") != "auth_code":
            return Answer(400, "Unsupported response_type.")
        answer = {"response": "approved", "state": request.arg("state")}
        if self.faults.draw(request.method, request.path, "consent_denied"):
            answer["response"] = "denied"
        else:
            answer["code"] = self._code(request)
        joint = "&" if "?" in redirect else "?"
        return Answer(302, None, {"Location": f"{redirect}{joint}{urlencode(answer)}"})

    def _code(self, request: Request) -> str:
        code = f"fub_code_{self.store.next_number('codes')}"
        someone = self.faults.draw(request.method, request.path, "consent_by")
        kept = {name: request.arg(name) for name in ("client_id", "redirect_uri", "state")}
        user = int(someone.body) if someone else OWNER
        self.store.put("codes", code, {**kept, "userId": user, "expires": self.clock.timestamp() + CODE_SECONDS})
        return code

    @route("POST", "/oauth/token")
    def token(self, request: Request) -> Answer:
        form = request.form()
        client = self._client(request)
        if client is None or "client_secret" in form:
            return _refuse(401, "invalid_client", "Client authentication failed.")
        if form.get("grant_type") == "authorization_code":
            return self._redeem(client, form)
        if form.get("grant_type") != "refresh_token":
            return _refuse(400, "unsupported_grant_type", "The grant type is not supported.")
        grant = self.store.get("refresh_tokens", form.get("refresh_token", ""))
        if grant is None or self.clock.timestamp() - grant["used"] > IDLE_SECONDS:
            return _refuse(400, "invalid_grant", "The refresh token is invalid, expired or revoked.")
        return Answer(200, self._issue(grant))

    def _client(self, request: Request) -> Document | None:
        name, secret = basic_of(request)
        client = self.store.get("oauth_clients", name)
        return client if client and client["clientSecret"] == secret else None

    def _redeem(self, client: Document, form: dict[str, str]) -> Answer:
        missing = [name for name in ("code", "redirect_uri", "state") if not form.get(name)]
        if missing:
            return _refuse(400, "invalid_request", f"Missing: {', '.join(missing)}.")
        code = self.store.get("codes", form["code"])
        self.store.delete("codes", form["code"])
        fits = code and all(code[name] == form[name] for name in ("redirect_uri", "state"))
        if not code or not fits or code["client_id"] != client["clientId"] or code["expires"] < self.clock.timestamp():
            return _refuse(400, "invalid_grant", "The code is invalid, expired or used.")
        refresh = f"fub_refresh_{form['code']}"
        grant = {"token": refresh, "userId": code["userId"], "used": self.clock.timestamp()}
        self.store.put("refresh_tokens", refresh, grant)
        return Answer(200, {**self._access(grant), "refresh_token": refresh})

    def _issue(self, grant: Document) -> Document:
        answer = self._access(grant)
        renewed = {**grant, "used": self.clock.timestamp()}
        number = self.store.next_number("renewals")
        if number % 2:
            self.store.put("refresh_tokens", grant["token"], renewed)
            return answer
        self.store.delete("refresh_tokens", grant["token"])
        rotated = f"fub_refresh_{grant['userId']}_{number}"
        self.store.put("refresh_tokens", rotated, {**renewed, "token": rotated})
        return {**answer, "refresh_token": rotated}

    def _access(self, grant: Document) -> Document:
        access = f"fub_access_{grant['userId']}_{self.store.next_number('tokens')}"
        expires = self.clock.timestamp() + ACCESS_SECONDS
        self.store.put("access_tokens", access, {"userId": grant["userId"], "expires": expires})
        return {"access_token": access, "token_type": "Bearer", "expires_in": ACCESS_SECONDS}


def _refuse(status: int, error: str, text: str) -> Answer:
    return Answer(status, {"error": error, "error_description": text})
