"""Consent and tokens of Follow Up Boss: an authorisation code with a `response_type` of its own, no scopes, no PKCE.

The token endpoint wants the app's id and secret in the header alone, and `state` again in the body. An access token lives an
hour. A refresh token dies after 90 days without use; each renewal counts as use, so that a nightly check keeps it alive.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import urlencode

import requests
from django.conf import settings

from integrations import errors
from integrations.contract.ports import Api, TokenCall
from integrations.providers.followupboss import failures
from integrations.records.connections import Consent, Credential, OAuthApp
from integrations.transport.classify import json_of

TOKEN_SECONDS = 3600
"""Life of an access token, where the answer does not say."""
NO_APP = (
    "A Follow Up Boss connection by OAuth needs an app: set FOLLOWUPBOSS_CLIENT_ID and FOLLOWUPBOSS_CLIENT_SECRET, or give "
    "client_id and client_secret with the credential."
)


def app(options: Mapping[str, str]) -> OAuthApp:
    own = (options.get("client_id") or "", options.get("client_secret") or "")
    ours = (str(settings.FOLLOWUPBOSS_CLIENT_ID or ""), str(settings.FOLLOWUPBOSS_CLIENT_SECRET or ""))
    if any(own) and not all(own):
        raise errors.FixConfig("An app of your own in Follow Up Boss needs both client_id and client_secret.")
    client_id, client_secret = own if all(own) else ours
    if not (client_id and client_secret):
        raise errors.Standstill(NO_APP, cause="app_registration")
    return OAuthApp(client_id, client_secret, own=all(own))


def consent_url(consent: Consent, *, another_account: bool) -> str:
    query = {
        "response_type": "auth_code",  # not "code"
        "client_id": consent.app.client_id,
        "redirect_uri": consent.redirect_uri,
        "state": consent.state,
    }
    login = {"prompt": "login"} if another_account else {}
    return f"{settings.FOLLOWUPBOSS_AUTHORIZE_URL}?{urlencode({**query, **login})}"


def redeem(consent: Consent, answer: Mapping[str, str], call: TokenCall, now: datetime) -> Credential:
    code = answer.get("code", "")
    if answer.get("response", "approved") != "approved" or not code:
        reason = answer.get("error_description") or answer.get("error") or answer.get("response") or "no code came back"
        raise errors.FixConfig(
            f"Follow Up Boss did not give us access ({reason}). Start again and choose to approve; for webhooks the account's "
            "owner has to approve.",
            cause="consent_refused",
        )
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": consent.redirect_uri,
        "state": consent.state,
    }
    own = {"client_id": consent.app.client_id, "client_secret": consent.app.client_secret} if consent.app.own else {}
    client = (consent.app.client_id, consent.app.client_secret)
    try:
        return _granted(Credential("oauth", secrets=own), form, client, call, now)
    except errors.Reconnect as refusal:
        raise errors.FixConfig(
            "Follow Up Boss no longer takes the code that came back: it is good once, for 15 minutes. Start again.",
            detail=refusal.detail,
            status=refusal.status,
            cause="code_refused",
        ) from refusal


def renew(credential: Credential, call: TokenCall, now: datetime) -> Credential:
    """The answer may hold another refresh token, which replaces the one that was used."""
    ours = app(credential.secrets)
    form = {"grant_type": "refresh_token", "refresh_token": credential.refresh_token}
    return _granted(credential, form, (ours.client_id, ours.client_secret), call, now)


def register_app(api: Api, redirect_uris: Sequence[str]) -> OAuthApp:
    """Makes an OAuth app for our registered system. Its secret is shown this once; addresses must be https."""
    body = {"redirectUris": list(redirect_uris)}
    made = json_of(api.request("POST", "/oauthApps", json=body, repeatable=False))
    if not isinstance(made, dict) or not made.get("clientSecret"):
        raise errors.OutcomeUnknown("Follow Up Boss did not show the new app. Look for it there before making another.")
    return OAuthApp(str(made["clientId"]), str(made["clientSecret"]), own=True)


def _granted(
    credential: Credential, form: Mapping[str, str], client: tuple[str, str], call: TokenCall, now: datetime
) -> Credential:
    response: requests.Response = call(settings.FOLLOWUPBOSS_TOKEN_URL, form, basic=client)
    failure = failures.renewal_failure(response)
    if failure is not None:
        raise failure
    answer = json_of(response)
    return replace(
        credential,
        access_token=str(answer["access_token"]),
        refresh_token=str(answer.get("refresh_token") or credential.refresh_token),
        expires_at=now + timedelta(seconds=float(answer.get("expires_in") or TOKEN_SECONDS)),
    )
