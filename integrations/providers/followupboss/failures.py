"""What Follow Up Boss means by its refusals: where the status alone does not tell, and at the token service."""

from urllib.parse import urlsplit

import requests

from integrations import errors
from integrations.contract.ports import Api
from integrations.transport.classify import classify_by_status, json_of, retry_after, text_of

LABEL = "Follow Up Boss"
PEOPLE = "/people"

NOT_REGISTERED = (
    "Follow Up Boss does not know our system. An operator has to set FOLLOWUPBOSS_SYSTEM and FOLLOWUPBOSS_SYSTEM_KEY "
    "to the pair that was registered there."
)
LAPSED = "Follow Up Boss says that this account has lapsed. Renew its subscription there; the work waits until then."
CLOSED = (
    "Follow Up Boss refuses everything for this account, as it does once an account has lapsed. Look at its subscription "
    "there; the work waits until then."
)

Refusal = type[errors.FixConfig]
# (statuses, words of the answer, cause, what it is, sentence)
_REFUSALS: tuple[tuple[tuple[int, ...], tuple[str, ...], str, Refusal, str], ...] = (
    ((400, 403), ("registered system", "x-system"), "system_not_registered", errors.FixConfig, NOT_REGISTERED),
    ((403,), ("expired", "cancelled", "canceled", "suspended"), "account_expired", errors.Standstill, LAPSED),
)
_OWN_REGISTRATION = {"invalid_client", "unauthorized_client", "invalid_request", "unsupported_grant_type"}


def classify(response: requests.Response) -> errors.CrmError | None:
    for statuses, words, cause, kind, sentence in _REFUSALS:
        if response.status_code in statuses:
            detail = text_of(response)
            if any(word in detail.lower() for word in words):
                return kind(sentence, detail=detail, status=response.status_code, cause=cause)
    if response.status_code == 403 and _lists_people(response):
        return errors.Standstill(CLOSED, detail=text_of(response), status=403, cause="account_expired")
    return classify_by_status(response, LABEL)


def ask_for_everything(api: Api) -> None:
    """Raises Standstill where a refusal was not about one thing but about the whole account."""
    api.request("GET", PEOPLE, params={"limit": 1, "fields": "id"})


def _lists_people(response: requests.Response) -> bool:
    """There is no role that may not: whom it does not see is left out. So a refusal, whatever its words, is the account's."""
    asked = response.request
    return asked.method == "GET" and urlsplit(asked.url or "").path.endswith(PEOPLE)


def renewal_failure(response: requests.Response) -> errors.CrmError | None:
    """The error that an answer of the token service means; None when it holds a token."""
    status, body = response.status_code, json_of(response)
    answer = body if isinstance(body, dict) else {}
    if status < 300 and answer.get("access_token"):
        return None
    reason, detail = str(answer.get("error") or ""), text_of(response)
    said = str(answer.get("error_description") or reason)
    if status == 429:
        return errors.Throttled(
            f"{LABEL} asks us to slow down.", after=retry_after(response), detail=detail, status=status
        )
    if reason == "invalid_grant":
        return errors.Reconnect(
            f"{LABEL} no longer accepts this connection's authorisation ({said}). Connect again.",
            detail=detail,
            status=status,
        )
    if reason in _OWN_REGISTRATION:
        return errors.Standstill(
            f"{LABEL} refuses our app registration ({said}). An operator has to check FOLLOWUPBOSS_CLIENT_ID and "
            "FOLLOWUPBOSS_CLIENT_SECRET.",
            detail=detail,
            status=status,
            cause=reason,
        )
    return errors.Retry(
        f"The log-in service of {LABEL} stumbled ({status}). We will try again.",
        after=retry_after(response),
        detail=detail,
        status=status,
    )
