"""The call log of the fake Follow Up Boss. It knows no repeats: posting twice makes two calls."""

from typing import Any

from integrations.providers.followupboss.sandbox.activities import Activities
from integrations.providers.followupboss.sandbox.door import refuse
from integrations.providers.followupboss.sandbox.lists import BadRequestError
from integrations.providers.followupboss.sandbox.shapes import body_of
from integrations.sandbox.http import Answer, Request, route
from integrations.sandbox.store import Document

OUTCOMES = ("Interested", "Not Interested", "Left Message", "No Answer", "Busy", "Bad Number")
CHANGEABLE = ("note", "outcome", "duration", "recordingUrl", "fromNumber", "toNumber", "phone", "isIncoming")
HIDDEN = "Content is hidden for privacy reasons."


class Calls(Activities):
    @route("GET", "/v1/calls")
    def list_calls(self, request: Request) -> Answer:
        answer = self.list_activities(request, "calls", equal=("personId", "phone", "toNumber", "fromNumber"))
        if answer.status == 200 and self.faults.draw(request.method, request.path, "hide_notes"):
            answer.body["calls"] = [{**call, "note": HIDDEN} for call in answer.body["calls"]]
        return answer

    @route("GET", "/v1/calls/{call_id}")
    def read_call(self, _request: Request, call_id: str) -> Answer:
        call = self.visible_activity("calls", call_id)
        return Answer(200, call) if call else refuse(404, "Call not found.")

    @route("POST", "/v1/calls")
    def create_call(self, request: Request) -> Answer:
        try:
            body = body_of(request)
            self._check_required(body)
            _check_call(body)
        except BadRequestError as problem:
            return refuse(400, str(problem))
        unsettled = self.unsettled(request, body["personId"])
        if unsettled or self.visible_person(body["personId"]) is None:
            return unsettled or refuse(404, "Person not found.")
        if body.get("userId") not in {None, self.me["id"]} and not self.is_admin:
            return refuse(403, "Only admins may log calls for other users.")
        user = self.store.get("users", str(body.get("userId") or self.me["id"])) or self.me
        return Answer(201, self.add_call(user, body))

    def add_call(self, user: Document, body: dict[str, Any]) -> Document:
        who = {"updatedById": self.me["id"], "userId": user["id"], "userName": user["name"]}
        told = {key: body.get(key) for key in CHANGEABLE}
        return self.add_activity("calls", {"personId": body["personId"], **who, "ringDuration": 0, **told})

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
        call = self.visible_activity("calls", call_id)
        if call is None:
            return refuse(404, "Call not found.")
        try:
            body = body_of(request)
            _check_call(body)
        except BadRequestError as problem:
            return refuse(400, str(problem))
        changes = {key: body[key] for key in CHANGEABLE if key in body}
        return Answer(200, self.change_activity("calls", call, changes))


def _check_call(body: dict[str, Any]) -> None:
    if body.get("outcome") is not None and body["outcome"] not in OUTCOMES:
        raise BadRequestError(f"Invalid outcome. Allowed values: {', '.join(OUTCOMES)}.")
    if "isIncoming" in body and not isinstance(body["isIncoming"], bool):
        raise BadRequestError("isIncoming must be a boolean.")
    duration = body.get("duration")
    if duration is not None and (isinstance(duration, bool) or not isinstance(duration, int) or duration < 0):
        raise BadRequestError("duration must be a number of seconds.")
