"""Shared by all that hangs on people in the fake Follow Up Boss: the usual filters, and who may see what."""

from datetime import datetime
from typing import Any

from integrations.providers.followupboss.sandbox.door import Door, refuse
from integrations.providers.followupboss.sandbox.lists import BadRequestError, number, page
from integrations.providers.followupboss.sandbox.shapes import body_of, utc_text
from integrations.sandbox.http import Answer, Request
from integrations.sandbox.store import Document


class Activities(Door):
    def list_activities(self, request: Request, collection: str, *, equal: tuple[str, ...] = ()) -> Answer:
        """`equal`: parameters that pick by the field of the same name."""
        try:
            found = [one for one in self.store.all(collection) if self._is_wanted(one, request, equal)]
        except (ValueError, BadRequestError):
            return refuse(400, "A filter has a bad value.")
        return page(request, collection, found, self.clock.timestamp(), order="-id")

    def _is_wanted(self, one: Document, request: Request, equal: tuple[str, ...]) -> bool:
        ids = request.arg("ids") or request.arg("id")
        after, before, last = (
            request.arg("createdAfter"),
            request.arg("createdBefore"),
            number(request, "idGreaterThan", 0),
        )
        return (
            (not ids or one["id"] in {int(part) for part in ids.split(",")})
            and one["id"] > last
            and (not after or one["created"] > utc_text(after))
            and (not before or one["created"] < utc_text(before))
            and all(_text(one.get(name)) == request.arg(name) for name in equal if request.arg(name))
            and self.visible_person(one["personId"]) is not None
        )

    def visible_activity(self, collection: str, one_id: str) -> Document | None:
        one = self.store.get(collection, one_id)
        return one if one and self.visible_person(one["personId"]) else None

    def new_activity(self, request: Request, collection: str, required: tuple[str, ...], defaults: Document) -> Answer:
        try:
            body = body_of(request)
            missing = [name for name in required if body.get(name) in {None, ""}]
            if missing:
                raise BadRequestError(f"{', '.join(missing)} required.")
            if not isinstance(body["personId"], int):
                raise BadRequestError("personId must be an integer.")
        except BadRequestError as problem:
            return refuse(400, str(problem))
        unsettled = self.unsettled(request, body["personId"])
        if unsettled or self.visible_person(body["personId"]) is None:
            return unsettled or refuse(404, "Person not found.")
        return Answer(201, self.add_activity(collection, {**defaults, **body}))

    def add_activity(self, collection: str, fields: Document) -> Document:
        one_id = self.store.next_number(collection)
        made = {"id": one_id, "created": self.stamp(), "updated": self.stamp(), "createdById": self.me["id"], **fields}
        self.store.put(collection, str(one_id), made)
        self.tell(f"{collection}Created", [one_id])
        return made

    def change_activity(self, collection: str, one: Document, changes: Document) -> Document:
        changed = {**one, **changes, "updated": self.stamp(), "updatedById": self.me["id"]}
        self.store.put(collection, str(one["id"]), changed)
        self.tell(f"{collection}Updated", [one["id"]])
        return changed

    def remove_activity(self, collection: str, one_id: str) -> None:
        self.store.delete(collection, one_id)
        self.tell(f"{collection}Deleted", [int(one_id)])

    def unsettled(self, request: Request, person_id: Any) -> Answer | None:
        """The dial `fresh_person`: someone made less than its `seconds` ago is not there for calls and notes yet."""
        person = self.store.get("people", str(person_id))
        dial = self.faults.draw(request.method, request.path, "fresh_person") if person else None
        if person is None or dial is None:
            return None
        age = self.clock.timestamp() - _seconds(person["created"])
        return refuse(404, "Person not found.") if age < dial.seconds else None


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
