"""Reads lists from Follow Up Boss: the collection's key may come in lower case, `total` as text; `next` leads on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests

from integrations import errors
from integrations.contract.ports import Api
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


def by_ids(api: Api, path: str, params: Mapping[str, Any], *, after: int = 0) -> Iterator[tuple[Listing, int, bool]]:
    """Pages of a long list, lowest ids first: each with the highest id so far, and whether it is the last.

    The service's own way on is followed while it gives one, through pages without anybody too; an old token is replaced by the
    last id. Raises Retry for pages in a circle.
    """
    floor = last = after
    token, seen = "", set[str]()
    while True:
        asked: dict[str, Any] = {**params, "sort": "id", "limit": LIMIT}
        asked |= {"idGreaterThan": floor} if floor else {}
        try:
            page = read(api.request("GET", f"/{path}", params=asked | ({"next": token} if token else {})), path)
        except (errors.FixData, errors.Gone):
            if not token:
                raise
            token, floor = "", last
            continue
        last = max([last, *(int(one["id"]) for one in page.items)])
        if not page.items:
            _require_progress(page, seen, path)
        token = "" if page.next in seen else page.next
        seen.add(page.next)
        # A full page without a fresh token is not trusted to be the last one: the ids tell.
        more = bool(token) or (bool(page.items) and (bool(page.next) or len(page.items) >= LIMIT))
        yield page, last, not more
        if not more:
            return
        floor = floor if token else last


def _require_progress(page: Listing, seen: set[str], collection: str) -> None:
    if page.next and page.next in seen:
        raise errors.Retry(f"Follow Up Boss repeats a page of {collection}. We will read the list again.")


def everything(api: Api, path: str, params: Mapping[str, Any], *, name: str = "") -> list[dict[str, Any]]:
    """Every page of a short list; `name` is the collection's where it is not the path. Raises Retry for pages in a circle."""
    collection = name or path
    found: list[dict[str, Any]] = []
    seen = set[str]()
    token: dict[str, str] = {}
    while True:
        page = read(api.request("GET", f"/{path}", params={**params, "limit": LIMIT, **token}), collection)
        found += page.items
        if not page.next:
            return found
        _require_progress(page, seen, collection)
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
