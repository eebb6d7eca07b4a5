"""What the sign-in service's refusals mean, as tables. They come as JSON, as a form, as a page of HTML or as nothing."""

from collections.abc import Mapping
from urllib.parse import parse_qs

import requests

from integrations import errors
from integrations.transport.classify import json_of

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
# The same for a code that was to be redeemed.
CODE_PROBLEMS: tuple[tuple[str, str, str], ...] = (
    (
        "authorization code",
        "code_expired",
        "Salesforce no longer takes this consent: it was used already or is older than 15 minutes. Connect again.",
    ),
    (
        "verifier",
        "code_refused",
        "Salesforce could not tell that this consent was asked for by us. Connect again.",
    ),
)
# (error or part of its description, cause, sentence) for what comes back from the consent page.
CONSENT_PROBLEMS: tuple[tuple[str, str, str], ...] = (
    (
        "oauth_approval_error_generic",
        "app_not_installed",
        "Salesforce lets nobody approve this app before its administrator installs it: Setup > Connected Apps OAuth Usage.",
    ),
    (
        "invalid_app_access",
        "app_not_approved",
        "The Salesforce administrator has to approve our app for this user; then connect again.",
    ),
    (
        "access_denied",
        "consent_denied",
        "The consent page in Salesforce was answered with 'Deny'. Connect again, and choose 'Allow'.",
    ),
    (
        "immediate_unsuccessful",
        "consent_denied",
        "Salesforce wants this person to sign in and to consent. Connect again.",
    ),
)
TEMPORARY = {"temporarily_unavailable", "server_error"}
OUR_APP = "The operator must check SALESFORCE_CLIENT_ID and SALESFORCE_CLIENT_SECRET."
OWN_APP = "Check the client id, the client secret and the callback address of your Salesforce app, then connect again."


def body_of(response: requests.Response) -> Mapping[str, object]:
    body = json_of(response)
    if isinstance(body, dict):
        return body
    if body is None and "=" in response.text and not response.text.lstrip().startswith("<"):
        return {key: values[0] for key, values in parse_qs(response.text).items()}
    return {}


def refused(status: int, body: Mapping[str, object], *, own_app: bool = False) -> errors.CrmError:
    """What a refusal of the token, revoke or introspect service means."""
    error, text = str(body.get("error") or ""), str(body.get("error_description") or "")
    detail = f"{status} {error}: {text}"
    if error == "rate_limit_exceeded" or status == 429:
        return errors.Throttled("Salesforce wants fewer sign-ins. We will try again.", detail=detail, status=status)
    if not error or error in TEMPORARY or status >= 500:
        return errors.Retry("The Salesforce sign-in service stumbled. We will try again.", detail=detail, status=status)
    if error == "invalid_grant":
        return _invalid_grant(text, detail, status)
    if error == "invalid_app_access":
        _part, cause, sentence = CONSENT_PROBLEMS[1]
        return errors.Reconnect(sentence, detail=detail, status=status, cause=cause)
    return errors.Standstill(
        f"Salesforce does not accept the registration of the app ({error}: {text}). {OWN_APP if own_app else OUR_APP}",
        detail=detail,
        status=status,
        cause=error,
    )


def of_consent(error: str, text: str) -> errors.FixConfig:
    """Why no code came back from the consent page."""
    for part, cause, sentence in CONSENT_PROBLEMS:
        if part in f"{error} {text}".lower():
            return errors.FixConfig(sentence, detail=f"{error}: {text}", cause=cause)
    reason = text or error or "it gave no reason"
    return errors.FixConfig(
        f"Salesforce did not connect: {reason}. Connect again; if that stays, check the app's settings in Salesforce.",
        detail=f"{error}: {text}",
        cause="consent_refused",
    )


def of_code(error: errors.CrmError) -> errors.FixConfig:
    """The refusal of a code: there is nothing to connect again yet, this very attempt has failed."""
    for part, cause, sentence in CODE_PROBLEMS:
        if part in error.detail.lower():
            return errors.FixConfig(sentence, detail=error.detail, status=error.status, cause=cause)
    return errors.FixConfig(error.message, detail=error.detail, status=error.status, cause=error.cause)


def _invalid_grant(text: str, detail: str, status: int) -> errors.CrmError:
    for part, cause, sentence in GRANT_PROBLEMS:
        if part in text.lower():
            return errors.Reconnect(sentence, detail=detail, status=status, cause=cause)
    return errors.Reconnect(
        f"Salesforce no longer accepts this connection ({text or 'invalid_grant'}). Connect again.",
        detail=detail,
        status=status,
    )
