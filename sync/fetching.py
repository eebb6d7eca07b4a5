"""Works the inbox: events of one object type of a connection become looked-up records, applied like any page.

An event says that something happened, never what is true now: every record it names is fetched afresh, each id once however
many events named it, so order and age of the events do not matter. What became of an event is written in the transaction that
writes its records. A record that cannot be looked up or applied is found by halving its batch and fails alone.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from django.db import DataError, IntegrityError
from django.utils import timezone

from integrations import errors, exchanges
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.records.events import Change
from integrations.records.remote import Fetched
from integrations.registry import provider_class
from mapping.compiled import MappingSession
from mapping.publishing import Published, compiled
from sync import erasing, inbox, queue
from sync.causes import noting
from sync.causes.common import INTERNAL, code_of
from sync.handlers import Result
from sync.inbound import PageWriter
from sync.models import InboxEvent, Lane, SyncJob
from sync.pulling import KIND as PULL
from sync.queue import Claim, Outcome
from sync.work import judge

log = logging.getLogger("dialbridge.work")

EVENTS_AT_ONCE = 500
IDS_AT_ONCE = 100
SLICE_SECONDS = 5.0
MOST_FAULTS = 5
"""So many single records may fail before the trouble counts as common to all."""
ONE_RECORDS_FAULT = (
    errors.FixData,
    errors.Gone,
    DataError,
    IntegrityError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
)
NOT_KEPT = "Records of this kind are not kept here."
READ_AGAIN = "The object is read again from where the last pass ended."
OUR_FAULT = "This record could not be taken over because of a fault in Dialbridge. The log tells support more."


class FetchHandler:
    """The waiting events of one object type, for some seconds; the job then goes to the end of its lane with the rest."""

    def batch_size(self, provider: type[CrmProvider]) -> int:
        return 1

    def work(self, provider: CrmProvider, claimed: Claim) -> Result:
        job = claimed.jobs[0]
        connection = CrmConnection.objects.select_related("tenant").get(pk=job.connection_id)
        events = inbox.waiting(connection.pk, job.key, EVENTS_AT_ONCE, again=bool(job.payload.get("again")))
        if job.key not in provider.person_types:
            _not_kept(connection, events)
            return Result([_done_or_more(job, events)])
        desk = Desk(connection, provider, job.key)
        try:
            finished = desk.work(events, seconds=SLICE_SECONDS)
        except errors.CrmError as error:
            outcome = _broken_off(job, error, desk)
        else:
            outcome = _done_or_more(job, events) if finished else _more(job)
            if desk.faults:
                outcome = _partly_failed(job, desk)
        if outcome.state == SyncJob.State.DEAD:
            inbox.ask_for_work(connection.pk, job.key)
        return Result([outcome])


class Desk:
    """One go through some events of one object type."""

    def __init__(self, connection: CrmConnection, provider: CrmProvider, object_type: str) -> None:
        self.connection = connection
        self.provider = provider
        self.object_type = object_type
        self.faults: dict[str, str] = {}
        """Record id → what is wrong with it, for people."""
        self.first_error: Exception | None = None
        self._ids: dict[int, set[str]] = {}
        self._moved: dict[str, str] = {}
        self._erased: set[str] = set()
        self._deleted: set[str] = set()
        self._done: set[str] = set()

    def work(self, events: Sequence[InboxEvent], *, seconds: float | None = None) -> bool:
        """False when time was up before the end. What was done by then is written."""
        resync = [event for event in events if event.change == Change.RESYNC]
        if resync:
            self._read_again(resync)
        order = self._read([event for event in events if event.change != Change.RESYNC])
        mapping: Published = compiled(self.connection, self.object_type)
        started = time.monotonic()
        with mapping.engine.session() as session:
            writer = self._writer(session, mapping)
            for start in range(0, max(len(order), 1) if self._ids else 0, IDS_AT_ONCE):
                if seconds is not None and time.monotonic() - started > seconds:
                    return False
                take = partial(self._take, writer=writer, paths=mapping.engine.crm_fields)
                halve(order[start : start + IDS_AT_ONCE], take, self._lay_aside)
        return True

    def left(self) -> list[int]:
        """Events that are not worked yet."""
        return list(self._ids)

    def _writer(self, session: MappingSession, mapping: Published) -> PageWriter:
        return PageWriter(self.connection, None, session, object_type=self.object_type, mapping_version=mapping.version)

    def _read_again(self, events: Sequence[InboxEvent]) -> None:
        ask_for_pull(self.connection, [self.object_type])
        _worked([event.pk for event in events], note=READ_AGAIN)

    def _read(self, events: Sequence[InboxEvent]) -> list[str]:
        """Notes what the events say and gives every id once: those that were merged away before those that are left."""
        for event in events:
            self._ids[event.pk] = {*event.record_ids, *([event.moved_to] if event.moved_to else [])}
            losers = [one for one in event.record_ids if event.moved_to and one != event.moved_to]
            self._moved |= dict.fromkeys(losers, event.moved_to)
            if event.change == Change.ERASED:
                self._erased |= set(event.record_ids)
            if event.change == Change.DELETED:
                self._deleted |= set(event.record_ids)
        order = list(dict.fromkeys([*self._moved, *(one for ids in self._ids.values() for one in sorted(ids))]))
        return self._without_forgotten(order)

    def _without_forgotten(self, order: Sequence[str]) -> list[str]:
        """Who asked to be forgotten is neither read nor is what was told of them kept. Where a record went is still followed."""
        held = erasing.forgotten(self.connection, self.object_type, order) - {*self._moved, *self._moved.values()}
        if held:
            erasing.forget_told([pk for pk, named in self._ids.items() if named & held])
            self._done |= held - self._erased - self._deleted
        return [one for one in order if one not in self._done]

    def _take(self, ids: Sequence[str], writer: PageWriter, paths: Sequence[str]) -> None:
        with exchanges.about(*(exchanges.record_key(self.object_type, one) for one in ids)):
            fetched = self.provider.fetch(self.object_type, ids, paths) if ids else Fetched([])
        writer.apply_fetched(
            fetched,
            moved=self._moved,
            erased=self._erased,
            gone=self._deleted,
            along=lambda: self._note({*self._done, *ids}),
        )
        self._settled(ids)

    def _lay_aside(self, ids: Sequence[str], error: Exception) -> None:
        if not ids or len(self.faults) >= MOST_FAULTS:
            raise error
        if not isinstance(error, errors.CrmError):
            log.error("A record of kind %s could not be taken over", self.object_type, exc_info=error)
        self.faults[ids[0]] = error.message if isinstance(error, errors.CrmError) else OUR_FAULT
        self.first_error = self.first_error or error
        concerned = [pk for pk, named in self._ids.items() if ids[0] in named]
        failed(self.connection, concerned, f"{ids[0]}: {self.faults[ids[0]]}", error)
        for pk in concerned:
            del self._ids[pk]
        self._settled(ids)

    def _note(self, done: set[str]) -> None:
        _worked([pk for pk, ids in self._ids.items() if ids <= done])

    def _settled(self, ids: Iterable[str]) -> None:
        self._done |= set(ids)
        self._ids = {pk: named for pk, named in self._ids.items() if not named <= self._done}


def halve(
    ids: Sequence[str], take: Callable[[Sequence[str]], object], give_up: Callable[[Sequence[str], Exception], object]
) -> None:
    """Takes the ids; where one record's fault spoils them all, half of them and the other half, down to the one."""
    try:
        take(ids)
    except ONE_RECORDS_FAULT as error:
        if len(ids) <= 1:
            give_up(ids, error)
            return
        middle = len(ids) // 2
        halve(ids[:middle], take, give_up)
        halve(ids[middle:], take, give_up)


