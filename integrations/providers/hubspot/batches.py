"""Writes up to 100 records in one request and finds out what became of each.

Every input carries a trace id, which lets HubSpot take the good ones and refuse the bad ones (207). Should it refuse
the whole batch all the same, the ones it blames are taken out, or the batch is halved until the bad ones stand alone:
one bad record never holds up the others.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import requests

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.hubspot.answers import (
    LABEL,
    UNKNOWN_PROPERTY_CODE,
    Problem,
    body_of,
    by_category,
    classify,
    problem_of,
)
from integrations.providers.hubspot.objects import Objects
from integrations.transport.classify import json_of

TRACE = "objectWriteTraceId"
REFUSALS = (400, 404, 409)
"""Statuses that refuse a whole batch for what is in it."""
MAX_REQUESTS = 64
"""For one batch. What is not decided by then comes again with the next one, without those already found bad."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as HubSpot keeps it now."""

    id: str
    url: str = ""
    created: bool = False


Result = Stored | errors.CrmError
KeyOf = Callable[[Mapping[str, Any]], str]


def write_batch(
    api: Api, object_type: str, action: str, inputs: Mapping[str, dict[str, Any]], key_of: KeyOf
) -> dict[str, Result]:
    """`inputs` by our key; `action` is create, update or upsert. `key_of` knows whose an answered record is.

    Raises what concerns all of them: no answer, no rights, no quota.
    """
    done: dict[str, Result] = {}
    waiting = [list(inputs)] if inputs else []
    for _ in range(MAX_REQUESTS):
        if not waiting:
            return done
        keys = waiting.pop(0)
        traced = [{**inputs[key], TRACE: key} for key in keys]
        response = Objects(api).batch(object_type, action, traced, accept=REFUSALS)
        if response.status_code in REFUSALS:
            blamed, parts = _narrow(response, keys, inputs)
            done.update(blamed)
            waiting[:0] = parts
        else:
            results, alone = _results(body_of(response), keys, inputs, key_of, created=action == "create")
            done.update(results)
            waiting[:0] = [[key] for key in alone]
    for keys in waiting:
        done.update(
            dict.fromkeys(keys, errors.Retry("HubSpot refused other records of the same batch; this one waits."))
        )
    return done


def _narrow(
    response: requests.Response, keys: list[str], inputs: Mapping[str, dict[str, Any]]
) -> tuple[dict[str, Result], list[list[str]]]:
    """Those that a refusal of the whole batch is about, and the others in the groups to send them in."""
    problem = problem_of(json_of(response))
    error = classify(response) or errors.FixData(f"{LABEL} refused the data.", status=response.status_code)
    if not isinstance(error, errors.FixData | errors.Gone | errors.Stale):
        raise error
    blamed = keys if len(keys) == 1 else _blamed(problem, keys, inputs)
    if blamed:
        rest = [key for key in keys if key not in blamed]
        return dict.fromkeys(blamed, error), [rest] if rest else []
    middle = len(keys) // 2
    return {}, [keys[:middle], keys[middle:]]


def _blamed(problem: Problem, keys: Sequence[str], inputs: Mapping[str, dict[str, Any]]) -> list[str]:
    traced = problem.named(TRACE)
    if any(key in traced for key in keys):
        return [key for key in keys if key in traced]
    unknown = set(problem.fields) if UNKNOWN_PROPERTY_CODE in problem.codes else set()
    return [key for key in keys if unknown & inputs[key]["properties"].keys() or _keyed_wrongly(problem, inputs[key])]


def _keyed_wrongly(problem: Problem, record: Mapping[str, Any]) -> bool:
    """HubSpot does not take the property that identifies the record as a unique one; all of an upsert share it."""
    key_property = record.get("idProperty", "")
    return bool(key_property) and key_property in problem.message and "not a unique" in problem.message


def _results(
    body: Mapping[str, Any],
    keys: Sequence[str],
    inputs: Mapping[str, dict[str, Any]],
    key_of: KeyOf,
    *,
    created: bool,
) -> tuple[dict[str, Result], list[str]]:
    """What became of them, and which are to be sent alone, since one of the errors is theirs and nobody says which.

    The answer's order is not ours, and a record or an error may lack its trace id.
    """
    silence = errors.OutcomeUnknown("HubSpot did not say what became of this record. We will look it up.")
    found: dict[str, Result] = dict.fromkeys(keys, silence)
    for record in body.get("results", []):
        key = str(record.get(TRACE) or key_of(record))
        if key in found:
            found[key] = Stored(str(record["id"]), str(record.get("url") or ""), bool(record.get("new", created)))
    by_id = {str(inputs[key].get("id", "")): key for key in keys}
    nobodys: list[Result] = []
    for entry in body.get("errors") or []:
        problem = problem_of(entry)
        error = by_category(problem) or errors.Retry(
            "HubSpot could not write this record. We will try again.", detail=problem.detail
        )
        named = {*problem.named(TRACE), *(by_id.get(record_id, "") for record_id in problem.named("ids"))}
        found.update(dict.fromkeys(named & found.keys(), error))
        nobodys += [] if named & found.keys() else [error]
    unknown = [key for key, result in found.items() if result is silence]
    # As many errors as silent ones: none of these was written, so even a creation may go again.
    if not unknown or len(unknown) != len(nobodys):
        return found, []
    if len(unknown) == 1:
        return {**found, unknown[0]: nobodys[0]}, []
    return {key: result for key, result in found.items() if key not in unknown}, unknown
