"""Writes records: updates and creations in requests of two hundred, each with an answer of its own.

A creation goes by a unique external id of ours where the account has one, so that writing it twice is writing it once; without
it, look-alikes are looked up before anything is made. A batch goes out in rounds: where Salesforce says how a record can be
mended (take the existing one, follow a converted lead, leave a field out), the mended ones go out again, each mend once. A
person whom Salesforce has already is named and left as they are.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.salesforce import alike, earlier, failures, objects
from integrations.providers.salesforce.batches import GONE_ALREADY, Collections, first_error
from integrations.providers.salesforce.drafts import Draft, Failure, by_type, one_of_each
from integrations.providers.salesforce.ids import is_id, to_18
from integrations.providers.salesforce.mending import Mender
from integrations.providers.salesforce.reading import Reader
from integrations.providers.salesforce.rest import SAVE_DUPLICATES, Rest
from integrations.providers.salesforce.schema import Schemas
from integrations.providers.salesforce.shaping import Shaper, addresses
from integrations.providers.salesforce.users import Users
from integrations.records.connections import Connection
from integrations.records.remote import RecordWrite, Written

BATCH_SIZE = 200
SINGLE = (errors.FixData, errors.FixConfig, errors.Gone, errors.Stale)
"""Errors that concern one record and not its neighbours."""
LEFT_OUT = (
    "Salesforce has no field {} that we may write, so it was left out. Create or show it there, or map another one."
)

Results = dict[str, Written]
Answer = tuple[Draft, dict[str, Any]]


class RecordWriter:
    def __init__(
        self,
        connection: Connection,
        api: Api,
        schemas: Schemas,
        reader: Reader,
        users: Users,
        record_url: Callable[[str, str], str],
    ) -> None:
        self._zone = ZoneInfo(connection.timezone)
        self._headers = dict(SAVE_DUPLICATES) if connection.settings.get("allow_duplicates") else {}
        self._schemas = schemas
        self._reader = reader
        self._users = users
        self._record_url = record_url
        self._rest = Rest(api)
        self._collections = Collections(api, self._headers)
        self._mender = Mender(api, schemas, reader, self._headers)

    def write(self, object_type: str, writes: Sequence[RecordWrite]) -> list[Written]:
        """An answer for each write, in their order. Raises what concerns them all."""
        _check_writable(object_type)
        self._schemas.get(object_type)
        self._users.ids(address for write in writes for address in addresses(write.values))
        results: Results = {}
        drafts = [Draft(write, object_type, write.record_id) for write in writes]
        drafts = self._shaped(drafts, results)
        alike.find(self._reader.query, self._schemas, [draft for draft in drafts if self._needs_a_look(draft)])
        self._find_earlier(object_type, drafts)
        while drafts:
            now, later = one_of_each(self._shaped(self._new_or_known(drafts, results), results))
            failed = self._noted(self._send(now, results), results)
            drafts = self._mender.mend(failed, results, self._written) + later
        return [results[write.key] for write in writes]

    def delete(self, object_type: str, ids: Sequence[str]) -> list[Written]:
        """To the recycle bin. What is there already, or nowhere, is a success."""
        _check_writable(object_type)
        results = {one: Written(one, one, error=_no_id(one)) for one in ids if not is_id(one)}
        known = list(dict.fromkeys(one for one in ids if is_id(one)))
        for record_id, answer in zip(known, self._collections.delete(known), strict=True):
            done = answer.get("success") or first_error(answer).get("statusCode") in GONE_ALREADY
            error = None if done else failures.of_record(first_error(answer))
            results[record_id] = Written(record_id, to_18(record_id), error=error)
        return [results[one] for one in ids]

    def _find_earlier(self, object_type: str, drafts: Sequence[Draft]) -> None:
        """People whom an earlier attempt made: an upsert would write over what somebody did to them since."""
        key_field = self._key_field(object_type) if object_type in objects.PEOPLE else ""
        tried = [draft for draft in drafts if not draft.id and draft.write.first_attempt_at]
        keys = [draft.write.key for draft in tried] if key_field else []
        found = earlier.by_key(self._reader.query, object_type, [key_field], keys)
        for draft in tried:
            draft.id = found.get(draft.write.key, "")

    def _new_or_known(self, drafts: Sequence[Draft], results: Results) -> list[Draft]:
        """Without people who were to be made and are there: nobody has read yet what stands there."""
        for draft in drafts:
            if draft.id and not draft.write.record_id and draft.object_type in objects.PEOPLE:
                error = errors.AlreadyThere(failures.LABEL, draft.id)
                url = self._record_url(draft.object_type, draft.id)
                results[draft.write.key] = Written(draft.write.key, draft.id, url, error=error)
        return [draft for draft in drafts if draft.write.key not in results]

    # --- one round ----------------------------------------------------------------------------------------------------

    def _shaped(self, drafts: Sequence[Draft], results: Results) -> list[Draft]:
        """The drafts whose values can be sent; the others, and those with nothing to say, get their result."""
        ready = []
        for draft in drafts:
            shaper = Shaper(
                self._schemas.get(draft.object_type), self._users.ids(()), self._zone, frozenset(draft.left_out)
            )
            try:
                draft.values = shaper.shape(draft.write.values, create=not draft.id)
                draft.missing = shaper.missing(draft.write.values)
                _check_id(draft)
            except SINGLE as error:
                results[draft.write.key] = Written(draft.write.key, draft.id, error=error)
                continue
            if draft.id and not draft.values:
                results[draft.write.key] = self._written(draft, draft.id, created=False)
            else:
                ready.append(draft)
        return ready

    def _send(self, drafts: Sequence[Draft], results: Results) -> Iterator[Answer]:
        """An answer for each. What fails as a whole after something was written fails for the rest only."""
        for object_type, some in by_type(drafts).items():
            for send, group in (
                (self._update_unchanged, [draft for draft in some if draft.is_conditional]),
                (self._update, [draft for draft in some if draft.id and not draft.is_conditional]),
                (self._create, [draft for draft in some if not draft.id]),
            ):
                try:
                    answers = list(send(object_type, group)) if group else []
                except errors.CrmError as error:
                    if all(one.error for one in results.values()):
                        raise
                    results.update((one.write.key, Written(one.write.key, one.id, error=error)) for one in group)
                    continue
                yield from zip(group, answers, strict=True)

    def _update(self, object_type: str, drafts: Sequence[Draft]) -> list[dict[str, Any]]:
        return self._collections.update(object_type, [{"id": draft.id, **draft.values} for draft in drafts])

    def _update_unchanged(self, object_type: str, drafts: Sequence[Draft]) -> Iterator[dict[str, Any]]:
        """One request each: a condition goes with a single record. What stops the first stops all, later ones only themselves."""
        for draft in drafts:
            try:
                moment = draft.write.unmodified_since
                self._rest.update(object_type, draft.id, draft.values, unmodified_since=moment, headers=self._headers)
                yield {"id": draft.id, "success": True}
            except errors.CrmError as error:
                if draft is drafts[0] and not isinstance(error, SINGLE):
                    raise
                code, _, text = error.detail.partition(": ")
                failure = {"statusCode": code, "message": text, "fields": getattr(error, "fields", ()), "error": error}
                yield {"id": draft.id, "success": False, "errors": [failure]}

    def _create(self, object_type: str, drafts: Sequence[Draft]) -> list[dict[str, Any]]:
        key_field = self._key_field(object_type)
        if key_field:
            records = [{**draft.values, key_field: draft.write.key} for draft in drafts]
            return self._collections.upsert(object_type, key_field, records)
        return self._collections.create(object_type, [draft.values for draft in drafts])

    def _noted(self, answers: Iterator[Answer], results: Results) -> list[Failure]:
        failed: list[Failure] = []
        for draft, answer in answers:
            if answer.get("success"):
                created = answer.get("created", not draft.id) is True
                results[draft.write.key] = self._written(draft, to_18(str(answer["id"])), created=created)
            else:
                failed.append((draft, first_error(answer)))
        return failed

    # --- helpers ------------------------------------------------------------------------------------------------------

    def _key_field(self, object_type: str) -> str:
        """Our unique external id on this object, empty where the account has none."""
        name = objects.KEY_FIELDS.get(object_type, "")
        field = self._schemas.get(object_type).fields.get(name, {})
        return name if field.get("externalId") and field.get("createable") else ""

    def _needs_a_look(self, draft: Draft) -> bool:
        if draft.id or self._key_field(draft.object_type):
            return False
        return draft.write.first_attempt_at is not None or draft.object_type in objects.ALWAYS_LOOKED_UP

    def _written(self, draft: Draft, record_id: str, *, created: bool) -> Written:
        url = self._record_url(draft.object_type, record_id)
        warnings = tuple(LEFT_OUT.format(name) for name in draft.missing)
        return Written(draft.write.key, record_id, url, created=created, warnings=warnings)


def _check_writable(object_type: str) -> None:
    if object_type not in objects.WRITABLE:
        raise errors.Unsupported(
            f"Salesforce: {object_type} records are only read here. Change them in Salesforce itself."
        )


def _check_id(draft: Draft) -> None:
    if draft.id and not is_id(draft.id):
        raise _no_id(draft.id)
    if not draft.id and not draft.values:
        raise errors.FixData("There is nothing to make a Salesforce record of: all its values are empty.")


def _no_id(text: str) -> errors.Gone:
    return errors.Gone(f"{text!r} is no id of a Salesforce record.", cause="record_gone")
