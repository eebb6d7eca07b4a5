"""Both sides compared at the end: the CRMs' own books, what the dialer reads, and what the traffic was acknowledged."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

from config.demo.story import Client, DemoTenant
from tests.faults import books
from tests.faults.ledger import Ledger, Logged
from tests.faults.site import Site

MOST_TOLD = 15
COMPARED = ("first_name", "last_name", "title")
STRANGER = 5522334
"""HubSpot's app is told of another portal, too, which is acknowledged and left out."""


@dataclass
class Verdict:
    """Of one tenant."""

    tenant: DemoTenant
    counts: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)

    def note(self, kind: str, problem: str) -> None:
        """`kind` is lost, doubled or wrong."""
        self.counts[kind] += 1
        self.told.append(f"{kind}: {self.tenant.provider}: {problem}")

    @property
    def ok(self) -> bool:
        return not any(self.counts[kind] for kind in ("lost", "doubled", "wrong"))


def audit(site: Site, tenant: DemoTenant, ledger: Ledger) -> Verdict:
    found = Verdict(tenant)
    client = Client(site.web, tenant)
    contacts = [one for one in client.contacts() if not one["deleted"]]
    held = books.people(tenant.provider, tenant.sandbox)
    _calls(found, client, ledger)
    _people(found, ledger, {one["id"]: one for one in contacts}, held, _open_conflicts(site, tenant))
    _newcomers(found, ledger, contacts, held)
    _deliveries(found, site)
    _dead(found, site)
    for problem in ledger.problems:
        found.note("wrong", problem)
    return found


# --- calls ----------------------------------------------------------------------------------------------------------


def _calls(found: Verdict, client: Client, ledger: Ledger) -> None:
    for call in ledger.calls:
        if not call.id:
            call.id = _stored_all_the_same(client, call)
            found.counts["calls without an answer"] += 1
            found.counts["… stored all the same"] += bool(call.id)
        else:
            found.counts["calls acknowledged"] += 1
    stored = {one.id: one for one in ledger.calls if one.id}
    if len(stored) != sum(1 for one in ledger.calls if one.id):
        found.note("wrong", "two calls have one id")
    answer = requests.post(f"{found.tenant.sandbox}/_sandbox/calls", json={"ids": list(stored)}, timeout=300)
    answer.raise_for_status()
    kept = answer.json()
    texts = _texts_by_name(found)
    for call in stored.values():
        _call(found, call, kept["found"][call.id], kept["outcomes"], texts.get(call.external_id, []))
    strangers = kept["total"] - sum(len(one) for one in kept["found"].values())
    for _ in range(strangers):
        found.note("wrong", "the CRM holds a call that nobody posted")


def _stored_all_the_same(client: Client, call: Logged) -> str:
    results = client._get("/calls/", {"external_id": call.external_id})["results"]
    return str(results[0]["id"]) if results else ""


def _call(
    found: Verdict, call: Logged, kept: list[Mapping[str, str]], outcomes: Mapping[str, str], texts: list[str]
) -> None:
    if not kept:
        found.note("lost", f"{call.external_id} ({call.id}) is not in the CRM")
    elif len(kept) > 1:
        found.note("doubled", f"{call.external_id} ({call.id}) is there {len(kept)} times")
    else:
        found.counts["calls once"] += 1
    for one in kept:
        if one["record_id"] != call.record_id:
            found.note("wrong", f"{call.external_id} is on {one['record_id']} instead of {call.record_id}")
        wanted = {outcomes[name] for name in (call.disposition.sure, *call.disposition.maybe) if name}
        if "" in wanted:  # a CRM without a word for it keeps the outcome that it had
            wanted |= {outcomes[name] for name in call.said}
        if one["outcome"] not in wanted:
            found.note("wrong", f"{call.external_id} ended as {one['outcome']!r} instead of {sorted(wanted)}")
    if kept and not any(call.notes.fits(text) for text in texts):
        found.note("wrong", f"{call.external_id} says {texts} instead of {call.notes.sure!r}")


def _texts_by_name(found: Verdict) -> dict[str, list[str]]:
    """Call → the marks of notes that the CRM holds of it."""
    marks: dict[str, list[str]] = {}
    for text in books.said(found.tenant.provider, found.tenant.sandbox):
        start = text.find("note-")
        if start >= 0:
            mark = text[start : text.find(".", start) + 1]
            marks.setdefault(mark.removeprefix("note-").rpartition("-")[0], []).append(mark)
    return marks


# --- people ---------------------------------------------------------------------------------------------------------


def _people(
    found: Verdict,
    ledger: Ledger,
    contacts: Mapping[str, Mapping[str, Any]],
    held: Mapping[str, Mapping[str, str]],
    open_conflicts: set[tuple[str, str]],
) -> None:
    called = {one.contact_id for one in ledger.calls}
    touched = called | {contact for contact, _ in (*ledger.edits, *ledger.disputed)}
    for contact_id in sorted(touched):
        ours, theirs = contacts.get(contact_id), held.get(ledger.records[contact_id])
        if ours is None or theirs is None:
            found.note("lost", f"contact {contact_id} or its record {ledger.records[contact_id]} is gone")
            continue
        found.counts["people compared"] += 1
        for name in _differing(ours, theirs):
            if (contact_id, name) in open_conflicts:
                found.counts["open conflicts"] += 1
            else:
                found.note("wrong", f"{name} of {contact_id}: {ours[name]!r} here, {theirs[name]!r} there")
        _count(found, contact_id, ledger, str(ours["call_count"]), theirs["count"])
    for (contact_id, name), known in ledger.edits.items():
        value = str((contacts.get(contact_id) or {}).get(name) or "")
        found.counts["edits compared"] += 1
        if known.sure and not known.fits(value):
            found.note("wrong", f"{name} of {contact_id} is {value!r} instead of {known.sure!r} {sorted(known.maybe)}")
    for (contact_id, name), values in ledger.disputed.items():
        value = str((contacts.get(contact_id) or {}).get(name) or "")
        if value not in values:
            found.note(
                "wrong", f"disputed {name} of {contact_id} is {value!r}, which nobody said lately: {sorted(values)}"
            )


