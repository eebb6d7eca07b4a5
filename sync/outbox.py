"""Carries our side's changes of contacts to the CRMs.

A job says only that a contact has to be looked at. What to send is worked out when it runs: every outbound field whose value
differs from the base, the values that both sides agreed on last. So a job that runs late, twice or after ten edits sends the
newest state once. A few records are read before they are written, so that an edit made in the CRM meanwhile is merged instead of
overwritten; masses of them rely on the feeds, which are minutes behind at most, since reading each first would double the cost.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from integrations import errors
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.records import RecordWrite, Written
from integrations.registry import provider_class
from mapping.compiled import MappingSession
from mapping.publishing import Published, compiled
from mapping.rows import CLEAR
from sync import queue, values
from sync.bulk import upsert
from sync.handlers import Result
from sync.inbound import PageWriter
from sync.merge import may_replace, same
from sync.models import Contact, Lane, SyncJob, SyncRecord
from sync.queue import Claim, Outcome
from sync.work import judge

KIND = "push"
CONTACTS = Contact._meta.db_table
READ_FIRST_UP_TO = 25
"""So many records are read before they are written; more are written from what the feeds brought."""
NO_LONGER_THERE = ("deleted_at", "erased_at", "moved_to")
"""Marks on a link whose record can't be written any more."""
LINK_FIELDS = [
    "connection", "local_record_id", "local_table", "sync_status", "last_synced_at", "error_message", "metadata", "base", "url",
    "updated_at",
]  # fmt: skip


def enqueue(
    contacts: Iterable[Contact],
    *,
    lane: Lane = Lane.EDITS,
    new: bool = False,
    except_for: UUID | None = None,
) -> None:
    """One job for each of these contacts and each connection that knows it, in the caller's transaction.

    `new` ones are also created in every connection that takes new people from us. `except_for` is where the change came from.
    """
    owners = {contact.pk: contact.tenant_id for contact in contacts}
    if not owners:
        return
    pairs = set(
        SyncRecord.objects.filter(local_record_id__in=list(owners), local_table=CONTACTS)
        .exclude(connection=None)
        .values_list("connection_id", "local_record_id")
    )
    if new:
        pairs |= {(row.pk, pk) for row in _takers(owners.values()) for pk in owners if owners[pk] == row.tenant_id}
    queue.enqueue(
        SyncJob(
            tenant_id=owners[contact_id],
            connection_id=connection_id,
            kind=KIND,
            key=str(contact_id),
            local_record_id=contact_id,
            payload={"new": True} if new else {},
            lane=lane,
        )
        for connection_id, contact_id in pairs
        if connection_id != except_for
    )


def _takers(tenants: Collection[UUID]) -> list[CrmConnection]:
    """Connections in which our own new contacts are made. A tenant's setting `create_contacts` can forbid it."""
    rows = CrmConnection.objects.filter(tenant_id__in=set(tenants)).exclude(status=CrmConnection.Status.DISCONNECTED)
    return [row for row in rows if row.settings.get("create_contacts", True)]


@dataclass
class _Change:
    """What one record of the CRM gets."""

    job: SyncJob
    contact: Contact
    link: SyncRecord | None
    fields: dict[str, Any] = field(default_factory=dict)
    """Dialer field → value, of those that differ."""
    write: RecordWrite | None = None
    problem: str = ""
    written: Written | None = None


class PushHandler:
    """A batch of contacts of one connection, in the CRM's best batch."""

    def batch_size(self, provider: type[CrmProvider]) -> int:
        return provider.write_batch_size

    def work(self, provider: CrmProvider, claimed: Claim) -> Result:
        connection = CrmConnection.objects.select_related("tenant").get(pk=claimed.jobs[0].connection_id)
        return _Push(connection, provider, claimed).run()


