"""What each kind of activity is written as: a call and a follow-up as a Task, a meeting as an Event. Pure.

A form says which fields can hold our key, what is set at creation only (by Salesforce's rule, or because people go on to
change it), and which values are ours alone and had better be left out than refused.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, TypeVar
from zoneinfo import ZoneInfo

from integrations.providers.salesforce import soql, task
from integrations.providers.salesforce.marking import marker_of
from integrations.records.activities import CallActivity, FollowUp, Meeting

Activity = TypeVar("Activity", CallActivity, Meeting, FollowUp)
Fields = Mapping[str, int]


class Form(ABC, Generic[Activity]):
    object_type: ClassVar[str]
    keys: ClassVar[tuple[str, ...]]
    """Fields that may hold our key and can be asked for, the better one first."""
    set_once: ClassVar[frozenset[str]] = frozenset()
    marks: ClassVar[bool] = False
    """Whether a marker in the description takes the place of a field for the key."""
    remembered: ClassVar[str] = ""
    """Under which name the connection remembers the fields of this object."""

    @abstractmethod
    def build(self, one: Activity, fields: Fields, who_id: str, owner_id: str, timezone: str) -> dict[str, Any]:
        """The values to write, limited to `fields`."""

    def settled(self, one: Activity) -> frozenset[str]:
        """Fields that an update leaves as they are."""
        return self.set_once | {task.TEXT_FIELD} if one.keeps_text else self.set_once

    def not_before(self, one: Activity) -> datetime:
        """Earliest time that an earlier try can have been written."""
        return one.first_attempt_at or datetime.now(UTC)

    def dispensable(self, one: Activity) -> frozenset[str]:
        """Fields whose value is our own choice; an account may have renamed it."""
        return self.set_once


class CallForm(Form[CallActivity]):
    object_type = task.OBJECT
    keys = (task.KEY_FIELD, task.FALLBACK_KEY_FIELD)
    set_once = frozenset({task.CREATE_ONLY})
    remembered = "task_fields"

    def build(self, one: CallActivity, fields: Fields, who_id: str, owner_id: str, timezone: str) -> dict[str, Any]:
        return task.build(one, fields, who_id, owner_id, timezone)

    def not_before(self, one: CallActivity) -> datetime:
        return min(moment for moment in (one.started_at, one.first_attempt_at) if moment)

    def dispensable(self, one: CallActivity) -> frozenset[str]:
        return frozenset(task.OURS.keys() - one.outcome.keys())


class FollowUpForm(Form[FollowUp]):
    """An open Task. It locks its person and account while it is written, so it is made once and with everything."""

    object_type = task.OBJECT
    keys = (task.KEY_FIELD, task.FALLBACK_KEY_FIELD)
    set_once = frozenset({"Status", "Priority"})
    remembered = "task_fields"

    def build(self, one: FollowUp, fields: Fields, who_id: str, owner_id: str, timezone: str) -> dict[str, Any]:
        due = one.due_at.astimezone(ZoneInfo(timezone))
        values = {
            "Subject": _line(one.title) or "Follow up",
            "Status": "Not Started",
            "Priority": task.PRIORITY,
            "ActivityDate": due.date().isoformat(),
            "WhoId": who_id,
            "WhatId": one.related_to,
            "OwnerId": owner_id,
            task.KEY_FIELD: one.key,
            task.FALLBACK_KEY_FIELD: one.key,
        }
        return task.fitted(values, fields, one.description, one.agent_email, [f"Due {due:%Y-%m-%d %H:%M %Z}"])


class EventForm(Form[Meeting]):
    """An Event has no standard field that could hold our key: without our own, a marker stands in its description."""

    object_type = "Event"
    keys = (task.KEY_FIELD,)
    marks = True

    def build(self, one: Meeting, fields: Fields, who_id: str, owner_id: str, timezone: str) -> dict[str, Any]:
        values = {
            "Subject": _line(one.title) or "Meeting",
            "StartDateTime": soql.moment(one.starts_at),
            "EndDateTime": soql.moment(one.ends_at),
            "Location": _line(one.location),
            "WhoId": who_id,
            "WhatId": one.related_to,
            "OwnerId": owner_id,
            task.KEY_FIELD: one.key,
        }
        marks = [] if task.KEY_FIELD in fields else [marker_of(one.key)]
        return task.fitted(values, fields, one.description, one.agent_email, marks)


def _line(text: str) -> str:
    return " ".join(text.split())
