"""Reconciliation: lists every record of an object type, compares the list with what we hold, repairs and certifies.

Events get lost, and some deletions are never told. So at night each object type is listed from the start, ids and times of
change alone, which costs no more than the list of ids. Whatever differs is read afresh and goes the way of every looked-up
record. It runs in slices: how far it got stands in the feed's cursor, so it goes on after any interruption.
"""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from integrations.crm import open_crm
from integrations.errors import CrmError, Retry, Throttled, Unsupported
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.records.events import Change
from integrations.records.remote import Fetched, RemoteRecord
from integrations.registry import provider_class
from integrations.transport.client import WORKER, Patience
from mapping.compiled import MappingSession
from mapping.publishing import Published, compiled
from sync import certificates, queue
from sync.certificates import KINDS, MISSING, STALE, VANISHED
from sync.handlers import Result
from sync.inbound import ALREADY_RUNNING, PageWriter
from sync.lanes import patience_for
from sync.link_states import NO_LONGER_THERE
from sync.merge import same
from sync.models import Certificate, Contact, FeedCursor, Lane, SyncJob, SyncRecord, SyncRun
from sync.queue import Claim, Outcome

KIND = "reconcile"
SLICE_SECONDS = 5.0
IDS_AT_ONCE = 100
TOLD_FOR = timedelta(days=30)
"""How far back CRMs are asked for deletions."""


@dataclass(slots=True)
class _State:
    """How far it got. Kept as JSON in the feed's cursor."""

    run: int
    cursor: dict[str, Any] | None = None
    listed: bool = False
    after: str = ""
    repaired: int = 0
    found: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Reconciled:
    run: SyncRun
    certificate: Certificate | None
    """None while there is more to do."""
    wait: float = 0.0
    why: CrmError | None = None
    """What to wait for."""


def feed_of(object_type: str) -> str:
    return f"reconcile:{object_type}"


def enqueue_all(connections: Iterable[CrmConnection], object_types: Collection[str] = ()) -> int:
    """A reconciliation of every object type of these connections. Returns how many jobs that makes at most."""
    jobs = [
        SyncJob(tenant_id=connection.tenant_id, connection=connection, kind=KIND, key=object_type, lane=Lane.BACKFILL)
        for connection in connections
        for object_type in provider_class(connection.provider).person_types
        if not object_types or object_type in object_types
    ]
    with transaction.atomic():
        queue.enqueue(jobs)
    return len(jobs)


class ReconcileHandler:
    """One object type for some seconds; the job then goes to the end of its lane."""

    def batch_size(self, provider: type[CrmProvider]) -> int:
        return 1

    def work(self, provider: CrmProvider, claimed: Claim) -> Result:
        job = claimed.jobs[0]
        connection = CrmConnection.objects.select_related("tenant").get(pk=job.connection_id)
        try:
            done = reconcile(connection, job.key, WORKER, seconds=SLICE_SECONDS)
        except Retry as error:
            if error.cause == ALREADY_RUNNING:
                return Result([Outcome(job, "done")])
            raise
        if done.certificate or done.run.status == SyncRun.Status.PAUSED:
            return Result([Outcome(job, "done")])
        return Result([Outcome(job, "ready", wait=done.wait, counts=False)])


def reconcile(
    connection: CrmConnection, object_type: str, patience: Patience, *, seconds: float | None = None
) -> Reconciled:
    """Goes on with the reconciliation that is under way, or begins one; to its end, or for about `seconds`.

    A used-up quota ends the slice; any other error of the CRM is noted on the run and raised. A paused run does nothing.
    Raises Retry when another process is at it.
    """
    state = _held(connection, object_type)
    run = _run(connection, object_type, state)
    if run.status == SyncRun.Status.PAUSED:
        return Reconciled(run, None)
    provider, api = open_crm(connection, patience_for(Lane.BACKFILL, patience))
    calls_before = run.api_calls
    work = _Reconciliation(connection, provider, run, state or _State(run.pk), before=state)
    try:
        finished = work.go_on(seconds)
    except Throttled as error:
        return Reconciled(run, None, wait=error.after or 1.0, why=error)
    except CrmError as error:
        if error.cause != ALREADY_RUNNING:
            run.status, run.error = SyncRun.Status.FAILED, error.message
            SyncRun.objects.filter(pk=run.pk).update(status=run.status, error=run.error, finished_at=timezone.now())
        raise
    finally:
        run.api_calls = calls_before + api.calls
        run.save(update_fields=["api_calls"])
    return Reconciled(run, work.certify() if finished else None)


