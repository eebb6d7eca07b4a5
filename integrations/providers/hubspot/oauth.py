"""Tokens of OAuth apps: the consent page, what comes back from it, renewal, and the end.

The token endpoints exist in several versions that take the same forms. They differ in what they tell: v1 answers with the
tokens alone and has addresses to look a token up and to revoke it, the later ones name the portal and the scopes as well.
Both are understood, whichever is chosen.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import requests
from django.conf import settings

from integrations import errors
from integrations.contract.ports import TokenCall
from integrations.providers.hubspot import answers
from integrations.providers.hubspot.endpoints import path, version
from integrations.records.connections import Consent, Credential, OAuthApp
from integrations.transport.classify import json_of, text_of

SCOPES = (
    "oauth",
    "crm.objects.contacts.read",
    "crm.objects.contacts.write",
    "crm.objects.companies.read",
    "crm.objects.deals.read",
    "crm.objects.deals.write",
    "crm.objects.owners.read",
    "crm.schemas.contacts.read",
    "crm.schemas.contacts.write",
)
"""What the app must require, no more and no less: HubSpot compares the two lists. Calls go by the scopes of contacts."""
OPTIONAL_SCOPES = ("timeline", "analytics.behavioral_events.send", "sales-email-read")
"""What a portal's edition may lack. As a required scope it would stop the installation."""
DEAD_TOKENS = frozenset({"BAD_REFRESH_TOKEN", "BAD_AUTH_CODE", "invalid_grant"})
"""Only a person can mend these."""
BAD_APP = frozenset({"BAD_CLIENT_ID", "BAD_CLIENT_SECRET", "invalid_client", "unauthorized_client"})
BAD_ADDRESS = frozenset({"BAD_REDIRECT_URI", "REDIRECT_URI_MISMATCH", "MISMATCH_REDIRECT_URI_AUTH_CODE"})
NO_APP = "Set HUBSPOT_CLIENT_ID and HUBSPOT_CLIENT_SECRET."


# --- consent --------------------------------------------------------------------------------------------------------


def app_of(options: Mapping[str, str]) -> OAuthApp:
    own = options.get("client_id", "").strip(), options.get("client_secret", "").strip()
    if all(own):
        return OAuthApp(*own, own=True)
    if any(own):
        raise errors.FixConfig(
            "An app of your own needs both its client id and its client secret. Enter the other one."
        )
    if not (settings.HUBSPOT_CLIENT_ID and settings.HUBSPOT_CLIENT_SECRET):
        raise errors.FixConfig(f"No HubSpot app is registered here. Enter the id and secret of your own app. {NO_APP}")
    return OAuthApp(settings.HUBSPOT_CLIENT_ID, settings.HUBSPOT_CLIENT_SECRET)


