"""Creates and updates records, a hundred in a request, and answers for each.

What exists is updated in a batch; an id that was merged away leads, in a single update, to the record that survived.
What is new is upserted by our own key where the account has room for it, else created. A record that HubSpot takes for one
it has already (the same address, the same unique value) is left as it is and named. A property that HubSpot has not is left out and
told of beside the result, so that one wrong row of a mapping does not stop the rest.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.hubspot import retracing
from integrations.providers.hubspot.answers import LABEL, existing_id
from integrations.providers.hubspot.batches import Result, Stored
from integrations.providers.hubspot.drafts import Draft, Drafter, rounds
from integrations.providers.hubspot.fetching import read_batch
from integrations.providers.hubspot.lookup import Place, find_by_key
from integrations.providers.hubspot.objects import Objects
from integrations.providers.hubspot.preparing import REMEMBERED
from integrations.providers.hubspot.properties import KEYS, is_unique
from integrations.providers.hubspot.schema import Schema, modified_property
from integrations.providers.hubspot.sending import Sending
from integrations.providers.hubspot.shaping import RecordUrl, stamp_of
from integrations.records.remote import RecordWrite, Written

log = logging.getLogger(__name__)

STAGE = "lifecyclestage"
TAKEN = "already has that value"
STALE = "Somebody changed this record in HubSpot meanwhile. It is read again before it is written."
LEFT_OUT = (
    "HubSpot has no writable property {}, so it was left out. Create it there, or choose another one in the mapping."
)
JUST_STORED = "HubSpot is just storing this record. We will try again."

Drafts = Mapping[str, Draft]


@dataclass(frozen=True, slots=True)
class Tools:
    api: Api
    objects: Objects
    schema: Schema
    drafter: Drafter
    record_url: RecordUrl


class Writer:
    """For one object type. `remembered` is what preparing the account found out."""

    def __init__(self, tools: Tools, object_type: str, remembered: Mapping[str, Any]) -> None:
        self._tools = tools
        self._objects = tools.objects
        self._type = object_type
        self._sending = Sending(tools.api, tools.schema, object_type)
        self._key = KEYS.get(object_type, "")
        name = REMEMBERED.get(object_type, "")
        self._upserts = bool(remembered.get(name))
        since = remembered.get(f"{name}_since")
        self._upserts_since = datetime.fromisoformat(since) if since else None
        self._left_out: dict[str, tuple[str, ...]] = {}

    def write(self, writes: Sequence[RecordWrite]) -> list[Written]:
        results: dict[str, Result] = {}
        for part in rounds(self._type, writes):
            results |= self._write(part)
        return [self._written(write, results[write.key]) for write in writes]

    def _written(self, write: RecordWrite, result: Result) -> Written:
        if isinstance(result, errors.AlreadyThere):
            url = self._tools.record_url(self._type, result.record_id)
            return Written(write.key, id=result.record_id, url=url, error=result)
        if isinstance(result, errors.CrmError):
            return Written(write.key, error=result)
        url = result.url or self._tools.record_url(self._type, result.id)
        return Written(write.key, id=result.id, url=url, created=result.created, warnings=self._warnings(write))

    def _warnings(self, write: RecordWrite) -> tuple[str, ...]:
        lost = {*self._left_out.get(write.key, ()), *(self._sending.left_out & write.values.keys())}
        return tuple(LEFT_OUT.format(name) for name in sorted(lost))

    def _write(self, writes: Sequence[RecordWrite]) -> dict[str, Result]:
        drafts, results = self._tools.drafter.draft(self._type, writes)
        self._left_out |= {key: draft.left_out for key, draft in drafts.items() if draft.left_out}
        old = {key: draft for key, draft in drafts.items() if draft.id}
        new = {key: draft for key, draft in drafts.items() if not draft.id}
        found = {key: errors.AlreadyThere(LABEL, record_id) for key, record_id in self._retrace(new).items()}
        new = {key: draft for key, draft in new.items() if key not in found}
        return {**results, **found, **self._update(old), **self._create(new)}

    # --- updating ---------------------------------------------------------------------------------------------------

    def _update(self, drafts: Drafts) -> dict[str, Result]:
        """A draft without properties changes nothing and is done."""
        results: dict[str, Result] = {key: Stored(draft.id) for key, draft in drafts.items() if not draft.properties}
        asked = {key: draft for key, draft in drafts.items() if draft.properties}
        held = self._held(asked)
        results |= {
            key: errors.Stale(STALE) for key, draft in asked.items() if self._is_stale(draft, held.get(draft.id))
        }
        due = {key: draft for key, draft in asked.items() if key not in results}
        self._clear_stages(due, held)
        inputs = {key: {"id": draft.id, "properties": dict(draft.properties)} for key, draft in due.items()}
        sent = self._sending.batch("update", inputs)
        merged = [key for key, result in sent.items() if isinstance(result, errors.Gone)]
        return results | sent | {key: self._sending.patch(due[key].id, due[key].properties) for key in merged}

    def _held(self, drafts: Drafts) -> dict[str, dict[str, Any]]:
        """What HubSpot has now of the records where that matters, by id."""
        ids = [draft.id for draft in drafts.values() if draft.unmodified_since or draft.properties.get(STAGE)]
        if not ids:
            return {}
        names = [modified_property(self._type), STAGE]
        found = read_batch(self._objects, self._type, list(dict.fromkeys(ids)), names)
        return {str(record["id"]): record["properties"] for record in found}

    def _is_stale(self, draft: Draft, held: Mapping[str, Any] | None) -> bool:
        if draft.unmodified_since is None or held is None:
            return False
        return stamp_of(held.get(modified_property(self._type))) > draft.unmodified_since

    def _clear_stages(self, drafts: Drafts, held: Mapping[str, Mapping[str, Any]]) -> None:
        """HubSpot passes over a stage that lies before the present one, unless there is none."""
        if not held:
            return
        definition = self._tools.schema.known(self._type).get(STAGE) or {}
        order = [str(option["value"]) for option in definition.get("options") or []]
        back = [
            draft.id
            for draft in drafts.values()
            if _is_before(order, draft.properties.get(STAGE), (held.get(draft.id) or {}).get(STAGE))
        ]
        if back:
            self._sending.batch("update", {one: {"id": one, "properties": {STAGE: ""}} for one in back})

    # --- creating ---------------------------------------------------------------------------------------------------

    def _create(self, drafts: Drafts) -> dict[str, Result]:
        nothing = errors.FixData("Nothing is left to write of this record: HubSpot has none of its fields.")
        empty: dict[str, Result] = {key: nothing for key, draft in drafts.items() if not draft.properties}
        new = {key: draft for key, draft in drafts.items() if draft.properties}
        upserted = self._upsert(new) if self._upserts and new else None
        sent = (
            self._sending.batch("create", {key: _creation(draft) for key, draft in new.items()})
            if upserted is None
            else {}
        )
        results = upserted if upserted is not None else sent
        return empty | {key: self._found(new[key], result) for key, result in results.items()}

    def _upsert(self, drafts: Drafts) -> dict[str, Result] | None:
        """None when the account does not let us, or no longer: somebody may have deleted the property."""
        inputs = {
            key: {"id": key, "idProperty": self._key, "properties": {**_creation(draft)["properties"], self._key: key}}
            for key, draft in drafts.items()
        }
        try:
            results = self._sending.batch("upsert", inputs)
        except errors.FixConfig:
            results = None
        refused = [isinstance(result, errors.FixData | errors.Gone) for result in (results or {}).values()]
        if results is not None and not (all(refused) and not is_unique(self._tools.api, self._type)):
            return results
        log.warning("HubSpot refused to upsert %s by %s: they are created without.", self._type, self._key)
        self._upserts = False
        return None

    def _found(self, draft: Draft, result: Result) -> Result:
        """Which record HubSpot has already, where that is what it refuses."""
        if not isinstance(result, errors.FixData):
            return result
        holder = existing_id(result.detail)
        if not holder and TAKEN in result.detail:
            holder = self._holder(draft, result)
            if not holder:
                return errors.Retry(JUST_STORED, after=2.0, detail=result.detail)
        return errors.AlreadyThere(LABEL, holder) if holder else result

    def _holder(self, draft: Draft, error: errors.FixData) -> str:
        """Who has the unique value that we wanted to give."""
        unique = [name for name, one in self._tools.schema.known(self._type).items() if one.get("hasUniqueValue")]
        values = {**draft.properties, **({self._key: draft.key} if self._upserts else {})}
        for name in [name for name in (*error.fields, *unique, self._key) if name in values]:
            try:
                return str(self._objects.read(self._type, values[name], [], id_property=name)["id"])
            except (errors.Gone, errors.FixData):
                continue
        return ""

    def _retrace(self, drafts: Drafts) -> dict[str, str]:
        """Key → id of those that an earlier attempt created: somebody may have edited them since."""
        keyed = [key for key, draft in drafts.items() if self._upserts and draft.first_attempt_at]
        found = find_by_key(self._tools.api, Place(self._type, self._key, ""), keyed)
        tried = {key: draft for key, draft in drafts.items() if key not in found and self._may_hide(draft)}
        if not tried:
            return found
        values = {key: draft.properties for key, draft in tried.items()}
        found |= retracing.by_address(self._objects, values) if self._type == "contacts" else {}
        types = {name: str(one.get("type")) for name, one in self._tools.schema.known(self._type).items()}
        for key, draft in tried.items():
            if key not in found and draft.first_attempt_at and not draft.properties.get("email"):
                since = draft.first_attempt_at
                record_id = retracing.by_content(self._objects, self._type, draft.properties, since, types)
                found |= {key: record_id} if record_id else {}
        return found

    def _may_hide(self, draft: Draft) -> bool:
        if draft.first_attempt_at is None:
            return False
        return not self._upserts or (self._upserts_since is not None and draft.first_attempt_at < self._upserts_since)


def _creation(draft: Draft) -> dict[str, Any]:
    """There is nothing to clear in a new record."""
    return {"properties": {name: value for name, value in draft.properties.items() if value}}


def _is_before(order: Sequence[str], wanted: str | None, held: str | None) -> bool:
    if wanted not in order or held not in order:
        return False
    return order.index(wanted) < order.index(held)


def delete(objects: Objects, object_type: str, ids: Sequence[str]) -> Iterator[Written]:
    """To the recycle bin, a hundred at once; should HubSpot refuse a hundred, one by one."""
    try:
        objects.batch(object_type, "archive", [{"id": one} for one in dict.fromkeys(ids)])
    except (errors.FixData, errors.Gone, errors.Stale):
        yield from (_delete_one(objects, object_type, one) for one in ids)
    else:
        yield from (Written(one, id=one) for one in ids)


def _delete_one(objects: Objects, object_type: str, record_id: str) -> Written:
    try:
        objects.archive(object_type, record_id)
    except errors.Gone:
        return Written(record_id, id=record_id)
    except (errors.FixData, errors.Stale) as error:
        return Written(record_id, error=error)
    return Written(record_id, id=record_id)
