"""Credentials: reading them, and getting a new access token by refresh token or by signed assertion.

A token answer never says when the access token ends; that is the tenant's session policy (15 minutes to 24 hours of
inactivity). `expires_at` is therefore an estimate for renewing early. A token is dead only when a request says so.
"""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from integrations import errors
from integrations.providers.base import TokenCall
from integrations.records import Credential
from integrations.transport.classify import json_of

TOKEN_PATH = "/services/oauth2/token"  # noqa: S105 - a path
JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_LIFE = timedelta(seconds=170)  # three minutes are the most that is accepted
SESSION_ESTIMATE = timedelta(hours=2)
# The audience is one of the vendor's two names, also when the request goes to the organisation's own host.
PRODUCTION_AUDIENCE = "https://login.salesforce.com"
TEST_AUDIENCE = "https://test.salesforce.com"

# (part of the description, cause, sentence) for `invalid_grant`; the first that fits is taken.
GRANT_PROBLEMS: tuple[tuple[str, str, str], ...] = (
    (
        "expired access/refresh token",
        "token_revoked",
        "Salesforce ended this connection: it was revoked, expired or replaced by newer sign-ins. Connect again.",
    ),
    (
        "hasn't approved this consumer",
        "app_not_approved",
        "The integration user is not pre-authorised for our app. Approve it in Salesforce, then connect again.",
    ),
    (
        "invalid assertion",
        "bad_certificate",
        "Salesforce refused our signature. Upload this private key's certificate to the app, then connect again.",
    ),
    (
        "audience",
        "wrong_login_host",
        "Sandboxes sign in at test.salesforce.com, others at login.salesforce.com. Connect again with the other.",
    ),
    (
        "ip restricted",
        "ip_restricted",
        "Salesforce lets this user sign in from certain addresses only. Relax the app's IP policy, then connect again.",
    ),
    (
        "inactive user",
        "inactive_user",
        "The integration user was deactivated in Salesforce. Activate it or connect again as another user.",
    ),
    (
        "inactive org",
        "inactive_organisation",
        "This Salesforce organisation is no longer active. Connect again with an active one.",
    ),
    (
        "authentication failure",
        "sign_in_refused",
        "Salesforce refused to sign the integration user in. Check its login policies, then connect again.",
    ),
)
_TEMPORARY = {"temporarily_unavailable", "server_error"}


def login_url(credential: Credential) -> str:
    """The tenant's own login host, else the vendor's for production or, when the instance is a sandbox, for testing."""
    own = credential.secrets.get("login_url", "").rstrip("/")
    if own:
        return own
    if is_sandbox(credential.instance_url):
        return str(settings.SALESFORCE_TEST_LOGIN_URL).rstrip("/")
    return str(settings.SALESFORCE_LOGIN_URL).rstrip("/")


