"""Brings changed records in: page by page, each in one transaction with its cursor, in a handful of statements.

A page is mapped, linked or matched to our contacts (sync.finding), merged field by field (sync.deciding), and written together
with the history of what changed, the conflicts that were decided and the run's counters (sync.writing). Applying a page twice
writes nothing the second time. Pages come from a feed, with its cursor, or from a look-up of single records that an event told of.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import uuid4

from django.db import transaction
from django.utils import timezone

from integrations.errors import Retry
from integrations.models import CrmConnection
from integrations.records.events import Change, RemoteEvent
from integrations.records.remote import ChangePage, Cursor, Fetched, RemoteRecord
from mapping.compiled import MappingSession
from mapping.policy import strategies_of
from sync import deciding, departed, erasing, finding, holding, inbox, link_states, living_on, writing
from sync.models import FeedCursor, SyncRun
from sync.page import Source, Work, works_of
from sync.writing import WRITTEN_FIELDS

__all__ = ["ALREADY_RUNNING", "WRITTEN_FIELDS", "PageWriter"]

ALREADY_RUNNING = "already_running"
PROGRESS = ["created", "updated", "unchanged", "skipped", "errored", "conflicts", "expected", "api_calls"]
"""Of a run, what a page moves. Its status may change meanwhile: somebody pauses it."""


class PageWriter:
    """Applies pages of one connection's feed for one run, or looked-up records of one object type for no run."""

    def __init__(
        self,
        connection: CrmConnection,
        run: SyncRun | None,
        session: MappingSession,
        *,
        object_type: str = "",
        mapping_version: int | None = None,
        pushes_back: bool = True,
    ) -> None:
        """`pushes_back` False: the caller itself writes to this connection what our side has and the CRM hasn't."""
        self.connection = connection
        self.run = run
        self.source = Source(
            connection,
            run,
            session,
            object_type=run.object_type if run else object_type,
            mapping_version=mapping_version or (run.mapping_version if run else None),
            strategy=strategies_of(connection.tenant_id, connection.provider),
            pushes_back=pushes_back,
            has_siblings=_siblings(connection),
        )

    @property
    def strategy(self) -> Callable[[str], str]:
        """Which strategy decides a field's conflicts. Another one may be set, to see what it would do."""
        return self.source.strategy

    @strategy.setter
    def strategy(self, strategy: Callable[[str], str]) -> None:
        self.source = replace(self.source, strategy=strategy)

    @property
    def has_siblings(self) -> bool:
        return self.source.has_siblings

    def apply(self, page: ChangePage, feed: str, expected: Cursor | None, works: Sequence[Work] | None = None) -> None:
        """Writes the page and moves the cursor. Raises Retry when another process moved the cursor meanwhile.

        `works` are the page's records, where they were mapped already.
        """
        works = works_of(self.source.session, page.records) if works is None else works
        now = timezone.now()
        with transaction.atomic():
            self._lock_tenant()
            cursor = self._hold_cursor(feed, expected)
            self._depart(page.records, {}, (), (), now)
            finding.links(self.source, works)
            self._settle([work for work in works if not finding.outlived(work)], now)
            cursor.value = page.cursor
            cursor.save()
            if self.run:
                _count(self.run, works, page)
        finding.compare(self.source, works)

    def apply_fetched(
        self,
        fetched: Fetched,
        *,
        moved: Mapping[str, str],
        erased: Collection[str],
        along: Callable[[], object],
        gone: Collection[str] = (),
    ) -> None:
        """Writes looked-up records and calls `along` in the same transaction.

        `moved` says for records that are missing which one they live on in; `erased` which ones are gone for good, `gone` which
        ones the CRM called deleted. Others that are missing may be hidden from this credential.
        """
        works = works_of(self.source.session, fetched.records)
        now = timezone.now()
        with transaction.atomic():
            self._lock_tenant()
            self._depart(fetched.records, moved, fetched.missing, erased, now, told=gone)
            finding.links(self.source, works)
            self._settle(works, now)
            along()
        finding.compare(self.source, works)

    def decide(self, records: Sequence[RemoteRecord]) -> list[Work]:
        """What applying these linked records would make of them; nothing is written. To be called in a transaction."""
        works = works_of(self.source.session, records)
        finding.links(self.source, works)
        finding.contacts(works)
        self._decide(works, timezone.now())
        return works

    def _settle(self, works: Sequence[Work], now: datetime) -> None:
        works = erasing.leave_out(works)
        back = [work for work in works if work.link and link_states.is_gone(work.link)]
        if back and living_on.part_again(self.connection, [work.link for work in back if work.link]):
            finding.links(self.source, works)
        departed.revive([work.link for work in back if work.link], now)
        finding.contacts(works)
        finding.match(self.source, [work for work in works if work.contact is None], now)
        self._decide(works, now)
        self._write(works, now)

    def _decide(self, works: Sequence[Work], now: datetime) -> None:
        deciding.look_around(self.source, works)
        for work in works:
            deciding.decide(self.source, work, now)

    def _write(self, works: Sequence[Work], now: datetime) -> None:
        writing.write(self.source, works, now)

    def _depart(
        self,
        records: Sequence[RemoteRecord],
        moved: Mapping[str, str],
        missing: Collection[str],
        erased: Collection[str],
        now: datetime,
        told: Collection[str] = (),
    ) -> None:
        """Follows merged and converted records before anybody is matched, and notes those that are gone."""
        moves = {(one.object_type, one.id): one.moved_to for one in records if one.moved_to}
        moves |= {
            (self.source.object_type, one): (self.source.object_type, moved[one]) for one in missing if one in moved
        }
        gone = {*missing, *(one.id for one in records if one.deleted)} - {record_id for _type, record_id in moves}
        for winner in living_on.redirect(self.connection, moves, now):
            self._follow(winner)
        unsure = () if departed.absence_is_proof(self.connection) else {*missing} - {*told}
        departed.mark_gone(self.connection, self.source.object_type, gone, now, erased=erased, unsure=unsure)
        erasing.erase(self.connection, self.source.object_type, gone & {*erased}, now)

    def _follow(self, winner: link_states.Identity) -> None:
        """Has the surviving record read afresh, by its own kind's job: it may never have changed since we read it."""
        event = RemoteEvent(f"followed:{uuid4()}", Change.UPDATED, winner[0], (winner[1],))
        inbox.store([inbox.Arrival(self.connection.tenant_id, self.connection.pk, event)], inbox.FOLLOWED)

    def _lock_tenant(self) -> None:
        """One page at a time per tenant: two feeds may bring the same person."""
        holding.lock_tenant(self.connection.tenant_id)

    def _hold_cursor(self, feed: str, expected: Cursor | None) -> FeedCursor:
        cursor, _created = FeedCursor.objects.select_for_update().get_or_create(
            connection=self.connection, feed=feed, defaults={"tenant_id": self.connection.tenant_id}
        )
        if (cursor.value or None) != (expected or None):
            raise Retry("Another run is reading the same records. This one stops.", cause=ALREADY_RUNNING)
        found: FeedCursor = cursor
        return found


def _count(run: SyncRun, works: Sequence[Work], page: ChangePage) -> None:
    counts = Counter(work.verdict for work in works)
    run.created += counts["created"]
    run.updated += counts["updated"]
    run.unchanged += counts["unchanged"]
    run.skipped += counts["skipped"] + sum(1 for one in page.records if one.deleted or one.moved_to)
    run.errored += sum(1 for work in works if work.contact is not None and work.mapped.problems)
    run.conflicts += sum(1 for work in works if any(one.conflict for one in work.decisions))
    run.expected = page.total if page.total is not None else run.expected
    run.save(update_fields=PROGRESS)


def _siblings(connection: CrmConnection) -> bool:
    """Whether the tenant keeps contacts in other CRMs, too."""
    others = CrmConnection.objects.filter(tenant_id=connection.tenant_id).exclude(pk=connection.pk)
    return bool(others.exclude(status=CrmConnection.Status.DISCONNECTED).exists())
