"""Books meetings and sets follow-ups, each once: appointments and tasks, found again by the marker in their text.

The service has no external ids. What an earlier try may have written is looked for among the person's appointments or tasks
and adopted. Where an account has no appointments (their address answers 404 or 403), a meeting becomes a task of the type
"Appointment". The due date of a task can't be changed by a program: where it has to move, the task's name says so.

A cancelled appointment is deleted. A task can't be: it is completed, and its name says why.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.followupboss import listing
from integrations.providers.followupboss.agents import Agents
from integrations.providers.followupboss.batch import write_each
from integrations.providers.followupboss.custom_values import zone
from integrations.providers.followupboss.marking import LOOK_BACK, marked, marker_of
from integrations.providers.followupboss.newcomers import judged
from integrations.records.activities import Agreed, FollowUp, Meeting
from integrations.records.connections import Connection
from integrations.records.remote import Written
from integrations.transport.classify import json_of

APPOINTMENTS, TASKS = "appointments", "tasks"
MEETING_TASK, FOLLOW_UP_TASK = "Appointment", "Follow Up"
AS_TASK = f"{TASKS}/"
"""Beginning of the id of a meeting that became a task."""
CANCELLED = "Cancelled: "
NAME_ROOM = 255
TEXT_ROOM = 10_000
SAID_IN_ANY_CASE = "Follow Up Boss did not say where it keeps this. We will look it up."

Body = dict[str, Any]


class Appointments:
    def __init__(
        self,
        connection: Connection,
        api: Api,
        agents: Agents,
        sees_everybody: Callable[[], bool],
        url_of: Callable[[str], str],
    ) -> None:
        self._zone = zone(connection.timezone)
        self._api = api
        self._agents = agents
        self._sees_everybody = sees_everybody
        self._url_of = url_of
        self._has_none = False

    def book(self, meetings: Sequence[Meeting]) -> list[Written]:
        return write_each(self._api, meetings, self._book)

    def follow_up(self, follow_ups: Sequence[FollowUp]) -> list[Written]:
        return write_each(self._api, follow_ups, self._follow_up)

    def cancel(self, meetings: Sequence[Agreed]) -> list[Written]:
        return write_each(self._api, meetings, self._cancel)

    # --- meetings ---------------------------------------------------------------------------------------------------

    def _book(self, one: Meeting) -> Written:
        if one.crm_record_id.startswith(AS_TASK):
            return self._as_task(one)
        if not self._has_none:
            try:
                return self._save(APPOINTMENTS, one, self._appointment(one))
            except (errors.Gone, errors.FixConfig) as refusal:
                if one.crm_record_id or not self._have_no_appointments():
                    raise judged(self._api, one.record_id, refusal, sees_everybody=self._sees_everybody()) from refusal
        self._has_none = True
        return self._as_task(one)

    def _as_task(self, one: Meeting) -> Written:
        known = one.crm_record_id.removeprefix(AS_TASK)
        body = self._task(one, MEETING_TASK, one.starts_at) | ({"isCompleted": False} if one.renewed else {})
        return self._save(TASKS, one, body, known=known, prefix=AS_TASK)

    def _cancel(self, one: Agreed) -> Written:
        known = one.crm_record_id or self._found(one)
        if known.startswith(AS_TASK):
            return self._cancel_task(one, known.removeprefix(AS_TASK))
        if known:
            self._api.request("DELETE", f"/{APPOINTMENTS}/{known}", repeatable=True, accept=(404, 410))
        return Written(one.key)

    def _found(self, one: Agreed) -> str:
        """What an earlier try wrote, as one or as the other."""
        if one.first_attempt_at is None:
            return ""
        task = self._find(TASKS, one, one.first_attempt_at)
        return self._find(APPOINTMENTS, one, one.first_attempt_at) or (AS_TASK + task if task else "")

    def _cancel_task(self, one: Agreed, task_id: str) -> Written:
        try:
            task = json_of(self._api.request("GET", f"/{TASKS}/{task_id}"))
        except errors.Gone:
            return Written(one.key)
        name = str(task.get("name") or "") if isinstance(task, dict) else ""
        if not name.startswith(CANCELLED):
            title, _space, marker = name.rpartition(" ")
            name = f"{cut(CANCELLED + title, NAME_ROOM - len(marker) - 1)} {marker}"
        self._api.request("PUT", f"/{TASKS}/{task_id}", json={"name": name, "isCompleted": True}, repeatable=True)
        return Written(one.key, id=AS_TASK + task_id, url=self._url_of(one.record_id))

    def _have_no_appointments(self) -> bool:
        """Whether a refusal was about the address and not about this person."""
        try:
            self._api.request("GET", f"/{APPOINTMENTS}", params={"limit": 1})
        except (errors.Gone, errors.FixConfig):
            return True
        return False

    def _appointment(self, one: Meeting) -> Body:
        user = self._agents.user_of(one)
        return {
            "title": _short(one.title or "Meeting", NAME_ROOM),
            "start": listing.stamp(one.starts_at),
            "end": listing.stamp(one.ends_at),
            "location": _short(one.location, NAME_ROOM),
            "description": marked(_text(one, agent_known=user is not None), one.key),
            "invitees": [{"personId": _person(one)}, *([{"userId": user}] if user else [])],
        }

    # --- follow-ups -------------------------------------------------------------------------------------------------

    def _follow_up(self, one: FollowUp) -> Written:
        body = self._task(one, FOLLOW_UP_TASK, one.due_at)
        return self._save(TASKS, one, body, known=one.crm_record_id)

    def _task(self, one: Meeting | FollowUp, kind: str, due: datetime) -> Body:
        """A task has no text: the marker stands at the end of its name."""
        user = self._agents.user_of(one)
        return {
            "personId": _person(one),
            "name": self._named(one, ""),
            "type": kind,
            "dueDate": due.astimezone(self._zone).date().isoformat(),
            "dueDateTime": listing.stamp(due),
            **({"assignedUserId": user} if user else {}),
        }

    def _named(self, one: Agreed, moved: str) -> str:
        ends = f"{moved} {marker_of(one.key)}"
        return _short(one.title or "Follow up", NAME_ROOM - len(ends)) + ends

    # --- both -------------------------------------------------------------------------------------------------------

    def _save(
        self, kind: str, one: Meeting | FollowUp, body: Body, *, known: str | None = None, prefix: str = ""
    ) -> Written:
        record_id = one.crm_record_id if known is None else known
        if not record_id and one.first_attempt_at is not None:
            record_id = self._find(kind, one, one.first_attempt_at)
        made = {} if record_id else self._post(kind, one, body)
        if record_id:
            self._put(kind, record_id, one, body)
        found = record_id or str(made.get("id") or "")
        if not found:
            raise errors.OutcomeUnknown(SAID_IN_ANY_CASE)
        return Written(one.key, id=prefix + found, url=self._url_of(one.record_id), created=bool(made))

    def _post(self, kind: str, one: Meeting | FollowUp, body: Body) -> Body:
        try:
            answer = json_of(self._api.request("POST", f"/{kind}", json=body, repeatable=False))
        except (errors.Gone, errors.FixConfig) as refusal:
            if kind == APPOINTMENTS:
                raise  # perhaps the account has none at all
            raise judged(self._api, one.record_id, refusal, sees_everybody=self._sees_everybody()) from refusal
        return answer if isinstance(answer, dict) else {}

    def _put(self, kind: str, record_id: str, one: Meeting | FollowUp, body: Body) -> None:
        kept = {"personId", "type", *(["description"] if one.keeps_text else [])}
        changes = {key: value for key, value in body.items() if key not in kept}
        answer = json_of(self._api.request("PUT", f"/{kind}/{record_id}", json=changes, repeatable=True))
        if kind == TASKS and not isinstance(answer, dict):  # a success may come without a body
            answer = json_of(self._api.request("GET", f"/{TASKS}/{record_id}"))
        if kind == TASKS and isinstance(answer, dict) and not _is_due(answer, body):
            due = one.due_at if isinstance(one, FollowUp) else one.starts_at
            moved = f" (moved to {due.astimezone(self._zone):%Y-%m-%d %H:%M %Z})"
            order = {"name": self._named(one, moved)}
            self._api.request("PUT", f"/{kind}/{record_id}", json=order, repeatable=True)

    def _find(self, kind: str, one: Agreed, since: datetime) -> str:
        window = {"personId": _person(one), "createdAfter": listing.stamp(since - LOOK_BACK)}
        try:
            recent = listing.everything(self._api, kind, window)
        except (errors.Gone, errors.FixConfig):
            return ""  # there is no such list; writing will tell more
        marker = marker_of(one.key)
        texts = ("name", "description")
        return next((str(row["id"]) for row in recent if any(marker in str(row.get(text) or "") for text in texts)), "")


def _is_due(task: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    kept = task.get("dueDateTime")
    if kept:
        return listing.parse_stamp(kept) == listing.parse_stamp(wanted["dueDateTime"])
    return str(task.get("dueDate") or "")[:10] == str(wanted["dueDate"])


def _person(one: Agreed) -> int:
    if not one.record_id.isdecimal():
        raise errors.FixData("This belongs to a person in Follow Up Boss, and it names none. Link it to a contact.")
    return int(one.record_id)


def _text(one: Agreed, *, agent_known: bool) -> str:
    lines = [f"Agent: {one.agent_email}"] if one.agent_email and not agent_known else []
    lines += [f"Related record: {one.related_to}"] if one.related_to else []
    return "\n".join(part for part in (cut(one.description.strip(), TEXT_ROOM), *lines) if part)


def _short(text: str, room: int) -> str:
    return cut(" ".join(text.split()), room)


def cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"
