"""What Salesforce's error codes mean for us, as one table used for whole answers and for single records of a batch.

The code decides, the status does not: a locked row comes as 400, a used-up quota as 403. Codes that are not listed here
are judged by their status.
"""

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import requests

from integrations import errors
from integrations.transport.classify import classify_by_status, json_of, text_of

LABEL = "Salesforce"
CONCURRENT_PAUSE = 5.0
DAILY_PAUSE = 900.0

SESSION_EXPIRED = "session_expired"
SCHEMA = "schema"
CURSOR_EXPIRED = "cursor_expired"
LEAD_CONVERTED = "lead_converted"
DUPLICATE_VALUE = "duplicate_value"
DUPLICATES = "duplicates_detected"
TOO_MANY_IDS = "too_many_ids"
API_DISABLED = "api_disabled"

# 401s that a new token does not cure: refreshing on them would go on for ever.
SETUP_TEXTS = (
    "connected app is not attached to agent",
    "this session is not valid for use with the rest api",
)
_RETRYABLE_INSIDE = ("UNABLE_TO_LOCK_ROW", "QUERY_TIMEOUT", "REQUEST_RUNNING_TOO_LONG", "SERVER_UNAVAILABLE")
_FIELDS_IN_TEXT = re.compile(r"create/update fields: ([\w, ]+?)\.")
_COLUMN_IN_TEXT = re.compile(r"No such column '(\w+)'")
_EXISTING_ID = re.compile(r"\bid:\s*([A-Za-z0-9]{15,18})\b")


@dataclass(frozen=True, slots=True)
class Rule:
    kind: type[errors.CrmError]
    sentence: str
    cause: str


_SESSION = Rule(errors.Reconnect, "The Salesforce session has ended. Connect again if this stays.", SESSION_EXPIRED)
_LOCKED = Rule(errors.Retry, "Salesforce has this record locked by another change. We will try again.", "row_locked")
_SLOW = Rule(errors.Retry, "Salesforce took too long over this. We will try again.", "too_slow")
_SERVER = Rule(errors.Retry, "Salesforce answered with an error of its own. We will try again.", "service_unavailable")
_HALTED = Rule(errors.Retry, "Salesforce stopped this with the rest of its batch. We will try again.", "batch_halted")
_GONE = Rule(errors.Gone, "Salesforce does not have this record, or hides it from this connection.", "record_gone")
_CONVERTED = Rule(errors.Gone, "This lead was converted in Salesforce. Its contact takes its place.", LEAD_CONVERTED)
_SCHEMA = Rule(
    errors.FixConfig,
    "Salesforce has no such field, or hides it from this connection: {text} Check the field mapping and the field's "
    "visibility for the integration user.",
    SCHEMA,
)
_DATA = Rule(errors.FixData, "Salesforce refused the record: {text} Correct it, then retry.", "invalid_data")
_UNIQUE = Rule(errors.FixData, "Salesforce already has a record with this unique value: {text}", DUPLICATE_VALUE)
_DUPLICATE = Rule(errors.FixData, "A duplicate rule in Salesforce stopped this record: {text}", DUPLICATES)
_AMBIGUOUS = Rule(
    errors.FixData, "Several Salesforce records hold the same key. Delete all but one of them.", "ambiguous_key"
)
_AUTOMATION = Rule(errors.FixData, "An automation in Salesforce stopped this record: {text}", "automation")
_RIGHTS = Rule(
    errors.FixConfig,
    "The Salesforce user of this connection may not do that: {text} Ask the Salesforce administrator for the right.",
    "permission",
)
_API_OFF = Rule(
    errors.Standstill,
    "This Salesforce organisation does not allow the API: its edition must have it and the user needs 'API Enabled'.",
    API_DISABLED,
)
_QUERY = Rule(errors.FixConfig, "Salesforce did not understand a query of ours: {text}", "query")
_CURSOR = Rule(
    errors.Stale, "A half-read Salesforce list has expired. Reading starts again from the last record.", CURSOR_EXPIRED
)
_TOO_MANY_IDS = Rule(
    errors.Stale, "Too much changed in Salesforce for one list. A shorter time is asked for.", TOO_MANY_IDS
)
_TOO_OLD = Rule(
    errors.Stale, "Salesforce no longer keeps a list that goes back so far. Read the object again.", "list_too_old"
)
_STORAGE = Rule(
    errors.Standstill, "The Salesforce organisation is full. Free storage there, then retry.", "storage_full"
)

