"""What each fake CRM holds, in the same words for all: read from its own collections, written as somebody in its pages does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import requests

Document = Mapping[str, Any]
FIELDS = ("first_name", "last_name", "title", "email")


@dataclass(frozen=True)
class Book:
    people: tuple[str, ...]
    """Collections of people; also the object types that somebody edits by hand."""
    names: Mapping[str, str]
    """Field of the dialer → field of the CRM."""
    count: str
    """Where the number of calls stands."""
    calls: str
    texts: Callable[[Document], str]
    """All that a logged call says."""
    values: Callable[[Document], Document]
    """A person's fields."""
    new: Callable[[Mapping[str, str]], dict[str, Any]]
    """What somebody types in for a new person."""


def _properties(document: Document) -> Document:
    found: Document = document["properties"]
    return found


def _person(document: Document) -> Document:
    emails = document.get("emails") or [{}]
    return {**document, "email": emails[0].get("value")}


def _new_person(values: Mapping[str, str]) -> dict[str, Any]:
    return {
        "firstName": values["first_name"],
        "lastName": values["last_name"],
        "emails": [{"value": values["email"]}],
        "customTitle": values["title"],
        "customCompany": values["company"],
    }


HUBSPOT_NAMES = {"first_name": "firstname", "last_name": "lastname", "title": "jobtitle", "email": "email"}
SALESFORCE_NAMES = {"first_name": "FirstName", "last_name": "LastName", "title": "Title", "email": "Email"}
BOOKS: Mapping[str, Book] = {
    "salesforce": Book(
        ("Lead", "Contact"),
        SALESFORCE_NAMES,
        "Dialer_Call_Count__c",
        "Task",
        lambda one: str(one.get("Description") or ""),
        lambda one: one,
        lambda values: {SALESFORCE_NAMES.get(name, "Company"): value for name, value in values.items()},
    ),
    "hubspot": Book(
        ("contacts",),
        HUBSPOT_NAMES,
        "num_calls",
        "calls",
        lambda one: " ".join(str(value) for value in one["properties"].values()),
        _properties,
        lambda values: {HUBSPOT_NAMES.get(name, name): value for name, value in values.items()},
    ),
    "followupboss": Book(
        ("people",),
        {"first_name": "firstName", "last_name": "lastName", "title": "customTitle", "email": "email"},
        "customDialerCallCount",
        "calls",
        lambda one: str(one.get("note") or ""),
        _person,
        _new_person,
    ),
}


def held(sandbox: str, collection: str) -> list[Document]:
    answer = requests.get(f"{sandbox}/_sandbox/data/{collection}", timeout=120)
    answer.raise_for_status()
    found: list[Document] = answer.json()
    return found


def people(slug: str, sandbox: str) -> dict[str, dict[str, str]]:
    """Id of each living person → the fields in the dialer's words, and `count`."""
    book, found = BOOKS[slug], {}
    for collection in book.people:
        for one in held(sandbox, collection):
            if one.get("IsDeleted") or one.get("archived") or one.get("merged_into"):
                continue
            values = book.values(one)
            fields = {name: str(values.get(theirs) or "").strip() for name, theirs in book.names.items()}
            fields["count"] = str(values.get(book.count) or "0").partition(".")[0]
            found[str(one.get("Id") or one["id"])] = fields
    return found


def said(slug: str, sandbox: str) -> list[str]:
    """The text of each logged call."""
    return [BOOKS[slug].texts(one) for one in held(sandbox, BOOKS[slug].calls)]


def edit(slug: str, sandbox: str, object_type: str, record_id: str, field: str, value: str) -> None:
    order = {"object": object_type, "id": record_id, "fields": {BOOKS[slug].names[field]: value}}
    requests.post(f"{sandbox}/_sandbox/edit", json=order, timeout=60).raise_for_status()


def add(slug: str, sandbox: str, values: Mapping[str, str]) -> str:
    book = BOOKS[slug]
    order = {"object": book.people[0], "fields": book.new(values)}
    answer = requests.post(f"{sandbox}/_sandbox/add", json=order, timeout=60)
    answer.raise_for_status()
    return str(answer.json()["id"])
