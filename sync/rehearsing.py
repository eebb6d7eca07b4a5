"""Tries a candidate mapping or conflict policy on the stored snapshots, in slices, and counts what it would do. Nothing is touched.

The decisions are the engine's own: the same mapping session and the same three-way comparison as for a page from the CRM. What is
counted is therefore what promoting does afterwards, unless somebody edits the same contacts meanwhile.
"""

import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from integrations.providers.base import CrmProvider
from mapping.compiled import CompiledMapping, MappingError
from mapping.publishing import Published, compiled
from sync import queue, snapshots, values
from sync.drafts import Candidate, Part, fingerprint
from sync.handlers import Result
from sync.inbound import PageWriter
from sync.merge import Decision, same
from sync.models import Contact, Lane, Rehearsal, SyncJob, SyncRecord
from sync.outgoing import differing
from sync.page import Work
from sync.pushes import CONTACTS
from sync.queue import Claim, Outcome

KIND = "rehearse"
SLICE_SECONDS = 5.0
RECORDS_AT_ONCE = 500
SAMPLES = 20
"""So many records are shown for each field."""
MOST_PROBLEMS = 50
RESULTS = ("counts", "by_field", "problems", "samples", "cost")
NOTHING_DIFFERS = "Nothing in this draft differs from what is in force. Change a row or the policy first."
NO_SNAPSHOTS = (
    "Nothing is known yet of the records of this CRM. Run a full load of the connection first: "
    "every record that is read is remembered, and rehearsals need no further reading."
)
NOT_USABLE = "The connection is not working now, so the rehearsal could not run. Connect it again first."


class Refused(Exception):
    """Why it can't be done, as a sentence for the person who asked."""


def start(rehearsal: Rehearsal) -> None:
    """Begins, or begins again, in the background. Raises Refused."""
    candidate = Candidate(rehearsal)
    if not rehearsal.connection.is_usable:
        raise Refused(NOT_USABLE)
    check(candidate)
    if not candidate.differs:
        raise Refused(NOTHING_DIFFERS)
    if any(part.inbound for part in candidate.parts) and not snapshots.any_of(candidate.connections):
        raise Refused(NO_SNAPSHOTS)
    for name in RESULTS:
        setattr(rehearsal, name, {})
    rehearsal.status, rehearsal.position, rehearsal.done, rehearsal.error = Rehearsal.Status.RUNNING, {}, 0, ""
    rehearsal.basis, rehearsal.tried = candidate.basis.as_json(), fingerprint(rehearsal)
    rehearsal.total = sum(snapshots.linked(part.connection, kind).count() for part, kind in candidate.steps)
    with transaction.atomic():
        rehearsal.save()
        queue.enqueue([job_for(rehearsal)])


def check(candidate: Candidate) -> None:
    """Raises Refused with every problem of the candidate's rows."""
    try:
        for kind in snapshots.kinds_of(candidate.own.connection):
            candidate.own.whole(kind)
    except MappingError as error:
        raise Refused(f"This mapping can't be used. {error}") from error


def job_for(rehearsal: Rehearsal) -> SyncJob:
    return SyncJob(
        tenant_id=rehearsal.tenant_id,
        connection_id=rehearsal.connection_id,
        kind=KIND,
        key=str(rehearsal.pk),
        lane=Lane.BACKFILL,
    )


def cancel(rehearsal: Rehearsal) -> bool:
    """Stops a running rehearsal; the draft stays. False: it was not running."""
    running = Rehearsal.objects.filter(pk=rehearsal.pk, status=Rehearsal.Status.RUNNING)
    return bool(running.update(status=Rehearsal.Status.DRAFT))


def reopen(rehearsal: Rehearsal) -> bool:
    """Makes a draft of it again, without its results. False: it is running, in force or discarded."""
    over = Rehearsal.objects.filter(pk=rehearsal.pk, status__in=[Rehearsal.Status.READY, Rehearsal.Status.FAILED])
    return bool(over.update(status=Rehearsal.Status.DRAFT, done=0, error="", **{name: {} for name in RESULTS}))


def redraft(rehearsal: Rehearsal, **draft: Any) -> bool:
    """Another `rows` or `policy` for the draft. False: it is no draft now."""
    drafts = Rehearsal.objects.filter(pk=rehearsal.pk, status=Rehearsal.Status.DRAFT)
    return bool(drafts.update(**draft))