class _Push:
    def __init__(self, connection: CrmConnection, provider: CrmProvider, claimed: Claim) -> None:
        self.connection = connection
        self.provider = provider
        self.claimed = claimed
        self.jobs = {job.local_record_id: job for job in claimed.jobs if job.local_record_id}

    def run(self) -> Result:
        kinds = dict.fromkeys(link.crm_object_type for link in self._links())
        present = {kind: self._read_first(kind) for kind in kinds}
        contacts = Contact.objects.in_bulk(list(self.jobs))
        changes = self._changes(contacts)
        by_kind: dict[str, list[_Change]] = defaultdict(list)
        for change in changes:
            kind = change.link.crm_object_type if change.link else self.provider.mapping_object
            by_kind[kind].append(change)
        for kind, group in by_kind.items():
            self._send(kind, group, present.get(kind, {}))
        outcomes = [self._outcome(job, [one for one in changes if one.job is job]) for job in self.claimed.jobs]
        return Result(outcomes, after=lambda: _keep(self.connection, changes))

    # --- finding out -----------------------------------------------------------------------------------------------

    def _links(self) -> list[SyncRecord]:
        rows = SyncRecord.objects.filter(
            connection=self.connection, local_table=CONTACTS, local_record_id__in=list(self.jobs)
        )
        return [row for row in rows if row.metadata.keys().isdisjoint(NO_LONGER_THERE)]

    def _read_first(self, kind: str) -> Mapping[str, Mapping[str, Any]]:
        """The records' present fields by id, after merging what changed there meanwhile."""
        mapping = compiled(self.connection, kind)
        ids = [link.crm_record_id for link in self._links() if link.crm_object_type == kind]
        if not ids or (len(ids) > READ_FIRST_UP_TO and not mapping.engine.list_fields):
            return {}
        fetched = self.provider.fetch(kind, ids, _paths(mapping))
        with mapping.engine.session() as session:
            writer = PageWriter(self.connection, None, session, object_type=kind, mapping_version=mapping.version)
            writer.apply_fetched(fetched, moved={}, erased=(), along=lambda: None)
        return {record.id: record.fields for record in fetched.records}

    def _changes(self, contacts: Mapping[UUID, Contact]) -> list[_Change]:
        linked: dict[UUID, list[SyncRecord]] = defaultdict(list)
        for link in self._links():
            if link.local_record_id:
                linked[link.local_record_id].append(link)
        found = []
        for contact_id, job in self.jobs.items():
            contact = contacts.get(contact_id)
            if contact is None or contact.deleted_at is not None:
                continue
            links: Sequence[SyncRecord | None] = linked.get(contact_id) or ([None] if job.payload.get("new") else [])
            found += [_Change(job, contact, link) for link in links]
        return found

    # --- sending ---------------------------------------------------------------------------------------------------

    def _send(self, kind: str, changes: Sequence[_Change], present: Mapping[str, Mapping[str, Any]]) -> None:
        mapping = compiled(self.connection, kind)
        with mapping.engine.session() as session:
            for change in changes:
                self._prepare(change, mapping, session, present)
        waiting = [change for change in changes if change.write is not None]
        for start in range(0, len(waiting), self.provider.write_batch_size):
            batch = waiting[start : start + self.provider.write_batch_size]
            answers = {
                one.key: one for one in self.provider.write(kind, [change.write for change in batch if change.write])
            }
            for change in batch:
                change.written = answers.get(change.write.key) if change.write else None

    def _prepare(
        self,
        change: _Change,
        mapping: Published,
        session: MappingSession,
        present: Mapping[str, Mapping[str, Any]],
    ) -> None:
        names = mapping.engine.dialer_fields("outbound")
        base = change.link.base if change.link else {}
        blanks = mapping.engine.blank_rules
        change.fields = {
            name: value
            for name, value in values.read(change.contact, names).items()
            if not same(value, base.get(name)) and may_replace(blanks.get(name, CLEAR), value, base.get(name))
        }
        if not change.fields and change.link is not None:
            return
        record_id = change.link.crm_record_id if change.link else ""
        mapped = session.outbound(change.fields, existing=present.get(record_id), partial=change.link is not None)
        change.problem = " ".join(f"{one.field}: {one.message}" for one in mapped.problems)
        for one in mapped.problems:
            change.fields.pop(one.field, None)
        if mapped.values:
            change.write = RecordWrite(
                str(change.link.pk if change.link else change.contact.pk),
                mapped.values,
                record_id,
                first_attempt_at=self.claimed.tried_before(change.job),
                seen=present.get(record_id, {}),
            )

    # --- what became of it -----------------------------------------------------------------------------------------

    def _outcome(self, job: SyncJob, changes: Sequence[_Change]) -> Outcome:
        """The worst that happened to one of the contact's records. A record that is gone needs nothing more."""
        worst: Outcome | None = None
        for change in changes:
            outcome = self._judged(job, change)
            if outcome is not None and (worst is None or outcome.state == "ready"):
                worst = outcome
        return worst or Outcome(job, "done")

    def _judged(self, job: SyncJob, change: _Change) -> Outcome | None:
        error: Exception | None = change.written.error if change.written else None
        if change.write is not None and change.written is None:
            error = errors.OutcomeUnknown("The CRM did not say what became of this contact.")
        if isinstance(error, errors.Gone):
            return None
        if isinstance(error, errors.CrmError):
            pause = float(self.connection.settings.get("unknown_outcome_pause", self.provider.unknown_outcome_pause))
            return judge(job, error, pause)
        if change.problem:
            return Outcome(job, "dead", cause="invalid_data", error=change.problem)
        return None