def _differing(ours: Mapping[str, Any], theirs: Mapping[str, str]) -> Iterator[str]:
    for name in COMPARED:
        if str(ours[name] or "").strip() != theirs[name]:
            yield name


def _count(found: Verdict, contact_id: str, ledger: Ledger, ours: str, theirs: str) -> None:
    wanted = sum(1 for one in ledger.calls if one.contact_id == contact_id and one.id)
    if not wanted:
        return
    if int(ours) != wanted:
        found.note("wrong", f"{contact_id} was called {wanted} times, and the dialer reads {ours}")
    if theirs != ours:
        found.note("wrong", f"{contact_id} was called {ours} times, and the CRM says {theirs}")


def _newcomers(
    found: Verdict, ledger: Ledger, contacts: list[dict[str, Any]], held: Mapping[str, Mapping[str, str]]
) -> None:
    here = Counter(str(one["email"]).lower() for one in contacts)
    there = Counter(one["email"].lower() for one in held.values())
    for new in ledger.newcomers:
        found.counts["new people"] += 1
        for place, times in (("dialer", here[new.email]), ("CRM", there[new.email])):
            if times > 1:
                found.note("doubled", f"{new.email} is {times} times in the {place}")
            elif not times and (new.acknowledged or here[new.email]):
                found.note("lost", f"{new.email}, made in the {new.side}, is not in the {place}")


# --- deliveries and jobs --------------------------------------------------------------------------------------------


def _deliveries(found: Verdict, site: Site) -> None:
    """Each event that was acknowledged is stored, and what is stored was applied."""
    slug = found.tenant.provider
    rows = site.ask(
        "SELECT dedupe_key, state FROM inbox_events JOIN crm_credentials c ON c.id = connection_id WHERE c.provider = %s",
        slug,
    )
    stored = {str(key).rpartition("|")[2] for key, _ in rows}
    told = {key for path, body in site.wire.acknowledged if f"/{slug}/" in path for key in _keys(body)}
    found.counts["events acknowledged"] += len(told)
    found.counts["events stored"] += len(rows)
    for key in told - stored:
        found.note("lost", f"event {key} was acknowledged and is not stored")
    for key, state in rows:
        if state != "worked":
            found.note("lost", f"event {key} is {state}")


def _keys(body: bytes) -> Iterator[str]:
    """What the inbox calls each event of a delivery."""
    told = json.loads(body)
    for one in told if isinstance(told, list) else [told]:
        if one.get("portalId") != STRANGER:
            yield str(one["eventId"])


def _dead(found: Verdict, site: Site) -> None:
    rows = site.ask(
        "SELECT kind, cause, left(error_detail, 200), count(*) FROM sync_jobs JOIN crm_credentials c ON c.id = connection_id"
        " WHERE c.provider = %s AND state = 'dead' GROUP BY 1, 2, 3",
        found.tenant.provider,
    )
    for kind, cause, detail, count in rows:
        found.counts["dead jobs"] += count
        found.note("lost", f"{count} × {kind} died of {cause}: {detail}")


def _open_conflicts(site: Site, tenant: DemoTenant) -> set[tuple[str, str]]:
    rows = site.ask(
        "SELECT contact_id::text, field FROM conflicts JOIN tenants t ON t.id = conflicts.tenant_id"
        " WHERE t.slug = %s AND conflicts.status = 'open'",
        tenant.slug,
    )
    return {(str(contact), str(name)) for contact, name in rows}


# --- calm -----------------------------------------------------------------------------------------------------------

WAITING = """
SELECT (SELECT count(*) FROM sync_jobs WHERE state IN ('ready', 'leased')),
       (SELECT count(*) FROM inbox_events WHERE state = 'received')
"""


def drained(site: Site, seconds: float, say: Callable[[str], None], each: Callable[[], None]) -> bool:
    """Waits until nothing is left to do, three looks in a row."""
    until, quiet, told = time.monotonic() + seconds, 0, 0.0
    while time.monotonic() < until:
        each()
        jobs, events = site.ask(WAITING)[0]
        quiet = quiet + 1 if not jobs and not events else 0
        if quiet == 3:
            return True
        if time.monotonic() - told > 15:
            told = time.monotonic()
            say(f"{jobs} jobs and {events} events are left")
        time.sleep(1.0)
    return False


def table(verdicts: list[Verdict]) -> str:
    """One column for each CRM."""
    names = list(dict.fromkeys(name for one in verdicts for name in one.counts))
    names = [name for name in names if name not in {"lost", "doubled", "wrong"}] + ["lost", "doubled", "wrong"]
    rows = [["", *(one.tenant.provider for one in verdicts)]]
    rows += [[name, *(f"{one.counts[name]:,}" for one in verdicts)] for name in names]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join("  ".join(_cells(row, widths)) for row in rows)


def _cells(row: list[str], widths: list[int]) -> list[str]:
    return [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
