"""What HubSpot's answers mean. An error stands in the body of a 4xx or, one per record, in the `errors` of a 207.

Every part of an error body is optional, and some bodies are HTML. Bad property values come as text with a JSON list in
it. Which record of a batch is meant is told by `objectWriteTraceId` or by `ids`, if at all.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests

from integrations import errors
from integrations.transport.classify import classify_by_status, json_of, retry_after

LABEL = "HubSpot"

UNKNOWN_PROPERTY_CODE = "PROPERTY_DOESNT_EXIST"
UNKNOWN_PROPERTY = "unknown_property"
DUPLICATE = "duplicate"
"""Causes of refused data that somebody can do something about."""

PAUSES: Mapping[str, tuple[float, str]] = {
    "TEN_SECONDLY_ROLLING": (10.0, "rate_limited"),
    "SECONDLY": (1.0, "rate_limited"),
    # The quota comes back at midnight in the portal's time zone: look again every hour.
    "DAILY": (3600.0, "daily_limit"),
}
"""Policy of a 429 → seconds to wait when the answer names none, and the cause to group it by."""

WAITS: Mapping[int, tuple[type[errors.Retry], str, str, float]] = {
    423: (errors.Retry, "HubSpot is busy writing the same record. We will try again.", "record_locked", 2.0),
    477: (
        errors.Throttled,
        "HubSpot is moving this account to another data centre. We wait until it is done.",
        "account_moving",
        60.0,
    ),
}
"""Status → what it is, what to tell, the cause to group it by, the least seconds to wait. A move takes up to a day, so that waiting
for its end uses up no try.
"""


@dataclass(frozen=True, slots=True)
class Problem:
    """One error of HubSpot's in a readable shape. `context` holds what it and its details say, always in lists."""

    message: str = ""
    category: str = ""
    correlation_id: str = ""
    fields: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    context: Mapping[str, tuple[str, ...]] | None = None

    def named(self, *keys: str) -> set[str]:
        """Everything the context says under these keys."""
        return {value for key in keys for value in (self.context or {}).get(key, ())}

    @property
    def detail(self) -> str:
        return f"{self.message} (correlation id {self.correlation_id})" if self.correlation_id else self.message

    @property
    def gone(self) -> bool:
        return self.category == "OBJECT_NOT_FOUND" or bool(self.named("INVALID_OBJECT_IDS"))


def problem_of(body: Any) -> Problem:
    if not isinstance(body, dict):
        return Problem()
    message = str(body.get("message") or body.get("error_description") or body.get("error") or "")
    values = _bad_values(message)
    told = body.get("errors")
    details = [item for item in told if isinstance(item, dict)] if isinstance(told, list) else []
    context: dict[str, tuple[str, ...]] = {}
    for item in (body, *details):
        for key, held in _context(item.get("context")).items():
            context[key] = (*context.get(key, ()), *held)
    fields = [str(item["name"]) for item in values if item.get("name")]
    fields += [*context.get("propertyName", ()), *context.get("properties", ())]
    codes = [item.get("error") for item in values] + [item.get("code") for item in details]
    return Problem(
        message=_readable(message, values),
        category=str(body.get("category") or body.get("status") or ""),
        correlation_id=str(body.get("correlationId") or ""),
        fields=tuple(dict.fromkeys(fields)),
        codes=tuple(str(code) for code in codes if code),
        context=context,
    )


def _bad_values(message: str) -> list[dict[str, Any]]:
    """The list inside `Property values were not valid: [{…}]`."""
    start = message.find("[{")
    if start < 0:
        return []
    try:
        found, _ = json.JSONDecoder().raw_decode(message[start:])
    except (ValueError, RecursionError):
        return []
    return [item for item in found if isinstance(item, dict)]


def _readable(message: str, values: list[dict[str, Any]]) -> str:
    sentences = [f"{item.get('name')}: {str(item.get('message', ''))[:200]}" for item in values]
    return "; ".join(sentences)[:1000] or message[:1000]


