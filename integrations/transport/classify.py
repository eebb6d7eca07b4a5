"""One table turns a status code into the error that says what to do. Providers override only their oddities."""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests

from integrations import errors

ELSEWHERE = frozenset((301, 302, 303, 307, 308))
"""No request is sent on by itself: the credential would go with it."""

_Maker = Callable[[str, str, int], errors.CrmError]


def _retry(label: str, detail: str, status: int) -> errors.CrmError:
    return errors.Retry(
        f"{label} answered with an error of its own ({status}). We will try again.",
        detail=detail,
        status=status,
    )


def _data(label: str, detail: str, status: int) -> errors.CrmError:
    return errors.FixData(f"{label} refused the data: {detail or status}", detail=detail, status=status)


def _config(label: str, detail: str, status: int) -> errors.CrmError:
    return errors.FixConfig(
        f"{label} does not let this connection do that. Ask the CRM's administrator for the missing permission.",
        detail=detail,
        status=status,
        cause="permission",
    )


_BY_STATUS: dict[int, _Maker] = {
    400: _data,
    401: lambda label, detail, status: errors.Reconnect(
        f"{label} does not accept this credential: it is wrong or was withdrawn. Connect again with a good one.",
        detail=detail,
        status=status,
    ),
    403: _config,
    404: lambda label, detail, status: errors.Gone(f"{label} does not have this record.", detail=detail, status=status),
    408: _retry,
    409: lambda label, detail, status: errors.Stale(f"{label} saw a change meanwhile.", detail=detail, status=status),
    410: lambda label, detail, status: errors.Gone(
        f"{label} does not have this any more.", detail=detail, status=status
    ),
    412: lambda label, detail, status: errors.Stale(f"{label} saw a change meanwhile.", detail=detail, status=status),
    423: _retry,
    425: _retry,
}


def classify_by_status(response: requests.Response, label: str) -> errors.CrmError | None:
    """None for 2xx and 304. 429, every 5xx and being sent elsewhere are worth another try; other 4xx are the record's fault.

    A web page in place of a record proves nothing gone: it is the address that is wrong, or a gateway that answers.
    """
    status = response.status_code
    if status < 300 or status == 304:
        return None
    detail = text_of(response)
    if status in ELSEWHERE:
        return errors.Retry(
            f"{label} sent us to another address ({status}). We will try again.",
            after=retry_after(response),
            detail=response.headers.get("Location", "")[:200],
            status=status,
        )
    if status in {404, 410} and is_page(response):
        return errors.Standstill(
            f"{label} has nothing at the address we asked. Our work waits and asks again.",
            detail=response.url or "",
            status=status,
            cause="endpoint",
        )
    if status == 429:
        return errors.Throttled(
            f"{label} asks us to slow down.", after=retry_after(response), detail=detail, status=status
        )
    if status >= 500:
        return errors.Retry(
            f"{label} answered with an error of its own ({status}). We will try again.",
            after=retry_after(response),
            detail=detail,
            status=status,
        )
    return _BY_STATUS.get(status, _data)(label, detail, status)


def is_page(response: requests.Response) -> bool:
    """Whether a web page came where the service answers in JSON."""
    start = response.text[:200].lstrip().lower()
    return start.startswith(("<!doctype html", "<html")) or "<html" in start


def retry_after(response: requests.Response, now: datetime | None = None) -> float | None:
    """The service's wish in seconds, from either form of the header; None when absent or unreadable."""
    value = response.headers.get("Retry-After", "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - (now or datetime.now(UTC))).total_seconds())
    except (TypeError, ValueError):
        return None


def json_of(response: requests.Response) -> Any:
    """The body as JSON, None for anything else: error answers come as HTML, as form text or empty, too."""
    try:
        return response.json()
    except (ValueError, RecursionError):  # a number of 5,000 digits is sound JSON, and too much for us
        return None


def text_of(response: requests.Response) -> str:
    """The human part of an error body, cut short."""
    body = json_of(response)
    first = body[0] if isinstance(body, list) and body else body
    if isinstance(first, dict):
        for key in ("message", "errorMessage", "error_description", "error"):
            if isinstance(first.get(key), str):
                return str(first[key])[:500]
    return response.text[:500] if body is None and not is_page(response) else ""
