"""Logs calls, each once: upsert by our id, then tie to the contact. Both may be repeated without harm.

An account that refuses the unique property gets plain creates with the contact inside and a mark in the text; there, a
call that an earlier attempt may have written is looked up first. A call whose HubSpot id is known is updated in place.
"""

import html
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from integrations import errors
from integrations.providers.base import Api
from integrations.providers.hubspot import outcomes
from integrations.providers.hubspot.association_types import type_spec
from integrations.providers.hubspot.batches import Result, Stored, write_batch
from integrations.providers.hubspot.linking import link_contacts
from integrations.providers.hubspot.lookup import ID_PROPERTY, find_calls, is_of, mark
from integrations.providers.hubspot.outcomes import Outcomes
from integrations.providers.hubspot.owners import Owners
from integrations.providers.hubspot.properties import is_unique
from integrations.records import CallActivity, Direction, Written

log = logging.getLogger(__name__)

CALL_TO_CONTACT = type_spec(("calls", "contacts"))
STATUS = "COMPLETED"
BODY_ROOM = 65_000
"""A property holds 65,536 characters; the rest is for the mark."""
DISPENSABLE = frozenset({outcomes.PROPERTY, "hubspot_owner_id"})
"""Better a call without these than no call."""

RecordUrl = Callable[[str, str], str]


