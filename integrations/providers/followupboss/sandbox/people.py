"""People in the fake Follow Up Boss: `/v1/people` with filters, replaced lists, and fields that must be asked for."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from integrations.providers.followupboss.sandbox.door import Door, refuse
from integrations.providers.followupboss.sandbox.lists import BadRequestError, page
from integrations.providers.followupboss.sandbox.shapes import (
    EMPTY,
    LISTS,
    body_of,
    check_custom,
    checked_list,
    digits,
    shown,
    utc_text,
    values,
)
from integrations.sandbox.http import Answer, Request, route
from integrations.sandbox.store import Document

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
            found = self._in_smart_list(found, request.arg("smartListId"))
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

    def _in_smart_list(self, found: list[Document], list_id: str) -> list[Document]:
        if not list_id:
            return found
        chosen = self.store.get("smartlists", list_id)
        return [person for person in found if chosen and person["stage"] == chosen["stage"]]

    @route("GET", "/v1/people/checkDuplicate")
    def check_duplicate(self, request: Request) -> Answer:
        """Looks at the whole account, whatever the role, and names no id."""
        for kind, value in (("email", request.arg("email")), ("phone", request.arg("phone"))):
            twin = self.twin({f"{kind}s": [{"value": digits(value)}]}) if value else None
            if twin is not None:
                return Answer(200, {"found": True, "matchedBy": kind, "assignedTo": twin["assignedTo"]})
        return Answer(200, {"found": False})

    @route("GET", "/v1/people/unclaimed")
    def list_unclaimed(self, request: Request) -> Answer:
        found = [person for person in self.store.all("people") if person.get("unclaimed")]
        answer = page(request, "people", found, self.clock.timestamp())
        if answer.status == 200:
            answer.body["people"] = [shown(person, request.arg("fields")) for person in answer.body["people"]]
        return answer

    @route("POST", "/v1/people/claim")
    def claim(self, request: Request) -> Answer:
        return self._settle(request, {"assignedUserId": self.me["id"], "unclaimed": False})

    @route("POST", "/v1/people/ignoreUnclaimed")
    def ignore_unclaimed(self, request: Request) -> Answer:
        return self._settle(request, {"unclaimed": False})

    def _settle(self, request: Request, changes: Document) -> Answer:
        person = self.store.get("people", str(body_of(request).get("personId")))
        if person is None or not person.get("unclaimed"):
            return refuse(404, "Person not found.")
        return Answer(200, shown(self.change_person(person, changes), ""))

    @route("GET", "/v1/people/{person_id}")
    def read_person(self, request: Request, person_id: str) -> Answer:
        person = self.visible_person(person_id)
        return Answer(200, shown(person, request.arg("fields"))) if person else refuse(404, "Person not found.")

    @route("POST", "/v1/people")
    def create_person(self, request: Request) -> Answer:
        try:
            changes = self.checked(body_of(request))
        except BadRequestError as problem:
            return refuse(400, str(problem))
        twin = self.twin(changes) if request.arg("deduplicate") == "true" else None
        if twin is not None:
            return Answer(200, shown(twin, "allFields"))  # none of the sent values is applied
        if not self.is_admin:
            changes = {"assignedUserId": self.me["id"], **changes}
        return Answer(201, shown(self.new_person(changes), "allFields"))

    @route("PUT", "/v1/people/{person_id}")
    def update_person(self, request: Request, person_id: str) -> Answer:
        person = self.visible_person(person_id)
        if person is None:
            return refuse(404, "Person not found.")
        try:
            changes = self.checked(body_of(request))
        except BadRequestError as problem:
            return refuse(400, str(problem))
        if "tags" in changes and request.arg("mergeTags") == "true":
            changes["tags"] = list(dict.fromkeys([*person["tags"], *changes["tags"]]))
        kept = {key: value for key, value in changes.items() if key not in ONLY_ON_CREATE}
        return Answer(200, shown(self.change_person(person, kept), "allFields"))

    @route("DELETE", "/v1/people/{person_id}")
    def delete_person(self, _request: Request, person_id: str) -> Answer:
        if self.visible_person(person_id) is None:
            return refuse(404, "Person not found.")
        self.remove_person(person_id)
        return Answer(204)

    def new_person(self, changes: Mapping[str, Any]) -> Document:
        number = self.store.next_number("people")
        person = self.keep({"id": number, "created": self.stamp(), **EMPTY, "stage": "Lead", **changes})
        self.tell("peopleCreated", [number])
        return person

    def change_person(self, person: Document, changes: Mapping[str, Any]) -> Document:
        """One change may be told by several events."""
        kept = self.keep({**person, **changes})
        self.tell("peopleUpdated", [kept["id"]])
        if kept["stage"] != person["stage"]:
            self.tell("peopleStageUpdated", [kept["id"]], {"stage": kept["stage"]})
        added = [tag for tag in kept["tags"] if tag not in person["tags"]]
        if added:
            self.tell("peopleTagsCreated", [kept["id"]], {"tags": added})
        return kept

    def remove_person(self, person_id: str) -> None:
        self.store.delete("people", person_id)
        self.tell("peopleDeleted", [int(person_id)])

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

    def twin(self, changes: Mapping[str, Any]) -> Document | None:
        sought = {kind: values(changes, kind) for kind in ("emails", "phones")}
        for person in self.store.all("people"):
            if any(sought[kind] & values(person, kind) for kind in sought):
                return person
        return None

    def checked(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The body's values in the shape they are kept. Raises BadRequestError with the service's words."""
        custom = {field["name"]: field for field in self.store.all("customfields")}
        known = {*EMPTY, "stage", *custom} - {*READ_ONLY}
        changes = {key: value for key, value in body.items() if key in known}
        for key, value in body.items():
            if key.startswith("custom"):
                check_custom(key, value, custom.get(key))
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


def _passes(person: Document, request: Request) -> bool:
    if person["stage"] == "Trash" and request.arg("includeTrash") != "true":
        return False
    return all(test(person, request.arg(name)) for name, test in FILTERS.items() if request.arg(name))
