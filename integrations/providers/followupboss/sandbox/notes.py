"""Notes and text messages of the fake Follow Up Boss. A text message is an entry in a log: nothing is sent."""

from integrations.providers.followupboss.sandbox.activities import Activities
from integrations.providers.followupboss.sandbox.calls import HIDDEN
from integrations.providers.followupboss.sandbox.door import refuse
from integrations.providers.followupboss.sandbox.lists import BadRequestError
from integrations.providers.followupboss.sandbox.shapes import body_of
from integrations.sandbox.http import Answer, Request, route
from integrations.sandbox.store import Document

TEXT_FIELDS = ("personId", "message", "toNumber", "fromNumber")


class Notes(Activities):
    @route("GET", "/v1/notes")
    def list_notes(self, request: Request) -> Answer:
        if not request.arg("personId"):
            return refuse(400, "personId is required.")
        return self.list_activities(request, "notes", equal=("personId",))

    @route("GET", "/v1/notes/{note_id}")
    def read_note(self, _request: Request, note_id: str) -> Answer:
        note = self.visible_activity("notes", note_id)
        return Answer(200, note) if note else refuse(404, "Note not found.")

    @route("POST", "/v1/notes")
    def create_note(self, request: Request) -> Answer:
        return self.new_activity(request, "notes", ("personId",), {"subject": "", "body": "", "isHtml": False})

    @route("PUT", "/v1/notes/{note_id}")
    def update_note(self, request: Request, note_id: str) -> Answer:
        note = self.visible_activity("notes", note_id)
        if note is None:
            return refuse(404, "Note not found.")
        try:
            body = body_of(request)
        except BadRequestError as problem:
            return refuse(400, str(problem))
        changes: Document = {key: body[key] for key in ("subject", "body", "isHtml") if key in body}
        return Answer(200, self.change_activity("notes", note, changes))

    @route("DELETE", "/v1/notes/{note_id}")
    def delete_note(self, _request: Request, note_id: str) -> Answer:
        if self.visible_activity("notes", note_id) is None:
            return refuse(404, "Note not found.")
        self.remove_activity("notes", note_id)
        return Answer(204)

    @route("GET", "/v1/textMessages")
    def list_texts(self, request: Request) -> Answer:
        if not request.arg("personId"):
            return refuse(400, "personId is required.")
        answer = self.list_activities(request, "textMessages", equal=("personId",))
        if answer.status == 200 and self.faults.draw(request.method, request.path, "hide_texts"):
            answer.body["textmessages"] = [{**one, "message": HIDDEN} for one in answer.body["textmessages"]]
        return answer

    @route("GET", "/v1/textMessages/{text_id}")
    def read_text(self, _request: Request, text_id: str) -> Answer:
        text = self.visible_activity("textMessages", text_id)
        return Answer(200, text) if text else refuse(404, "Text message not found.")

    @route("POST", "/v1/textMessages")
    def create_text(self, request: Request) -> Answer:
        return self.refuse_unregistered() or self.new_activity(
            request, "textMessages", TEXT_FIELDS, {"isIncoming": False}
        )