def _held(connection: CrmConnection, object_type: str) -> _State | None:
    row = FeedCursor.objects.filter(connection=connection, feed=feed_of(object_type)).first()
    return _State(**row.value) if row and row.value else None


def _run(connection: CrmConnection, object_type: str, state: _State | None) -> SyncRun:
    """A run that was stopped by a quota before its first page has no state yet, and is gone on with all the same."""
    begun = SyncRun.objects.filter(
        connection=connection, kind=SyncRun.Kind.RECONCILIATION, object_type=object_type,
        status__in=[SyncRun.Status.RUNNING, SyncRun.Status.PAUSED],
    )  # fmt: skip
    run: SyncRun | None = (SyncRun.objects.filter(pk=state.run) if state else begun).first()
    if run is not None:
        if run.status == SyncRun.Status.FAILED:
            run.status, run.error, run.finished_at = SyncRun.Status.RUNNING, "", None
            run.save(update_fields=["status", "error", "finished_at"])
        return run
    made: SyncRun = SyncRun.objects.create(
        tenant_id=connection.tenant_id, connection=connection, kind=SyncRun.Kind.RECONCILIATION, object_type=object_type
    )
    return made


class _Reconciliation:
    """One slice."""

    def __init__(
        self, connection: CrmConnection, provider: CrmProvider, run: SyncRun, state: _State, *, before: _State | None
    ) -> None:
        self.connection = connection
        self.provider = provider
        self.run = run
        self.state = state if state.run == run.pk else _State(run.pk)
        self.kept = before.as_json() if before else {}

    def go_on(self, seconds: float | None) -> bool:
        """False when time is up or somebody paused the run."""
        ends = time.monotonic() + seconds if seconds is not None else None
        return self._list(ends) and self._compare(ends)

    def certify(self) -> Certificate:
        with transaction.atomic():
            self.run.status, self.run.finished_at = SyncRun.Status.DONE, timezone.now()
            self.run.save()
            made = certificates.issue(self.run, self.connection, self.state.found, self.state.repaired)
            row = self._hold()
            row.value, row.complete_at = {}, timezone.now()
            row.save()
        return made

    # --- listing --------------------------------------------------------------------------------------------------

    def _list(self, ends: float | None) -> bool:
        if self.state.listed:
            return True
        pages = self.provider.changes(self.run.object_type, self.state.cursor, ())
        for number, page in enumerate(pages):
            if number and self._stops(ends):
                return False  # only now: the page behind the last would begin a list of what changed since
            with transaction.atomic():
                certificates.note(self.run, page.records)
                self.state.cursor = page.cursor
                self.run.unchanged += len(page.records)
                self.run.expected = page.total if page.total is not None else self.run.expected
                self._keep()
        self.state.listed = True
        return True

    # --- comparing ------------------------------------------------------------------------------------------------

    def _compare(self, ends: float | None) -> bool:
        mapping = compiled(self.connection, self.run.object_type)
        with mapping.engine.session() as session:
            while True:
                ids = certificates.differences(self.run, self.connection, self.state.after, IDS_AT_ONCE)
                if not ids:
                    return True
                self._repair(ids, session, mapping)
                if self._stops(ends):
                    return False

    def _repair(self, ids: Sequence[str], session: MappingSession, mapping: Published) -> None:
        before = self._links(ids)
        fetched = self.provider.fetch(self.run.object_type, ids, mapping.engine.crm_fields)
        found = _classified(ids, fetched, before, session)
        gone, moved = self._told_gone(fetched.missing, found)
        writer = PageWriter(
            self.connection, None, session, object_type=self.run.object_type, mapping_version=mapping.version
        )
        writer.apply_fetched(
            fetched, moved=moved, erased=(), gone=gone, along=lambda: self._note(ids, found, fetched.records)
        )

    def _told_gone(self, missing: Sequence[str], found: Mapping[str, str]) -> tuple[set[str], dict[str, str]]:
        """Those that the CRM itself calls deleted, and where others live on; the rest may be hidden from this credential."""
        wanted = {one for one in missing if found.get(one) == VANISHED}
        gone, moved = set[str](), dict[str, str]()
        if wanted:
            with suppress(Unsupported):
                for event in self.provider.removals(self.run.object_type, timezone.now() - TOLD_FOR):
                    told = wanted & set(event.record_ids)
                    if event.moved_to:
                        moved |= dict.fromkeys(told, event.moved_to)
                    elif event.change in (Change.DELETED, Change.ERASED):
                        gone |= told
        return gone, moved

    def _note(self, ids: Sequence[str], found: Mapping[str, str], records: Sequence[RemoteRecord]) -> None:
        """In the transaction of the repair: what was wrong, and whether it is right now."""
        links, stamps = self._links(ids), {one.id: one.modified_at for one in records}
        for record_id, kind in found.items():
            if len(self.state.found[kind]) < certificates.LONGEST_LIST:
                self.state.found[kind].append(record_id)
            if _is_right(kind, links.get(record_id), stamps.get(record_id)):
                self.state.repaired += 1
                self._count(kind)
            else:
                self.run.errored += 1
        self.state.after = ids[-1]
        self._keep()

    def _count(self, kind: str) -> None:
        self.run.created += kind == MISSING
        self.run.updated += kind == STALE
        self.run.skipped += kind == VANISHED

    def _links(self, ids: Sequence[str]) -> dict[str, SyncRecord]:
        rows = SyncRecord.objects.filter(
            tenant_id=self.connection.tenant_id, crm_provider=self.connection.provider,
            crm_object_type=self.run.object_type, crm_record_id__in=list(ids), local_table=Contact._meta.db_table,
        )  # fmt: skip
        return {row.crm_record_id: row for row in rows}

    # --- how far it got -------------------------------------------------------------------------------------------

    def _stops(self, ends: float | None) -> bool:
        if SyncRun.objects.filter(pk=self.run.pk, status=SyncRun.Status.PAUSED).exists():
            self.run.status = SyncRun.Status.PAUSED
            return True
        return ends is not None and time.monotonic() > ends

    def _hold(self) -> FeedCursor:
        row, _created = FeedCursor.objects.select_for_update().get_or_create(
            connection=self.connection,
            feed=feed_of(self.run.object_type),
            defaults={"tenant_id": self.connection.tenant_id},
        )
        if row.value != self.kept:
            raise Retry("Another process is comparing the same records. This one stops.", cause=ALREADY_RUNNING)
        found: FeedCursor = row
        return found

    def _keep(self) -> None:
        row = self._hold()
        row.value = self.state.as_json()
        row.save()
        self.kept = row.value
        self.run.save(update_fields=["unchanged", "expected", "created", "updated", "skipped", "errored"])


