"""What can be done about a refused record: take the one that exists, follow one that moved, leave out what is not taken."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.salesforce import alike, failures, objects
from integrations.providers.salesforce.composite import Composite, Part, PartAnswer
from integrations.providers.salesforce.drafts import Draft, Failure, by_type
from integrations.providers.salesforce.heirs import Heir, heirs
from integrations.providers.salesforce.ids import is_id, to_18
from integrations.providers.salesforce.reading import Reader
from integrations.providers.salesforce.schema import Schemas
from integrations.records.remote import Written

DUPLICATES = "DUPLICATES_DETECTED"
UNIQUE = "DUPLICATE_VALUE"
MOVED = {"CANNOT_UPDATE_CONVERTED_LEAD", "ENTITY_IS_DELETED", "NOT_FOUND", "INVALID_CROSS_REFERENCE_KEY"}
SCHEMA = {"INVALID_FIELD", "INVALID_FIELD_FOR_INSERT_UPDATE"}

Results = dict[str, Written]
Success = Callable[..., Written]


class Mender:
    def __init__(self, api: Api, schemas: Schemas, reader: Reader, headers: Mapping[str, str]) -> None:
        self._composite = Composite(api)
        self._schemas = schemas
        self._reader = reader
        self._headers = headers
        self._learned: set[str] = set()

    def mend(self, failed: Sequence[Failure], results: Results, success: Success) -> list[Draft]:
        """The drafts worth another round; the others get their error, or what became of them after all, as a result."""
        failed = self._with_matches(failed, results, success)
        moved = self._heirs([draft for draft, failure in failed if _code(failure) in MOVED and draft.id])
        again = []
        for draft, failure in failed:
            if self._mended(draft, failure, moved):
                again.append(draft)
            else:
                error = failure.get("error") or failures.of_record(failure)
                results[draft.write.key] = Written(draft.write.key, draft.id, error=error)
        return again

    def _mended(self, draft: Draft, failure: dict[str, Any], moved: Mapping[str, Heir]) -> bool:
        code = _code(failure)
        if code == DUPLICATES:
            return self._take_match(draft, failure)
        if code == UNIQUE:
            return self._take_holder(draft, failure)
        if code in MOVED and draft.id and to_18(draft.id) in moved:
            return draft.becomes(*moved[to_18(draft.id)], f"moved from {draft.id}")
        if code in SCHEMA:
            return self._leave_out(draft, failure)
        return False

    # --- the record is there already ----------------------------------------------------------------------------------

    def _take_match(self, draft: Draft, failure: Mapping[str, Any]) -> bool:
        found = [record_id for kind, record_id in failures.matches(failure) if kind == draft.object_type]
        if draft.id or not found:
            return False
        return draft.becomes(draft.object_type, to_18(found[0]), "match")

    def _take_holder(self, draft: Draft, failure: Mapping[str, Any]) -> bool:
        """The message names the record that holds the value. For a pair that is unique it names none."""
        if draft.id:
            return False
        holder = failures.existing_id(str(failure.get("message") or ""))
        if not is_id(holder):
            alike.find(self._reader.query, self._schemas, [draft])
            holder = draft.id
        return is_id(holder) and draft.becomes(draft.object_type, to_18(holder), "holder")

    def _with_matches(self, failed: Sequence[Failure], results: Results, success: Success) -> list[Failure]:
        """Collections say that a record has duplicates but not which: asked alone, the record is told."""
        asked = [draft for draft, failure in failed if _code(failure) == DUPLICATES and not draft.id]
        told: dict[str, dict[str, Any]] = {}
        for draft, answer in zip(asked, self._ask_alone(asked), strict=True):
            if answer.status == 201:
                made = to_18(str(answer.body["id"]))
                results[draft.write.key] = success(draft, made, created=True)
            else:
                told[draft.write.key] = _failure(answer)
        rest = [(draft, failure) for draft, failure in failed if draft.write.key not in results]
        return [(draft, told.get(draft.write.key, failure)) for draft, failure in rest]

    def _ask_alone(self, drafts: Sequence[Draft]) -> list[PartAnswer]:
        parts = []
        for draft in drafts:
            key_field = objects.KEY_FIELDS.get(draft.object_type, "")
            known = key_field in self._schemas.get(draft.object_type).fields
            body = {**draft.values, **({key_field: draft.write.key} if known else {})}
            parts.append(Part("POST", f"/sobjects/{draft.object_type}", body, headers=self._headers))
        return self._composite.run(parts)

    # --- the record lives elsewhere, or a field does not --------------------------------------------------------------

    def _heirs(self, drafts: Sequence[Draft]) -> dict[str, Heir]:
        found: dict[str, Heir] = {}
        for object_type, some in by_type(drafts).items():
            ids = [draft.id for draft in some]
            found |= heirs(self._reader.query_all, self._schemas, object_type, ids)
        return found

    def _leave_out(self, draft: Draft, failure: Mapping[str, Any]) -> bool:
        """A field that was removed, hidden or may be set at creation only. The schema is read anew, once."""
        if draft.object_type not in self._learned:
            self._learned.add(draft.object_type)
            self._schemas.get(draft.object_type, fresh=True)
        named = failures.named_fields(failure) & draft.values.keys() - draft.left_out
        draft.left_out |= named
        return bool(named)


def _code(failure: Mapping[str, Any]) -> str:
    return str(failure.get("statusCode") or "")


def _failure(answer: PartAnswer) -> dict[str, Any]:
    """A whole answer's error in the form that a record of a collection has."""
    first = answer.body[0] if isinstance(answer.body, list) and answer.body else {}
    error: errors.CrmError | None = answer.error
    return {**first, "statusCode": str(first.get("errorCode") or ""), "error": error}
