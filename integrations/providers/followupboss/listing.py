"""Reads lists from Follow Up Boss: the collection's key may come in lower case, `total` as text; `next` leads on."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests

from integrations import errors
from integrations.providers.base import Api
from integrations.transport.classify import json_of

LIMIT = 100
"""Most records in one answer."""


@dataclass(frozen=True, slots=True)
class Listing:
    items: list[dict[str, Any]]
    next: str
    total: int | None


def read(response: requests.Response, collection: str) -> Listing:
    """Raises Retry for an answer without the collection: taken as empty it would look as if all records were gone."""
    body = json_of(response)
    content = body if isinstance(body, dict) else {}
    metadata = content.get("_metadata") or {}
    wanted = {collection.lower(), str(metadata.get("collection")).lower()}
    for key, value in content.items():
        if key.lower() in wanted and isinstance(value, list):
            return Listing(value, str(metadata.get("next") or ""), _number(metadata.get("total")))
    raise errors.Retry(
        f"Follow Up Boss sent an answer without {collection}. We will ask again.", detail=response.text[:500]
    )


def everything(api: Api, path: str, params: Mapping[str, Any], *, name: str = "") -> list[dict[str, Any]]:
    """Every page of a short list; `name` is the collection's where it is not the path. Raises Retry for pages in a circle."""
    collection = name or path
    found: list[dict[str, Any]] = []
    seen = {""}
    token: dict[str, str] = {}
    while True:
        page = read(api.request("GET", f"/{path}", params={**params, "limit": LIMIT, **token}), collection)
        found += page.items
        if not page.next:
            return found
        if page.next in seen:
            raise errors.Retry(f"Follow Up Boss repeats a page of {collection}. We will read the list again.")
        seen.add(page.next)
        token = {"next": page.next}


def stamp(moment: datetime) -> str:
    """A time as Follow Up Boss writes it: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_stamp(text: Any) -> datetime:
    """An aware time; the beginning of time for anything unreadable."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def service_time(response: requests.Response, otherwise: datetime) -> datetime:
    """What the service's clock says."""
    try:
        return parsedate_to_datetime(response.headers.get("Date", ""))
    except ValueError:
        return otherwise


def _number(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
