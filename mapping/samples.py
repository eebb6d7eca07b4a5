"""A few values that a CRM's fields hold, taken from records that are known, so that people recognise a field. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mapping.paths import PathError, compile_path
from mapping.places import MISSING, is_blank

MOST = 3
LONGEST = 40


def samples(records: Sequence[Mapping[str, Any]], paths: Iterable[str]) -> dict[str, list[str]]:
    """Different values by path, in the order of the records; paths without any are left out."""
    found = {path: _of(records, path) for path in paths}
    return {path: values for path, values in found.items() if values}


def _of(records: Sequence[Mapping[str, Any]], path: str) -> list[str]:
    try:
        place = compile_path(path)
    except PathError:
        return []
    seen: dict[str, None] = {}
    for record in records:
        value = place.get(record)
        if value is MISSING or is_blank(value) or isinstance(value, dict):
            continue
        seen.setdefault(shortened(value))
        if len(seen) == MOST:
            break
    return list(seen)


def shortened(value: Any) -> str:
    """A value in a few words."""
    text = ", ".join(map(_word, value)) if isinstance(value, list) else _word(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return str(value.get("value") or value.get("name") or "…")
    return str(value)