def discard(rehearsal: Rehearsal) -> bool:
    """False: it is in force, or was discarded already."""
    over = (Rehearsal.Status.PROMOTED, Rehearsal.Status.DISCARDED)
    rows = Rehearsal.objects.filter(pk=rehearsal.pk).exclude(status__in=over)
    return bool(rows.update(status=Rehearsal.Status.DISCARDED, samples={}))


def forget_people(contact_ids: Collection[UUID], **_: Any) -> None:
    """Receiver of `sync.erasing.contacts_erased`: what was shown of erased people goes."""
    gone = {str(one) for one in contact_ids}
    changed = []
    for row in Rehearsal.objects.exclude(samples={}):
        kept = {field: [one for one in rows if one["contact"] not in gone] for field, rows in row.samples.items()}
        if kept != row.samples:
            row.samples = kept
            changed.append(row)
    Rehearsal.objects.bulk_update(changed, ["samples"])


# --- the job --------------------------------------------------------------------------------------------------------


class RehearseHandler:
    """One rehearsal for some seconds; the job then goes to the end of its lane."""

    def batch_size(self, provider: type[CrmProvider]) -> int:
        return 1

    def work(self, provider: CrmProvider, claimed: Claim) -> Result:
        job = claimed.jobs[0]
        rehearsal = Rehearsal.objects.select_related("connection__tenant").filter(pk=job.key).first()
        if rehearsal is None or rehearsal.status != Rehearsal.Status.RUNNING:
            return Result([Outcome(job, "done")])
        finished = go_on(rehearsal, seconds=SLICE_SECONDS)
        return Result([Outcome(job, "done") if finished else Outcome(job, "ready", counts=False)])


def go_on(rehearsal: Rehearsal, *, seconds: float) -> bool:
    """Tries slices for about `seconds`, at least one. True: there is nothing left to do, or nobody wants it any more."""
    started = time.monotonic()
    candidate = Candidate(rehearsal)
    while True:
        steps = candidate.steps
        number = rehearsal.position.get("step", 0)
        if number >= len(steps):
            _save(rehearsal, status=Rehearsal.Status.READY)
            return True
        try:
            part, kind = steps[number]
            after = _try(rehearsal, part, kind, rehearsal.position.get("after", ""))
        except MappingError as error:
            _save(rehearsal, status=Rehearsal.Status.FAILED, error=str(error))
            return True
        rehearsal.position = {"step": number, "after": after} if after else {"step": number + 1, "after": ""}
        if not _save(rehearsal):
            return True
        if time.monotonic() - started > seconds:
            return False


def _save(rehearsal: Rehearsal, **more: Any) -> bool:
    """False: it was cancelled or discarded meanwhile, and stays so."""
    state = {name: getattr(rehearsal, name) for name in (*RESULTS, "done", "position")}
    running = Rehearsal.objects.filter(pk=rehearsal.pk, status=Rehearsal.Status.RUNNING)
    return bool(running.update(**state, **more))


def _try(rehearsal: Rehearsal, part: Part, kind: str, after: str) -> str:
    """Tries the next records. Returns where to go on; empty at the end of this kind."""
    reading = part.reading(kind)
    with transaction.atomic(), reading.session() as session:
        found = snapshots.read(part.connection, kind, reading, after=after, limit=RECORDS_AT_ONCE)
        writer = PageWriter(part.connection, None, session, object_type=kind)
        writer.strategy = part.strategy
        works = writer.decide(found.known)
        tally = Tally(rehearsal, part)
        tally.outcomes(works)
        tally.lack(found.lacking, reading)
        tally.writes(works, found.lacking, Published(0, part.writing(kind)))
        if writer.has_siblings:
            tally.elsewhere([work for work in works if any(one.changed for one in work.decisions)])
    rehearsal.done += found.size
    return found.after


