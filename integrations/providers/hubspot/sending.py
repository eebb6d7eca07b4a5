"""Sends what is to be written of one object type. A property that HubSpot has not costs the property, not the record."""

import logging
from collections.abc import Mapping
from typing import Any

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.hubspot.answers import UNKNOWN_PROPERTY
from integrations.providers.hubspot.batches import Result, Stored, write_batch
from integrations.providers.hubspot.objects import Objects
from integrations.providers.hubspot.properties import KEYS
from integrations.providers.hubspot.recognising import Recognizer
from integrations.providers.hubspot.schema import Schema

log = logging.getLogger(__name__)

Inputs = Mapping[str, dict[str, Any]]


class Sending:
    def __init__(self, api: Api, schema: Schema, object_type: str) -> None:
        self._api = api
        self._schema = schema
        self._type = object_type
        self._key = KEYS.get(object_type, "")
        self.left_out: set[str] = set()
        """Properties that HubSpot turned out not to have."""

    def batch(self, action: str, inputs: Inputs) -> dict[str, Result]:
        """What became of each. Those with an unknown property are sent once more, without it."""
        results = self._send(action, inputs)
        again: dict[str, dict[str, Any]] = {}
        for key, result in results.items():
            names = unknown_in(result)
            if names and self._key not in names:
                again[key] = {**inputs[key], "properties": self._without(inputs[key]["properties"], names)}
        return results | self._send(action, {key: one for key, one in again.items() if one["properties"]})

    def patch(self, record_id: str, properties: Mapping[str, str]) -> Result:
        """A single update follows merges: the id that comes back may be another."""
        result = self._patch(record_id, properties)
        names = unknown_in(result)
        left = self._without(properties, names) if names else {}
        return self._patch(record_id, left) if left else result

    def _patch(self, record_id: str, properties: Mapping[str, str]) -> Result:
        try:
            record = Objects(self._api).update(self._type, record_id, properties)
        except (errors.FixData, errors.Gone, errors.Stale) as error:
            return error
        return Stored(str(record["id"]), str(record.get("url") or ""))

    def _send(self, action: str, inputs: Inputs) -> dict[str, Result]:
        recognizer = Recognizer(inputs, self._key)
        return write_batch(self._api, self._type, action, inputs, recognizer.key_of)

    def _without(self, properties: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
        log.warning("HubSpot has no %s property %s (any more): it is left out. Mend the mapping.", self._type, names)
        self._schema.forget(self._type)
        self.left_out.update(names)
        return {name: value for name, value in properties.items() if name not in names}


def unknown_in(result: Result) -> tuple[str, ...]:
    """The properties that HubSpot refused because it does not have them."""
    unknown = isinstance(result, errors.FixData) and result.cause == UNKNOWN_PROPERTY
    return result.fields if unknown and isinstance(result, errors.FixData) else ()
