"""Whose an answered record is. The order of an answer is not ours, and HubSpot does not always repeat our trace ids."""

from collections.abc import Mapping
from typing import Any

Inputs = Mapping[str, dict[str, Any]]


class Recognizer:
    """By our key's property, else by the record's id, else by the values that came back. Gives each key away once."""

    def __init__(self, inputs: Inputs, key_property: str) -> None:
        self._key_property = key_property
        self._by_id = {str(one["id"]): key for key, one in inputs.items() if one.get("id")}
        self._values = {key: _folded(one.get("properties") or {}) for key, one in inputs.items()}
        self._left = dict.fromkeys(inputs)

    def key_of(self, record: Mapping[str, Any]) -> str:
        """Empty when it is nobody's, or could be one of several that differ."""
        properties = record.get("properties") or {}
        held = str(properties.get(self._key_property) or "") if self._key_property else ""
        key = held if held in self._values else self._by_id.get(str(record["id"])) or self._alike(_folded(properties))
        self._left.pop(key, None)
        return key

    def _alike(self, properties: Mapping[str, str]) -> str:
        alike = {key: len(self._values[key].items() & properties.items()) for key in self._left}
        most = max(alike.values(), default=0)
        best = [key for key, count in alike.items() if count == most]
        if not most or any(self._values[key] != self._values[best[0]] for key in best):
            return ""
        return best[0]


def _folded(properties: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value).strip().casefold() for name, value in properties.items() if value}