def _classified(
    ids: Sequence[str], fetched: Fetched, before: Mapping[str, SyncRecord], session: MappingSession
) -> dict[str, str]:
    """What is wrong with each of the ids; those that turn out well are left out."""
    live = {one.id: one for one in fetched.records if not one.deleted and not one.moved_to}
    told = {one.id for one in fetched.records} | set(fetched.missing)
    found: dict[str, str] = {}
    for record_id in ids:
        record, link = live.get(record_id), before.get(record_id)
        held = link is not None and link.metadata.keys().isdisjoint(NO_LONGER_THERE)
        known = link is not None and held and link.local_record_id is not None
        if record is None and held and record_id in told:
            found[record_id] = VANISHED
        elif record is not None and link is not None and known and _differs(record, link, session):
            found[record_id] = STALE
        elif record is not None and not known and not record.inactive:
            found[record_id] = MISSING
    return found


def _differs(record: RemoteRecord, link: SyncRecord, session: MappingSession) -> bool:
    """Newer there, with other values than both sides agreed on. Our own writes are newer there, and agreed."""
    if link.last_crm_modified_at is not None and record.modified_at <= link.last_crm_modified_at:
        return False
    return any(not same(link.base.get(name), value) for name, value in session.inbound(record.fields).values.items())


def _is_right(kind: str, link: SyncRecord | None, stamp: Any) -> bool:
    if link is None:
        return False
    gone = not link.metadata.keys().isdisjoint(NO_LONGER_THERE)
    if kind == VANISHED:
        return gone
    seen = link.last_crm_modified_at is not None and link.last_crm_modified_at >= stamp
    return seen and not gone and link.local_record_id is not None