RULES: dict[str, Rule] = {
    **dict.fromkeys(("INVALID_SESSION_ID", "INVALID_AUTH_HEADER", "Bad_OAuth_Token"), _SESSION),
    **dict.fromkeys(("UNABLE_TO_LOCK_ROW",), _LOCKED),
    **dict.fromkeys(("QUERY_TIMEOUT", "REQUEST_RUNNING_TOO_LONG"), _SLOW),
    **dict.fromkeys(("SERVER_UNAVAILABLE", "UNKNOWN_EXCEPTION", "TXN_SECURITY_METERING_ERROR"), _SERVER),
    **dict.fromkeys(("PROCESSING_HALTED", "BATCH_PROCESSING_HALTED", "ALL_OR_NONE_OPERATION_ROLLED_BACK"), _HALTED),
    **dict.fromkeys(("ENTITY_IS_DELETED", "NOT_FOUND"), _GONE),
    **dict.fromkeys(("CANNOT_UPDATE_CONVERTED_LEAD",), _CONVERTED),
    **dict.fromkeys(("INVALID_FIELD", "INVALID_FIELD_FOR_INSERT_UPDATE", "INVALID_TYPE"), _SCHEMA),
    **dict.fromkeys(
        (
            "REQUIRED_FIELD_MISSING",
            "STRING_TOO_LONG",
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            "FIELD_CUSTOM_VALIDATION_EXCEPTION",
            "FIELD_INTEGRITY_EXCEPTION",
            "INVALID_EMAIL_ADDRESS",
            "NUMBER_OUTSIDE_VALID_RANGE",
            "JSON_PARSER_ERROR",
            "MISSING_ARGUMENT",
            "MALFORMED_ID",
            "INVALID_CROSS_REFERENCE_KEY",
            "INACTIVE_OWNER_OR_USER",
            "DELETE_FAILED",
        ),
        _DATA,
    ),
    **dict.fromkeys(("DUPLICATE_VALUE", "DUPLICATE_DEVELOPER_NAME"), _UNIQUE),
    "DUPLICATES_DETECTED": _DUPLICATE,
    "DUPLICATE_EXTERNAL_ID": _AMBIGUOUS,
    **dict.fromkeys(("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "APEX_ERROR", "CANNOT_EXECUTE_FLOW_TRIGGER"), _AUTOMATION),
    **dict.fromkeys(
        (
            "INSUFFICIENT_ACCESS",
            "INSUFFICIENT_ACCESS_OR_READONLY",
            "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
            "OPERATION_TOO_LARGE",
            "FUNCTIONALITY_NOT_ENABLED",
        ),
        _RIGHTS,
    ),
    **dict.fromkeys(("API_DISABLED_FOR_ORG", "API_CURRENTLY_DISABLED"), _API_OFF),
    **dict.fromkeys(("MALFORMED_QUERY", "QUERY_TOO_COMPLICATED", "INVALID_QUERY_FILTER_OPERATOR"), _QUERY),
    "EXCEEDED_ID_LIMIT": _TOO_MANY_IDS,
    "INVALID_REPLICATION_DATE": _TOO_OLD,
    "INVALID_QUERY_LOCATOR": _CURSOR,
    "STORAGE_LIMIT_EXCEEDED": _STORAGE,
}


def classify(response: requests.Response) -> errors.CrmError | None:
    """The error of a whole answer: an array of errors, an OAuth object, a page of HTML or nothing at all."""
    if response.status_code < 300 or response.status_code == 304:
        return None
    code, text, fields = _first_error(response)
    return from_code(code, text, fields, response.status_code) or _by_status(response)


def of_part(status: int, body: Any) -> errors.CrmError | None:
    """The error of one part of a composite request: status and body as a whole answer would have them."""
    answer = requests.Response()
    answer.status_code = status
    answer.raw = io.BytesIO(b"" if body is None else json.dumps(body).encode())
    return classify(answer)


def from_code(code: str, text: str, fields: Sequence[str] = (), status: int | None = None) -> errors.CrmError | None:
    """The error that a code means, None for a code that we don't know."""
    if _is_setup(text):
        return errors.Standstill(
            f"Salesforce does not let this connection use the API: {text} Ask the Salesforce administrator to check "
            "the connected app.",
            detail=f"{code}: {text}",
            status=status,
        )
    if code == "REQUEST_LIMIT_EXCEEDED":
        return _quota(text, status)
    rule = RULES.get(code)
    if rule is _AUTOMATION and any(inner in text for inner in _RETRYABLE_INSIDE):
        rule = _LOCKED
    return _error(rule, code, text, fields, status) if rule else None


def of_record(failure: dict[str, Any]) -> errors.CrmError:
    """The error of one record in a batch; `failure` is an entry of its `errors`."""
    code, text = str(failure.get("statusCode") or ""), str(failure.get("message") or "")
    fields = [str(field) for field in failure.get("fields") or ()]
    return from_code(code, text, fields) or errors.FixData(
        f"Salesforce refused the record: {text or code}", fields=fields, detail=f"{code}: {text}"
    )


def existing_id(text: str) -> str:
    """The id that a DUPLICATE_VALUE message names, empty when it names none."""
    found = _EXISTING_ID.search(text)
    return found.group(1) if found else ""


def matches(failure: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(object type, id) of the records that a duplicate rule found, the surest first. The service misspells the key."""
    result = failure.get("duplicateResut") or failure.get("duplicateResult") or {}
    found = [
        (float(match.get("matchConfidence") or 0), str(group.get("entityType") or ""), str(match["record"]["Id"]))
        for group in result.get("matchResults") or ()
        for match in group.get("matchRecords") or ()
        if (match.get("record") or {}).get("Id")
    ]
    found.sort(key=lambda one: -one[0])
    return [(kind, record_id) for _confidence, kind, record_id in found]


def named_fields(failure: Mapping[str, Any]) -> set[str]:
    """The fields that a refusal is about, from its list or else from its words."""
    listed = {str(one) for one in failure.get("fields") or ()}
    text = str(failure.get("message") or "")
    found = _FIELDS_IN_TEXT.search(text) or _COLUMN_IN_TEXT.search(text)
    return listed or ({name.strip() for name in found.group(1).split(",")} if found else set())


def _error(rule: Rule, code: str, text: str, fields: Sequence[str], status: int | None) -> errors.CrmError:
    message = rule.sentence.format(text=text if text.endswith((".", "!", "?")) else f"{text or code}.")
    detail = f"{code}: {text}"
    if issubclass(rule.kind, errors.FixData):
        return rule.kind(message, fields=fields, detail=detail, status=status, cause=rule.cause)
    return rule.kind(message, detail=detail, status=status, cause=rule.cause)


def _quota(text: str, status: int | None) -> errors.CrmError:
    """There is no Retry-After: too many at once passes in seconds, the day's total comes back bit by bit in a day."""
    if "concurrent" in text.lower():
        return errors.Throttled(
            "Salesforce is busy with too many of our requests at once.",
            after=CONCURRENT_PAUSE,
            detail=text,
            status=status,
        )
    return errors.Throttled(
        "The Salesforce organisation has used up its API requests for today. Work goes on when some are free again.",
        after=DAILY_PAUSE,
        detail=text,
        status=status,
        cause="daily_quota",
    )


def _by_status(response: requests.Response) -> errors.CrmError | None:
    status, detail = response.status_code, text_of(response)
    if status == 300:
        return _error(_AMBIGUOUS, "300", detail, (), status)
    if status in {406, 420}:  # the edge could not route the request to the organisation; bodies are empty
        return _error(_SERVER, str(status), detail, (), status)
    if status == 410:
        return errors.Standstill(
            "Salesforce has retired the API version that we use. The operator must set SALESFORCE_API_VERSION.",
            detail=detail,
            status=status,
            cause="api_version",
        )
    if status in {414, 431}:
        return _error(_QUERY, str(status), "the address was too long", (), status)
    if status == 401:
        return _error(_SESSION, "401", detail, (), status)
    return classify_by_status(response, LABEL)


def _first_error(response: requests.Response) -> tuple[str, str, list[str]]:
    body = json_of(response)
    first = body[0] if isinstance(body, list) and body else body
    if not isinstance(first, dict):
        words = response.text.strip()[:200]  # the user info service answers with one bare word
        return words if " " not in words else "", "" if words.startswith("<") else words, []
    code = str(first.get("errorCode") or first.get("error") or "")
    fields = [str(field) for field in first.get("fields") or ()]
    return code, str(first.get("message") or first.get("error_description") or ""), fields


def _is_setup(text: str) -> bool:
    return any(known in text.lower() for known in SETUP_TEXTS)