class CallLog:
    def __init__(self, api: Api, owners: Owners, remembered: Mapping[str, Any], record_url: RecordUrl) -> None:
        self._api = api
        self._owners = owners
        self._outcomes = Outcomes(api)
        self._record_url = record_url
        self._upserts = bool(remembered.get("call_upsert"))
        since = remembered.get("call_upsert_since")
        self._upserts_since = datetime.fromisoformat(since) if since else None

    def log(self, calls: Sequence[CallActivity]) -> list[Written]:
        by_key = {call.key: call for call in calls}
        results, linked = self._write(list(by_key.values()))
        stored = {key: result.id for key, result in results.items() if isinstance(result, Stored) and key not in linked}
        failed = link_contacts(self._api, {key: (call_id, by_key[key].record_id) for key, call_id in stored.items()})
        return [self._written(key, results[key], failed.get(key)) for key in by_key]

    def _written(self, key: str, result: Result, unlinked: errors.CrmError | None) -> Written:
        if isinstance(result, errors.CrmError):
            return Written(key, error=result)
        url = result.url or self._record_url("calls", result.id)
        return Written(key, id=result.id, url=url, created=result.created, error=unlinked)

    # --- writing ----------------------------------------------------------------------------------------------------

    def _write(self, calls: Sequence[CallActivity]) -> tuple[dict[str, Result], set[str]]:
        """What became of each call, and which of them are already tied to their contact."""
        ids = {call.key: call.crm_record_id for call in calls if call.crm_record_id}
        ids |= find_calls(self._api, [call for call in calls if call.key not in ids and self._may_hide(call)])
        results = self._send("update", [call for call in calls if call.key in ids], ids)
        new = [call for call in calls if call.key not in ids]
        if not self._upserts:
            return results | self._send("create", new), {call.key for call in new}
        upserted = self._upsert(new)
        if upserted is not None:
            return results | upserted, set()
        log.warning("HubSpot refused to upsert calls by %s: they are created with a mark instead.", ID_PROPERTY)
        self._upserts = False
        created, linked = self._write(new)
        return results | created, linked

    def _may_hide(self, call: CallActivity) -> bool:
        """Whether an upsert would miss what an earlier attempt wrote."""
        if call.first_attempt_at is None:
            return False
        return not self._upserts or (self._upserts_since is not None and call.first_attempt_at < self._upserts_since)

    def _upsert(self, calls: Sequence[CallActivity]) -> dict[str, Result] | None:
        """None when the account does not let us, or no longer: somebody may have deleted the property."""
        try:
            results = self._send("upsert", calls)
        except errors.FixConfig:
            return None
        refused = [isinstance(result, errors.FixData | errors.Gone) for result in results.values()]
        return None if refused and all(refused) and not is_unique(self._api) else results

    def _send(
        self, action: str, calls: Sequence[CallActivity], ids: Mapping[str, str] | None = None
    ) -> dict[str, Result]:
        inputs = {call.key: self._input(action, call, (ids or {}).get(call.key, "")) for call in calls}
        results = self._send_inputs(action, inputs)
        again = {
            key: _without(inputs[key], result.fields)
            for key, result in results.items()
            if isinstance(result, errors.FixData) and result.fields and DISPENSABLE.issuperset(result.fields)
        }
        if again:
            log.warning("HubSpot refused outcome or owner of %d calls: they are logged without.", len(again))
        return results | self._send_inputs(action, again)

    def _send_inputs(self, action: str, inputs: Mapping[str, dict[str, Any]]) -> dict[str, Result]:
        keys = list(inputs)

        def key_of(record: Mapping[str, Any]) -> str:
            by_id = (key for key in keys if inputs[key].get("id") == str(record["id"]))
            return next(by_id, "") or next((key for key in keys if is_of(key, record)), "")

        results = write_batch(self._api, "calls", action, inputs, key_of)
        return {key: _lost_race(result) for key, result in results.items()}

    # --- one call ---------------------------------------------------------------------------------------------------

    def _input(self, action: str, call: CallActivity, call_id: str) -> dict[str, Any]:
        properties = self._properties(call)
        if action == "upsert":
            return {"id": call.key, "idProperty": ID_PROPERTY, "properties": properties}
        if action == "update":
            return {"id": call_id, "properties": properties}
        contact = {"to": {"id": call.record_id}, "types": [CALL_TO_CONTACT]}
        return {"properties": properties, "associations": [contact]}

    def _properties(self, call: CallActivity) -> dict[str, str]:
        word = call.outcome.get(outcomes.PROPERTY) if call.outcome else call.disposition
        ours, theirs = _numbers(call)
        wanted = {
            "hs_timestamp": call.started_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "hs_call_title": call.subject or f"Call - {call.disposition}",
            "hs_call_duration": str(call.duration_seconds * 1000),
            "hs_call_direction": call.direction.value.upper(),
            "hs_call_status": STATUS,
            "hs_call_from_number": ours if call.direction == Direction.OUTBOUND else theirs,
            "hs_call_to_number": theirs if call.direction == Direction.OUTBOUND else ours,
            "hs_call_recording_url": call.recording_url,
            "hubspot_owner_id": self._owners.id_of(call.agent_email),
            **{name: str(value) for name, value in call.outcome.items()},
            outcomes.PROPERTY: self._outcomes.guid(str(word or "")),
        }
        identity = {ID_PROPERTY: call.key} if self._upserts else {}
        body = rich_text(call.notes) + ("" if self._upserts else f"<br>{mark(call.key)}")
        return {**{name: value for name, value in wanted.items() if value}, **identity, "hs_call_body": body}


def _numbers(call: CallActivity) -> tuple[str, str]:
    """Our number and the contact's."""
    ours = "" if call.from_number == call.phone else call.from_number
    return ours, call.phone


def rich_text(text: str) -> str:
    """HubSpot renders HTML and collapses plain line ends. Cut to fit, never inside an escape or a tag."""
    escaped = html.escape(text.strip(), quote=False).replace("\r\n", "\n").replace("\n", "<br>")
    if len(escaped) <= BODY_ROOM:
        return escaped
    return re.sub(r"(&\w*|<\w*)$", "", escaped[:BODY_ROOM]) + "…"


def _without(record: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {**record, "properties": {key: value for key, value in record["properties"].items() if key not in names}}


def _lost_race(result: Result) -> Result:
    """Two workers upserting one new key at once: the loser finds the record on its next try."""
    if isinstance(result, errors.FixData) and "already has" in result.detail:
        return errors.Retry("HubSpot is just storing this call. We will try again.", after=2.0, detail=result.detail)
    return result
