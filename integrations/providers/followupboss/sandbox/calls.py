"""The call log and the notes of the fake Follow Up Boss. It knows no repeats: posting twice makes two calls."""

from typing import Any

from integrations.providers.followupboss.sandbox.door import Door, refuse
from integrations.providers.followupboss.sandbox.lists import BadRequestError, page
from integrations.providers.followupboss.sandbox.people import body_of, digits, utc_text
from integrations.sandbox.http import Answer, Request, route
from integrations.sandbox.store import Document

OUTCOMES = ("Interested", "Not Interested", "Left Message", "No Answer", "Busy", "Bad Number")
CHANGEABLE = ("note", "outcome", "duration", "recordingUrl", "fromNumber", "toNumber", "phone", "isIncoming")
HIDDEN = "Content is hidden for privacy reasons."


class Calls(Door):
    @route("GET", "/v1/calls")
    def list_calls(self, request: Request) -> Answer:
        try:
            found = [call for call in self.store.all("calls") if self._is_asked_for(call, request)]
        except ValueError:
            return refuse(400, "A filter has a bad value.")
        answer = page(request, "calls", found, self.clock.timestamp(), order="-id")
        if answer.status == 200 and self.faults.draw(request.method, request.path, "hide_notes"):
            answer.body["calls"] = [{**call, "note": HIDDEN} for call in answer.body["calls"]]
        return answer

    def _is_asked_for(self, call: Document, request: Request) -> bool:
        person, after, before = request.arg("personId"), request.arg("createdAfter"), request.arg("createdBefore")
        return (
            (not person or call["personId"] == int(person))
            and (not after or call["created"] > utc_text(after))
            and (not before or call["created"] < utc_text(before))
            and (not request.arg("phone") or digits(call["phone"]) == digits(request.arg("phone")))
            and self.visible_person(call["personId"]) is not None
        )

    @route("GET", "/v1/calls/{call_id}")
    def read_call(self, _request: Request, call_id: str) -> Answer:
        call = self._visible_call(call_id)
        return Answer(200, call) if call else refuse(404, "Call not found.")

    def _visible_call(self, call_id: str) -> Document | None:
        call = self.store.get("calls", call_id)
        return call if call and self.visible_person(call["personId"]) else None

    @route("POST", "/v1/calls")
    def create_call(self, request: Request) -> Answer:
        try:
            body = body_of(request)
            self._check_required(body)
            _check_call(body)
        except BadRequestError as problem:
            return refuse(400, str(problem))
        if self.visible_person(body["personId"]) is None:
            return refuse(404, "Person not found.")
        if body.get("userId") not in {None, self.me["id"]} and not self.is_admin:
            return refuse(403, "Only admins may log calls for other users.")
        number = self.store.next_number("calls")
        user = self.store.get("users", str(body.get("userId") or self.me["id"])) or self.me
        call: Document = {
            "id": number,
            "created": self.stamp(),
            "updated": self.stamp(),
            "createdById": self.me["id"],
            "updatedById": self.me["id"],
            "personId": body["personId"],
            "userId": user["id"],
            "userName": user["name"],
            "ringDuration": 0,
            **{key: body.get(key) for key in CHANGEABLE},
        }
        return Answer(201, self.store.put("calls", str(number), call))

    def _check_required(self, body: dict[str, Any]) -> None:
        for name in ("personId", "phone", "isIncoming"):
            if body.get(name) in {None, ""}:
                raise BadRequestError(f"{name} is required.")
        if not isinstance(body["personId"], int):
            raise BadRequestError("personId must be an integer.")
        if body.get("userId") is not None and self.store.get("users", str(body["userId"])) is None:
            raise BadRequestError("Invalid userId.")

    @route("PUT", "/v1/calls/{call_id}")
    def update_call(self, request: Request, call_id: str) -> Answer:
        call = self._visible_call(call_id)
        if call is None:
            return refuse(404, "Call not found.")
        try:
            body = body_of(request)
            _check_call(body)
        except BadRequestError as problem:
            return refuse(400, str(problem))
        changes = {key: body[key] for key in CHANGEABLE if key in body}
        changed = {**call, **changes, "updated": self.stamp(), "updatedById": self.me["id"]}
        return Answer(200, self.store.put("calls", call_id, changed))

    @route("POST", "/v1/notes")
    def create_note(self, request: Request) -> Answer:
        try:
            body = body_of(request)
        except BadRequestError as problem:
            return refuse(400, str(problem))
        if self.visible_person(body.get("personId")) is None:
            return refuse(404, "Person not found.")
        number = self.store.next_number("notes")
        note = {"id": number, "created": self.stamp(), "createdById": self.me["id"], **body}
        return Answer(201, self.store.put("notes", str(number), note))


def _check_call(body: dict[str, Any]) -> None:
    if body.get("outcome") is not None and body["outcome"] not in OUTCOMES:
        raise BadRequestError(f"Invalid outcome. Allowed values: {', '.join(OUTCOMES)}.")
    if "isIncoming" in body and not isinstance(body["isIncoming"], bool):
        raise BadRequestError("isIncoming must be a boolean.")
    duration = body.get("duration")
    if duration is not None and (isinstance(duration, bool) or not isinstance(duration, int) or duration < 0):
        raise BadRequestError("duration must be a number of seconds.")
