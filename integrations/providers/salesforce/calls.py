"""Logs calls as Tasks, each once.

Every Task carries our call id, in a unique external id where the account let us make one, and always in `CallObject`.
With the external id a write is an upsert: writing twice is the same as writing once. Without it, ids are looked up
before anything is created. A call that may be there already is looked up in both cases, because `TaskSubtype` can only
be set when a Task is created.

A batch goes out in rounds. Salesforce answers for each record; where it says how a record can be mended (drop a
create-only field, take the existing row, follow a converted lead), the mended ones go out again, each mend once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from integrations import errors
from integrations.providers.base import Api
from integrations.providers.salesforce import failures, soql, task
from integrations.providers.salesforce.batches import Collections, chunks, first_error
from integrations.providers.salesforce.heirs import heirs
from integrations.providers.salesforce.ids import is_id, to_18
from integrations.providers.salesforce.reading import Reader
from integrations.providers.salesforce.schema import Schemas
from integrations.providers.salesforce.users import Users
from integrations.records import CallActivity, Connection, Written

BATCH_SIZE = 200
# Codes that a Task gets when its lead was converted, or its lead or contact merged into another.
MOVED_CODES = {"CANNOT_UPDATE_CONVERTED_LEAD", "INVALID_CROSS_REFERENCE_KEY", "ENTITY_IS_DELETED"}
OWNER_CODES = {"INACTIVE_OWNER_OR_USER"}
CLOCK_DOUBT = timedelta(days=1)
SCHEMA_CODES = {"INVALID_FIELD", "INVALID_FIELD_FOR_INSERT_UPDATE"}
STALE_SCHEMA = {failures.SCHEMA, errors.Gone.cause}  # an unknown key field makes the upsert's address a 404
MAX_ROUNDS = 6  # a first try and each of the five mends


@dataclass(slots=True)
class Draft:
    """A call on its way, and what we know of its Task by now."""

    call: CallActivity
    id: str = ""
    who_id: str = ""
    owner_id: str = ""
    mended: set[str] = field(default_factory=set)

    def mend(self, what: str) -> bool:
        """Whether this mend has not been tried yet."""
        fresh = what not in self.mended
        self.mended.add(what)
        return fresh


Failure = tuple[Draft, dict[str, Any]]
TaskUrl = Callable[[str], str]


class CallLog:
    def __init__(
        self, connection: Connection, api: Api, schemas: Schemas, reader: Reader, users: Users, task_url: TaskUrl
    ) -> None:
        self._connection = connection
        self._collections = Collections(api)
        self._users = users
        self._schemas = schemas
        self._reader = reader
        self._task_url = task_url
        self._learned = False
        self._fields: dict[str, int] = dict(connection.metadata.get("task_fields") or {})

    def write(self, calls: Sequence[CallActivity]) -> list[Written]:
        """An answer for each call, in their order. Raises what concerns them all."""
        try:
            return self._write(calls)
        except (errors.FixConfig, errors.Gone) as error:
            if error.cause not in STALE_SCHEMA or self._learned:
                raise
            self._learn_fields()  # a field that we remember was removed or hidden
            return self._write(calls)

    def _write(self, calls: Sequence[CallActivity]) -> list[Written]:
        if not self._fields:
            self._learn_fields()
        owners = self._users.ids(call.agent_email for call in calls)
        drafts = [
            Draft(call, call.crm_record_id, call.record_id, owners.get(call.agent_email.lower(), "")) for call in calls
        ]
        self._find_earlier([draft for draft in drafts if self._may_exist(draft)])
        results = self._rounds(drafts)
        return [results[call.key] for call in calls]

    # --- what is there already ----------------------------------------------------------------------------------------

    def _learn_fields(self) -> None:
        self._fields = task.sendable(self._schemas.get(task.OBJECT, fresh=True))
        self._learned = True

    def _key_field(self) -> str:
        preferred = str(self._connection.metadata.get("call_key") or task.KEY_FIELD)
        for name in (preferred, task.FALLBACK_KEY_FIELD):
            if name in self._fields:
                return name
        raise errors.FixConfig(
            "Calls can't be logged safely: the integration user may write neither Dialer_Call_Id__c nor CallObject on "
            "Salesforce tasks. Give it edit access to one of them.",
            cause="no_call_key",
        )

    def _may_exist(self, draft: Draft) -> bool:
        if draft.id:
            return False
        return draft.call.first_attempt_at is not None or self._key_field() == task.FALLBACK_KEY_FIELD

    def _find_earlier(self, drafts: Sequence[Draft]) -> None:
        """Finds Tasks of these calls under either key: the account may have got the better one in between."""
        if not drafts:
            return
        names = [name for name in (task.KEY_FIELD, task.FALLBACK_KEY_FIELD) if name in self._fields]
        by_key = {draft.call.key: draft for draft in drafts}
        times = [
            moment for draft in drafts for moment in (draft.call.started_at, draft.call.first_attempt_at) if moment
        ]
        oldest = min(times) - CLOCK_DOUBT
        for keys in chunks(list(by_key), 100):
            either = " OR ".join(soql.among(name, keys) for name in names)
            where = [f"({either})", f"CreatedDate >= {soql.moment(oldest)}"]
            for row in self._reader.query(soql.select(["Id", *names], task.OBJECT, where, ["CreatedDate", "Id"])):
                for name in names:
                    draft = by_key.get(str(row.get(name) or ""))
                    if draft is not None and not draft.id:
                        draft.id = to_18(str(row["Id"]))

    # --- writing ------------------------------------------------------------------------------------------------------

    def _rounds(self, drafts: list[Draft]) -> dict[str, Written]:
        results: dict[str, Written] = {}
        for _ in range(MAX_ROUNDS):
            failed: list[Failure] = []
            for draft, answer in self._send(drafts, results):
                if answer.get("success"):
                    task_id = to_18(str(answer["id"]))
                    created = answer.get("created", not draft.id) is True
                    results[draft.call.key] = Written(draft.call.key, task_id, self._task_url(task_id), created=created)
                else:
                    failed.append((draft, first_error(answer)))
            drafts = self._mend(failed, results)
            if not drafts:
                break
        return results

    def _send(self, drafts: Sequence[Draft], results: dict[str, Written]) -> Iterator[tuple[Draft, dict[str, Any]]]:
        """One request for the new Tasks and one for the known ones. What fails as a whole after something was written
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
                results.update((draft.call.key, Written(draft.call.key, error=error)) for draft in group)
                continue
            yield from zip(group, answers, strict=True)

    def _create(self, drafts: Sequence[Draft]) -> list[dict[str, Any]]:
        records = [self._values(draft) for draft in drafts]
        if self._key_field() == task.KEY_FIELD:
            return self._collections.upsert(task.OBJECT, task.KEY_FIELD, records)
        return self._collections.create(task.OBJECT, records)

    def _update(self, drafts: Sequence[Draft]) -> list[dict[str, Any]]:
        return self._collections.update(task.OBJECT, [{"id": draft.id, **self._values(draft)} for draft in drafts])

    def _values(self, draft: Draft) -> dict[str, Any]:
        values = task.build(draft.call, self._fields, draft.who_id, draft.owner_id, self._connection.timezone)
        if draft.id or task.CREATE_ONLY in draft.mended:
            values.pop(task.CREATE_ONLY, None)
        return values

    # --- mending ------------------------------------------------------------------------------------------------------

    def _mend(self, failed: Sequence[Failure], results: dict[str, Written]) -> list[Draft]:
        """The drafts worth another round; the others get their error as a result."""
        heirs = self._heirs([draft for draft, failure in failed if _code(failure) in MOVED_CODES])
        again: list[Draft] = []
        for draft, failure in failed:
            if self._mended(draft, failure, heirs):
                again.append(draft)
            else:
                results[draft.call.key] = Written(draft.call.key, draft.id, error=failures.of_record(failure))
        return again

    def _mended(self, draft: Draft, failure: Mapping[str, Any], heirs: Mapping[str, str]) -> bool:
        code, text = _code(failure), str(failure.get("message") or "")
        if code == "INVALID_FIELD_FOR_INSERT_UPDATE" and task.CREATE_ONLY in text:
            return draft.mend(task.CREATE_ONLY)
        if code in SCHEMA_CODES and not self._learned:
            self._learn_fields()
        if code in SCHEMA_CODES:
            return draft.mend("schema")
        existing = failures.existing_id(text) if code == "DUPLICATE_VALUE" and task.KEY_FIELD in text else ""
        if is_id(existing) and not draft.id:
            draft.id = to_18(existing)
            return draft.mend("existing")
        if code in MOVED_CODES and draft.who_id in heirs:
            draft.who_id = heirs[draft.who_id]
            return draft.mend("moved")
        if code in OWNER_CODES and draft.owner_id:
            draft.owner_id = ""
            return draft.mend("owner")
        return False

    def _heirs(self, drafts: Sequence[Draft]) -> dict[str, str]:
        """Who takes the place of a converted lead or of the loser of a merge: asked for once for each object type."""
        found: dict[str, str] = {}
        for object_type in sorted({draft.call.object_type for draft in drafts}):
            ids = {draft.who_id for draft in drafts if draft.call.object_type == object_type and is_id(draft.who_id)}
            known = heirs(self._reader.query_all, self._schemas, object_type, sorted(ids))
            found.update((lost, known[to_18(lost)][1]) for lost in ids if to_18(lost) in known)
        return found


def _code(failure: Mapping[str, Any]) -> str:
    return str(failure.get("statusCode") or "")
