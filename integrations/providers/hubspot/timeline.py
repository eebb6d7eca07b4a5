"""Tells of calls on a contact's timeline, beside the call records: by timeline events of our app's template and by custom
behavioural events.

Both are off unless the connection's settings switch them on: `{"timeline": {"template_id": "123456"}}`,
`{"custom_events": {"name": "dialer_call"}}`. Timeline events are for OAuth apps with the `timeline` scope, custom events
for portals of the Enterprise edition; where HubSpot says that it lacks the right, the feature rests for an hour. Every event has an
id made of ours, so that sending it again does no harm. What goes wrong here never concerns the call itself.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.hubspot.answers import by_category, problem_of
from integrations.providers.hubspot.endpoints import path
from integrations.records.activities import CallActivity
from integrations.records.connections import Connection
from integrations.records.remote import Written
from integrations.transport.classify import json_of

log = logging.getLogger(__name__)

TIMELINE, CUSTOM_EVENTS = "timeline", "custom_events"
SWITCHES: Mapping[str, str] = {TIMELINE: "template_id", CUSTOM_EVENTS: "name"}
"""Setting of a connection → the key in it that switches the feature on."""
REST_SECONDS = 3600.0
_resting: dict[tuple[str, str], float] = {}
"""(connection, feature) → until when this process does not ask again, on the monotonic clock."""


class Timeline:
    def __init__(self, api: Api, connection: Connection) -> None:
        self._api = api
        self._connection = connection

    def announce_calls(self, calls: Sequence[CallActivity], written: Sequence[Written]) -> list[str]:
        """Of the calls that were logged just now for the first time. Raises nothing; returns warnings."""
        logged = {one.key for one in written if one.error is None}
        fresh = [call for call in calls if call.key in logged and not call.crm_record_id]
        ways: tuple[tuple[str, Callable[[str, Sequence[CallActivity]], None]], ...] = (
            (TIMELINE, self._tell_timeline),
            (CUSTOM_EVENTS, self._tell_events),
        )
        warnings = [self._attempt(feature, send, fresh) for feature, send in ways if fresh]
        return [warning for warning in warnings if warning]

    def _attempt(
        self, feature: str, send: Callable[[str, Sequence[CallActivity]], None], calls: Sequence[CallActivity]
    ) -> str:
        name, place = switched_on(self._connection, feature), (self._connection.id, feature)
        if not name or _resting.get(place, 0.0) > monotonic():
            return ""
        try:
            send(name, calls)
        except errors.FixConfig as error:
            _resting[place] = monotonic() + REST_SECONDS
            warning = f"HubSpot does not let this connection send {_words(feature)}; they rest. {error.message}"
        except errors.CrmError as error:
            warning = f"HubSpot did not take {_words(feature)} of {len(calls)} calls. {error.message}"
        else:
            return ""
        log.warning("Connection %s: %s", self._connection.id, warning)
        return warning

    def _tell_timeline(self, template_id: str, calls: Sequence[CallActivity]) -> None:
        self.send_timeline_events([call_event(template_id, call) for call in calls])

    def _tell_events(self, name: str, calls: Sequence[CallActivity]) -> None:
        full = event_name(name, self._connection.account_id)
        self.send_custom_events([call_custom_event(full, call) for call in calls])

    # --- timeline events --------------------------------------------------------------------------------------------

    def send_timeline_event(self, event: Mapping[str, Any]) -> None:
        """An event can't be changed: one that is there under the same id already stays as it is."""
        try:
            self._post("timeline_event", event)
        except (errors.FixData, errors.Stale) as error:
            if not _is_repeat(error):
                raise

    def send_timeline_events(self, events: Sequence[Mapping[str, Any]]) -> None:
        """In one request where that succeeds; a repeated event among new ones is found out one by one."""
        if len(events) > 1:
            try:
                return self._post("timeline_events", {"inputs": list(events)})
            except (errors.FixData, errors.Stale):
                pass
        for event in events:
            self.send_timeline_event(event)
        return None

    # --- custom behavioural events ----------------------------------------------------------------------------------

    def send_custom_event(self, event: Mapping[str, Any]) -> None:
        """HubSpot keeps the first event of a uuid and drops later ones, for a year."""
        self._post("custom_event", event)

    def send_custom_events(self, events: Sequence[Mapping[str, Any]]) -> None:
        if len(events) == 1:
            return self.send_custom_event(events[0])
        return self._post("custom_events", {"inputs": list(events)})

    def _post(self, endpoint: str, body: Any) -> None:
        response = self._api.request("POST", path(endpoint), json=body, repeatable=True)
        refused = (json_of(response) or {}).get("errors") if response.status_code == 207 else None
        if refused:
            problem = problem_of(refused[0])
            raise by_category(problem) or errors.FixData(
                f"HubSpot refused an event: {problem.message}", detail=problem.detail
            )


# --- what is sent ---------------------------------------------------------------------------------------------------


def switched_on(connection: Connection, feature: str) -> str:
    """The template's id or the event's name; empty where the feature is off."""
    chosen = connection.settings.get(feature)
    return str(chosen.get(SWITCHES[feature]) or "") if isinstance(chosen, Mapping) else ""


def timeline_event(
    template_id: str, event_id: str, contact_id: str, tokens: Mapping[str, str], occurred_at: datetime
) -> dict[str, Any]:
    """`event_id` is unique for the template. The tokens are those that the template names."""
    return {
        "eventTemplateId": template_id,
        "id": event_id,
        "objectId": contact_id,
        "tokens": dict(tokens),
        "timestamp": _iso(occurred_at),
    }


def custom_event(
    full_name: str, uuid: str, contact_id: str, properties: Mapping[str, Any], occurred_at: datetime
) -> dict[str, Any]:
    return {
        "eventName": full_name,
        "uuid": uuid,
        "objectId": contact_id,
        "properties": dict(properties),
        "occurredAt": _iso(occurred_at),
    }


def event_name(name: str, portal: str) -> str:
    """HubSpot puts the portal's number before the name that people gave an event."""
    prefix = f"pe{portal}_"
    return name if name.startswith(prefix) else prefix + name


def call_event(template_id: str, call: CallActivity) -> dict[str, Any]:
    minutes, seconds = divmod(call.duration_seconds, 60)
    tokens = {"callDuration": f"{minutes}:{seconds:02}", "disposition": call.disposition, **_measured(call, "aiScore")}
    return timeline_event(template_id, f"call-{call.key}", call.record_id, _filled(tokens), call.started_at)


def call_custom_event(full_name: str, call: CallActivity) -> dict[str, Any]:
    properties = {
        "duration_seconds": str(call.duration_seconds),
        "direction": call.direction.value,
        "disposition": call.disposition,
        **_measured(call, "ai_score"),
    }
    return custom_event(full_name, call.key, call.record_id, _filled(properties), call.started_at)


def _measured(call: CallActivity, score: str) -> dict[str, str]:
    found = {score: call.metadata.get("ai_score"), "sentiment": call.metadata.get("sentiment")}
    return {name: str(value) for name, value in found.items() if value is not None}


def _filled(values: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _is_repeat(error: errors.CrmError) -> bool:
    return error.status == 409 or "already exist" in f"{error.message} {error.detail}".lower()


def _words(feature: str) -> str:
    return "timeline events" if feature == TIMELINE else "custom events"
