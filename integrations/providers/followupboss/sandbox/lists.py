"""Lists as Follow Up Boss answers them: sorted, in pages with `next` tokens, wrapped with metadata."""

import base64
import hashlib
import json
from collections.abc import Iterable
from typing import Any

from integrations.providers.followupboss.sandbox.door import refuse
from integrations.sandbox.http import Answer, Request
from integrations.sandbox.store import Document

DEFAULT_LIMIT, MAX_LIMIT, MAX_OFFSET = 10, 100, 2000
TOKEN_SECONDS = 6 * 3600
"""A `next` token older than this is refused."""


class BadRequestError(Exception):
    """Its text is the answer's."""


def page(request: Request, collection: str, found: Iterable[Document], now: float, *, order: str = "id") -> Answer:
    """One page. The array's key is lower case; `total` is text."""
    try:
        limit, offset = number(request, "limit", DEFAULT_LIMIT), number(request, "offset", 0)
        if not 1 <= limit <= MAX_LIMIT:
            raise BadRequestError(f"limit must be between 1 and {MAX_LIMIT}.")
        if offset > MAX_OFFSET:
            raise BadRequestError("offset is too deep. Use next to page through large lists.")
        ordered = _sorted(list(found), request.arg("sort") or order)
        start = _position(request, ordered, now) if request.arg("next") else offset
    except BadRequestError as problem:
        return refuse(400, str(problem))
    items = ordered[start : start + limit]
    more = start + limit < len(ordered)
    token = _token(request, items[-1]["id"], now) if more else None
    metadata = {"collection": collection.lower(), "offset": start, "limit": limit, "total": str(len(ordered))}
    return Answer(200, {"_metadata": {**metadata, "next": token}, collection.lower(): items})


def number(request: Request, name: str, default: int) -> int:
    text = request.arg(name)
    if text and not text.isdecimal():
        raise BadRequestError(f"{name} must be a number.")
    return int(text) if text else default


def _sorted(found: list[Document], order: str) -> list[Document]:
    name = order.removeprefix("-")
    if found and name not in found[0] and name not in {"id", "created", "updated"}:
        raise BadRequestError(f"Cannot sort by {name}.")
    return sorted(
        found, key=lambda one: (str(one.get(name) or "") if name != "id" else "", one["id"]), reverse=order[0] == "-"
    )


def _position(request: Request, ordered: list[Document], now: float) -> int:
    """The place behind the record that the token names. It must come with the parameters it was made for."""
    try:
        made = json.loads(base64.urlsafe_b64decode(request.arg("next")))
        last, at, parameters = int(made["id"]), float(made["at"]), made["for"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadRequestError("Invalid next token.") from error
    if parameters != _parameters(request) or now - at > TOKEN_SECONDS:
        raise BadRequestError("Invalid next token.")
    for index, one in enumerate(ordered):
        if one["id"] == last:
            return index + 1
    raise BadRequestError("Invalid next token.")


def _token(request: Request, last: int, now: float) -> str:
    content = json.dumps({"id": last, "at": now, "for": _parameters(request)})
    return base64.urlsafe_b64encode(content.encode()).decode()


def _parameters(request: Request) -> str:
    given: Any = sorted((key, values) for key, values in request.query.items() if key not in {"next", "offset"})
    return hashlib.sha256(json.dumps(given).encode()).hexdigest()[:16]
