"""Logs calls, each exactly once, in a service that knows neither external ids nor idempotency keys.

The last line of every note is a marker derived from our call id. A call that an earlier try may have written is looked
for by its marker among the person's recent calls, and adopted if found. 4xx answers mean that nothing was written.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.followupboss import failures, listing
from integrations.providers.followupboss.activities import is_hidden
from integrations.providers.followupboss.agents import Agents
from integrations.providers.followupboss.batch import CONCERNS_EVERYTHING
from integrations.providers.followupboss.call_events import OWN_FORM, EventForm
from integrations.providers.followupboss.events import Callers
from integrations.providers.followupboss.marking import LOOK_BACK, marker_of, note_of
from integrations.providers.followupboss.newcomers import judged
from integrations.providers.followupboss.schema import OUTCOMES
from integrations.records.activities import CallActivity, Direction
from integrations.records.connections import Connection
from integrations.records.remote import Written
from integrations.transport.classify import json_of

TRANSLATIONS: Mapping[str, str] = {
    **{outcome.lower(): outcome for outcome in OUTCOMES},
    "voicemail": "Left Message",
    "left voicemail": "Left Message",
    "wrong number": "Bad Number",
    "invalid number": "Bad Number",
    "meeting booked": "Interested",
    "appointment set": "Interested",
    "dnc": "Not Interested",
    "do not call": "Not Interested",
}
"""Words of dialers to the service's. A word that is not here ("Connected") has no outcome; the note keeps it."""


class CallLog:
    def __init__(
        self,
        connection: Connection,
        api: Api,
        agents: Agents,
        sees_everybody: Callable[[], bool],
        callers: Callers,
        events: EventForm,
        url_of: Callable[[str], str],
    ) -> None:
        self._connection = connection
        self._api = api
        self._agents = agents
        self._sees_everybody = sees_everybody
        self._callers = callers
        self._events = events
        self._url_of = url_of

    def log(self, call: CallActivity) -> Written:
        try:
            return self._write(call)
        except (errors.FixData, errors.Gone, errors.Stale) as error:
            return Written(call.key, error=error)
        except errors.FixConfig as error:
            if isinstance(error, errors.Standstill) or error.cause in CONCERNS_EVERYTHING:
                raise
            failures.ask_for_everything(self._api)
            return Written(call.key, error=error)

    def _write(self, given: CallActivity) -> Written:
        call = replace(given, record_id=self._person_id(given))
        if self._connection.settings.get("call_form") == OWN_FORM:
            event_id, created = self._events.log(call)
            return self._written(call, event_id, created=created)
        if call.crm_record_id:
            self._update(call.crm_record_id, _correction(call, self._connection.timezone))
            return self._written(call, call.crm_record_id)
        if call.first_attempt_at is not None:
            found = self._find(call, since=call.first_attempt_at)
            if found is not None:
                return self._adopt(call, found)
        return self._create(call)

    def _person_id(self, call: CallActivity) -> str:
        """Somebody who called in and is nobody's contact yet is looked up by the number, or made."""
        if call.record_id.isdecimal():
            return call.record_id
        if not call.record_id and call.direction is Direction.INBOUND and call.phone and not call.crm_record_id:
            return self._callers.person_id(call)
        raise errors.FixData(
            "A call in Follow Up Boss belongs to a person, and this one names none. Link it to a contact."
        )

    def _create(self, call: CallActivity) -> Written:
        try:
            made = self._post_as_agent(call)
        except (errors.Gone, errors.FixConfig) as refusal:
            raise judged(self._api, call.record_id, refusal, sees_everybody=self._sees_everybody()) from refusal
        if not made.get("id"):  # a success may come without a body
            raise errors.OutcomeUnknown("Follow Up Boss did not say where it keeps this call. We will look it up.")
        return self._written(call, str(made["id"]), created=True)

    def _post_as_agent(self, call: CallActivity) -> dict[str, Any]:
        body = _body(call, self._connection.timezone)
        user_id = self._agents.user_of(call)
        try:
            return self._post({**body, "userId": user_id} if user_id else body)
        except errors.FixConfig:
            if not user_id:
                raise
            return self._post(body)  # our role was taken away: better logged in our own name than not at all

    def _post(self, body: Mapping[str, Any]) -> dict[str, Any]:
        answer = json_of(self._api.request("POST", "/calls", json=body, repeatable=False))
        return answer if isinstance(answer, dict) else {}

    def _adopt(self, call: CallActivity, found: Mapping[str, Any]) -> Written:
        wanted = _correction(call, self._connection.timezone)
        changed = {key: value for key, value in wanted.items() if found.get(key) != value}
        if changed:
            self._update(str(found["id"]), changed)
        return self._written(call, str(found["id"]))

    def _update(self, call_id: str, body: Mapping[str, Any]) -> None:
        self._api.request("PUT", f"/calls/{call_id}", json=body, repeatable=True)

    def _find(self, call: CallActivity, *, since: datetime) -> dict[str, Any] | None:
        """The call if an earlier try wrote it. Raises FixData when two hidden ones could be it."""
        window = {"personId": call.record_id, "createdAfter": listing.stamp(since - LOOK_BACK)}
        recent = listing.everything(self._api, "calls", window)
        marker = marker_of(call.key)
        for one in recent:
            if marker in str(one.get("note") or ""):
                return one
        alike = [one for one in recent if is_hidden(one.get("note")) and _is_alike(one, call)]
        if len(alike) > 1:
            raise errors.FixData(
                f"Follow Up Boss hides the notes of {len(alike)} calls that could be this one. Look at the person's "
                "timeline there: delete the call here if it is on it, or retry it if it is missing.",
                cause="ambiguous_call",
            )
        return alike[0] if alike else None

    def _written(self, call: CallActivity, call_id: str, *, created: bool = False) -> Written:
        return Written(call.key, id=call_id, url=self._url_of(call.record_id), created=created)


