"""Up to two hundred records of one type in a request. The answer's 200 says nothing: each record has its own result."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.salesforce import soql
from integrations.providers.salesforce.schema import data_path
from integrations.transport.classify import json_of

Item = TypeVar("Item")

SIZE = 200
PATH = "/composite/sobjects"
GONE_ALREADY = {"ENTITY_IS_DELETED", "NOT_FOUND", "INVALID_CROSS_REFERENCE_KEY"}
"""Codes of a deletion that has nothing left to delete."""
Records = Sequence[Mapping[str, Any]]
Result = dict[str, Any]
"""{"id", "success", "errors", and for upserts "created"}"""


class Collections:
    """Results stand in the order of the records. Raises OutcomeUnknown for an answer that cannot be read."""

    def __init__(self, api: Api, headers: Mapping[str, str] | None = None) -> None:
        self._api = api
        self._headers = dict(headers or {})

    def create(self, object_type: str, records: Records) -> list[Result]:
        """Not repeatable: a lost answer raises OutcomeUnknown."""
        return self._save("POST", PATH, object_type, records, repeatable=False)

    def update(self, object_type: str, records: Records) -> list[Result]:
        """Each record has its `id`, and each id comes once."""
        return self._save("PATCH", PATH, object_type, records, repeatable=True)

    def upsert(self, object_type: str, key_field: str, records: Records) -> list[Result]:
        """Each record holds its key, and each key comes once."""
        path = f"{PATH}/{soql.name(object_type)}/{soql.name(key_field)}"
        return self._save("PATCH", path, object_type, records, repeatable=True)

    def delete(self, ids: Sequence[str]) -> list[Result]:
        found: list[Result] = []
        for chunk in chunks(ids, SIZE):
            params = {"ids": ",".join(map(soql.checked_id, chunk)), "allOrNone": "false"}
            response = self._api.request("DELETE", data_path(PATH), params=params, repeatable=True)
            found += _results(json_of(response), len(chunk))
        return found

    def _save(self, method: str, path: str, object_type: str, records: Records, *, repeatable: bool) -> list[Result]:
        found: list[Result] = []
        for chunk in chunks(records, SIZE):
            typed = [{"attributes": {"type": object_type}, **record} for record in chunk]
            body = {"allOrNone": False, "records": typed}
            response = self._api.request(
                method, data_path(path), json=body, headers=self._headers, repeatable=repeatable
            )
            found += _results(json_of(response), len(chunk))
        return found


def first_error(result: Result) -> dict[str, Any]:
    return dict((result.get("errors") or [{}])[0])


def chunks(values: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _results(body: Any, expected: int) -> list[Result]:
    if not isinstance(body, list) or len(body) != expected:
        raise errors.OutcomeUnknown(
            "Salesforce took the records but its answer could not be read. We will look them up and try again.",
            detail=str(body)[:200],
            cause="unreadable_answer",
        )
    return body