def _paths(mapping: Published) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*mapping.engine.crm_fields, *mapping.engine.list_fields]))


def _keep(connection: CrmConnection, changes: Sequence[_Change]) -> None:
    """Moves the base of what was written, in the transaction that settles the jobs. The links' rows are locked: a page that comes
    in at the same time moves other fields of the same base."""
    now = timezone.now()
    done = [change for change in changes if change.written is not None or change.problem]
    held = SyncRecord.objects.select_for_update().in_bulk([change.link.pk for change in done if change.link])
    rows = []
    for change in done:
        link = held.get(change.link.pk) if change.link else _new_link(connection, change)
        if link is not None:
            _note(link, change, now)
            rows.append(link)
    upsert(SyncRecord, rows, LINK_FIELDS)


def _new_link(connection: CrmConnection, change: _Change) -> SyncRecord | None:
    """The link of a record that was created. None when another contact of ours stands for that record already."""
    written = change.written
    if written is None or not written.id:
        return None
    provider, kind = connection.provider, provider_class(connection.provider).mapping_object
    taken = SyncRecord.objects.filter(
        Q(crm_record_id=written.id) | Q(connection=connection, local_record_id=change.contact.pk),
        tenant_id=connection.tenant_id, crm_provider=provider, crm_object_type=kind,
    )  # fmt: skip
    if taken.exists():
        return None
    return SyncRecord(
        tenant_id=connection.tenant_id,
        connection=connection,
        crm_provider=provider,
        crm_object_type=kind,
        crm_record_id=written.id,
        local_record_id=change.contact.pk,
        local_table=CONTACTS,
        sync_direction="outbound",
    )


def _note(link: SyncRecord, change: _Change, now: Any) -> None:
    written = change.written
    error = written.error if written else None
    if isinstance(error, errors.Gone):
        link.metadata = {"deleted_at": now.isoformat(), **link.metadata}
        link.sync_status, link.error_message = SyncRecord.Status.SYNCED, None
    elif error is not None or change.problem:
        link.sync_status = SyncRecord.Status.ERROR
        link.error_message = change.problem or getattr(error, "message", str(error))
    else:
        link.sync_status, link.error_message = SyncRecord.Status.SYNCED, None
    if written is not None and error is None:
        link.base = {**link.base, **change.fields}
        link.last_synced_at = now
        link.url = written.url or link.url
    link.updated_at = now
