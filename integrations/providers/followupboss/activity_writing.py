"""Writes notes, tasks, text messages and events. None has an external id: a repeat is found by our marker or by its traits."""

from collections.abc import Callable, Mapping
from typing import Any

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.followupboss import listing
from integrations.providers.followupboss.activities import EVENTS, TASK_TYPES, ActivityReader, Kind
from integrations.providers.followupboss.directory import Directory
from integrations.providers.followupboss.events import Events
from integrations.providers.followupboss.marking import LOOK_BACK, marked, marker_of
from integrations.providers.followupboss.newcomers import judged
from integrations.records.remote import RecordWrite, Written
from integrations.transport.classify import json_of


class ActivityWriter:
    def __init__(
        self,
        api: Api,
        reader: ActivityReader,
        directory: Directory,
        sees_everybody: Callable[[], bool],
        events: Events,
    ) -> None:
        self._api = api
        self._reader = reader
        self._directory = directory
        self._sees_everybody = sees_everybody
        self._events = events

    def write(self, kind: Kind, write: RecordWrite) -> Written:
        """Raises Unsupported for what the service does not let be written. Text messages are entries in a log: none is sent."""
        if write.record_id:
            return self._update(kind, write)
        if not kind.creatable:
            raise errors.Unsupported(f"{kind.name} in Follow Up Boss are written by logging a call.")
        missing = [name for name in kind.required if write.values.get(name) in {None, ""}]
        if missing:
            raise errors.FixData(f"{kind.name} in Follow Up Boss also need: {', '.join(missing)}.", fields=missing)
        body = self._body(kind, write)
        found = self._earlier(kind, write, body) if write.first_attempt_at is not None else None
        if found is not None:
            return Written(write.key, id=str(found["id"]))
        return self._send(write, body) if kind is EVENTS else self._create(kind, write, body)

    def delete(self, kind: Kind, one: str) -> Written:
        if not kind.deletable:
            raise errors.Unsupported(f"Follow Up Boss lets no program delete {kind.name}.")
        self._api.request("DELETE", f"/{kind.name}/{one}", repeatable=True, accept=(404, 410))
        return Written(one, id=one)

    def _update(self, kind: Kind, write: RecordWrite) -> Written:
        if not kind.changeable:
            raise errors.Unsupported(f"Follow Up Boss lets no program change {kind.name}.")
        self._api.request("PUT", f"/{kind.name}/{write.record_id}", json=self._body(kind, write), repeatable=True)
        return Written(write.key, id=write.record_id)

    def _create(self, kind: Kind, write: RecordWrite, body: Mapping[str, Any]) -> Written:
        try:
            response = self._api.request("POST", f"/{kind.name}", json=dict(body), repeatable=False)
        except (errors.Gone, errors.FixConfig) as refusal:
            person_id = body.get("personId")
            raise judged(self._api, person_id, refusal, sees_everybody=self._sees_everybody()) from refusal
        made = json_of(response)
        if not isinstance(made, dict) or not made.get("id"):
            raise errors.OutcomeUnknown(
                f"Follow Up Boss did not say where it keeps this ({kind.name}). We will look it up."
            )
        return Written(write.key, id=str(made["id"]), created=True)

    def _send(self, write: RecordWrite, body: Mapping[str, Any]) -> Written:
        """The id is the person's: the service names no other."""
        intake = self._events.send(body)
        if not intake.person_id:
            raise errors.FixData("Follow Up Boss dropped this event: the lead flow rule for its source is archived.")
        return Written(write.key, id=intake.person_id, created=intake.created)

    def _body(self, kind: Kind, write: RecordWrite) -> dict[str, Any]:
        body = dict(write.values)
        if body.get("personId") not in {None, ""}:
            body["personId"] = _whole("personId", body["personId"])
        if kind.mark and isinstance(body.get(kind.mark), str):
            body[kind.mark] = marked(body[kind.mark], write.key)
        if kind.name == "tasks":
            body = self._task(body)
        return body

    def _task(self, body: dict[str, Any]) -> dict[str, Any]:
        if body.get("type") and body["type"] not in TASK_TYPES:
            raise errors.FixData(
                f'Follow Up Boss has no task type "{body["type"]}". It has: {", ".join(TASK_TYPES)}.', fields=["type"]
            )
        if not body.get("assignedTo"):
            return body
        email = str(body.pop("assignedTo"))
        user = self._directory.user_id(email) or self._directory.user_id_by_name(email)
        if user is None:
            raise errors.FixData(f"Follow Up Boss has no active user {email}.", fields=["assignedTo"])
        return {**body, "assignedUserId": user}

    def _earlier(self, kind: Kind, write: RecordWrite, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """What an earlier try wrote, among the person's recent ones."""
        assert write.first_attempt_at is not None  # noqa: S101 - for the type checker; `write` asks before
        since = listing.stamp(write.first_attempt_at - LOOK_BACK)
        if kind is EVENTS:
            recent = self._events.listed(createdAfter=since, type=body["type"])
        else:
            recent = self._reader.of_person(kind, str(body["personId"]), createdAfter=since)
        if kind.mark:
            return next((one for one in recent if marker_of(write.key) in str(one.get(kind.mark) or "")), None)
        traits = {name: body[name] for name in kind.traits if body.get(name) is not None}
        return next(
            (one for one in recent if all(_equal(one.get(name), value) for name, value in traits.items())), None
        )


def _whole(name: str, value: Any) -> int:
    if not str(value).isdecimal():
        raise errors.FixData(f"{name} in Follow Up Boss is a whole number, not {value}.", fields=[name])
    return int(value)


def _equal(one: Any, other: Any) -> bool:
    """Booleans come back as 0 and 1, days with a time behind."""
    return one == other or str(one or "")[: len(str(other))] == str(other)
