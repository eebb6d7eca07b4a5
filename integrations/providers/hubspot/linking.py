"""Ties calls to their contacts, all in one request. Tying twice is harmless.

What the answer does not confirm is either blamed on a contact that is gone, or asked for one by one.
"""

from collections.abc import Mapping
from typing import Any

from integrations import errors
from integrations.providers.base import Api
from integrations.providers.hubspot.answers import Problem, body_of, problem_of
from integrations.providers.hubspot.endpoints import path
from integrations.transport.classify import json_of

Pairs = Mapping[str, tuple[str, str]]
"""Our key → HubSpot's ids of the call and of its contact."""

REFUSALS = (400, 404)
GONE = "HubSpot no longer has the contact of this call: it was deleted, archived or merged. The call itself is logged."


def link_contacts(api: Api, pairs: Pairs) -> dict[str, errors.CrmError]:
    """The errors of those that could not be tied. Raises what concerns all of them."""
    failed: dict[str, errors.CrmError] = {}
    waiting = dict(pairs)
    while waiting:
        confirmed, problems = _link_batch(api, waiting)
        gone = {key: error for key, pair in waiting.items() if (error := _blame(problems, pair[1]))}
        failed |= gone
        undecided = {key: pair for key, pair in waiting.items() if pair not in confirmed and key not in gone}
        if len(undecided) == len(waiting):
            return failed | _link_each(api, undecided)
        waiting = undecided
    return failed


def _link_batch(api: Api, pairs: Pairs) -> tuple[set[tuple[str, str]], list[Problem]]:
    response = api.request(
        "POST",
        path("associate_batch", type="calls", to_type="contacts"),
        json={"inputs": [{"from": {"id": call}, "to": {"id": contact}} for call, contact in pairs.values()]},
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


def _blame(problems: list[Problem], contact_id: str) -> errors.Gone | None:
    for problem in problems:
        if problem.gone and contact_id in problem.named("objectId", "toObjectId", "ids"):
            return errors.Gone(GONE, detail=problem.detail)
    return None


def _link_each(api: Api, pairs: Pairs) -> dict[str, errors.CrmError]:
    failed: dict[str, errors.CrmError] = {}
    for key, (call, contact) in pairs.items():
        address = path("associate", type="calls", id=call, to_type="contacts", to_id=contact)
        try:
            api.request("PUT", address, repeatable=True)
        except errors.Gone as error:
            failed[key] = errors.Gone(GONE, detail=error.detail, status=error.status)
        except (errors.FixData, errors.Stale) as error:
            failed[key] = error
    return failed
