"""Credentials: reading them, and getting a new access token by refresh token or by signed assertion.

A token answer never says when the access token ends; that is the tenant's session policy (15 minutes to 24 hours of
inactivity). `expires_at` is therefore an estimate for renewing early. A token is dead only when a request says so.
"""

import logging
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
from integrations.contract.ports import TokenCall
from integrations.providers.salesforce import oauth_refusals
from integrations.providers.salesforce.schema import date_of
from integrations.records.connections import Credential

log = logging.getLogger("dialbridge.salesforce")

TOKEN_PATH = "/services/oauth2/token"  # noqa: S105 - a path
JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_LIFE = timedelta(seconds=170)  # three minutes are the most that is accepted
CLOCK_TOLERANCE = timedelta(seconds=5)
SESSION_ESTIMATE = timedelta(hours=2)
# The audience is one of the vendor's two names, also when the request goes to the organisation's own host.
PRODUCTION_AUDIENCE = "https://login.salesforce.com"
TEST_AUDIENCE = "https://test.salesforce.com"

SESSION_KEY = "session_seconds"
"""Among the credential's secrets: how long Salesforce said that a session lasts."""


def login_url(credential: Credential) -> str:
    """The tenant's own login host, else the vendor's for production or, when the instance is a sandbox, for testing."""
    own = credential.secrets.get("login_url", "").rstrip("/")
    if own:
        return own
    if is_sandbox(credential.instance_url):
        return str(settings.SALESFORCE_TEST_LOGIN_URL).rstrip("/")
    return str(settings.SALESFORCE_LOGIN_URL).rstrip("/")


def is_sandbox(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:  # the transport refuses what is no address
        return False
    return ".sandbox.my." in host or host.startswith("test.")


def audience(credential: Credential) -> str:
    own = credential.secrets.get("audience", "").rstrip("/")
    return own or (TEST_AUDIENCE if is_sandbox(login_url(credential)) else PRODUCTION_AUDIENCE)


def client_id(credential: Credential) -> str:
    found = credential.secrets.get("client_id") or str(settings.SALESFORCE_CLIENT_ID or "")
    if not found:
        raise errors.Standstill(
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
        **client_form(credential),
    }
    renewed, _body = granted(credential, call(login_url(credential) + TOKEN_PATH, form), now)
    return renewed


def client_form(credential: Credential) -> dict[str, str]:
    """How the app names itself: an app of the tenant's own by its own secret or none, never by ours."""
    found = {"client_id": client_id(credential)}
    own = bool(credential.secrets.get("client_id"))
    secret = credential.secrets.get("client_secret") or ("" if own else str(settings.SALESFORCE_CLIENT_SECRET or ""))
    if secret:  # an app may be set up to need none
        found["client_secret"] = secret
    return found


def sign_in(credential: Credential, call: TokenCall, now: datetime) -> Credential:
    """Server to server: no refresh token, a new assertion each time.

    Salesforce refuses one that seems to have ended or to end too late. Where its clock differs from ours, it is asked again by its.
    """
    response = call(login_url(credential) + TOKEN_PATH, _assertion(credential, now))
    theirs = date_of(response)
    if response.status_code == 400 and theirs is not None and abs(theirs - now) > CLOCK_TOLERANCE:
        log.warning(
            "Salesforce's clock is %.0f s ahead of this machine's. Set the clock.", (theirs - now).total_seconds()
        )
        response, now = call(login_url(credential) + TOKEN_PATH, _assertion(credential, theirs)), theirs
    signed_in, _body = granted(credential, response, now)
    return signed_in


def _assertion(credential: Credential, now: datetime) -> dict[str, str]:
    claims = {
        "iss": client_id(credential),
        "sub": credential.secrets.get("username", ""),
        "aud": audience(credential),
        "exp": int((now + ASSERTION_LIFE).timestamp()),
        "jti": uuid.uuid4().hex,
    }
    assertion = jwt.encode({"alg": "RS256"}, claims, _key(credential), algorithms=["RS256"])
    return {"grant_type": JWT_GRANT, "assertion": assertion}


def _key(credential: Credential) -> RSAKey:
    pem = credential.secrets.get("private_key", "").replace("\\n", "\n")
    try:
        key = RSAKey.import_key(pem)
    except (ValueError, TypeError, JoseError) as error:
        words = "The private key is no RSA key in PEM form. Give the whole file, from its BEGIN line to its END line."
        raise errors.FixConfig(words, cause="bad_private_key") from error
    if not key.is_private:
        raise errors.FixConfig("The private key is a public key. Give the private half.", cause="bad_private_key")
    return key


def granted(credential: Credential, response: requests.Response, now: datetime) -> tuple[Credential, Mapping[str, Any]]:
    """The credential with what a token answer brought, and the answer. Raises what a refusal means."""
    body = oauth_refusals.body_of(response)
    if response.status_code != 200 or not body.get("access_token"):
        own_app = bool(credential.secrets.get("client_id"))
        raise oauth_refusals.refused(response.status_code, body, own_app=own_app)
    renewed = replace(
        credential,
        access_token=str(body["access_token"]),
        # Rotation is a choice of the app: when a new refresh token comes, the old one is dead from now on.
        refresh_token=str(body.get("refresh_token") or credential.refresh_token),
        instance_url=str(body.get("instance_url") or credential.instance_url).rstrip("/"),
        expires_at=expected_end(_issued_at(body, now), credential.secrets),
        scopes=tuple(str(body.get("scope") or "").split()) or credential.scopes,
    )
    return renewed, body


def expected_end(issued_at: datetime, secrets: Mapping[str, str]) -> datetime:
    """An estimate: what this organisation's sessions were found to last, else what is usual."""
    known = secrets.get(SESSION_KEY, "")
    return issued_at + (timedelta(seconds=int(known)) if known.isdigit() else SESSION_ESTIMATE)


def _issued_at(body: Mapping[str, Any], now: datetime) -> datetime:
    """A string of milliseconds; the assertion flow sends none."""
    try:
        return datetime.fromtimestamp(int(str(body.get("issued_at"))) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return now
