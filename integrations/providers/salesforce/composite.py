"""Several requests in one, split by what the service takes: 25 parts, of which 5 may be queries or collections.

The outer answer is 200 whatever became of the parts, and the outer headers do not reach them: ours are repeated in each.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.salesforce import failures
from integrations.providers.salesforce.rest import WRITE_HEADERS
from integrations.providers.salesforce.schema import data_path, json_object

MAX_PARTS, MAX_QUERIES = 25, 5
_COUNTED = ("/query", "/queryAll", "/composite/sobjects")


@dataclass(frozen=True, slots=True)
class Part:
    """`path` is that of the resource below the version. A body may refer to an earlier part: `@{name.id}`."""

    method: str
    path: str
    body: Any = None
    name: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_counted(self) -> bool:
        path = self.path.partition("?")[0]
        return any(path == one or path.startswith(f"{one}/") for one in _COUNTED)


@dataclass(frozen=True, slots=True)
class PartAnswer:
    status: int
    body: Any

    @property
    def error(self) -> errors.CrmError | None:
        return failures.of_part(self.status, self.body)


class Composite:
    def __init__(self, api: Api) -> None:
        self._api = api

    def run(self, parts: Sequence[Part], *, repeatable: bool = False) -> list[PartAnswer]:
        """An answer for each part, in their order; one failed part stops no other. One call of the day's quota per 25.

        Parts that refer to each other have to fit into one request. Raises OutcomeUnknown when an answer is lost or cannot
        be read, unless all parts are `repeatable`.
        """
        found: list[PartAnswer] = []
        for group in groups(parts):
            body = {"allOrNone": False, "collateSubrequests": True, "compositeRequest": list(_shown(group))}
            response = self._api.request("POST", data_path("/composite"), json=body, repeatable=repeatable)
            answers = json_object(response).get("compositeResponse") or ()
            found += [PartAnswer(int(one.get("httpStatusCode") or 0), one.get("body")) for one in answers]
            _check(len(answers), len(group))
        return found

    def batch(self, parts: Sequence[Part], *, repeatable: bool = False) -> list[PartAnswer]:
        """As `run`, for parts that have nothing to do with each other. Each part is one call of the day's quota."""
        found: list[PartAnswer] = []
        for start in range(0, len(parts), MAX_PARTS):
            group = parts[start : start + MAX_PARTS]
            requests = [
                {"method": one.method, "url": data_path(one.path).removeprefix("/services/data/")}
                | ({} if one.body is None else {"richInput": one.body})
                for one in group
            ]
            body = {"haltOnError": False, "batchRequests": requests}
            response = self._api.request("POST", data_path("/composite/batch"), json=body, repeatable=repeatable)
            answers = json_object(response).get("results") or ()
            found += [PartAnswer(int(one.get("statusCode") or 0), one.get("result")) for one in answers]
            _check(len(answers), len(group))
        return found


def groups(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Parts in their order, as many together as one request takes."""
    group: list[Part] = []
    for part in parts:
        queries = sum(one.is_counted for one in group)
        if len(group) == MAX_PARTS or (part.is_counted and queries == MAX_QUERIES):
            yield group
            group = []
        group.append(part)
    if group:
        yield group


def _shown(group: Sequence[Part]) -> Iterator[dict[str, Any]]:
    for number, part in enumerate(group):
        yield {
            "method": part.method,
            "url": data_path(part.path),
            "referenceId": part.name or f"part{number}",
            "httpHeaders": {**WRITE_HEADERS, **part.headers},
        } | ({} if part.body is None else {"body": part.body})


def _check(answered: int, asked: int) -> None:
    if answered != asked:
        raise errors.OutcomeUnknown(
            "Salesforce took several changes but its answer could not be read. We will look them up and try again.",
            detail=f"{answered} answers to {asked} parts",
            cause="unreadable_answer",
        )
