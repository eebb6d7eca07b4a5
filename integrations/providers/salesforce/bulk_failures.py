"""What goes wrong with bulk jobs: codes in another style than the REST API's, and rows that failed inside a good job.

`sf__Error` of a row looks like `REQUIRED_FIELD_MISSING:Required fields are missing: [LastName]:LastName --`: a code that the
REST API has as well, a sentence, and the fields.
"""

import re
from collections.abc import Callable

import requests

from integrations import errors
from integrations.providers.salesforce import failures
from integrations.transport.classify import json_of

QUOTA = "bulk_quota"
REFUSED = "bulk_refused"
EXPIRED = "bulk_job_expired"
QUOTA_PAUSE = 900.0
TOO_EARLY_PAUSE = 5.0

_Make = Callable[[str, str], errors.CrmError]


def _quota(code: str, text: str) -> errors.CrmError:
    return errors.Throttled(
        "Salesforce takes no more bulk jobs today. Work goes on when some are free again.",
        after=QUOTA_PAUSE,
        detail=f"{code}: {text}",
        cause=QUOTA,
    )


def _too_early(code: str, text: str) -> errors.CrmError:
    return errors.NotReady(
        "Salesforce still works on this bulk job.", after=TOO_EARLY_PAUSE, detail=f"{code}: {text}", cause="not_ready"
    )


def _locked(code: str, text: str) -> errors.CrmError:
    return errors.Retry(
        "Salesforce could not lock the records of this bulk job for too long. We will try again.",
        detail=f"{code}: {text}",
        cause="row_locked",
    )


def _state(code: str, text: str) -> errors.CrmError:
    return errors.Stale(
        "This bulk job of Salesforce has gone on, or was ended by somebody. We look at it again.",
        detail=f"{code}: {text}",
        cause="bulk_job_state",
    )


def _refused(code: str, text: str) -> errors.CrmError:
    return errors.FixConfig(
        f"Salesforce does not take this bulk job: {_sentence(text or code)} Check the field mapping and the rights of the "
        "connection's user.",
        detail=f"{code}: {text}",
        cause=REFUSED,
    )


def _stumbled(code: str, text: str) -> errors.CrmError:
    return errors.Retry("Salesforce's bulk service stumbled. We will try again.", detail=f"{code}: {text}")


def expired(detail: str = "") -> errors.CrmError:
    return errors.Gone(
        "Salesforce keeps bulk jobs for seven days, and this one is gone. Start it again.", detail=detail, cause=EXPIRED
    )


RULES: dict[str, _Make] = {
    "JOB_NOT_COMPLETE": _too_early,
    **dict.fromkeys(("ExceededQuota", "EXCEEDED_QUOTA"), _quota),
    **dict.fromkeys(("TooManyLockFailure", "TOO_MANY_LOCK_FAILURE"), _locked),
    **dict.fromkeys(("InvalidJobState", "INVALIDJOBSTATE", "INVALID_JOB_STATE"), _state),
    **dict.fromkeys(
        (
            "InvalidBatch",
            "INVALIDBATCH",
            "InvalidJob",
            "INVALIDJOB",
            "InvalidEntity",
            "INVALIDENTITY",
            "InvalidOperation",
            "FeatureNotEnabled",
            "ClientInputError",
            "API_ERROR",
        ),
        _refused,
    ),
    **dict.fromkeys(("InternalServerError", "ServerUnavailable", "InternalError"), _stumbled),
}
_BY_STATUS: dict[int, _Make] = {
    404: lambda code, text: expired(f"{code}: {text}"),
    409: _state,
    412: _too_early,
}


def classify(response: requests.Response) -> errors.CrmError | None:
    """The error of an answer of the bulk service: a telling status, its own codes, then those of the REST API."""
    status = response.status_code
    if status < 300:
        return None
    code, text = _code_of(response)
    if status == 401 and "INVALID_SESSION_ID" not in response.text:
        # Renewing the token on such an answer would go on for ever.
        found: errors.CrmError | None = _stumbled(code or "401", text)
    elif status in _BY_STATUS:
        found = _BY_STATUS[status](code, text)
    elif code in RULES:
        found = RULES[code](code, text)
    else:
        found = failures.classify(response)
    if found is not None:
        found.status = status
    return found


def of_job(message: str) -> errors.CrmError:
    """Why a job failed as a whole, from its `errorMessage`, which may be missing."""
    code, _, text = (part.strip() for part in message.partition(":"))
    if code in RULES:
        return RULES[code](code, text)
    return failures.from_code(code, text) or _stumbled(code, text)


def of_row(message: str) -> errors.CrmError:
    """The error of one row, from its `sf__Error`."""
    code, _, rest = message.partition(":")
    found = re.fullmatch(r"(?s)(.*?)(?::([^:\n]*))?\s*--\s*", rest)
    text, fields = (found.group(1), found.group(2) or "") if found else (rest, "")
    names = [name.strip() for name in re.split(r"[,;]", fields) if name.strip()]
    return failures.of_record({"statusCode": code.strip(), "message": text.strip(), "fields": names})


def _code_of(response: requests.Response) -> tuple[str, str]:
    body = json_of(response)
    first = body[0] if isinstance(body, list) and body else body
    if not isinstance(first, dict):
        return "", ""
    code = first.get("errorCode") or first.get("exceptionCode") or ""
    return str(code), str(first.get("message") or first.get("exceptionMessage") or "")


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else text + "."