def _context(value: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        return {}
    return {
        str(key): tuple(str(item) for item in held) if isinstance(held, list) else (str(held),)
        for key, held in value.items()
    }


def classify(response: requests.Response) -> errors.CrmError | None:
    status = response.status_code
    if status < 300:
        return None
    problem = problem_of(json_of(response))
    return _by_status(response, problem) or by_category(problem, status) or classify_by_status(response, LABEL)


def _by_status(response: requests.Response, problem: Problem) -> errors.CrmError | None:
    """The statuses that say more than the body does."""
    if response.status_code == 401:
        return _refused_token(problem)
    if response.status_code == 404 and not isinstance(json_of(response), dict):
        return _wrong_address(response)
    if response.status_code == 429:
        return _throttled(response, problem)
    if response.status_code in WAITS:
        kind, message, cause, shortest = WAITS[response.status_code]
        return kind(
            message,
            after=max(shortest, retry_after(response) or 0.0),
            detail=problem.detail,
            status=response.status_code,
            cause=cause,
        )
    return None


def by_category(problem: Problem, status: int | None = None) -> errors.CrmError | None:
    """The error that HubSpot's own word for it means, None for an unknown word."""
    detail = problem.detail
    if problem.gone:
        message = "HubSpot no longer has this record: it was deleted, archived or merged into another one."
        return errors.Gone(message, detail=detail, status=status)
    if problem.category == "MISSING_SCOPES":
        return _missing_scopes(problem, status)
    if problem.category == "VALIDATION_ERROR":
        message = f"HubSpot refused the data: {problem.message}"
        cause = UNKNOWN_PROPERTY if UNKNOWN_PROPERTY_CODE in problem.codes else ""
        refused = errors.FixData(message, fields=problem.fields, detail=detail, status=status, cause=cause)
        refused.code = "+".join(sorted(set(problem.codes)))
        return refused
    existing = existing_id(problem.message)
    if existing:
        message = f"HubSpot already has this record under the id {existing}. Link to that one instead."
        return errors.FixData(message, detail=detail, status=status, cause=DUPLICATE)
    return None


def existing_id(message: str) -> str:
    """The record that a duplicate would double, if HubSpot names it."""
    found = re.search(r"Existing ID: (\d+)", message)
    return found[1] if found else ""


def _missing_scopes(problem: Problem, status: int | None) -> errors.FixConfig:
    scopes = ", ".join(sorted(problem.named("requiredGranularScopes", "requiredScopes"))) or problem.message
    return errors.FixConfig(
        f"HubSpot wants more permissions for this. Add them to the app and connect again: {scopes}.",
        detail=problem.detail,
        status=status,
        cause="permission",
    )


def _throttled(response: requests.Response, problem: Problem) -> errors.CrmError:
    """`Retry-After` is often missing here; the name of the policy then tells how long to wait."""
    body = json_of(response)
    policy = str(body.get("policyName", "")) if isinstance(body, dict) else ""
    pause, cause = PAUSES.get(policy, PAUSES["TEN_SECONDLY_ROLLING"])
    wish = retry_after(response)
    return errors.Throttled(
        "HubSpot's daily quota of this account is used up; it returns at midnight in the account's time zone."
        if cause == "daily_limit"
        else "HubSpot asks us to slow down.",
        after=pause if wish is None else wish,
        detail=f"{policy} {problem.detail}",
        status=429,
        cause=cause,
    )


def _refused_token(problem: Problem) -> errors.CrmError:
    expired = problem.category == "EXPIRED_AUTHENTICATION"
    refusal = "does not accept this access token: it is wrong or was withdrawn"
    what = "says that the access token has expired" if expired else refusal
    return errors.Reconnect(f"HubSpot {what}. Connect again with a good one.", detail=problem.detail, status=401)


def _wrong_address(response: requests.Response) -> errors.CrmError:
    """A missing record is told in JSON. A web page means that the address itself is wrong, and proves nothing gone."""
    return errors.Standstill(
        "HubSpot has nothing at the address we asked. Check HUBSPOT_API_URL.",
        detail=response.url or "",
        status=404,
        cause="endpoint",
    )


def body_of(response: requests.Response) -> dict[str, Any]:
    """The JSON object of a good answer. Raises Retry for anything else: a gateway spoke, not HubSpot."""
    body = json_of(response)
    if not isinstance(body, dict):
        raise errors.Retry(
            "HubSpot's answer was cut off or is not readable. We will try again.",
            detail=f"status {response.status_code}, {len(response.content)} bytes",
            status=response.status_code,
            cause="unreadable_answer",
        )
    return body


def next_after(body: Mapping[str, Any]) -> str:
    """Where the next page starts; empty on the last one."""
    following = (body.get("paging") or {}).get("next") or {}
    return str(following.get("after") or "")


def service_time(response: requests.Response) -> datetime:
    """HubSpot's clock, which stamps the records; ours where the answer does not tell."""
    try:
        return parsedate_to_datetime(response.headers["Date"]).astimezone(UTC)
    except (KeyError, TypeError, ValueError):
        return datetime.now(UTC)