def outcome_of(call: CallActivity) -> str:
    return translated(str(call.outcome.get("outcome") or call.disposition))


def translated(word: str) -> str:
    """The service's outcome for a dialer's word; empty where it has none."""
    return TRANSLATIONS.get(re.sub(r"[^a-z]+", " ", word.lower()).strip(), "")


def choice_of(word: str, choices: Sequence[tuple[str, str]]) -> str | None:
    """The service has no word for a plain conversation: the note says it."""
    found = translated(word)
    return found if found in {value for value, _label in choices} or word.strip().lower() == "connected" else None


def _changeable(call: CallActivity, timezone: str) -> dict[str, Any]:
    """What may be corrected later. A missing outcome is left as it is: the service has no word for "none"."""
    body = {
        "note": note_of(call, timezone),
        "duration": call.duration_seconds,
        "outcome": outcome_of(call),
        "recordingUrl": call.recording_url,
    }
    return {key: value for key, value in body.items() if value != ""}


def _correction(call: CallActivity, timezone: str) -> dict[str, Any]:
    body = _changeable(call, timezone)
    return {name: value for name, value in body.items() if name != "note"} if call.keeps_text else body


def _body(call: CallActivity, timezone: str) -> dict[str, Any]:
    incoming = call.direction is Direction.INBOUND
    if not call.phone:
        raise errors.FixData(
            "Follow Up Boss wants the phone number of a call. Add it to the call and retry.", fields=["phone"]
        )
    sides = {"fromNumber": call.phone, "toNumber": call.from_number}
    if not incoming:
        sides = {"fromNumber": call.from_number, "toNumber": call.phone}
    body = {"personId": int(call.record_id), "phone": call.phone, "isIncoming": incoming, **_changeable(call, timezone)}
    return body | {key: number for key, number in sides.items() if number}


def _is_alike(one: Mapping[str, Any], call: CallActivity) -> bool:
    ours, theirs = (re.sub(r"\D", "", str(number or "")) for number in (call.phone, one.get("phone")))
    same_number = min(len(ours), len(theirs)) >= 7 and (ours.endswith(theirs) or theirs.endswith(ours))
    same_side = bool(one.get("isIncoming")) == (call.direction is Direction.INBOUND)
    return same_number and same_side and one.get("duration") == call.duration_seconds