def ask_for_pull(connection: CrmConnection, object_types: Iterable[str]) -> None:
    """Has the objects read on from where the last pass ended."""
    queue.enqueue(
        SyncJob(tenant_id=connection.tenant_id, connection=connection, kind=PULL, key=one, lane=Lane.BACKFILL)
        for one in object_types
    )


def failed(connection: CrmConnection, events: Sequence[int], problem: str, error: Exception) -> None:
    fingerprint = noting.note_event(connection, inbox.KIND, error, len(events))
    InboxEvent.objects.filter(pk__in=events).update(
        state=InboxEvent.State.FAILED, error=problem, fingerprint=fingerprint
    )


def _worked(events: Sequence[int], note: str = "") -> None:
    if events:
        InboxEvent.objects.filter(pk__in=events).exclude(state=InboxEvent.State.WORKED).update(
            state=InboxEvent.State.WORKED, worked_at=timezone.now(), error="", note=note
        )


def _not_kept(connection: CrmConnection, events: Sequence[InboxEvent]) -> None:
    """Events of no particular object concern all that we keep; those of other objects nothing."""
    resync = [event.pk for event in events if event.change == Change.RESYNC and not event.object_type]
    if resync:
        ask_for_pull(connection, provider_class(connection.provider).person_types)
        _worked(resync, note=READ_AGAIN)
    _worked([event.pk for event in events if event.pk not in resync], note=NOT_KEPT)


# --- what it means for the job --------------------------------------------------------------------------------------


def _done_or_more(job: SyncJob, events: Sequence[InboxEvent]) -> Outcome:
    return _more(job) if len(events) == EVENTS_AT_ONCE else Outcome(job, "done")


def _more(job: SyncJob) -> Outcome:
    return Outcome(job, "ready", counts=False, payload=dict(job.payload))


def _broken_off(job: SyncJob, error: errors.CrmError, desk: Desk) -> Outcome:
    outcome = judge(job, error)
    if outcome.state == SyncJob.State.DEAD:
        failed(desk.connection, desk.left(), error.message, error)
        outcome.payload = {"again": True}
    return outcome


def _partly_failed(job: SyncJob, desk: Desk) -> Outcome:
    """A person has to look; trying the job again takes the events that failed once more."""
    record_id, problem = next(iter(desk.faults.items()))
    text = f"{len(desk.faults)} of the changed records could not be taken over. {record_id}: {problem}"
    return Outcome(job, "dead", error=text, payload={"again": True}, **_cause_of(desk.first_error))


def _cause_of(error: Exception | None) -> dict[str, Any]:
    """The job dies of what its first event failed of."""
    if not isinstance(error, errors.CrmError):
        return {"cause": INTERNAL, "detail": repr(error)[:500]}
    return {
        "cause": error.cause,
        "detail": error.detail or error.message,
        "code": code_of(error),
        "fields": error.fields,
    }
