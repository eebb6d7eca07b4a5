"""Change events → remote events, without a request of our own.

Three wrappings hold the same event: the CometD message, its `data`, and the bare `schema` and `payload` that a webhook sends.
Names inside are nested (`Name.LastName`, `MailingAddress.City`); mapping paths are flat, so each part of a compound becomes
the field it is. Values are a hint and never the truth: whatever an event leaves out (gaps, long texts, what a user may not
see) is fetched.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from integrations import errors
from integrations.providers.salesforce.ids import is_id, to_18
from integrations.records.events import Change, RemoteEvent

CLIENT = "DialerSync"
"""How our own writes are marked: the `client` of `Sforce-Call-Options`."""
HEADER = "ChangeEventHeader"
KINDS: Mapping[str, Change] = {
    "CREATE": Change.CREATED,
    "UPDATE": Change.UPDATED,
    "DELETE": Change.DELETED,
    "UNDELETE": Change.RESTORED,
}
GAP = "GAP_"
OVERFLOW = "GAP_OVERFLOW"
NO_RECORD = "000000000000000AAA"
MAX_KEY = 200
_ENTITY = re.compile(r"[A-Za-z]\w{0,79}")
_PLAIN = re.compile(r"[\x21-\x7e]+")

Compounds = Mapping[str, Sequence[str]]
"""Compound field → the fields it is made of, as describe tells them."""


def compounds(fields: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The compound fields of a describe."""
    found: dict[str, list[str]] = {}
    for field in fields:
        compound = str(field.get("compoundFieldName") or "")
        if compound and compound != field.get("name"):
            found.setdefault(compound, []).append(str(field["name"]))
    return found


def read(message: Mapping[str, Any], known: Compounds | None = None, *, key: str = "") -> RemoteEvent:
    """The event of a message in any of its wrappings. `key` replaces the key made of the transaction.

    Raises FixData when it is no change event.
    """
    payload = _payload(message)
    header = _header(payload)
    kind = str(header["changeType"])
    ids = _record_ids(header)
    change = KINDS.get(kind.removeprefix(GAP), Change.UPDATED)
    if kind == OVERFLOW or not ids:
        change, ids = Change.RESYNC, ()
    told = kind in KINDS and change is not Change.RESYNC
    names = Names(known or {})
    changed = names.changed(header, payload) if told else ()
    values = names.values(payload, changed) if told else {}
    return RemoteEvent(
        dedupe_key=key or _key(header, payload, ids),
        change=Change.MERGED if _heir(values, "MasterRecordId") else change,
        object_type=str(header["entityName"]),
        record_ids=ids,
        occurred_at=_moment(header.get("commitTimestamp")),
        changed=changed,
        values=values,
        moved_to=_moved_to(values),
        ours=is_ours(header.get("changeOrigin")),
        raw=message,
    )


def entity(message: Mapping[str, Any]) -> str:
    """The object that a message is about. Raises FixData when it is no change event."""
    return str(_header(_payload(message))["entityName"])


def replay_id(message: Mapping[str, Any]) -> int | None:
    """The place of an event in its channel; None where the wrapping has none."""
    data = message.get("data", message)
    event = data.get("event") if isinstance(data, Mapping) else None
    found = event.get("replayId") if isinstance(event, Mapping) else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def is_ours(origin: Any) -> bool:
    """`com/salesforce/api/rest/59.0;client=DialerSync`, with or without a slash at its end; nothing for a person's change."""
    tokens = str(origin or "").split(";")[1:]
    return any(token.strip().rstrip("/") == f"client={CLIENT}" for token in tokens)


# --- names and values -----------------------------------------------------------------------------------------------------


