"""A call's outcome, from a word to the GUID that HubSpot keeps."""

import logging
import re
from collections.abc import Mapping, Sequence
from time import monotonic

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.hubspot.answers import body_of
from integrations.providers.hubspot.endpoints import path
from integrations.records.connections import Connection
from integrations.transport.classify import json_of

log = logging.getLogger(__name__)

PROPERTY = "hs_call_disposition"
STANDARD: Mapping[str, str] = {
    "busy": "9d9162e7-6cf3-4944-bf63-4dff82258764",
    "connected": "f240bbac-87c9-4f6e-bf70-924b57d47db7",
    "left-live-message": "a4c4c377-d246-4b32-a13b-75a56a4cd0ff",
    "left-voicemail": "b2cf5968-551e-4856-9783-52b3da59a7d0",
    "no-answer": "73a0d17f-1163-4015-bdd5-ec830791da20",
    "wrong-number": "17b47fee-58de-441e-a44c-c6300d46f273",
}
"""Word → GUID of the outcomes that every portal starts with."""


KEPT_SECONDS = 600.0
_kept: dict[str, tuple[float, dict[str, str]]] = {}
"""Connection → until when this process asks no more, on the monotonic clock, and what it was told."""


class Outcomes:
    """The portal's own outcomes. Every slice of work makes a provider anew, so what one was told serves the next ones, too; only a
    word that is not among them is looked for again."""

    def __init__(self, api: Api, connection: Connection) -> None:
        self._api = api
        self._connection = connection
        self._asked = False

    def guid(self, word: str) -> str:
        """Takes a label, a slug or the GUID itself. Empty for an outcome that this portal does not have."""
        if not word:
            return ""
        found = self._known().get(slug(word), "")
        if not found and not self._asked:
            _kept.pop(self._connection.id, None)
            found = self._known().get(slug(word), "")
        if not found:
            log.warning("HubSpot has no call outcome %r: the call is logged without one.", word)
        return found

    def _known(self) -> dict[str, str]:
        until, guids = _kept.get(self._connection.id, (0.0, {}))
        if until <= monotonic():
            guids, self._asked = self._load(), True
            _kept[self._connection.id] = monotonic() + KEPT_SECONDS, guids
        return guids

    def _load(self) -> dict[str, str]:
        own = self._options() or self._dispositions()
        guids = set(own.values()) or set(STANDARD.values())
        standard = {word: guid for word, guid in STANDARD.items() if guid in guids}
        return {**standard, **own, **{slug(guid): guid for guid in guids}}

    def _options(self) -> dict[str, str]:
        try:
            body = body_of(self._api.request("GET", path("property", type="calls", name=PROPERTY)))
        except (errors.FixConfig, errors.Gone):
            return {}
        return {slug(str(option.get("label", ""))): str(option["value"]) for option in body.get("options") or []}

    def _dispositions(self) -> dict[str, str]:
        """The older list, which HubSpot will switch off one day: asked only where the property tells nothing."""
        try:
            told = json_of(self._api.request("GET", path("dispositions")))
        except (errors.FixConfig, errors.FixData, errors.Gone):
            return {}
        listed = [one for one in told if isinstance(one, dict) and one.get("id")] if isinstance(told, list) else []
        return {slug(str(one.get("label", ""))): str(one["id"]) for one in listed if not one.get("deleted")}


def choice_of(word: str, choices: Sequence[tuple[str, str]]) -> str | None:
    """The GUID among the portal's choices that a label, a slug or a GUID stands for."""
    guids = {guid for guid, _label in choices}
    by_word = {
        **{known: guid for known, guid in STANDARD.items() if guid in guids},
        **{slug(label): guid for guid, label in choices},
        **{slug(guid): guid for guid in guids},
    }
    return by_word.get(slug(word))


def slug(text: str) -> str:
    return re.sub(r"[\W_]+", "-", text.strip().lower()).strip("-")