def is_sandbox(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return ".sandbox.my." in host or host.startswith("test.")


def audience(credential: Credential) -> str:
    own = credential.secrets.get("audience", "").rstrip("/")
    return own or (TEST_AUDIENCE if is_sandbox(login_url(credential)) else PRODUCTION_AUDIENCE)


def client_id(credential: Credential) -> str:
    found = credential.secrets.get("client_id") or str(settings.SALESFORCE_CLIENT_ID or "")
    if not found:
        raise errors.FixConfig(
            "No Salesforce app is registered here. The operator must set SALESFORCE_CLIENT_ID and "
            "SALESFORCE_CLIENT_SECRET, or the credential must bring its own client_id.",
            cause="no_client_id",
        )
    return found


def checked(credential: Credential) -> Credential:
    """The credential made usable. Raises FixConfig when it can't be."""
    if credential.auth == "jwt":
        _key(credential)
    elif not credential.instance_url:
        if not credential.refresh_token:
            raise errors.FixConfig("A Salesforce access token without a refresh token also needs its instance_url.")
        # Nobody knows which host takes this access token; the first renewal brings both.
        return replace(credential, access_token="")
    return credential


def refresh(credential: Credential, call: TokenCall, now: datetime) -> Credential:
    form = {
        "grant_type": "refresh_token",
        "refresh_token": credential.refresh_token,
        "client_id": client_id(credential),
    }
    secret = credential.secrets.get("client_secret") or str(settings.SALESFORCE_CLIENT_SECRET or "")
    if secret:  # an app may be set up to need none
        form["client_secret"] = secret
    return _granted(credential, call(login_url(credential) + TOKEN_PATH, form), now)


def sign_in(credential: Credential, call: TokenCall, now: datetime) -> Credential:
    """Server to server: no refresh token, a new assertion each time."""
    claims = {
        "iss": client_id(credential),
        "sub": credential.secrets.get("username", ""),
        "aud": audience(credential),
        "exp": int((now + ASSERTION_LIFE).timestamp()),
        "jti": uuid.uuid4().hex,
    }
    assertion = jwt.encode({"alg": "RS256"}, claims, _key(credential), algorithms=["RS256"])
    form = {"grant_type": JWT_GRANT, "assertion": assertion}
    return _granted(credential, call(login_url(credential) + TOKEN_PATH, form), now)


def _key(credential: Credential) -> RSAKey:
    pem = credential.secrets.get("private_key", "").replace("\\n", "\n")
    try:
        key = RSAKey.import_key(pem)
    except (ValueError, TypeError, JoseError) as error:
        raise errors.FixConfig("The private_key is no RSA key in PEM form.", cause="bad_private_key") from error
    if not key.is_private:
        raise errors.FixConfig("The private_key is a public key. Give the private half.", cause="bad_private_key")
    return key


def _granted(credential: Credential, response: requests.Response, now: datetime) -> Credential:
    body = json_of(response)
    if response.status_code != 200 or not isinstance(body, dict) or not body.get("access_token"):
        raise refused(response.status_code, body if isinstance(body, dict) else {})
    return replace(
        credential,
        access_token=str(body["access_token"]),
        # Rotation is a choice of the app: when a new refresh token comes, the old one is dead from now on.
        refresh_token=str(body.get("refresh_token") or credential.refresh_token),
        instance_url=str(body.get("instance_url") or credential.instance_url).rstrip("/"),
        expires_at=_issued_at(body, now) + SESSION_ESTIMATE,
    )


def _issued_at(body: Mapping[str, Any], now: datetime) -> datetime:
    """A string of milliseconds; the assertion flow sends none."""
    try:
        return datetime.fromtimestamp(int(str(body.get("issued_at"))) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return now


def refused(status: int, body: Mapping[str, Any]) -> errors.CrmError:
    """What a token endpoint's refusal means."""
    error, text = str(body.get("error") or ""), str(body.get("error_description") or "")
    detail = f"{status} {error}: {text}"
    if error == "rate_limit_exceeded" or status == 429:
        return errors.Throttled("Salesforce wants fewer sign-ins. We will try again.", detail=detail, status=status)
    if not error or error in _TEMPORARY or status >= 500:
        return errors.Retry("The Salesforce sign-in service stumbled. We will try again.", detail=detail, status=status)
    if error == "invalid_grant":
        return _invalid_grant(text, detail, status)
    if error == "invalid_app_access":
        return errors.Reconnect(
            "The Salesforce administrator has to approve our app for this user; then connect again.",
            detail=detail,
            status=status,
            cause="app_not_approved",
        )
    return errors.FixConfig(
        f"Salesforce does not accept our app registration ({error}: {text}). The operator must check "
        "SALESFORCE_CLIENT_ID and SALESFORCE_CLIENT_SECRET.",
        detail=detail,
        status=status,
        cause=error,
    )


def _invalid_grant(text: str, detail: str, status: int) -> errors.CrmError:
    for part, cause, sentence in GRANT_PROBLEMS:
        if part in text.lower():
            return errors.Reconnect(sentence, detail=detail, status=status, cause=cause)
    return errors.Reconnect(
        f"Salesforce no longer accepts this connection ({text or 'invalid_grant'}). Connect again.",
        detail=detail,
        status=status,
    )
