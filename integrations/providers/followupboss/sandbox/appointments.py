"""Appointments of the fake Follow Up Boss: with people and users, between two times. The dial `no_appointments` takes them away."""

from datetime import datetime

from integrations.providers.followupboss.sandbox.activities import Activities
from integrations.providers.followupboss.sandbox.door import refuse
from integrations.providers.followupboss.sandbox.lists import BadRequestError
from integrations.providers.followupboss.sandbox.shapes import body_of
from integrations.sandbox.http import Answer, Request, route
from integrations.sandbox.store import Document

COLLECTION = "appointments"
CHANGEABLE = ("title", "start", "end", "allDay", "location", "description", "invitees", "typeId", "outcomeId")


class Appointments(Activities):
    @route("GET", "/v1/appointments")
    def list_appointments(self, request: Request) -> Answer:
        return self._absent(request) or self.list_activities(request, COLLECTION, equal=("personId",))

    @route("GET", "/v1/appointments/{one_id}")
    def read_appointment(self, request: Request, one_id: str) -> Answer:
        one = self.visible_activity(COLLECTION, one_id)
        return self._absent(request) or (Answer(200, one) if one else refuse(404, "Appointment not found."))

    @route("POST", "/v1/appointments")
    def create_appointment(self, request: Request) -> Answer:
        absent = self._absent(request)
        if absent:
            return absent
        try:
            body = body_of(request)
            person_id = self._checked(body)
        except BadRequestError as problem:
            return refuse(400, str(problem))
        unsettled = self.unsettled(request, person_id)
        if unsettled or self.visible_person(person_id) is None:
            return unsettled or refuse(404, "Person not found.")
        told = {key: body.get(key) for key in CHANGEABLE}
        return Answer(201, self.add_activity(COLLECTION, {"personId": person_id, **told}))

    @route("PUT", "/v1/appointments/{one_id}")
    def update_appointment(self, request: Request, one_id: str) -> Answer:
        one = self.visible_activity(COLLECTION, one_id)
        if one is None:
            return refuse(404, "Appointment not found.")
        try:
            changes = {key: value for key, value in body_of(request).items() if key in CHANGEABLE}
            person_id = self._checked({**one, **changes})
        except BadRequestError as problem:
            return refuse(400, str(problem))
        return Answer(200, self.change_activity(COLLECTION, one, {**changes, "personId": person_id}))

    @route("DELETE", "/v1/appointments/{one_id}")
    def delete_appointment(self, request: Request, one_id: str) -> Answer:
        if self._absent(request) or self.visible_activity(COLLECTION, one_id) is None:
            return refuse(404, "Appointment not found.")
        self.remove_activity(COLLECTION, one_id)
        return Answer(204)

    def _absent(self, request: Request) -> Answer | None:
        dial = self.faults.draw(request.method, request.path, "no_appointments")
        return refuse(403 if dial.status == 403 else 404, "Not available.") if dial else None

    def _checked(self, body: Document) -> int:
        """The first person among the invitees. Raises BadRequestError for what the service would refuse."""
        missing = [name for name in ("title", "start", "end") if not body.get(name)]
        if missing:
            raise BadRequestError(f"{', '.join(missing)} required.")
        if _time(body["start"]) >= _time(body["end"]):
            raise BadRequestError("end must be after start.")
        invitees = body.get("invitees") or []
        users = [one["userId"] for one in invitees if one.get("userId")]
        if any(self.store.get("users", str(one)) is None for one in users):
            raise BadRequestError("Invalid userId.")
        people = [one["personId"] for one in invitees if one.get("personId")]
        if not people or not all(isinstance(one, int) for one in people):
            raise BadRequestError("An appointment needs an invitee with a personId.")
        return int(people[0])


def _time(text: object) -> datetime:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise BadRequestError(f"{text} is no time.") from error
    if moment.tzinfo is None:
        raise BadRequestError(f"{text} has no time zone.")
    return moment
