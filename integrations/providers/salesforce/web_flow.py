"""Connecting by consent in the browser: the web server flow with PKCE, and its end.

The log-in host is the tenant's choice: production, sandbox or the organisation's own (My Domain), since some organisations
forbid the general ones. A code comes back URL-encoded and is good for fifteen minutes and one use.
"""

import base64
import binascii
import contextlib
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from urllib.parse import urlencode

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from django.conf import settings

from integrations import errors
from integrations.contract.ports import TokenCall
from integrations.providers.salesforce import oauth, oauth_refusals
from integrations.providers.salesforce.failures import LABEL
from integrations.records.connections import Consent, Credential, OAuthApp
from integrations.transport.hosts import check_url

HOSTS = ("*.salesforce.com",)
AUTHORIZE_PATH = "/services/oauth2/authorize"
REVOKE_PATH = "/services/oauth2/revoke"
INTROSPECT_PATH = "/services/oauth2/introspect"
SCOPES = ("api", "refresh_token", "id")
SHORTEST_SESSION = 60  # seconds


def app_of(options: Mapping[str, str]) -> OAuthApp:
    """Raises FixConfig when half of an own app is given, when none is registered here, or for a foreign log-in host."""
    own_id, own_secret = options.get("client_id", "").strip(), options.get("client_secret", "").strip()
    login_url = options.get("login_url", "").strip().rstrip("/")
    if login_url:
        check_url(login_url, HOSTS, LABEL)
    if own_secret and not own_id:
        raise errors.FixConfig("A client secret needs the client id of the same Salesforce app. Enter both.")
    if own_id:
        return OAuthApp(own_id, own_secret, login_url, own=True)
    ours = oauth.client_id(Credential("oauth"))
    return OAuthApp(ours, str(settings.SALESFORCE_CLIENT_SECRET or ""), login_url)


def login_host(app: OAuthApp) -> str:
    return (app.login_url or str(settings.SALESFORCE_LOGIN_URL)).rstrip("/")


def consent_url(consent: Consent, *, another_account: bool = False) -> str:
    query = {
        "response_type": "code",
        "client_id": consent.app.client_id,
        "redirect_uri": consent.redirect_uri,
        "scope": " ".join(SCOPES),
        "state": consent.state,
        "code_challenge": create_s256_code_challenge(consent.verifier),
        "code_challenge_method": "S256",
    }
    if another_account:
        query["prompt"] = "login consent"
    return f"{login_host(consent.app)}{AUTHORIZE_PATH}?{urlencode(query)}"


def redeem(consent: Consent, answer: Mapping[str, str], call: TokenCall, now: datetime) -> Credential:
    if answer.get("error") or not answer.get("code"):
        raise oauth_refusals.of_consent(answer.get("error", ""), answer.get("error_description", ""))
    app = consent.app
    form = {
        "grant_type": "authorization_code",
        "code": answer["code"],
        "client_id": app.client_id,
        "redirect_uri": consent.redirect_uri,
        "code_verifier": consent.verifier,
    }
    if app.client_secret:  # an app may be set up to need none
        form["client_secret"] = app.client_secret
    try:
        response = call(login_host(app) + oauth.TOKEN_PATH, form)
        granted, body = oauth.granted(Credential("oauth", secrets=_kept(app)), response, now)
    except errors.Reconnect as error:
        raise oauth_refusals.of_code(error) from error
    _check_signature(body, app.client_secret)
    if not granted.refresh_token:
        raise errors.FixConfig(
            "Salesforce gave no refresh token. Give the app the scope 'Perform requests at any time (refresh_token, "
            "offline_access)', then connect again.",
            cause="no_refresh_token",
        )
    return _with_lifetime(granted, call, now)


def _kept(app: OAuthApp) -> dict[str, str]:
    """What later renewals need beside the tokens."""
    kept = {"login_url": app.login_url}
    if app.own:
        kept |= {"client_id": app.client_id, "client_secret": app.client_secret}
    return {key: value for key, value in kept.items() if value}


def _check_signature(body: Mapping[str, object], secret: str) -> None:
    """The answer signs who the token is for. Without a secret nobody can tell."""
    signature = str(body.get("signature") or "")
    if not (secret and signature):
        return
    signed = f"{body.get('id', '')}{body.get('issued_at', '')}".encode()
    wanted = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    try:
        given = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        given = b""
    if not hmac.compare_digest(wanted, given):
        raise errors.FixConfig(
            "The answer of Salesforce's sign-in service does not carry its signature, so it was not used. Connect again.",
            cause="bad_signature",
        )


def _with_lifetime(credential: Credential, call: TokenCall, now: datetime) -> Credential:
    """How long sessions last here, if the app may ask. It steers early renewal only; a 401 is what ends a token."""
    seconds = 0.0
    with contextlib.suppress(errors.CrmError):  # the code is used up: nothing may stop us from keeping the tokens
        seconds = session_seconds(credential, call, now)
    if seconds < SHORTEST_SESSION:
        return credential
    secrets = {**credential.secrets, oauth.SESSION_KEY: str(int(seconds))}
    return replace(credential, secrets=secrets, expires_at=oauth.expected_end(now, secrets))


def session_seconds(credential: Credential, call: TokenCall, now: datetime) -> float:
    """What is left of the access token as Salesforce sees it; 0 for a dead token, or when it does not say."""
    form = {"token": credential.access_token, "token_type_hint": "access_token", **oauth.client_form(credential)}
    response = call(oauth.login_url(credential) + INTROSPECT_PATH, form)
    body = oauth_refusals.body_of(response)
    if response.status_code != 200:
        raise oauth_refusals.refused(response.status_code, body, own_app=bool(credential.secrets.get("client_id")))
    end = body.get("exp")
    return end - now.timestamp() if body.get("active") is True and isinstance(end, int | float) else 0.0


def revoke(credential: Credential, call: TokenCall) -> None:
    """A refresh token takes its access tokens with it; without one the access token alone is ended."""
    token = credential.refresh_token or credential.access_token
    if not token:
        return
    response = call(oauth.login_url(credential) + REVOKE_PATH, {"token": token})
    if response.status_code == 200:
        return
    body = oauth_refusals.body_of(response)
    if body.get("error") in {"invalid_token", "unsupported_token_type", "invalid_grant"}:
        return
    refusal = oauth_refusals.refused(response.status_code, body)
    raise errors.Retry(
        "Salesforce did not confirm that this connection has ended. End it there under Setup > Connected Apps OAuth Usage.",
        detail=refusal.detail,
        status=response.status_code,
    )
