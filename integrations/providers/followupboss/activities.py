"""What hangs on people in Follow Up Boss: calls, notes, tasks, text messages and events, as tables, and how they are read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.followupboss import listing
from integrations.providers.followupboss.events import TYPES as EVENT_TYPES
from integrations.providers.followupboss.listing import LIMIT
from integrations.providers.followupboss.schema import CALL_FIELDS
from integrations.records.fields import FieldSpec
from integrations.records.remote import ChangePage, Cursor, Fetched, RemoteRecord
from integrations.transport.classify import json_of

TASK_TYPES = ("Follow Up", "Call", "Text", "Email", "Appointment", "Showing", "Closing", "Open House", "Thank You")
HIDDEN = "content is hidden"
"""What the service puts in place of a text that this user may not read."""


def _choices(values: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple((value, value) for value in values)


PERSON = FieldSpec("personId", "Person (id)", "reference", required=True)


@dataclass(frozen=True, slots=True)
class Kind:
    """One object type. `mark`: the text field that carries our marker; `traits`: what tells a repeat where there is none."""

    name: str
    fields: tuple[FieldSpec, ...]
    mark: str = ""
    traits: tuple[str, ...] = ()
    creatable: bool = True
    changeable: bool = True
    deletable: bool = False
    listed: bool = True
    """Whether all of the account can be listed; others only by person or one by one."""

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(spec.path for spec in self.fields if spec.required)


CALLS = Kind("calls", CALL_FIELDS, mark="note", creatable=False)
NOTES = Kind(
    "notes",
    (
        PERSON,
        FieldSpec("subject", "Subject", "string"),
        FieldSpec("body", "Text", "text"),
        FieldSpec("isHtml", "Text is HTML", "boolean"),
    ),
    mark="body",
    deletable=True,
    listed=False,
)
TASKS = Kind(
    "tasks",
    (
        PERSON,
        FieldSpec("name", "Name", "string"),
        FieldSpec("type", "Type", "picklist", options=_choices(TASK_TYPES)),
        FieldSpec("assignedTo", "Assigned to", "user"),
        FieldSpec("dueDate", "Due on", "date"),
        FieldSpec("dueDateTime", "Due at", "datetime"),
        FieldSpec("isCompleted", "Completed", "boolean"),
        FieldSpec("remindSecondsBefore", "Reminder (seconds before)", "integer"),
    ),
    traits=("personId", "name", "type", "dueDate"),
)
TEXTS = Kind(
    "textMessages",
    (
        PERSON,
        FieldSpec("message", "Message", "text", required=True),
        FieldSpec("toNumber", "To", "phone", required=True),
        FieldSpec("fromNumber", "From", "phone", required=True),
        FieldSpec("isIncoming", "Incoming", "boolean"),
        FieldSpec("externalLabel", "Link's label", "string"),
        FieldSpec("externalUrl", "Link", "string"),
    ),
    traits=("personId", "message", "isIncoming"),
    changeable=False,
    listed=False,
)
EVENTS = Kind(
    "events",
    (
        FieldSpec("type", "Type", "picklist", required=True, options=_choices(EVENT_TYPES)),
        FieldSpec("message", "Message", "text"),
        FieldSpec("description", "Description", "text"),
        FieldSpec("source", "Source", "string"),
        FieldSpec("occurredAt", "Occurred at", "datetime"),
    ),
    traits=("type", "message", "description"),
    changeable=False,
)
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (CALLS, NOTES, TASKS, TEXTS, EVENTS)}


class ActivityReader:
    def __init__(self, api: Api) -> None:
        self._api = api

    def of_person(self, kind: Kind, person_id: str, **filters: Any) -> list[dict[str, Any]]:
        """The activities on one person, as the service has them."""
        return listing.everything(self._api, kind.name, {"personId": person_id, **filters})

    def changes(self, kind: Kind, cursor: Cursor | None) -> Iterator[ChangePage]:
        """New ones by their ids: the service does not list what was only changed. Webhooks tell of that."""
        if not kind.listed:
            raise errors.Unsupported(f"Follow Up Boss lists {kind.name} by person only. Read them by id, or by person.")
        read_before = int((cursor or {}).get("last") or 0)
        for page, last, done in listing.by_ids(self._api, kind.name, {}, after=read_before):
            yield ChangePage([record(kind, one) for one in page.items], {"last": last}, page.total, done)

    def fetch(self, kind: Kind, ids: Sequence[str]) -> Fetched:
        wanted = [item for item in dict.fromkeys(ids) if item.isdecimal()]
        found = self._in_lists(kind, wanted) if kind.listed else self._one_by_one(kind, wanted)
        records = [record(kind, one) for one in found]
        there = {one.id for one in records}
        return Fetched(records, tuple(item for item in dict.fromkeys(ids) if item not in there))

    def _in_lists(self, kind: Kind, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
        for start in range(0, len(ids), LIMIT):
            yield from listing.everything(self._api, kind.name, {"ids": ",".join(ids[start : start + LIMIT])})

    def _one_by_one(self, kind: Kind, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
        for one in ids:
            try:
                body = json_of(self._api.request("GET", f"/{kind.name}/{one}"))
            except errors.Gone:
                continue
            if not isinstance(body, dict) or not body.get("id"):
                raise errors.Retry(f"Follow Up Boss sent an answer without {kind.name}. We will ask again.")
            yield body


def record(kind: Kind, one: Mapping[str, Any]) -> RemoteRecord:
    """Some answers spell `AssignedTo` with a capital."""
    shown = {("assignedTo" if key == "AssignedTo" else key): value for key, value in one.items()}
    return RemoteRecord(
        object_type=kind.name,
        id=str(one["id"]),
        fields={key: None if is_hidden(value) else value for key, value in shown.items()},
        modified_at=listing.parse_stamp(one.get("updated") or one.get("created")),
        raw=one,
    )


def is_hidden(value: Any) -> bool:
    return isinstance(value, str) and value.lower().startswith(HIDDEN)
