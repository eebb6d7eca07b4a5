"""How the fake Follow Up Boss keeps and shows people: pure functions on documents and request bodies."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from integrations.providers.followupboss.sandbox.lists import BadRequestError
from integrations.sandbox.http import Request
from integrations.sandbox.store import Document

USUAL = (
    *("id", "created", "updated", "name", "firstName", "lastName", "stage", "stageId", "source", "contacted", "price"),
    *("assignedTo", "assignedUserId", "tags", "emails", "phones"),
)
"""What an answer holds when `fields` is not given."""
LISTS = ("emails", "phones", "addresses", "collaborators")
EMPTY: Document = {
    "firstName": "",
    "lastName": "",
    "source": "Unspecified",
    "sourceUrl": None,
    "createdVia": "API",
    "lastActivity": None,
    "contacted": 0,
    "price": None,
    "timeframeId": None,
    "assignedUserId": None,
    "assignedTo": None,
    "assignedLenderId": None,
    "assignedLenderName": None,
    "assignedPondId": None,
    "picture": None,
    "tags": [],
    **{name: [] for name in LISTS},
}


def shown(person: Document, fields: str) -> Document:
    """Custom fields and the rarer standard ones come only when asked for; `id` always comes."""
    asked = set(fields.split(",")) if fields else set(USUAL)
    return {
        key: value
        for key, value in person.items()
        if key == "id"
        or key in asked
        or (key.startswith("custom") and asked & {"allFields", "allCustom"})
        or (not key.startswith("custom") and "allFields" in asked)
    }


def values(person: Mapping[str, Any], kind: str) -> set[str]:
    return {str(entry["value"]).lower() for entry in person.get(kind) or () if entry.get("value")}


def digits(phone: str) -> str:
    """As numbers are kept: no punctuation and no extension. What is no number stays as it was typed."""
    number = re.sub(r"(?i)\s*(ext\.?|x)\s*\d+$", "", phone.strip())
    bare = re.sub(r"[^\d+]", "", number)
    return bare if len(bare) >= 7 and not re.search(r"[a-z]", number, re.IGNORECASE) else phone.strip()


def utc_text(text: str) -> str:
    """Raises ValueError for what is no time."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def body_of(request: Request) -> dict[str, Any]:
    try:
        body = request.json()
    except ValueError as error:
        raise BadRequestError("The body is not valid JSON.") from error
    if not isinstance(body, dict):
        raise BadRequestError("The body must be a JSON object.")
    return body


def check_custom(name: str, value: Any, field: Document | None) -> None:
    if field is None:
        raise BadRequestError(f"Unknown custom field {name}.")
    if value is None:
        return
    if field["type"] == "number" and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise BadRequestError(f"{name} must be a number.")
    if field["type"] == "date" and not re.fullmatch(r"\d{4}-\d\d-\d\d", str(value)):
        raise BadRequestError(f"{name} must be a date (YYYY-MM-DD).")
    if field["type"] == "dropdown" and value not in field["choices"]:
        raise BadRequestError(f"{value} is not one of the choices of {name}.")


def checked_list(key: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise BadRequestError(f"{key} must be a list.")
    if key == "tags":
        return [str(tag) for tag in value]
    if not all(isinstance(entry, dict) for entry in value):
        raise BadRequestError(f"{key} must be a list of objects.")
    if key not in {"phones", "emails"}:
        return value
    first_primary = not any(entry.get("isPrimary") for entry in value)
    return [_entry(key, entry, primary=first_primary and not index) for index, entry in enumerate(value)]


def _entry(key: str, entry: Mapping[str, Any], *, primary: bool) -> Document:
    text = str(entry.get("value") or "").strip()
    return {
        "value": digits(text) if key == "phones" else text,
        "type": str(entry.get("type") or ("mobile" if key == "phones" else "home")),
        "isPrimary": int(bool(entry.get("isPrimary")) or primary),
        "status": str(entry.get("status") or ("Not Validated" if key == "phones" else "Valid")),
    }
