"""The traffic of one tenant: a dialer that posts calls and edits people, and somebody who works in the CRM.

A dialer that gets no answer sends again, as real ones do; now and then it gives up, and then nobody knows what became of it.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import requests

from config.demo.story import Client, DemoTenant
from tests.faults import books
from tests.faults.ledger import Known, Ledger, Logged, Newcomer

DISPOSITIONS = ("Connected", "No Answer", "Voicemail", "Meeting Booked", "Not Interested")
TIMEOUT = 25.0
TRIES = 12
GIVES_UP = 0.15
"""How often a dialer that heard nothing leaves it at that."""
NOT_NOW = {429, 502, 503, 504}
BULK = (3, 12)
DIALER, CRM, BOTH = "dialer", "CRM", "both"
FIELDS = ("title", "first_name")


@dataclass(frozen=True)
class Person:
    contact_id: str
    record_id: str
    object_type: str
    edited_by: str


class Traffic(threading.Thread):
    def __init__(self, web: str, tenant: DemoTenant, seed: int, pace: float, ledger: Ledger) -> None:
        """`pace` is the mean of seconds between two deeds. `webs` may change while it runs."""
        super().__init__(name=f"traffic of {tenant.slug}", daemon=True)
        self.tenant, self.webs, self.pace = tenant, [web], pace
        self.ledger = ledger
        self.trouble = ""
        self._random = Random(f"{seed} {tenant.slug}")
        self._ending = threading.Event()
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {tenant.api_key}"
        self._people: list[Person] = []
        self._number = 0

    def meet(self) -> None:
        """Reads who there is, and shares out who edits whom."""
        found = [one for one in Client(self.webs[0], self.tenant).contacts() if len(one["links"]) == 1]
        dialable = sorted((one for one in found if one["phone"] or one["mobile_phone"]), key=lambda one: one["id"])
        for place, one in enumerate(dialable):
            link = one["links"][0]
            side = (DIALER, CRM, DIALER, CRM, DIALER, CRM, DIALER, CRM, DIALER, BOTH)[place % 10]
            self._people.append(Person(one["id"], link["crm_record_id"], link["object_type"], side))
            self.ledger.records[one["id"]] = link["crm_record_id"]
        if len(self._people) < 100:
            raise RuntimeError(f"{self.tenant.slug} has only {len(self._people)} people to call.")

    def run(self) -> None:
        deeds: list[tuple[Callable[[], None], int]] = [
            (self._call, 40), (self._bulk, 4), (self._stage, 16), (self._edit, 14), (self._edit_by_hand, 14),
            (self._dispute, 3), (self._new_in_dialer, 3), (self._new_in_crm, 3), (self._read, 3),
        ]  # fmt: skip
        names, weights = [deed for deed, _ in deeds], [weight for _, weight in deeds]
        try:
            while not self._ending.wait(self._random.expovariate(1 / self.pace)):
                self._random.choices(names, weights)[0]()
        except Exception as error:  # noqa: BLE001 - told by the campaign, which would otherwise hear of less traffic only
            self.trouble = repr(error)

    def stop(self) -> None:
        self._ending.set()

    # --- calls ------------------------------------------------------------------------------------------------------

    def _call(self) -> None:
        call, body = self._new_call()
        answer = self._send("call", "POST", "/calls/", body, {200, 201})
        if answer is None:
            return
        call.id = answer["id"]
        call.notes.acknowledged(body["notes"])
        call.disposition.acknowledged(body["disposition"])
        if self._random.random() < 0.15:
            again = self._send("repeated call", "POST", "/calls/", body, {200})
            if again and again["id"] != call.id:
                self.ledger.problems.append(f"{call.external_id} got another id when it was posted again")

    def _bulk(self) -> None:
        made = [self._new_call() for _ in range(self._random.randint(*BULK))]
        answer = self._send("bulk", "POST", "/calls/bulk/", {"calls": [body for _, body in made]}, {200})
        for (call, body), result in zip(made, answer["results"] if answer else (), strict=False):
            if result["status"] not in {200, 201}:
                self.ledger.problems.append(f"{call.external_id} was answered {result}")
                continue
            call.id = result["id"]
            call.notes.acknowledged(body["notes"])
            call.disposition.acknowledged(body["disposition"])

    def _new_call(self) -> tuple[Logged, dict[str, Any]]:
        self._number += 1
        person, name = self._random.choice(self._people), f"{self.tenant.provider}-{self._number:05}"
        body: dict[str, Any] = {
            "external_id": name, "provider": self.tenant.provider, "crm_record_id": person.record_id,
            "direction": "outbound", "duration_seconds": self._random.randint(5, 900),
            "started_at": (datetime(2026, 1, 5, tzinfo=UTC) + timedelta(minutes=self._number)).isoformat(),
            "disposition": self._random.choice(DISPOSITIONS), "notes": f"note-{name}-0.",
        }  # fmt: skip
        call = Logged(name, person.record_id, person.contact_id, Known(""), Known(""))
        call.notes.sent(body["notes"])
        call.disposition.sent(body["disposition"])
        call.said.add(body["disposition"])
        self.ledger.calls.append(call)
        return call, body

    def _stage(self) -> None:
        """A later stage of a call. With `said_at`, so that one that hangs somewhere can't undo a younger one."""
        known = [one for one in self.ledger.calls[-60:] if one.id]
        if not known:
            return
        call = self._random.choice(known)
        call.stages += 1
        body = {
            "notes": f"note-{call.external_id}-{call.stages}.",
            "disposition": self._random.choice(DISPOSITIONS),
            "said_at": datetime.now(UTC).isoformat(),
        }
        call.notes.sent(body["notes"])
        call.disposition.sent(body["disposition"])
        call.said.add(body["disposition"])
        if self._send("stage", "PATCH", f"/calls/{call.id}/", body, {200}) is not None:
            call.notes.acknowledged(body["notes"])
            call.disposition.acknowledged(body["disposition"])

    # --- people -----------------------------------------------------------------------------------------------------

    def _someone(self, edited_by: str) -> tuple[Person, str, str]:
        person = self._random.choice([one for one in self._people if one.edited_by == edited_by])
        self._number += 1
        return person, self._random.choice(FIELDS), f"{edited_by} {self._number}"

    def _edit(self) -> None:
        person, field, value = self._someone(DIALER)
        known = self.ledger.edits.setdefault((person.contact_id, field), Known(""))
        if known.maybe:
            return  # an edit that nobody answered for may still come: whoever edits again could not tell the order
        known.sent(value)
        if self._send("edit", "PATCH", f"/contacts/{person.contact_id}/", {field: value}, {200}) is not None:
            known.acknowledged(value)

    def _edit_by_hand(self) -> None:
        person, field, value = self._someone(CRM)
        known = self.ledger.edits.setdefault((person.contact_id, field), Known(""))
        self._by_hand(person, field, value)
        known.acknowledged(value)

    def _by_hand(self, person: Person, field: str, value: str) -> None:
        tenant = self.tenant
        books.edit(tenant.provider, tenant.sandbox, person.object_type, person.record_id, field, value)
        self.ledger.sent["edit in the CRM"] += 1

    def _dispute(self) -> None:
        """Both sides change one field at once."""
        person, field, value = self._someone(BOTH)
        values = self.ledger.disputed.setdefault((person.contact_id, field), set())
        values |= {value, f"{value} by hand"}
        hand = threading.Thread(target=self._by_hand, args=(person, field, f"{value} by hand"), daemon=True)
        hand.start()
        self._send("disputed edit", "PATCH", f"/contacts/{person.contact_id}/", {field: value}, {200})
        hand.join()

    def _new_in_dialer(self) -> None:
        """Sent once: a dialer that doubts has no way to ask whether it was stored."""
        values = self._newcomer("dialer")
        new = Newcomer(values["email"], DIALER)
        self.ledger.newcomers.append(new)
        new.acknowledged = self._send("new person", "POST", "/contacts/", values, {201}, tries=1) is not None

    def _new_in_crm(self) -> None:
        values = self._newcomer("crm")
        books.add(self.tenant.provider, self.tenant.sandbox, values)
        self.ledger.newcomers.append(Newcomer(values["email"], CRM, acknowledged=True))
        self.ledger.sent["new person in the CRM"] += 1

    def _newcomer(self, side: str) -> dict[str, str]:
        self._number += 1
        name = f"{side}{self._number}"
        return {
            "first_name": f"First {name}",
            "last_name": f"Last {name}",
            "email": f"{name}.{self.tenant.provider}@faults.example",
            "title": "Newcomer",
            "company": "Faults Ltd",
        }

    def _read(self) -> None:
        self._send("read", "GET", "/contacts/?limit=50", None, {200}, tries=2)

    # --- the dialer's patience ----------------------------------------------------------------------------------------

    def _send(
        self, what: str, method: str, path: str, body: Any, good: set[int], tries: int = TRIES
    ) -> dict[str, Any] | None:
        """The answer's body; None when none came in the end. Whatever else is answered than "not now" is a problem."""
        self.ledger.sent[what] += 1
        for attempt in range(tries):
            if attempt:
                time.sleep(self._random.uniform(0.5, 2.0))
            try:
                answer = self._session.request(
                    method, f"{self._random.choice(self.webs)}/api/v1{path}", json=body, timeout=TIMEOUT
                )
            except requests.RequestException:
                self.ledger.answers["none"] += 1
                if self._random.random() < GIVES_UP:
                    return None
                continue
            self.ledger.answers[str(answer.status_code)] += 1
            if answer.status_code in good or (answer.status_code == 200 and 201 in good):
                found: dict[str, Any] = answer.json()
                return found
            if answer.status_code not in NOT_NOW:
                self.ledger.problems.append(f"{what}: {answer.status_code} {answer.text[:200]}")
                return None
        return None
