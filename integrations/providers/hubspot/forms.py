"""What each kind of activity is written as: calls, meetings and tasks, and the properties of each."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

from integrations.contract.ports import Api
from integrations.providers.hubspot import outcomes
from integrations.providers.hubspot.lookup import ID_PROPERTY, Place
from integrations.providers.hubspot.outcomes import Outcomes
from integrations.providers.hubspot.texts import line, moment
from integrations.records.activities import CallActivity, Direction, FollowUp, Meeting
from integrations.records.connections import Connection

Activity = TypeVar("Activity", CallActivity, Meeting, FollowUp)
Properties = dict[str, str]

CALLS = Place("calls", ID_PROPERTY, "hs_call_body")
MEETINGS = Place("meetings", "dialer_meeting_id", "hs_meeting_body")
TASKS = Place("tasks", "dialer_task_id", "hs_task_body")
STATUS = "COMPLETED"
OWNER = "hubspot_owner_id"
MEETING_OUTCOME, CANCELED = "hs_meeting_outcome", "CANCELED"


class Form(ABC, Generic[Activity]):
    place: ClassVar[Place]
    remembered: ClassVar[str]
    """What tells, among the things remembered of an account, whether these are upserted by our key."""
    set_once: ClassVar[frozenset[str]] = frozenset()
    """Properties that people go on to change: not written a second time."""
    dispensable: ClassVar[frozenset[str]] = frozenset({OWNER})
    """Better an activity without these than none."""

    def settled(self, one: Activity) -> frozenset[str]:
        """Properties that an update leaves as they are."""
        return self.set_once | {self.place.text_property} if one.keeps_text else self.set_once

    @abstractmethod
    def properties(self, one: Activity) -> Mapping[str, Any]:
        """What is written besides owner, key and text; an empty value is left out."""

    @abstractmethod
    def text(self, one: Activity) -> str:
        """What people read, plain."""


class CallForm(Form[CallActivity]):
    place = CALLS
    remembered = "call_upsert"
    dispensable = frozenset({outcomes.PROPERTY, OWNER})

    def __init__(self, api: Api, connection: Connection) -> None:
        self._outcomes = Outcomes(api, connection)

    def properties(self, one: CallActivity) -> Mapping[str, Any]:
        word = one.outcome.get(outcomes.PROPERTY) if one.outcome else one.disposition
        ours, theirs = _numbers(one)
        return {
            "hs_timestamp": moment(one.started_at),
            "hs_call_title": one.subject or f"Call - {one.disposition}",
            "hs_call_duration": str(one.duration_seconds * 1000),
            "hs_call_direction": one.direction.value.upper(),
            "hs_call_status": STATUS,
            "hs_call_from_number": ours if one.direction == Direction.OUTBOUND else theirs,
            "hs_call_to_number": theirs if one.direction == Direction.OUTBOUND else ours,
            "hs_call_recording_url": one.recording_url,
            **{name: str(value) for name, value in one.outcome.items()},
            outcomes.PROPERTY: self._outcomes.guid(str(word or "")),
        }

    def text(self, one: CallActivity) -> str:
        return one.notes


class MeetingForm(Form[Meeting]):
    place = MEETINGS
    remembered = "meeting_upsert"
    set_once = frozenset({MEETING_OUTCOME})

    def settled(self, one: Meeting) -> frozenset[str]:
        return super().settled(one) - ({MEETING_OUTCOME} if one.renewed else set())

    def properties(self, one: Meeting) -> Mapping[str, Any]:
        return {
            "hs_timestamp": moment(one.starts_at),
            "hs_meeting_title": line(one.title) or "Meeting",
            "hs_meeting_start_time": moment(one.starts_at),
            "hs_meeting_end_time": moment(one.ends_at),
            "hs_meeting_location": line(one.location),
            MEETING_OUTCOME: "SCHEDULED",
        }

    def text(self, one: Meeting) -> str:
        return one.description


class TaskForm(Form[FollowUp]):
    """`hs_timestamp` is the time that a task is due."""

    place = TASKS
    remembered = "task_upsert"
    set_once = frozenset({"hs_task_status", "hs_task_type"})

    def properties(self, one: FollowUp) -> Mapping[str, Any]:
        return {
            "hs_timestamp": moment(one.due_at),
            "hs_task_subject": line(one.title) or "Follow up",
            "hs_task_type": "TODO",
            "hs_task_status": "NOT_STARTED",
        }

    def text(self, one: FollowUp) -> str:
        return one.description


def _numbers(call: CallActivity) -> tuple[str, str]:
    """Our number and the contact's."""
    ours = "" if call.from_number == call.phone else call.from_number
    return ours, call.phone
