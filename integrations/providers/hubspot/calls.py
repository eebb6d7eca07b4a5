"""Logs calls, and what was agreed in them, each once: upsert by our key, then tie to the contact. Both may be repeated
without harm.

An account that refuses the unique property gets plain creates with the contact inside and a mark in the text; there, an
activity that an earlier attempt may have written is looked up first. One whose HubSpot id is known is updated in place.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.hubspot.association_types import type_spec
from integrations.providers.hubspot.batches import Result, Stored, write_batch
from integrations.providers.hubspot.forms import CANCELED, MEETING_OUTCOME, OWNER, Activity, Form
from integrations.providers.hubspot.linking import link_contacts
from integrations.providers.hubspot.lookup import find_by_key, find_marked, mark
from integrations.providers.hubspot.owners import Owners
from integrations.providers.hubspot.properties import is_unique
from integrations.providers.hubspot.relating import relate
from integrations.providers.hubspot.texts import rich_text
from integrations.records.activities import Agreed
from integrations.records.remote import Written

log = logging.getLogger(__name__)

RecordUrl = Callable[[str, str], str]


class ActivityLog(Generic[Activity]):
    """Writes one form of activity; see `forms`."""

    def __init__(
        self, form: Form[Activity], api: Api, owners: Owners, remembered: Mapping[str, Any], record_url: RecordUrl
    ) -> None:
        self._form: Form[Activity] = form
        self._place = form.place
        self._api = api
        self._owners = owners
        self._record_url = record_url
        self._upserts = bool(remembered.get(form.remembered))
        since = remembered.get(f"{form.remembered}_since")
        self._upserts_since = datetime.fromisoformat(since) if since else None

    def log(self, activities: Sequence[Activity]) -> list[Written]:
        by_key = {one.key: one for one in activities}
        results, linked = self._write(list(by_key.values()))
        stored = {key: result.id for key, result in results.items() if isinstance(result, Stored)}
        pairs = {key: (found, by_key[key].record_id) for key, found in stored.items() if key not in linked}
        failed = link_contacts(self._api, pairs, self._place.object_type)
        related = {key: (found, by_key[key].related_to) for key, found in stored.items() if by_key[key].related_to}
        failed = relate(self._api, self._place.object_type, related) | failed
        return [self._written(key, results[key], failed.get(key)) for key in by_key]

    def cancel(self, meetings: Sequence[Agreed]) -> list[Written]:
        """They stay in HubSpot, with the outcome that says so. One that somebody deleted, or that never was, is a success."""
        ids = {one.key: one.crm_record_id for one in meetings if one.crm_record_id}
        lost: Sequence[Any] = [one for one in meetings if one.key not in ids]
        ids |= self._find(lost)
        results = self._send_inputs(
            "update", {key: {"id": found, "properties": {MEETING_OUTCOME: CANCELED}} for key, found in ids.items()}
        )
        gone = {key for key, result in results.items() if isinstance(result, errors.Gone)}
        return [
            self._written(one.key, results[one.key], None) if one.key in results.keys() - gone else Written(one.key)
            for one in meetings
        ]

    def _written(self, key: str, result: Result, unlinked: errors.CrmError | None) -> Written:
        if isinstance(result, errors.CrmError):
            return Written(key, error=result)
        url = result.url or self._record_url(self._place.object_type, result.id)
        return Written(key, id=result.id, url=url, created=result.created, error=unlinked)

    # --- writing ----------------------------------------------------------------------------------------------------

    def _write(self, activities: Sequence[Activity]) -> tuple[dict[str, Result], set[str]]:
        """What became of each, and which of them are already tied to their contact."""
        ids = {one.key: one.crm_record_id for one in activities if one.crm_record_id}
        ids |= self._find([one for one in activities if one.key not in ids and one.first_attempt_at is not None])
        results = self._send("update", [one for one in activities if one.key in ids], ids)
        new = [one for one in activities if one.key not in ids]
        if not self._upserts:
            return results | self._send("create", new), {one.key for one in new}
        upserted = self._upsert(new)
        if upserted is not None:
            return results | upserted, set()
        log.warning("HubSpot refused to upsert by %s: a mark in the text takes its place.", self._place.key_property)
        self._upserts = False
        created, linked = self._write(new)
        return results | created, linked

    def _find(self, tried: Sequence[Activity]) -> dict[str, str]:
        """Ids of what an earlier attempt wrote, as far as an upsert would miss it, or would undo what people changed."""
        hidden = [one for one in tried if self._may_hide(one)]
        found = find_marked(self._api, self._place, hidden)
        settled = [one for one in tried if self._upserts and self._form.settled(one)]
        keyed = [one.key for one in settled if one.key not in found]
        return found | (find_by_key(self._api, self._place, keyed) if keyed else {})

    def _may_hide(self, one: Activity) -> bool:
        """Whether an upsert would miss what an earlier attempt wrote."""
        if one.first_attempt_at is None:
            return False
        return not self._upserts or (self._upserts_since is not None and one.first_attempt_at < self._upserts_since)

    def _upsert(self, activities: Sequence[Activity]) -> dict[str, Result] | None:
        """None when the account does not let us, or no longer: somebody may have deleted the property."""
        try:
            results = self._send("upsert", activities)
        except errors.FixConfig:
            return None
        refused = [isinstance(result, errors.FixData | errors.Gone) for result in results.values()]
        return None if refused and all(refused) and not is_unique(self._api, self._place.object_type) else results

    def _send(
        self, action: str, activities: Sequence[Activity], ids: Mapping[str, str] | None = None
    ) -> dict[str, Result]:
        inputs = {one.key: self._input(action, one, (ids or {}).get(one.key, "")) for one in activities}
        results = self._send_inputs(action, inputs)
        again = {
            key: _without(inputs[key], result.fields)
            for key, result in results.items()
            if isinstance(result, errors.FixData) and result.fields and self._form.dispensable.issuperset(result.fields)
        }
        if again:
            log.warning(
                "HubSpot refused outcome or owner of %d %s: they go without.", len(again), self._place.object_type
            )
        return results | self._send_inputs(action, again)

    def _send_inputs(self, action: str, inputs: Mapping[str, dict[str, Any]]) -> dict[str, Result]:
        keys = list(inputs)

        def key_of(record: Mapping[str, Any]) -> str:
            by_id = (key for key in keys if inputs[key].get("id") == str(record["id"]))
            return next(by_id, "") or next((key for key in keys if self._place.holds(key, record)), "")

        results = write_batch(self._api, self._place.object_type, action, inputs, key_of)
        return {key: _lost_race(result) for key, result in results.items()}

    # --- one activity -----------------------------------------------------------------------------------------------

    def _input(self, action: str, one: Activity, known_id: str) -> dict[str, Any]:
        properties = self._properties(one)
        if action == "upsert":
            return {"id": one.key, "idProperty": self._place.key_property, "properties": properties}
        if action == "update":
            settled = self._form.settled(one)
            kept = {name: value for name, value in properties.items() if name not in settled}
            return {"id": known_id, "properties": kept}
        contact = {"to": {"id": one.record_id}, "types": [type_spec((self._place.object_type, "contacts"))]}
        return {"properties": properties, "associations": [contact]}

    def _properties(self, one: Activity) -> dict[str, str]:
        given = {OWNER: self._owner_of(one), **self._form.properties(one)}
        identity = {self._place.key_property: one.key} if self._upserts else {}
        text = rich_text(self._form.text(one)) + ("" if self._upserts else f"<br>{mark(one.key)}")
        return {**{name: value for name, value in given.items() if value}, **identity, self._place.text_property: text}

    def _owner_of(self, one: Activity) -> str:
        """The owner that somebody said the agent is, else the one with the agent's address."""
        return one.agent_id if one.agent_id.isdecimal() else self._owners.id_of(one.agent_email)


def _without(record: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {**record, "properties": {key: value for key, value in record["properties"].items() if key not in names}}


def _lost_race(result: Result) -> Result:
    """Two workers upserting one new key at once: the loser finds the record on its next try."""
    if isinstance(result, errors.FixData) and "already has" in result.detail:
        return errors.Retry("HubSpot is just storing this. We will try again.", after=2.0, detail=result.detail)
    return result
