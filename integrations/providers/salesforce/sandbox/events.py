"""The organisation's change events: what a transaction changed becomes events, which are kept for 72 hours.

Like the real ones: several changes of a record in one transaction are one event, the same change of several records is one
event with many ids, names are nested, an update carries changed fields only, long texts come as a difference, numbers of
events have holes.
"""

import uuid
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from integrations.providers.salesforce.sandbox.org import PENDING, Org
from integrations.sandbox.faults import Faults
from integrations.sandbox.store import Document

EVENTS = "_events"
RETENTION = 72 * 3600
NO_RECORD = "000000000000000AAA"
FIRST_COMMIT = 1_082_985_383_811
"""Greater than 32 bits hold, as in a real organisation."""
LONG_TEXT = 1_000
NOT_TOLD = {"Id", "IsDeleted", "SystemModstamp", "MasterRecordId", "Address", "MailingAddress", "LastActivityDate"}
NAMED = {"Lead", "Contact", "User"}
NAME_PARTS = {"FirstName", "LastName", "MiddleName", "Salutation", "Suffix"}
ADDRESS_PARTS = ("Street", "City", "State", "PostalCode", "Country")
PREFIXES: Mapping[str, tuple[str, ...]] = {
    "Lead": ("",),
    "Contact": ("Mailing", "Other"),
    "Account": ("Billing", "Shipping"),
}


@dataclass(slots=True)
class Noted:
    """What a transaction did to one record, all in all."""

    object_type: str
    record_id: str
    kind: str
    origin: str
    user: str
    fields: dict[str, None] = field(default_factory=dict)

    def and_then(self, kind: str, fields: Iterable[str]) -> None:
        self.kind = "CREATE" if self.kind == "CREATE" and kind == "UPDATE" else kind
        self.fields |= dict.fromkeys(fields)


class Journal:
    def __init__(self, org: Org, faults: Faults) -> None:
        self._org = org
        self._faults = faults
        self._kept = sorted(org.store.all(EVENTS), key=_place)

    def publish(self, notes: Sequence[Noted]) -> list[Document]:
        """The events of one transaction."""
        transaction = self._transaction()
        merged: dict[str, tuple[Noted, list[str], Document]] = {}
        for note in notes:
            values = self._values(note)
            alike = repr((note.object_type, note.kind, note.origin, note.user, sorted(values.items(), key=str)))
            merged.setdefault(alike, (note, [], values))[1].append(note.record_id)
        return [
            self._keep(note, ids, values, transaction, number)
            for number, (note, ids, values) in enumerate(merged.values(), start=1)
        ]

    def emit(self, object_type: str, kind: str, ids: Sequence[str]) -> Document:
        """An event that tells of no values: a gap, an overflow, a wildcard."""
        note = Noted(object_type, "", kind, "", str(next(self._org.store.all("User"))["Id"]))
        return self._keep(note, list(ids), {}, self._transaction(), 1)

    def _transaction(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_OID, str(self._org.store.next_number("transaction"))))

    def _keep(self, note: Noted, ids: list[str], values: Document, transaction: str, number: int) -> Document:
        kind, ids, values = self._spoilt(note, ids, values)
        commit = self._org.store.next_number("commit")
        now = self._org.clock.timestamp()
        header = {
            "entityName": note.object_type,
            "recordIds": ids,
            "changeType": kind,
            "changeOrigin": note.origin,
            "transactionKey": transaction,
            "sequenceNumber": number,
            "commitTimestamp": int(now * 1000),
            "commitNumber": FIRST_COMMIT + commit,
            "commitUser": note.user,
        }
        replay = commit * 3 + commit % 2
        fields = list(values) if kind == "UPDATE" else []
        event = {"replay": replay, "at": now, "header": header, "values": values, "fields": fields}
        self._drop_old()
        self._kept.append(event)
        return self._org.store.put(EVENTS, str(replay), event)

    def _spoilt(self, note: Noted, ids: list[str], values: Document) -> tuple[str, list[str], Document]:
        """The dials `gap` and `overflow` take an event's values, or its records too."""
        if self._faults.draw("EVENT", f"/{note.object_type}", "overflow"):
            return "GAP_OVERFLOW", [NO_RECORD], {}
        if not note.kind.startswith("GAP_") and self._faults.draw("EVENT", f"/{note.object_type}", "gap"):
            return f"GAP_{note.kind}", ids, {}
        return note.kind, ids, values

    def _values(self, note: Noted) -> Document:
        row = self._org.store.get(note.object_type, note.record_id) or {}
        known = self._org.fields(note.object_type)
        if note.kind == "UPDATE":
            names = [name for name in note.fields if name in known]
        elif note.kind in {"CREATE", "UNDELETE"}:
            names = [name for name in known if row.get(name) not in (None, "")]
        else:
            return {}
        told = [name for name in dict.fromkeys([*names, "LastModifiedDate"]) if _is_told(note.object_type, name)]
        return {name: row.get(name) for name in told}

    def committed(self, note: Noted) -> bool:
        return self._org.store.get(PENDING, note.record_id) is None

    # --- reading --------------------------------------------------------------------------------------------------------

    def after(self, place: int) -> Iterator[Document]:
        """The events behind this one, in their order, as far as they are kept."""
        self._drop_old()
        for number in range(bisect_right(self._kept, place, key=_place), len(self._kept)):
            yield self._kept[number]

    def has(self, place: int) -> bool:
        return any(event["replay"] == place for event in self.after(place - 1))

    def last(self) -> int:
        return _place(self._kept[-1]) if self._kept else 0

    def _drop_old(self) -> None:
        oldest = self._org.clock.timestamp() - RETENTION
        while self._kept and self._kept[0]["at"] < oldest:
            self._org.store.delete(EVENTS, str(self._kept.pop(0)["replay"]))


def _place(event: Document) -> int:
    return int(event["replay"])


def message(event: Document, channel: str, visible: Iterable[str]) -> dict[str, Any]:
    """The event as a subscriber gets it who may see these fields; the others are gone without a word."""
    object_type = event["header"]["entityName"]
    seen = set(visible)
    payload: dict[str, Any] = {}
    for name, value in event["values"].items():
        if name in seen:
            outer, _, inner = nested(object_type, name).partition(".")
            target = payload.setdefault(outer, {}) if inner else payload
            target[inner or outer] = _told(value)
    changed = [nested(object_type, name) for name in event["fields"] if name in seen]
    payload["ChangeEventHeader"] = {**event["header"], "changedFields": changed}
    data = {"schema": "IeRuaY6cbI_HsV8Rv1Mc5g", "payload": payload, "event": {"replayId": event["replay"]}}
    return {"channel": channel, "data": data}


def nested(object_type: str, name: str) -> str:
    if object_type in NAMED and name in NAME_PARTS:
        return f"Name.{name}"
    for prefix in PREFIXES.get(object_type, ()):
        part = name.removeprefix(prefix)
        if name.startswith(prefix) and part in ADDRESS_PARTS:
            return f"{prefix}Address.{part}"
    return name


def _is_told(object_type: str, name: str) -> bool:
    return name not in NOT_TOLD and not (name == "Name" and object_type in NAMED)


def _told(value: Any) -> Any:
    if isinstance(value, str) and len(value) >= LONG_TEXT:
        return {"diff": f"--- \n+++ 0f{len(value):x}\n@@ -1 +1 @@\n"}
    return f"{value[:19]}Z" if isinstance(value, str) and value.endswith(".000+0000") else value
