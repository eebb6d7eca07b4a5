"""What the fake CRM tells by itself: signed webhooks, and a stream of changes that remembers positions."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from integrations import errors
from integrations.contract.ports import Api, ChangeStream
from integrations.providers.base import CrmProvider
from integrations.records.events import Change, Delivery, RemoteEvent, Reply, StreamPage, Trust
from integrations.sandbox.http import Answer, Request, Service, route

APP_SECRET = "the-secret-of-the-fake-app"
CHANNEL = "/everything"
FRESH = timedelta(minutes=5)


def event(key: str, *ids: str, change: str = "updated", **more: Any) -> dict[str, Any]:
    """An event in the words of the fake CRM."""
    return {"key": key, "change": change, "object": "people", "ids": list(ids), **more}


def signature(secret: str, url: str, body: bytes, stamp: str) -> str:
    return hmac.new(secret.encode(), f"POST{url}{stamp}".encode() + body, hashlib.sha256).hexdigest()


def signed(url: str, body: bytes, *, secret: str = APP_SECRET, at: datetime | None = None) -> dict[str, str]:
    """The headers that go with a delivery to `url`."""
    stamp = (at or datetime.now(UTC)).isoformat()
    return {"X-Fake-Timestamp": stamp, "X-Fake-Signature": signature(secret, url, body, stamp)}


class EventsService(Service):
    """Every change is numbered. `retained` is the number of the oldest that is still told."""

    def note(self, change: str, *ids: str, object_type: str = "people", **more: Any) -> None:
        number = self.store.next_number("change")
        told = event(f"change-{number}", *ids, change=change, **more) | {"object": object_type, "number": number}
        self.store.put("changes", str(number), told)

    def put_person(self, record_id: str, fields: Mapping[str, Any], **more: Any) -> None:
        stamp = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.store.next_number("moment"))
        self.store.put("people", record_id, {"id": record_id, "fields": fields, "modified": stamp.isoformat(), **more})

    def add(self, object_type: str, fields: Mapping[str, Any]) -> str:
        record_id = str(self.store.next_number("person"))
        self.put_person(record_id, dict(fields))
        self.note("created", record_id)
        return record_id

    def edit(self, object_type: str, record_id: str, fields: Mapping[str, Any]) -> None:
        held = self.store.get("people", record_id)
        if held is None:
            raise KeyError(record_id)
        self.put_person(record_id, {**held["fields"], **fields})
        self.note("updated", record_id, changed=list(fields))

    def remove(self, object_type: str, record_id: str) -> None:
        self.store.delete("people", record_id)
        self.note("deleted", record_id)

    @route("GET", "/changes")
    def changes_after(self, request: Request) -> Answer:
        after = request.arg("after")
        numbered = sorted(self.store.all("changes"), key=lambda one: int(one["number"]))
        if not after:
            return Answer(200, {"last": numbered[-1]["number"] if numbered else 0, "events": []})
        retained = int((self.store.get("retained", "current") or {"number": 1})["number"])
        if int(after) + 1 < retained:
            return Answer(200, {"last": retained - 1, "events": [], "missed": True})
        found = [one for one in numbered if int(one["number"]) > int(after)][: int(request.arg("limit", "20"))]
        return Answer(200, {"last": found[-1]["number"] if found else int(after), "events": found})

    @route("GET", "/records")
    def records(self, request: Request) -> Answer:
        ids = request.arg("ids").split(",")
        if self.store.get("poisoned", "current") and set(ids) & set(
            (self.store.get("poisoned", "current") or {})["ids"]
        ):
            return Answer(400, {"message": "one of these is broken"})
        found = [self.store.get("people", one) for one in ids]
        return Answer(200, [one for one in found if one is not None])


class FakeStream:
    """Asks every few milliseconds. A thread that closes it ends the wait."""

    def __init__(self, api: Api, positions: Mapping[str, Any], every: float = 0.02) -> None:
        self.api = api
        self.position = positions.get(CHANNEL)
        self.every = every
        self.closed = threading.Event()

    def pages(self) -> Iterator[StreamPage]:
        while not self.closed.is_set():
            after = "" if self.position is None else self.position
            told = self.api.request("GET", "/changes", params={"after": after}).json()
            if told["events"] or told["last"] != self.position:
                self.position = told["last"]
                yield StreamPage(CHANNEL, events_of(told["events"]), self.position, missed=told.get("missed", False))
            else:
                yield StreamPage()
                self.closed.wait(self.every)

    def close(self) -> None:
        self.closed.set()


class EventsProvider(CrmProvider):
    has_stream = True

    @classmethod
    def verify(cls, delivery: Delivery, trust: Trust) -> None:
        secret = trust.secrets.get("webhook_secret", APP_SECRET)
        stamp = delivery.headers.get("x-fake-timestamp", "")
        right = signature(secret, delivery.url, delivery.body, stamp)
        if not hmac.compare_digest(right, delivery.headers.get("x-fake-signature", "")):
            raise errors.BadSignature("This was not signed by the fake CRM.")
        if abs(delivery.received_at - datetime.fromisoformat(stamp)) > FRESH:
            raise errors.BadSignature("This was signed too long ago.")

    @classmethod
    def read_delivery(cls, delivery: Delivery, trust: Trust) -> list[RemoteEvent]:
        try:
            told = json.loads(delivery.body)
        except ValueError as error:
            raise errors.FixData("This is not JSON.") from error
        return list(events_of(told))

    @classmethod
    def reply(cls, delivery: Delivery) -> Reply:
        return Reply(b'{"thanks": true}')

    def open_stream(self, positions: Mapping[str, Any]) -> ChangeStream:
        return FakeStream(self.api, positions)


def events_of(told: Iterable[Mapping[str, Any]]) -> Sequence[RemoteEvent]:
    return [
        RemoteEvent(
            dedupe_key=one["key"],
            change=Change(one["change"]),
            object_type=one["object"],
            record_ids=tuple(one["ids"]),
            occurred_at=datetime.fromisoformat(one["at"]) if "at" in one else None,
            account_id=one.get("account", ""),
            changed=tuple(one.get("changed", ())),
            values=one.get("values", {}),
            moved_to=one.get("moved_to", ""),
            ours=one.get("ours", False),
            raw=dict(one),
        )
        for one in told
    ]
