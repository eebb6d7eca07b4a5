"""What contacts have to give to one CRM, how it is sent, and what becomes of it.

What to send is every outbound field whose value differs from the base, the values that both sides agreed on last. So what runs
late, twice or after ten edits sends the newest state once. A few records are read before they are written, so that an edit made
in the CRM meanwhile is merged instead of overwritten; masses of them rely on the feeds, which are minutes behind at most, since
reading each first would double the cost. A record of which nothing was agreed yet is always read first: a creation that ends at
one that the CRM has already writes nothing but the link, and comes again. A field that waits for a person's decision is left
out, but never "don't call".
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from integrations import errors
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.records.remote import RecordWrite, Written
from mapping.compiled import MappingSession
from mapping.publishing import Published, compiled
from mapping.rows import CLEAR
from sync import link_states, values
from sync.handlers import Result
from sync.holding import held_back
from sync.inbound import PageWriter
from sync.merge import DO_NOT_CALL, may_replace, same
from sync.models import Contact, SyncJob, SyncRecord
from sync.pushes import CONTACTS
from sync.queue import Claim, Outcome
from sync.sent import keep
from sync.undoing import overwritten
from sync.work import judge, unknown_pause

COUNTER = "call_count"
"""Nobody has to be told that there was no call yet."""
READ_FIRST_UP_TO = 25
"""So many records are read before they are written; more are written from what the feeds brought."""


@dataclass
class Change:
    """What one record of the CRM gets."""

    job: SyncJob
    contact: Contact
    kind: str
    link: SyncRecord | None
    fields: dict[str, Any] = field(default_factory=dict)
    """Dialer field → value, of those that differ."""
    write: RecordWrite | None = None
    problem: str = ""
    told: list[overwritten.Told] = field(default_factory=list)
    """What is remembered of the write, so that it can be taken back."""
    sent: bool = False
    written: Written | None = None


class Push:
    """One batch of jobs of one connection."""

    def __init__(self, connection: CrmConnection, provider: CrmProvider, claimed: Claim) -> None:
        self.connection = connection
        self.provider = provider
        self.claimed = claimed
        self.jobs = {job.local_record_id: job for job in claimed.jobs if job.local_record_id}
        self.changes: list[Change] = []
        self._broken: errors.CrmError | None = None
        self._others: set[str] = set()
        self._known: set[UUID | None] = set()
        """Contacts that have a record, shown to us or not: no second one is made for them."""

    def run(self) -> Result:
        self.prepare(read_first=True)
        self.send(self.changes)
        return self.result(self.changes, self.claimed.jobs)

    # --- finding out -----------------------------------------------------------------------------------------------

    def prepare(self, *, read_first: bool) -> None:
        """Fills `changes`. Raises the errors of a look-up, before anything is written."""
        links = self._links(hidden=read_first)
        present: dict[str, Mapping[str, Mapping[str, Any]]] = {}
        unread = [link for link in links if not link.base]
        if read_first or unread:
            for kind, some in _by_kind(links if read_first else unread).items():
                present[kind] = self._read_first(kind, some)
            links = self._links() if any(present.values()) else [row for row in links if not link_states.is_gone(row)]
        self.changes = self._changes(links)
        groups = [(kind, compiled(self.connection, kind), group) for kind, group in _grouped(self.changes).items()]
        for _kind, mapping, group in groups:
            for change in group:
                change.fields = differing(change.contact, change.link, mapping)
        self._leave_out_held()
        for kind, mapping, group in groups:
            before = overwritten.before(self.provider, kind, mapping.engine, group, present.get(kind, {}))
            with mapping.engine.session() as session:
                for change in group:
                    self._prepare(change, session, present.get(kind, {}))
                    self._note(change, mapping, before)

    def _leave_out_held(self) -> None:
        """A conflict waits for its decision, or both sides kept changing the field in turn."""
        held = held_back(self.connection, [(one.link, one.contact, one.fields) for one in self.changes if one.link])
        for change in self.changes:
            barred = held.get(change.link.pk, ()) if change.link else ()
            change.fields = {
                name: value
                for name, value in change.fields.items()
                if name not in barred or (name == DO_NOT_CALL and value)
            }

    def _links(self, *, hidden: bool = False) -> list[SyncRecord]:
        """Of records that are there. A `hidden` one may have been shown again without a word: reading it first tells."""
        rows = SyncRecord.objects.filter(
            connection=self.connection, local_table=CONTACTS, local_record_id__in=list(self.jobs)
        )
        self._known = {
            row.local_record_id for row in rows if not link_states.is_gone(row) or link_states.is_hidden(row)
        }
        return [row for row in rows if not link_states.is_gone(row) or (hidden and link_states.is_hidden(row))]

    def _read_first(self, kind: str, links: Sequence[SyncRecord]) -> Mapping[str, Mapping[str, Any]]:
        """The records' present fields by id, after merging what changed there meanwhile."""
        mapping = compiled(self.connection, kind)
        if len(links) > READ_FIRST_UP_TO and not mapping.engine.list_fields:
            links = [link for link in links if not link.base]
        if not links:
            return {}
        ids = [link.crm_record_id for link in links]
        fetched = self.provider.fetch(kind, ids, _paths(mapping))
        with mapping.engine.session() as session:
            writer = PageWriter(
                self.connection, None, session, object_type=kind, mapping_version=mapping.version, pushes_back=False
            )
            writer.apply_fetched(fetched, moved={}, erased=(), along=lambda: None)
        return {record.id: record.fields for record in fetched.records} or {"": {}}

    def _changes(self, links: Iterable[SyncRecord]) -> list[Change]:
        linked: dict[UUID | None, list[SyncRecord]] = defaultdict(list)
        for link in links:
            linked[link.local_record_id].append(link)
        found: list[Change] = []
        for contact in Contact.objects.filter(pk__in=list(self.jobs), deleted_at=None):
            job = self.jobs[contact.pk]
            found += [Change(job, contact, link.crm_object_type, link) for link in linked[contact.pk]]
            if contact.pk not in self._known and job.payload.get("new"):
                found.append(Change(job, contact, self.provider.mapping_object, None))
        return found

    def _prepare(
        self,
        change: Change,
        session: MappingSession,
        present: Mapping[str, Mapping[str, Any]],
    ) -> None:
        link = change.link
        if not change.fields:
            return
        record_id = link.crm_record_id if link else ""
        mapped = session.outbound(change.fields, existing=present.get(record_id), partial=link is not None)
        change.problem = " ".join(f"{one.field}: {one.message}" for one in mapped.problems)
        for one in mapped.problems:
            change.fields.pop(one.field, None)
        if mapped.values and not (change.problem and link is None):
            change.write = RecordWrite(
                str(link.pk if link else change.contact.pk),
                mapped.values,
                record_id,
                first_attempt_at=self.claimed.tried_before(change.job),
                seen=present.get(record_id, {}),
            )

    def _note(self, change: Change, mapping: Published, before: Mapping[str, list[Mapping[str, Any]]]) -> None:
        if change.write and change.link:
            sources = before.get(change.link.crm_record_id, [])
            change.told = overwritten.told(mapping.engine, mapping.version, change.fields, change.write.values, sources)

    # --- sending ---------------------------------------------------------------------------------------------------

    def send(self, changes: Sequence[Change]) -> None:
        """In the CRM's best batches. A batch that breaks off ends it: what came before stays written."""
        for kind, group in _grouped(change for change in changes if change.write).items():
            for start in range(0, len(group), self.provider.write_batch_size):
                if self._broken is None:
                    self._send_batch(kind, group[start : start + self.provider.write_batch_size])

    def _send_batch(self, kind: str, batch: Sequence[Change]) -> None:
        for change in batch:
            change.sent = True
        try:
            answers = self.provider.write(kind, [change.write for change in batch if change.write])
        except errors.CrmError as error:
            self._broken = error
            return
        by_key = {one.key: one for one in answers}
        for change in batch:
            change.written = by_key.get(change.write.key) if change.write else None

    # --- what became of it -----------------------------------------------------------------------------------------

    def result(self, changes: Sequence[Change], jobs: Iterable[SyncJob]) -> Result:
        of_job: dict[int, list[Change]] = defaultdict(list)
        for change in changes:
            of_job[change.job.pk].append(change)
        self._others = self._of_others(changes)
        outcomes = [self._outcome(job, of_job[job.pk]) for job in jobs]
        return Result(outcomes, after=lambda: keep(self.connection, changes))

    def _of_others(self, changes: Iterable[Change]) -> set[str]:
        """Of the records that were there already, those that stand for another contact: somebody is asked about these two."""
        met = [one for one in changes if one.written and isinstance(one.written.error, errors.AlreadyThere)]
        found = {one.written.id: one.contact.pk for one in met if one.written}
        rows = SyncRecord.objects.filter(
            tenant_id=self.connection.tenant_id, crm_provider=self.connection.provider,
            crm_object_type__in={one.kind for one in met}, crm_record_id__in=list(found),
        )  # fmt: skip
        return {row.crm_record_id for row in rows if row.local_record_id not in (None, found[row.crm_record_id])}

    def _outcome(self, job: SyncJob, changes: Sequence[Change]) -> Outcome:
        """The worst that happened to one of the contact's records. A record that is gone needs nothing more."""
        worst: Outcome | None = None
        for change in changes:
            outcome = self._judged(job, change)
            if outcome is not None and (worst is None or outcome.state == SyncJob.State.READY):
                worst = outcome
        return worst or Outcome(job, "done")

    def _judged(self, job: SyncJob, change: Change) -> Outcome | None:
        error = self._error_of(change)
        if isinstance(error, errors.Gone) and change.link is not None:
            return None
        if isinstance(error, errors.AlreadyThere):
            # Linked by now, so that the next try reads it first.
            return None if error.record_id in self._others else replace(judge(job, error), wait=0.0)
        if isinstance(error, errors.CrmError):
            pause = unknown_pause(self.connection, self.provider)
            outcome = judge(job, error, pause)
            outcome.maybe_written = outcome.maybe_written or (change.sent and change.written is None)
            return outcome
        if change.problem:
            return Outcome(job, "dead", cause=errors.FixData.cause, error=change.problem)
        return None

    def _error_of(self, change: Change) -> Exception | None:
        if change.written is not None or change.write is None:
            return change.written.error if change.written else None
        return self._broken or errors.OutcomeUnknown("The CRM did not say what became of this contact.")


def differing(contact: Contact, link: SyncRecord | None, mapping: Published) -> dict[str, Any]:
    """The outbound fields in which the CRM is behind, by what both sides agreed on last."""
    base = link.base if link else {}
    blanks = mapping.engine.blank_rules
    return {
        name: value
        for name, value in values.read(contact, mapping.engine.dialer_fields("outbound")).items()
        if not same(value, base.get(name))
        and may_replace(blanks.get(name, CLEAR), value, base.get(name))
        and not (name == COUNTER and not value and name not in base)
    }


def _by_kind(links: Iterable[SyncRecord]) -> dict[str, list[SyncRecord]]:
    found: dict[str, list[SyncRecord]] = defaultdict(list)
    for link in links:
        found[link.crm_object_type].append(link)
    return found


def _grouped(changes: Iterable[Change]) -> dict[str, list[Change]]:
    found: dict[str, list[Change]] = defaultdict(list)
    for change in changes:
        found[change.kind].append(change)
    return found


def _paths(mapping: Published) -> tuple[str, ...]:
    written = (str(row.path.places[0]) for row in mapping.engine.rows if row.writes)
    return tuple(dict.fromkeys([*mapping.engine.crm_fields, *mapping.engine.list_fields, *written]))