class Tally:
    """Adds up what the records of one slice would do, in the rehearsal's own columns."""

    def __init__(self, rehearsal: Rehearsal, part: Part) -> None:
        self.rehearsal = rehearsal
        self.part = part

    def outcomes(self, works: Iterable[Work]) -> None:
        """In the words of a run: a record counts as changed or unchanged, and besides for its conflicts and problems."""
        counts: Counter[str] = Counter()
        for work in works:
            counts[work.verdict] += 1
            counts["conflicts"] += any(one.conflict for one in work.decisions)
            counts["open"] += any(one.is_open for one in work.decisions)
            counts["errored"] += bool(work.contact is not None and work.mapped.problems)
            for decision in work.decisions:
                self._field(work, decision)
            for problem in work.mapped.problems:
                self._problem(problem.field, problem.message)
        _add(self.rehearsal.counts, counts)

    def _field(self, work: Work, decision: Decision) -> None:
        words = {"changed": decision.changed, "conflicts": decision.conflict, "open": decision.is_open}
        if not any(words.values()):
            return
        _add(self.rehearsal.by_field.setdefault(decision.field, {}), words)
        shown = self.rehearsal.samples.setdefault(decision.field, [])
        if len(shown) < SAMPLES and work.contact is not None:
            shown.append(
                {
                    "contact": str(work.contact.pk),
                    "before": decision.ours,
                    "after": decision.ours if decision.is_open else decision.value,
                    "crm": decision.theirs,
                    "rule": decision.strategy,
                    "open": decision.is_open,
                }
            )

    def _problem(self, field: str, message: str) -> None:
        _add(self.rehearsal.by_field.setdefault(field, {}), {"errored": 1})
        text = f"{field}: {message}"
        if text in self.rehearsal.problems or len(self.rehearsal.problems) < MOST_PROBLEMS:
            _add(self.rehearsal.problems, {text: 1})

    def lack(self, links: Collection[SyncRecord], reading: CompiledMapping) -> None:
        """Records of which too little is known: they would be fetched."""
        if reading.rows:
            self._cost("reads", len(links))

    def writes(self, works: Iterable[Work], lacking: Iterable[SyncRecord], mapping: Published) -> None:
        """Records of this CRM that would be written, whether they are known well or not."""
        pairs = [
            (one.link, one.contact, one) for one in works if one.link and one.contact and not one.contact.deleted_at
        ]
        links = {link.local_record_id: link for link in lacking}
        contacts = Contact.objects.filter(pk__in=list(links), deleted_at=None)
        others = [(links[contact.pk], contact, None) for contact in contacts]
        for link, contact, work in (*pairs, *others):
            fields = self._owed(link, contact, work, mapping)
            for name in fields:
                _add(self.rehearsal.by_field.setdefault(name, {}), {"written": 1})
            self._cost(str(self.part.connection.pk), bool(fields))

    def _owed(self, link: SyncRecord, contact: Contact, work: Work | None, mapping: Published) -> set[str]:
        decisions = work.decisions if work else []
        held = {one.field for one in decisions if one.is_open} | set(work.quarantined if work else ())
        link.base = {**link.base, **{one.field: one.agreed for one in decisions}}
        return set(differing(contact, link, mapping)) - held

    def elsewhere(self, works: Iterable[Work]) -> None:
        """Records of the tenant's other CRMs that would be written because our contact changes."""
        changed = {work.contact.pk: (work.contact, work.decisions) for work in works if work.contact}
        rows = SyncRecord.objects.filter(local_record_id__in=list(changed), local_table=CONTACTS)
        mappings: dict[tuple[UUID, str], frozenset[str]] = {}
        for link in rows.exclude(Q(connection=None) | Q(connection=self.part.connection)).select_related(
            "connection__tenant"
        ):
            key = (link.connection_id, link.crm_object_type)
            if key not in mappings:
                engine = compiled(link.connection, link.crm_object_type).engine
                mappings[key] = frozenset(engine.dialer_fields("outbound"))
            if _moved(*changed[link.local_record_id], link, mappings[key]):
                self._cost(str(link.connection_id), 1)

    def _cost(self, name: str, count: int) -> None:
        _add(self.rehearsal.cost, {name: count})


def _moved(contact: Contact, decisions: Iterable[Decision], link: SyncRecord, outbound: Collection[str]) -> bool:
    held = values.read(contact, [one.field for one in decisions if one.changed and one.field in outbound])
    return any(not same(value, link.base.get(name)) for name, value in held.items())


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, count in more.items():
        if count:
            total[name] = total.get(name, 0) + int(count)
