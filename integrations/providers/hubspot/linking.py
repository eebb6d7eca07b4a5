"""Associations: every way to tie two records, and the one that calls are tied to their contacts by.

Tying twice is harmless, and so is untying what is not tied. `default` is the type without a label; the classic form names a
type by its number or as `call_to_contact`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.hubspot.answers import Problem, body_of, next_after, problem_of
from integrations.providers.hubspot.association_types import type_spec
from integrations.providers.hubspot.endpoints import path
from integrations.transport.classify import json_of

PAGE = 500

Ends = tuple[str, str]
"""HubSpot's ids of the two records that are tied."""
Pairs = Mapping[str, Ends]
"""Our key → the two ends."""

REFUSALS = (400, 404)
GONE = "HubSpot no longer has the contact of this {one}: it was deleted, archived or merged. The {one} itself is there."
ONE: Mapping[str, str] = {"calls": "call", "meetings": "meeting", "tasks": "task"}


class Links:
    """Ties of records of one type with those of another. Direction counts: `object_type` is where the types lead from."""

    def __init__(self, api: Api, object_type: str, to_type: str) -> None:
        self._api = api
        self._pair = (object_type, to_type)
        self._types = {"type": object_type, "to_type": to_type}

    # --- one pair ---------------------------------------------------------------------------------------------------

    def tie(self, record_id: str, to_id: str) -> None:
        self._api.request("PUT", path("associate", **self._types, id=record_id, to_id=to_id), repeatable=True)

    def tie_typed(self, record_id: str, to_id: str, type_ids: Sequence[int]) -> dict[str, Any]:
        """Ties by types of HubSpot's own, such as "primary". Answers both ends and the labels."""
        address = path("association", **self._types, id=record_id, to_id=to_id)
        specs = [type_spec(self._pair, number) for number in type_ids]
        return body_of(self._api.request("PUT", address, json=specs, repeatable=True))

    def untie(self, record_id: str, to_id: str) -> None:
        self._api.request("DELETE", path("association", **self._types, id=record_id, to_id=to_id), repeatable=True)

    def tie_classic(self, record_id: str, to_id: str, association: str) -> None:
        """`association`: the type's number, or its name such as `call_to_contact`."""
        self._api.request("PUT", self._classic(record_id, to_id, association), repeatable=True)

    def untie_classic(self, record_id: str, to_id: str, association: str) -> None:
        self._api.request("DELETE", self._classic(record_id, to_id, association), repeatable=True)

    def _classic(self, record_id: str, to_id: str, association: str) -> str:
        return path("association_classic", **self._types, id=record_id, to_id=to_id, association=association)

    def of(self, record_id: str) -> Iterator[str]:
        """Ids of everything of the other type that this record is tied to. Raises Gone for a record that isn't there."""
        address, after = path("associations", **self._types, id=record_id), ""
        while True:
            params = {"limit": PAGE, **({"after": after} if after else {})}
            body = body_of(self._api.request("GET", address, params=params))
            yield from (str(item["toObjectId"]) for item in body.get("results", []))
            after = next_after(body)
            if not after:
                return

    # --- many pairs -------------------------------------------------------------------------------------------------

    def tie_batch(self, pairs: Sequence[Ends], type_id: int | None = None) -> dict[str, Any]:
        """The answer with its `errors`, one for each pair that could not be tied."""
        specs = [type_spec(self._pair, type_id)]
        inputs = [{"from": {"id": one}, "to": {"id": other}, "types": specs} for one, other in pairs]
        return self._batch("create", inputs)

    def untie_batch(self, pairs: Sequence[Ends]) -> None:
        inputs = [{"from": {"id": one}, "to": [{"id": other}]} for one, other in pairs]
        address = path("association_batch", **self._types, action="archive")
        self._api.request("POST", address, json={"inputs": inputs}, repeatable=True)

    def of_many(self, record_ids: Sequence[str]) -> dict[str, list[str]]:
        """Record → what it is tied to, for at most 1,000; records that are gone are left out."""
        body = self._batch("read", [{"id": record_id} for record_id in record_ids])
        return {_id(item, "from"): [str(to["toObjectId"]) for to in item["to"]] for item in body.get("results", [])}

    def labels(self) -> list[dict[str, Any]]:
        """The types there are between the two, as `category`, `typeId` and `label`."""
        body = body_of(self._api.request("GET", path("association_labels", **self._types)))
        return list(body.get("results", []))

    def _batch(self, action: str, inputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        address = path("association_batch", **self._types, action=action)
        return body_of(self._api.request("POST", address, json={"inputs": list(inputs)}, repeatable=True))


# --- activities and their contacts ----------------------------------------------------------------------------------


def link_contacts(api: Api, pairs: Pairs, object_type: str = "calls") -> dict[str, errors.CrmError]:
    """Ties activities to contacts in one request. What the answer does not confirm is blamed on a contact that is gone, or
    asked for one by one. Returns the errors of those that could not be tied; raises what concerns all of them.
    """
    failed: dict[str, errors.CrmError] = {}
    waiting = dict(pairs)
    while waiting:
        confirmed, problems = _link_batch(api, waiting, object_type)
        gone = {key: error for key, pair in waiting.items() if (error := _blame(problems, pair[1], object_type))}
        failed |= gone
        undecided = {key: pair for key, pair in waiting.items() if pair not in confirmed and key not in gone}
        if len(undecided) == len(waiting):
            return failed | _link_each(api, undecided, object_type)
        waiting = undecided
    return failed


def _link_batch(api: Api, pairs: Pairs, object_type: str) -> tuple[set[Ends], list[Problem]]:
    response = api.request(
        "POST",
        path("associate_batch", type=object_type, to_type="contacts"),
        json={"inputs": [{"from": {"id": one}, "to": {"id": contact}} for one, contact in pairs.values()]},
        repeatable=True,
        accept=REFUSALS,
    )
    if response.status_code in REFUSALS:
        return set(), [problem_of(json_of(response))]
    body = body_of(response)
    confirmed = {(_id(item, "from"), _id(item, "to")) for item in body.get("results", [])}
    return confirmed, [problem_of(entry) for entry in body.get("errors") or []]


def _id(item: Mapping[str, Any], side: str) -> str:
    return str((item.get(side) or {}).get("id", ""))


def _blame(problems: list[Problem], contact_id: str, object_type: str) -> errors.Gone | None:
    for problem in problems:
        if problem.gone and contact_id in problem.named("objectId", "toObjectId", "ids"):
            return errors.Gone(GONE.format(one=ONE[object_type]), detail=problem.detail)
    return None


def _link_each(api: Api, pairs: Pairs, object_type: str) -> dict[str, errors.CrmError]:
    failed: dict[str, errors.CrmError] = {}
    links = Links(api, object_type, "contacts")
    for key, (one, contact) in pairs.items():
        try:
            links.tie(one, contact)
        except errors.Gone as error:
            failed[key] = errors.Gone(GONE.format(one=ONE[object_type]), detail=error.detail, status=error.status)
        except (errors.FixData, errors.Stale) as error:
            failed[key] = error
    return failed
