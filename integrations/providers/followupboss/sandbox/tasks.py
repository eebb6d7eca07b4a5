"""Tasks of the fake Follow Up Boss. Answers spell `AssignedTo` with a capital; a due date can't be changed later."""

from typing import Any

from integrations.providers.followupboss.sandbox.activities import Activities
from integrations.providers.followupboss.sandbox.door import refuse
from integrations.providers.followupboss.sandbox.lists import BadRequestError
from integrations.providers.followupboss.sandbox.shapes import body_of
from integrations.sandbox.http import Answer, Request, route
from integrations.sandbox.store import Document

TYPES = ("Follow Up", "Call", "Text", "Email", "Appointment", "Showing", "Closing", "Open House", "Thank You")
CHANGEABLE = ("name", "type", "isCompleted", "assignedUserId", "remindSecondsBefore")
PICKED_BY = ("personId", "assignedUserId", "type", "isCompleted")


class Tasks(Activities):
    @route("GET", "/v1/tasks")
    def list_tasks(self, request: Request) -> Answer:
        answer = self.list_activities(request, "tasks", equal=PICKED_BY)
        if answer.status == 200:
            answer.body["tasks"] = [self._shown(task) for task in answer.body["tasks"]]
        return answer

    @route("GET", "/v1/tasks/{task_id}")
    def read_task(self, _request: Request, task_id: str) -> Answer:
        task = self.visible_activity("tasks", task_id)
        return Answer(200, self._shown(task)) if task else refuse(404, "Task not found.")

    @route("POST", "/v1/tasks")
    def create_task(self, request: Request) -> Answer:
        try:
            self._check(body_of(request))
        except BadRequestError as problem:
            return refuse(400, str(problem))
        answer = self.new_activity(
            request, "tasks", ("personId",), {"isCompleted": False, "assignedUserId": self.me["id"]}
        )
        return Answer(201, self._shown(answer.body)) if answer.status == 201 else answer

    @route("PUT", "/v1/tasks/{task_id}")
    def update_task(self, request: Request, task_id: str) -> Answer:
        task = self.visible_activity("tasks", task_id)
        if task is None:
            return refuse(404, "Task not found.")
        try:
            body = body_of(request)
            self._check(body)
        except BadRequestError as problem:
            return refuse(400, str(problem))
        changes = {key: body[key] for key in CHANGEABLE if key in body}
        return Answer(200, self._shown(self.change_activity("tasks", task, changes)))

    def _check(self, body: dict[str, Any]) -> None:
        if body.get("type") is not None and body["type"] not in TYPES:
            raise BadRequestError(f"Invalid type. Allowed values: {', '.join(TYPES)}.")
        if body.get("assignedUserId") is not None and self.store.get("users", str(body["assignedUserId"])) is None:
            raise BadRequestError("Invalid assignedUserId.")

    def _shown(self, task: Document) -> Document:
        user = self.store.get("users", str(task.get("assignedUserId"))) or {}
        return {**task, "isCompleted": int(bool(task.get("isCompleted"))), "AssignedTo": user.get("name")}
