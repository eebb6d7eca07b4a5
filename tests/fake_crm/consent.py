"""The fake CRM's consent page and token endpoint, and the provider's side of both."""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import urlencode

from django.conf import settings

from integrations import errors
from integrations.contract.ports import TokenCall
from integrations.providers.base import CrmProvider
from integrations.records.connections import Consent, Credential, OAuthApp
from integrations.sandbox.http import Answer, Request, Service, route

CLIENT = {"client_id": "fake-app", "client_secret": "fake-app-secret"}
OWN_CLIENT = {"client_id": "own-app", "client_secret": "own-app-secret"}
OPEN_PATHS = frozenset({"/authorize", "/token", "/revoke"})


class ConsentService(Service):
    """Approves at once. The fault kind `deny` makes it say no."""

    @route("GET", "/authorize")
    def authorize(self, request: Request) -> Answer:
        given = {key: request.arg(key) for key in ("client_id", "redirect_uri", "state", "challenge", "prompt")}
        if given["client_id"] not in {CLIENT["client_id"], OWN_CLIENT["client_id"]} or not given["challenge"]:
            return Answer(400, {"error": "invalid_request"})
        back = {"state": given["state"]}
        if self.faults.draw("GET", "/authorize", "deny"):
            back |= {"error": "access_denied", "error_description": "The person said no."}
        else:
            back["code"] = f"code-{secrets.token_hex(8)}=="
            self.store.put("codes", back["code"], {**given, "used": False})
        return Answer(302, None, {"Location": f"{given['redirect_uri']}?{urlencode(back)}"})

    @route("POST", "/token")
    def token(self, request: Request) -> Answer:
        form = request.form()
        problem = self._wrong_code(form) if "code" in form else self._wrong_refresh(form)
        if problem:
            return Answer(400, {"error": "invalid_grant", "error_description": problem})
        number = self.store.next_number("token")
        fresh = {"access": f"access-{number}", "refresh": f"refresh-{number}", "dead": False}
        self.store.put("tokens", "current", fresh)
        return Answer(200, {"access_token": fresh["access"], "refresh_token": fresh["refresh"], "expires_in": 3600})

    def _wrong_refresh(self, form: Mapping[str, str]) -> str:
        self.store.next_number("refreshes")
        token = self.store.get("tokens", "current") or {}
        return "dead token" if token["dead"] or form.get("refresh_token") != token["refresh"] else ""

    def _wrong_code(self, form: Mapping[str, str]) -> str:
        self.store.next_number("exchanges")
        code = self.store.get("codes", form["code"])
        if code is None or code["used"]:
            return "unknown code"
        self.store.put("codes", form["code"], {**code, "used": True})
        known = {one["client_id"]: one["client_secret"] for one in (CLIENT, OWN_CLIENT)}
        right = (
            form.get("redirect_uri") == code["redirect_uri"]
            and known.get(form.get("client_id", "")) == form.get("client_secret")
            and challenge_of(form.get("verifier", "")) == code["challenge"]
        )
        return "" if right else "wrong client, address or verifier"

    @route("POST", "/revoke")
    def revoke(self, request: Request) -> Answer:
        token = self.store.get("tokens", "current") or {}
        self.store.put("revoked", request.form()["token"], {"at": self.clock.timestamp()})
        if request.form()["token"] == token["refresh"]:
            self.store.put("tokens", "current", {**token, "access": "none", "dead": True})
        return Answer(200)


class ConsentProvider(CrmProvider):
    has_consent_page = True
    consent_options = ("login_url", "client_id", "client_secret")

    @classmethod
    def oauth_app(cls, options: Mapping[str, str]) -> OAuthApp:
        login_url = options.get("login_url") or getattr(settings, "FAKECRM_LOGIN_URL", "")
        if not login_url:
            raise errors.FixConfig("There is no app of the fake CRM here. Set FAKECRM_LOGIN_URL, or name your own app.")
        app = {key: options[key] for key in CLIENT if options.get(key)} or CLIENT
        return OAuthApp(app["client_id"], app.get("client_secret", ""), login_url, own=app is not CLIENT)

    @classmethod
    def consent_url(cls, consent: Consent, *, another_account: bool = False) -> str:
        query = {
            "client_id": consent.app.client_id,
            "redirect_uri": consent.redirect_uri,
            "state": consent.state,
            "challenge": challenge_of(consent.verifier),
            **({"prompt": "login"} if another_account else {}),
        }
        return f"{consent.app.login_url}/authorize?{urlencode(query)}"

    @classmethod
    def redeem(cls, consent: Consent, answer: Mapping[str, str], call: TokenCall, now: datetime) -> Credential:
        if "code" not in answer:
            raise errors.FixConfig(f"The fake CRM did not give us access: {answer.get('error_description')}")
        form = {
            "code": answer["code"],
            "client_id": consent.app.client_id,
            "client_secret": consent.app.client_secret,
            "redirect_uri": consent.redirect_uri,
            "verifier": consent.verifier,
        }
        response = call(f"{consent.app.login_url}/token", form)
        if response.status_code >= 500:
            raise errors.Retry("The token service stumbled.")
        body = response.json()
        if "error" in body:
            raise errors.FixConfig(f"The fake CRM did not take the code: {body['error_description']}.")
        own = {"client_id": consent.app.client_id, "client_secret": consent.app.client_secret}
        return Credential(
            auth="oauth",
            access_token=body["access_token"],
            refresh_token=body["refresh_token"],
            instance_url=consent.app.login_url,
            expires_at=now + timedelta(seconds=body["expires_in"]),
            secrets={**own, "login_url": consent.app.login_url} if consent.app.own else {},
        )

    @classmethod
    def revoke(cls, credential: Credential, call: TokenCall) -> None:
        if call(f"{credential.instance_url}/revoke", {"token": credential.refresh_token}).status_code >= 500:
            raise errors.Retry("The fake CRM stumbled.")


def challenge_of(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