class Names:
    """From the nested names of events to the flat ones of mappings: by describe where it knows, else by rule."""

    def __init__(self, known: Compounds) -> None:
        self._known = known

    def flat(self, name: str) -> str:
        compound, _, part = name.partition(".")
        if not part:
            return name
        for member in self._known.get(compound, ()):
            if member.removesuffix("__s").endswith(part):
                return member
        return _by_rule(compound, part)

    def changed(self, header: Mapping[str, Any], payload: Mapping[str, Any]) -> tuple[str, ...]:
        """Enriched events hold fields that did not change, so the header is believed and not the body."""
        listed = header.get("changedFields")
        names = [str(name) for name in listed] if isinstance(listed, list) else []
        whole = [part for name in names for part in _parts(name, payload.get(name))]
        return tuple(dict.fromkeys(self.flat(name) for name in whole))

    def values(self, payload: Mapping[str, Any], changed: Sequence[str]) -> dict[str, Any]:
        """All values of a creation; of an update those that changed. Long texts come as a difference and are left out."""
        found = {}
        for name, value in payload.items():
            if name == HEADER:
                continue
            for part, leaf in _leaves(name, value):
                path = self.flat(part)
                if not _is_difference(leaf) and (not changed or path in changed):
                    found[path] = leaf
        return found | self._emptied(payload, changed)

    def _emptied(self, payload: Mapping[str, Any], changed: Sequence[str]) -> dict[str, Any]:
        """A compound that is null as a whole empties each of its parts that changed."""
        gone = [name for name, value in payload.items() if value is None and _is_compound(name, self._known)]
        return {path: None for name in gone for path in changed if self._belongs(path, name)}

    def _belongs(self, path: str, compound: str) -> bool:
        return path in self._known.get(compound, ()) or any(path == _by_rule(compound, part) for part in ADDRESS)


ADDRESS = ("Street", "City", "State", "StateCode", "PostalCode", "Country", "CountryCode", "Latitude", "Longitude")


def _by_rule(compound: str, part: str) -> str:
    if compound == "Name":
        return part
    if compound.endswith("__c"):
        return f"{compound.removesuffix('__c')}__{part}__s"
    if compound.endswith("Address"):
        return compound.removesuffix("Address") + part
    return f"{compound}.{part}"


def _is_compound(name: str, known: Compounds) -> bool:
    return name in known or name.endswith("Address")


def _parts(name: str, value: Any) -> list[str]:
    """A compound that is listed as a whole changed in the parts that the event carries."""
    if isinstance(value, Mapping) and not _is_difference(value):
        return [f"{name}.{part}" for part in value]
    return [name]


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and not _is_difference(value):
        yield from ((f"{name}.{part}", leaf) for part, leaf in value.items())
    else:
        yield name, value


def _is_difference(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {"diff"}


# --- the header -----------------------------------------------------------------------------------------------------------


def _payload(message: Mapping[str, Any]) -> Mapping[str, Any]:
    data = message.get("data", message)
    payload = data.get("payload") if isinstance(data, Mapping) else None
    if not isinstance(payload, Mapping):
        raise errors.FixData("This is no change event of Salesforce: it has no payload.")
    return payload


def _header(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    header = payload.get(HEADER)
    if not isinstance(header, Mapping) or not _ENTITY.fullmatch(str(header.get("entityName") or "")):
        raise errors.FixData(f"This is no change event of Salesforce: its {HEADER} names no object.")
    if not isinstance(header.get("recordIds"), list) or not header.get("changeType"):
        raise errors.FixData(f"This is no change event of Salesforce: its {HEADER} names no records or no change.")
    return header


def _record_ids(header: Mapping[str, Any]) -> tuple[str, ...]:
    """None at all if one of them stands for more than itself (`001*`) or for no record."""
    ids = [str(one) for one in header["recordIds"]]
    if not all(is_id(one) and to_18(one) != NO_RECORD for one in ids):
        return ()
    return tuple(dict.fromkeys(to_18(one) for one in ids))


def _key(header: Mapping[str, Any], payload: Mapping[str, Any], ids: Sequence[str]) -> str:
    """The same for every delivery of an event. Where the transaction is not told, its whole content stands for it."""
    transaction, number = str(header.get("transactionKey") or ""), header.get("sequenceNumber")
    told = _PLAIN.fullmatch(transaction) and isinstance(number, int)
    content = ",".join(sorted(ids)) if told else json.dumps(payload, sort_keys=True, default=str)
    place = str(number) if told else "-"
    digest = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:24]
    key = f"{transaction}:{place}:{header['entityName']}:{digest}"
    if told and len(key) <= MAX_KEY:
        return key
    return "event:" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _moment(milliseconds: Any) -> datetime | None:
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _moved_to(values: Mapping[str, Any]) -> str:
    """The contact that a lead became, or the winner of a merge, when the event happens to say so. Fetching tells the rest."""
    converted = values.get("IsConverted") is True and _heir(values, "ConvertedContactId")
    return converted or _heir(values, "MasterRecordId")


def _heir(values: Mapping[str, Any], name: str) -> str:
    found = str(values.get(name) or "")
    return to_18(found) if is_id(found) else ""