def consent_url(consent: Consent) -> str:
    """HubSpot asks whoever has several accounts which one it shall be, so there is nothing to add for another account."""
    query = {
        "client_id": consent.app.client_id,
        "redirect_uri": consent.redirect_uri,
        "scope": " ".join(SCOPES),
        "optional_scope": " ".join(OPTIONAL_SCOPES),
        "state": consent.state,
    }
    if _proves(consent):
        digest = hashlib.sha256(consent.verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        query |= {"code_challenge": challenge, "code_challenge_method": "S256"}
    return f"{settings.HUBSPOT_AUTHORIZE_URL}?{urlencode(query)}"


def redeem(consent: Consent, answer: Mapping[str, str], call: TokenCall, now: datetime) -> Credential:
    if answer.get("error") or not answer.get("code"):
        reason = answer.get("error_description") or answer.get("error") or "no code came back"
        raise errors.FixConfig(
            f"HubSpot did not connect: {reason}. Start again, and approve the app as a super admin of the account.",
            cause="consent_refused",
        )
    app = consent.app
    form = {
        "grant_type": "authorization_code",
        "client_id": app.client_id,
        "client_secret": app.client_secret,
        "redirect_uri": consent.redirect_uri,
        "code": answer["code"],
        **({"code_verifier": consent.verifier} if _proves(consent) else {}),
    }
    response = call(_address("token"), form)
    if response.status_code != 200:
        raise _redeem_error(response)
    own = {"client_id": app.client_id, "client_secret": app.client_secret} if app.own else {}
    credential = _granted(Credential(auth="oauth", secrets=own), response, now)
    return credential if credential.scopes else replace(credential, scopes=_scopes(credential, call))


def _proves(consent: Consent) -> bool:
    """Whether the code is bound to us by PKCE: the first version of the token endpoint knows nothing of it."""
    return bool(consent.verifier) and version("token") != "v1"


# --- renewal --------------------------------------------------------------------------------------------------------


def renew(credential: Credential, call: TokenCall, now: datetime) -> Credential:
    form = {"grant_type": "refresh_token", "refresh_token": credential.refresh_token, **_client(credential)}
    response = call(_address("token"), form)
    if response.status_code != 200:
        raise _renewal_error(response)
    return _granted(credential, response, now)


def _granted(credential: Credential, response: requests.Response, now: datetime) -> Credential:
    body = answers.body_of(response)
    if not body.get("access_token"):
        raise errors.Retry("HubSpot's token service sent no token. We will try again.", status=200)
    lifetime = body.get("expires_in")
    return replace(
        credential,
        access_token=str(body["access_token"]),
        refresh_token=str(body.get("refresh_token") or credential.refresh_token),
        expires_at=now + timedelta(seconds=float(lifetime)) if lifetime else None,
        scopes=_scopes_in(body) or credential.scopes,
    )


def _client(credential: Credential) -> dict[str, str]:
    """The app's own id and secret: the tenant's, if it brought an app of its own, else ours."""
    found = {
        "client_id": credential.secrets.get("client_id") or settings.HUBSPOT_CLIENT_ID,
        "client_secret": credential.secrets.get("client_secret") or settings.HUBSPOT_CLIENT_SECRET,
    }
    if not all(found.values()):
        raise errors.Standstill(
            f"HubSpot tokens cannot be renewed without the app's id and secret. {NO_APP}", cause="app_registration"
        )
    return found


# --- what a token may do, and its end ---------------------------------------------------------------------------------


def _scopes(credential: Credential, call: TokenCall) -> tuple[str, ...]:
    """Asked for where the token's answer does not tell. Without an answer we do without: the tokens are good."""
    try:
        response = _look_up(credential, call)
    except errors.CrmError:
        return ()
    return _scopes_in(json_of(response)) if response.status_code == 200 else ()


def _look_up(credential: Credential, call: TokenCall) -> requests.Response:
    if version("token") == "v1":
        return _quietly(call, _address("token_info", token=credential.access_token), "GET")
    form = {**_client(credential), "token": credential.access_token, "token_type_hint": "access_token"}
    return call(_address("token_introspection"), form)


def _scopes_in(body: Any) -> tuple[str, ...]:
    told = body.get("scopes") if isinstance(body, dict) else None
    return tuple(str(scope) for scope in told) if isinstance(told, list) else ()


def revoke(credential: Credential, call: TokenCall) -> None:
    """Ends the refresh token. Access tokens that are out live on until they expire; HubSpot offers no way to end them."""
    if version("token") == "v1":
        response = _quietly(call, _address("refresh_token", token=credential.refresh_token), "DELETE")
    else:
        form = {**_client(credential), "token": credential.refresh_token, "token_type_hint": "refresh_token"}
        response = call(_address("token_revocation"), form)
    dead = response.status_code == 404 or bool(_told(response) & DEAD_TOKENS)
    if not dead and not response.ok:
        raise _service_error(response) or errors.FixConfig(
            "HubSpot did not revoke our access. Remove the app under Settings > Integrations > Connected Apps.",
            detail=text_of(response),
            status=response.status_code,
        )


def _quietly(call: TokenCall, url: str, method: str) -> requests.Response:
    """For addresses that hold a token: what could not be sent is told without the address."""
    try:
        return call(url, {}, method=method)
    except errors.Retry:
        raise errors.Retry("The log-in service of HubSpot did not answer. We will try again.") from None


def _address(name: str, **parts: str) -> str:
    return str(settings.HUBSPOT_API_URL).rstrip("/") + path(name, **parts)


# --- refusals -------------------------------------------------------------------------------------------------------


def _renewal_error(response: requests.Response) -> errors.CrmError:
    detail, status = text_of(response), response.status_code
    if _told(response) & DEAD_TOKENS:
        message = "HubSpot has revoked our access: the app was uninstalled or its access withdrawn. Connect again."
        return errors.Reconnect(message, detail=detail, status=status)
    return _service_error(response) or _app_error(response, "renew the token")


def _redeem_error(response: requests.Response) -> errors.CrmError:
    """A code can be used once and not for long: whatever is wrong with it, the person starts again."""
    told, detail, status = _told(response), text_of(response), response.status_code
    if told & BAD_ADDRESS:
        message = "HubSpot does not know the address it should have come back to. Add it to the app's redirect URLs."
        return errors.FixConfig(message, detail=detail, status=status, cause="redirect_uri")
    if told & DEAD_TOKENS:
        message = "HubSpot no longer accepts this approval: it is used up or too old. Start again and approve the app."
        return errors.FixConfig(message, detail=detail, status=status, cause="code_refused")
    return _service_error(response) or _app_error(response, "give a token")


def _service_error(response: requests.Response) -> errors.CrmError | None:
    """What is the token service's own trouble and will pass."""
    status = response.status_code
    if status >= 500 or status == 429 or status in answers.WAITS:
        return answers.classify(response) or errors.Retry("HubSpot's token service stumbled.", status=status)
    return None


def _app_error(response: requests.Response, what: str) -> errors.Standstill:
    told = _told(response)
    mend = "Check HUBSPOT_CLIENT_ID and HUBSPOT_CLIENT_SECRET, or the id and secret of your own app."
    if not told & BAD_APP:
        mend += " If they are right, check HUBSPOT_API_URL and HUBSPOT_API_VERSIONS."
    return errors.Standstill(
        f"HubSpot refused to {what}. {mend}",
        detail=f"{', '.join(sorted(told))} {text_of(response)}",
        status=response.status_code,
        cause="app_registration",
    )


def _told(response: requests.Response) -> set[str]:
    body = json_of(response)
    return {str(body.get(key)) for key in ("status", "error", "category")} if isinstance(body, dict) else set()
