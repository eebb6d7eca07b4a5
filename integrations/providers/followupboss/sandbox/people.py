"""People in the fake Follow Up Boss: `/v1/people` with filters, replaced lists, and fields that must be asked for."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from integrations.providers.followupboss.sandbox.door import Door, refuse
from integrations.providers.followupboss.sandbox.lists import BadRequestError, page
from integrations.sandbox.http import Answer, Request, route
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
ONLY_ON_CREATE = ("source", "sourceUrl")
READ_ONLY = ("id", "created", "updated", "createdVia", "name", "stageId", "lastActivity")

Test = Callable[[Document, str], bool]
FILTERS: Mapping[str, Test] = {
    "idGreaterThan": lambda person, text: person["id"] > int(text),
    "idLessThan": lambda person, text: person["id"] < int(text),
    "createdAfter": lambda person, text: person["created"] > utc_text(text),
    "createdBefore": lambda person, text: person["created"] < utc_text(text),
    "updatedAfter": lambda person, text: person["updated"] > utc_text(text),
    "updatedBefore": lambda person, text: person["updated"] < utc_text(text),
    "name": lambda person, text: text.lower() in person["name"].lower(),
    "firstName": lambda person, text: text.lower() in person["firstName"].lower(),
    "lastName": lambda person, text: text.lower() in person["lastName"].lower(),
    "email": lambda person, text: text.strip().lower() in values(person, "emails"),
    "phone": lambda person, text: digits(text) in values(person, "phones"),
    "stage": lambda person, text: person["stage"] == text,
    "assignedUserId": lambda person, text: str(person["assignedUserId"]) == text,
    "assignedTo": lambda person, text: person["assignedTo"] == text,
    "tags": lambda person, text: bool(set(text.split(",")) & set(person["tags"])),
}


class People(Door):
    @route("GET", "/v1/people")
    def list_people(self, request: Request) -> Answer:
        try:
            found = [person for person in self._candidates(request) if self.sees(person) and _passes(person, request)]
        except ValueError:
            return refuse(400, "A filter has a bad value.")
        answer = page(request, "people", found, self.clock.timestamp(), order="-id")
        if answer.status == 200:
            answer.body["people"] = [shown(person, request.arg("fields")) for person in answer.body["people"]]
        return answer

    def _candidates(self, request: Request) -> Iterator[Document]:
        ids = request.arg("id") or request.arg("ids")
        if not ids:
            return self.store.all("people")
        found = (self.store.get("people", str(int(one))) for one in ids.split(","))
        return (person for person in found if person is not None)

    @route("GET", "/v1/people/{person_id}")
    def read_person(self, request: Request, person_id: str) -> Answer:
        person = self.visible_person(person_id)
        return Answer(200, shown(person, request.arg("fields"))) if person else refuse(404, "Person not found.")

    @route("POST", "/v1/people")
    def create_person(self, request: Request) -> Answer:
        try:
            changes = self._checked(request)
        except BadRequestError as problem:
            return refuse(400, str(problem))
        twin = self._twin(changes) if request.arg("deduplicate") == "true" else None
        if twin is not None:
            return Answer(200, shown(twin, "allFields"))  # none of the sent values is applied
        number = self.store.next_number("people")
        person = {"id": number, "created": self.stamp(), **EMPTY, "stage": "Lead", **changes}
        return Answer(201, shown(self.keep(person), "allFields"))

    @route("PUT", "/v1/people/{person_id}")
    def update_person(self, request: Request, person_id: str) -> Answer:
        person = self.visible_person(person_id)
        if person is None:
            return refuse(404, "Person not found.")
        try:
            changes = self._checked(request)
        except BadRequestError as problem:
            return refuse(400, str(problem))
        if "tags" in changes and request.arg("mergeTags") == "true":
            changes["tags"] = list(dict.fromkeys([*person["tags"], *changes["tags"]]))
        kept = {key: value for key, value in changes.items() if key not in ONLY_ON_CREATE}
        return Answer(200, shown(self.keep({**person, **kept}), "allFields"))

    @route("DELETE", "/v1/people/{person_id}")
    def delete_person(self, _request: Request, person_id: str) -> Answer:
        if self.visible_person(person_id) is None:
            return refuse(404, "Person not found.")
        self.store.delete("people", person_id)
        return Answer(204)

    def keep(self, person: Document) -> Document:
        """Stores a person with what the service derives."""
        user = self.store.get("users", str(person["assignedUserId"])) or {}
        stage = next(stage for stage in self.store.all("stages") if stage["name"] == person["stage"])
        derived = {
            "name": f"{person['firstName']} {person['lastName']}".strip(),
            "assignedTo": user.get("name"),
            "stageId": stage["id"],
            "updated": self.stamp(),
        }
        return self.store.put("people", str(person["id"]), {**person, **derived})

    def _twin(self, changes: Mapping[str, Any]) -> Document | None:
        sought = {kind: values(changes, kind) for kind in ("emails", "phones")}
        for person in self.store.all("people"):
            if any(sought[kind] & values(person, kind) for kind in sought):
                return person
        return None

    def _checked(self, request: Request) -> dict[str, Any]:
        """The body's values in the shape they are kept. Raises BadRequestError with the service's words."""
        body = body_of(request)
        custom = {field["name"]: field for field in self.store.all("customfields")}
        known = {*EMPTY, "stage", *custom} - {*READ_ONLY}
        changes = {key: value for key, value in body.items() if key in known}
        for key, value in body.items():
            if key.startswith("custom"):
                _check_custom(key, value, custom.get(key))
            elif key in LISTS or key == "tags":
                changes[key] = checked_list(key, value)
        if "stage" in changes and changes["stage"] not in {stage["name"] for stage in self.store.all("stages")}:
            raise BadRequestError("Invalid stage.")
        return self._assigned(changes)

    def _assigned(self, changes: dict[str, Any]) -> dict[str, Any]:
        name = changes.pop("assignedTo", None)
        if name and "assignedUserId" not in changes:
            found = [user["id"] for user in self.store.all("users") if user["name"] == name]
            if not found:
                raise BadRequestError("Invalid assignedTo: no user has this name.")
            changes["assignedUserId"] = found[0]
        if changes.get("assignedUserId") and self.store.get("users", str(changes["assignedUserId"])) is None:
            raise BadRequestError("Invalid assignedUserId.")
        return changes


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


def _passes(person: Document, request: Request) -> bool:
    if person["stage"] == "Trash" and request.arg("includeTrash") != "true":
        return False
    return all(test(person, request.arg(name)) for name, test in FILTERS.items() if request.arg(name))


def _check_custom(name: str, value: Any, field: Document | None) -> None:
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
