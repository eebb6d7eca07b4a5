"""What of a request or an answer may be kept: text without secrets, not too long; and the part of a batch that is about one record.

Headers are never kept at all. What the connection's credential holds is taken out by its very text, in every spelling in which a
body or an address may carry it; what merely looks like a secret goes with the patterns that also keep the logs clean.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote, quote_plus

from integrations.redaction import HIDDEN, without_secrets

MOST_CHARACTERS = 64 * 1024
"""Of one body: a batch of two hundred records fits."""
LONGEST_ADDRESS = 4000
SPARE = 8 * 1024
"""Characters that are looked at beyond what is kept, so that no secret is cut in two; longer ones there are none."""


def spellings(secrets: Iterable[str]) -> list[str]:
    """Each secret as it may stand in an address, a form, JSON or a basic log-in; the longest first."""
    found: set[str] = set()
    for one in secrets:
        if one:
            found |= {one, quote(one, safe=""), quote(one), quote_plus(one), json.dumps(one)[1:-1]}
            found |= {json.dumps(one, ensure_ascii=False)[1:-1], _base64(one), _base64(f"{one}:")}
    return sorted(found, key=len, reverse=True)


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()


def clean(text: str, hidden: Sequence[str], most: int = MOST_CHARACTERS) -> tuple[str, int]:
    """The text without secrets, and how many characters of it were left out. `hidden` as from `spellings`."""
    shown = text[: most + SPARE].replace("\0", "")  # which no column of text can hold
    for one in hidden:
        if one in shown:
            shown = shown.replace(one, HIDDEN)
    shown = without_secrets(shown)
    return shown[:most], max(0, len(text) - most)


def readable(body: Any) -> str:
    """A body as text: what is streamed or binary is only named."""
    if body is None:
        return ""
    if isinstance(body, str):
        return body
    if not isinstance(body, bytes | bytearray):
        return "(streamed)"
    try:
        return bytes(body).decode()
    except UnicodeDecodeError:
        return f"({len(body)} bytes that are no text)"


# --- one record of a batch ------------------------------------------------------------------------------------------------------


def parsed(text: str) -> Any:
    """The JSON, None for what is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def pretty(text: str) -> str:
    """JSON with its lines; other text as it is."""
    found = parsed(text)
    try:
        return json.dumps(found, ensure_ascii=False, indent=2) if isinstance(found, dict | list) else text
    except RecursionError:
        return text


def part_about(request: str, response: str, names: re.Pattern[str]) -> tuple[str, str, int]:
    """Both bodies with only those entries of their lists in which `names` is found, and how many others were left out.

    Answers that name nothing, but come in the order of the request's entries, are cut by their place.
    """
    asked, answered = parsed(request), parsed(response)
    places = _places(_batch(asked), names)
    answer_places = _places(_batch(answered), names)
    if not answer_places and places and len(_batch(answered)) == len(_batch(asked)):
        answer_places = places
    left_out = max(_left(asked, places), _left(answered, answer_places))
    return _only(request, asked, places), _only(response, answered, answer_places), left_out


def _batch(body: Any) -> list[Any]:
    """The entries of a body that is about several records: the body itself, or its longest list of objects."""
    if isinstance(body, list):
        return body if all(isinstance(one, dict) for one in body) else []
    if not isinstance(body, dict):
        return []
    lists = [
        one for one in body.values() if isinstance(one, list) and one and all(isinstance(two, dict) for two in one)
    ]
    return max(lists, key=len, default=[])


def _places(entries: Sequence[Any], names: re.Pattern[str]) -> list[int]:
    return [place for place, one in enumerate(entries) if names.search(json.dumps(one, ensure_ascii=False))]


def _left(body: Any, places: Sequence[int]) -> int:
    return len(_batch(body)) - len(places) if places else 0


def _only(text: str, body: Any, places: Sequence[int]) -> str:
    entries = _batch(body)
    if not places or len(places) == len(entries):
        return text
    kept = [entries[place] for place in places]
    if isinstance(body, list):
        return json.dumps(kept, ensure_ascii=False)
    return json.dumps({key: kept if value is entries else value for key, value in body.items()}, ensure_ascii=False)
