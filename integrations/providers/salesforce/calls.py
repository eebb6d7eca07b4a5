"""Logs calls, and what was agreed in them, each once.

Every activity carries our key: in a unique external id where the account let us make one, and in `CallObject` or a marker
in the text besides. With the external id a write is an upsert: writing twice is the same as writing once. Without it, what
is there is looked up before anything is created. An activity that may be there already is looked up in both cases, because
some of its fields are set at creation only.

A batch goes out in rounds. Salesforce answers for each record; where it says how a record can be mended (drop a
create-only field, take the existing row, follow a converted lead), the mended ones go out again, each mend once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Generic

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.salesforce import earlier, failures, task
from integrations.providers.salesforce.batches import GONE_ALREADY, Collections, first_error
from integrations.providers.salesforce.forms import Activity, Form
from integrations.providers.salesforce.heirs import heirs
from integrations.providers.salesforce.ids import is_id, to_18
from integrations.providers.salesforce.reading import Reader
from integrations.providers.salesforce.schema import Schemas
from integrations.providers.salesforce.users import Users
from integrations.records.activities import Agreed, CallActivity, FollowUp, Meeting
from integrations.records.connections import Connection
from integrations.records.remote import Written

BATCH_SIZE = 200
# Codes that an activity gets when its lead was converted, or its lead or contact merged into another.
MOVED_CODES = {"CANNOT_UPDATE_CONVERTED_LEAD", "INVALID_CROSS_REFERENCE_KEY", "ENTITY_IS_DELETED"}
NO_SUCH_CODES = MOVED_CODES | {"FIELD_INTEGRITY_EXCEPTION", "MALFORMED_ID"}
OWNER_CODES = {"INACTIVE_OWNER_OR_USER"}
OWNERS = ("005", "00G")
"""Beginnings of the ids of those who may own an activity: users and queues."""
CLOCK_DOUBT = timedelta(days=1)
SCHEMA_CODES = {"INVALID_FIELD", "INVALID_FIELD_FOR_INSERT_UPDATE"}
PICKLIST_CODE = "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
STALE_SCHEMA = {failures.SCHEMA, errors.Gone.cause}  # an unknown key field makes the upsert's address a 404
MAX_ROUNDS = 9  # a first try and each of the mends


@dataclass(slots=True)
class Draft(Generic[Activity]):
    """An activity on its way, and what we know of it by now."""

    one: Activity
    id: str = ""
    who_id: str = ""
    owner_id: str = ""
    mended: set[str] = field(default_factory=set)
    left_out: set[str] = field(default_factory=set)
    """Fields that are not sent."""
    unrelated: bool = False
    """The related record is gone: it is said in the text only."""

    def mend(self, what: str) -> bool:
        """Whether this mend has not been tried yet."""
        fresh = what not in self.mended
        self.mended.add(what)
        return fresh


Failed = list[tuple[Draft[Activity], dict[str, Any]]]
UrlOf = Callable[[str, str], str]
Then = Callable[[Mapping[str, str]], Mapping[str, errors.CrmError]]
"""What else has to be done once activities are written: key → the person it stands on. Returns errors by key."""


class ActivityLog(Generic[Activity]):
    """Writes one form of activity; see `forms`."""

    def __init__(
        self,
        form: Form[Activity],
        connection: Connection,
        api: Api,
        schemas: Schemas,
        reader: Reader,
        users: Users,
        url_of: UrlOf,
    ) -> None:
        self._form: Form[Activity] = form
        self._connection = connection
        self._collections = Collections(api)
        self._users = users
        self._schemas = schemas
        self._reader = reader
        self._url_of = url_of
        self._learned = False
        self._fields: dict[str, int] = dict(connection.metadata.get(form.remembered) or {})

    def write(self, activities: Sequence[Activity], then: Then | None = None) -> list[Written]:
        """An answer for each activity, in their order. Raises what concerns them all."""
        try:
            return self._write(activities, then)
        except (errors.FixConfig, errors.Gone) as error:
            if error.cause not in STALE_SCHEMA or self._learned:
                raise
            self._learn_fields()  # a field that we remember was removed or hidden
            return self._write(activities, then)

    def remove(self, agreed: Sequence[Agreed]) -> list[Written]:
        """To the recycle bin; one without an id is looked for first. What is there already, or nowhere, is a success."""
        drafts = [Draft[Any](one, one.crm_record_id, one.record_id) for one in agreed]
        lost = [draft for draft in drafts if not draft.id]
        if lost:
            if not self._fields:
                self._learn_fields()
            self._find_earlier(lost)
        there = [draft for draft in drafts if draft.id]
        written = {one.key: Written(one.key) for one in agreed}
        for draft, answer in zip(there, self._collections.delete([draft.id for draft in there]), strict=True):
            failure = first_error(answer)
            if not answer.get("success") and _code(failure) not in GONE_ALREADY:
                written[draft.one.key] = Written(draft.one.key, draft.id, error=failures.of_record(failure))
        return [written[one.key] for one in agreed]

    def _write(self, activities: Sequence[Activity], then: Then | None) -> list[Written]:
        if not self._fields:
            self._learn_fields()
        self._check_key()
        owners = self._users.ids(one.agent_email for one in activities if not _given_owner(one))
        drafts = [
            Draft(one, one.crm_record_id, one.record_id, _given_owner(one) or owners.get(one.agent_email.lower(), ""))
            for one in activities
        ]
        self._find_earlier([draft for draft in drafts if self._may_exist(draft)])
        results = self._rounds(drafts)
        reached = {draft.one.key: draft.who_id for draft in drafts if results[draft.one.key].error is None}
        for key, error in (then(reached) if then and reached else {}).items():
            results[key] = replace(results[key], error=error)
        return [results[one.key] for one in activities]

    # --- what is there already ----------------------------------------------------------------------------------------

    def _learn_fields(self) -> None:
        self._fields = task.sendable(self._schemas.get(self._form.object_type, fresh=True))
        self._learned = True

    def _upserts(self) -> bool:
        """Whether our own field is there and known to be an external id."""
        known = self._connection.metadata.get("call_key") or task.KEY_FIELD
        return known == task.KEY_FIELD and task.KEY_FIELD in self._fields

    def _key_fields(self) -> list[str]:
        return [name for name in self._form.keys if name in self._fields]

    def _check_key(self) -> None:
        if self._key_fields() or (self._form.marks and "Description" in self._fields):
            return
        raise errors.FixConfig(
            f"Nothing can be logged safely: the integration user may write neither {' nor '.join(self._form.keys)} on "
            f"Salesforce {self._form.object_type.lower()}s. Give it edit access to one of them.",
            cause="no_call_key",
        )

    def _may_exist(self, draft: Draft[Activity]) -> bool:
        return not draft.id and (draft.one.first_attempt_at is not None or not self._upserts())

    def _find_earlier(self, drafts: Sequence[Draft[Activity]]) -> None:
        if not drafts:
            return
        since = min(self._form.not_before(draft.one) for draft in drafts) - CLOCK_DOUBT
        names = self._key_fields()
        if names:
            keys = [draft.one.key for draft in drafts]
            found = earlier.by_key(self._reader.query, self._form.object_type, names, keys, since)
            for draft in drafts:
                draft.id = found.get(draft.one.key, "")
        missing = [draft for draft in drafts if not draft.id]
        if missing and self._form.marks:  # the field for the key may be younger than the first try
            self._find_marked(missing, since)

    def _find_marked(self, drafts: Sequence[Draft[Activity]], since: datetime) -> None:
        people = {draft.who_id for draft in drafts} | set(self._heirs(drafts).values())
        keys = [draft.one.key for draft in drafts]
        found = earlier.by_marker(self._reader.query, self._form.object_type, people, keys, since)
        for draft in drafts:
            draft.id = found.get(draft.one.key, "")

    # --- writing ------------------------------------------------------------------------------------------------------

    def _rounds(self, drafts: list[Draft[Activity]]) -> dict[str, Written]:
        results: dict[str, Written] = {}
        for _ in range(MAX_ROUNDS):
            failed: Failed[Activity] = []
            for draft, answer in self._send(drafts, results):
                if answer.get("success"):
                    found, created = to_18(str(answer["id"])), answer.get("created", not draft.id) is True
                    url = self._url_of(self._form.object_type, found)
                    results[draft.one.key] = Written(draft.one.key, found, url, created=created)
                else:
                    failed.append((draft, first_error(answer)))
            drafts = self._mend(failed, results)
            if not drafts:
                break
        return results

    def _send(
        self, drafts: Sequence[Draft[Activity]], results: dict[str, Written]
    ) -> Iterator[tuple[Draft[Activity], dict[str, Any]]]:
        """One request for the new ones and one for the known. What fails as a whole after something was written
        fails for the rest only: the written ones must not be forgotten."""
        for group, send in (
            ([draft for draft in drafts if not draft.id], self._create),
            ([draft for draft in drafts if draft.id], self._update),
        ):
            try:
                answers = send(group) if group else []
            except errors.CrmError as error:
                if not results:
                    raise
                results.update((draft.one.key, Written(draft.one.key, error=error)) for draft in group)
                continue
            yield from zip(group, answers, strict=True)

    def _create(self, drafts: Sequence[Draft[Activity]]) -> list[dict[str, Any]]:
        records = [self._values(draft) for draft in drafts]
        if self._upserts():
            return self._collections.upsert(self._form.object_type, task.KEY_FIELD, records)
        return self._collections.create(self._form.object_type, records)

    def _update(self, drafts: Sequence[Draft[Activity]]) -> list[dict[str, Any]]:
        records = [{"id": draft.id, **self._values(draft)} for draft in drafts]
        return self._collections.update(self._form.object_type, records)

    def _values(self, draft: Draft[Activity]) -> dict[str, Any]:
        fields = {name: size for name, size in self._fields.items() if name != "WhatId" or not draft.unrelated}
        values = self._form.build(draft.one, fields, draft.who_id, draft.owner_id, self._connection.timezone)
        left_out = draft.left_out | self._form.settled(draft.one) if draft.id else draft.left_out
        return {name: value for name, value in values.items() if name not in left_out}

    # --- mending ------------------------------------------------------------------------------------------------------

    def _mend(self, failed: Failed[Activity], results: dict[str, Written]) -> list[Draft[Activity]]:
        """The drafts worth another round; the others get their error as a result."""
        moved = self._heirs([draft for draft, failure in failed if _code(failure) in MOVED_CODES])
        again: list[Draft[Activity]] = []
        for draft, failure in failed:
            if self._mended(draft, failure, moved):
                again.append(draft)
            else:
                results[draft.one.key] = Written(draft.one.key, draft.id, error=failures.of_record(failure))
        return again

    def _mended(self, draft: Draft[Activity], failure: Mapping[str, Any], moved: Mapping[str, str]) -> bool:
        code, text = _code(failure), str(failure.get("message") or "")
        if code in SCHEMA_CODES | {PICKLIST_CODE}:
            return self._field_mended(draft, failure)
        existing = failures.existing_id(text) if code == "DUPLICATE_VALUE" and task.KEY_FIELD in text else ""
        if is_id(existing) and not draft.id:
            draft.id = to_18(existing)
            return draft.mend("existing")
        return self._reference_mended(draft, failure, moved)

    def _field_mended(self, draft: Draft[Activity], failure: Mapping[str, Any]) -> bool:
        """A field that is taken at creation only, a choice of ours that was renamed, or a field that is gone."""
        code, text = _code(failure), str(failure.get("message") or "")
        if code == PICKLIST_CODE:
            ours = failures.named_fields(failure) & self._form.dispensable(draft.one)
        else:
            ours = {name for name in self._form.set_once if name in text}
        if ours:
            draft.left_out |= ours
            return draft.mend("/".join(sorted(ours)))
        if code == PICKLIST_CODE:
            return False
        if not self._learned:
            self._learn_fields()
        return draft.mend("schema")

    def _reference_mended(self, draft: Draft[Activity], failure: Mapping[str, Any], moved: Mapping[str, str]) -> bool:
        """Whom or what the activity points at is somewhere else, or nowhere."""
        code, named = _code(failure), failures.named_fields(failure)
        if code in NO_SUCH_CODES and named == {"WhatId"}:
            draft.unrelated = True
            return draft.mend("related")
        if draft.owner_id and (code in OWNER_CODES or (code in NO_SUCH_CODES and named == {"OwnerId"})):
            draft.owner_id = ""
            return draft.mend("owner")
        if code in MOVED_CODES and draft.who_id in moved:
            draft.who_id = moved[draft.who_id]
            return draft.mend("moved")
        return False

    def _heirs(self, drafts: Sequence[Draft[Activity]]) -> dict[str, str]:
        """Who takes the place of a converted lead or of the loser of a merge: asked for once for each object type."""
        found: dict[str, str] = {}
        for object_type in sorted({draft.one.object_type for draft in drafts}):
            ids = {draft.who_id for draft in drafts if draft.one.object_type == object_type and is_id(draft.who_id)}
            known = heirs(self._reader.query_all, self._schemas, object_type, sorted(ids))
            found.update((lost, known[to_18(lost)][1]) for lost in ids if to_18(lost) in known)
        return found


def _given_owner(one: CallActivity | Meeting | FollowUp) -> str:
    """The user that somebody said the agent is."""
    return one.agent_id if is_id(one.agent_id) and one.agent_id.startswith(OWNERS) else ""


def _code(failure: Mapping[str, Any]) -> str:
    return str(failure.get("statusCode") or "")
