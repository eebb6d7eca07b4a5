"""Brings changed records in: page by page, each in one transaction with its cursor, in a handful of statements.

A page is mapped, linked or matched to our contacts, merged field by field, and written together with the history of what
changed, the conflicts that were decided and the run's counters. Applying a page twice writes nothing the second time.
Pages come from a feed, with its cursor, or from a look-up of single records that an event told of.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, cast
from uuid import UUID, uuid4

from django.db import transaction
from django.utils import timezone

from integrations.errors import Retry
from integrations.models import CrmConnection
from integrations.records import Change, ChangePage, Cursor, Fetched, RemoteEvent, RemoteRecord
from mapping.compiled import MappingSession
from mapping.models import Strategy
from mapping.policy import strategies_of
from mapping.rows import CLEAR
from sync import blanks, candidates, departed, do_not_call, erasing, holding, inbox, loops, pushes, reviews, values
from sync.bulk import upsert
from sync.linked import contacts_linked
from sync.matching import Index, fuzzy_suspects, threshold_of
from sync.merge import DO_NOT_CALL, at, may_replace, merge, same
from sync.models import Contact, FeedCursor, FieldChange, Lane, SyncRecord, SyncRun
from sync.page import Work
from sync.times import FieldTimes

ALREADY_RUNNING = "already_running"
CONTACTS = Contact._meta.db_table
WRITTEN_FIELDS = [
    "first_name", "last_name", "email", "phone", "mobile_phone", "company", "title", "lead_status", "owner_email",
    "do_not_call", "last_called_at", "last_disposition", "call_count", "ai_score", "custom", "version", "updated_at",
]  # fmt: skip
PROGRESS = ["created", "updated", "unchanged", "skipped", "errored", "conflicts", "expected", "api_calls"]
"""Of a run, what a page moves. Its status may change meanwhile: somebody pauses it."""
LINK_FIELDS = [
    "connection", "local_record_id", "local_table", "sync_status", "last_synced_at", "last_crm_modified_at",
    "error_message", "metadata", "base", "url", "updated_at",
]  # fmt: skip


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
        self.session = session
        self.object_type = run.object_type if run else object_type
        self.mapping_version = run.mapping_version if run else mapping_version
        self.strategy = strategies_of(connection.tenant_id, connection.provider)
        self.pushes_back = pushes_back
        self.fills_only = bool(run and run.fields_only)
        self.has_siblings = _siblings(connection)
        self.outbound = frozenset(session.mapping.dialer_fields("outbound"))

    def apply(self, page: ChangePage, feed: str, expected: Cursor | None) -> None:
        """Writes the page and moves the cursor. Raises Retry when another process moved the cursor meanwhile."""
        works = self._works(page.records)
        now = timezone.now()
        with transaction.atomic():
            self._lock_tenant()
            cursor = self._hold_cursor(feed, expected)
            self._depart(page.records, {}, (), (), now)
            self._link(works)
            self._settle([work for work in works if not self._outlived(work)], now)
            cursor.value = page.cursor
            cursor.save()
            if self.run:
                self._count(self.run, works, page)

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
        works = self._works(fetched.records)
        now = timezone.now()
        with transaction.atomic():
            self._lock_tenant()
            self._depart(fetched.records, moved, fetched.missing, erased, now, told=gone)
            self._link(works)
            self._settle(works, now)
            along()

    def _works(self, records: Sequence[RemoteRecord]) -> list[Work]:
        newest = {record.id: record for record in records if not record.deleted and not record.moved_to}
        return [Work(record, self.session.inbound(record.fields)) for record in newest.values()]

    def _settle(self, works: Sequence[Work], now: datetime) -> None:
        departed.revive([work.link for work in works if work.link and departed.is_gone(work.link)], now)
        self._load(works)
        self._match([work for work in works if work.contact is None])
        self._look_around(works)
        for work in works:
            self._merge(work, now)
        self._write(works, now)

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
        moves |= {(self.object_type, one): (self.object_type, moved[one]) for one in missing if one in moved}
        gone = {*missing, *(one.id for one in records if one.deleted)} - {record_id for _type, record_id in moves}
        for winner in departed.redirect(self.connection, moves, now):
            self._follow(winner)
        unsure = () if departed.absence_is_proof(self.connection) else {*missing} - {*told}
        departed.mark_gone(self.connection, self.object_type, gone, now, erased=erased, unsure=unsure)
        erasing.erase(self.connection, self.object_type, gone & {*erased}, now)

    def _follow(self, winner: departed.Identity) -> None:
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

    # --- finding ----------------------------------------------------------------------------------------------------

    def _link(self, works: Sequence[Work]) -> None:
        by_id = {work.record.id: work for work in works}
        links = SyncRecord.objects.filter(
            tenant_id=self.connection.tenant_id,
            crm_provider=self.connection.provider,
            crm_object_type=self.object_type,
            crm_record_id__in=list(by_id),
        )
        for link in links:
            by_id[link.crm_record_id].link = link

    def _outlived(self, work: Work) -> bool:
        """A page may have been read before we heard that its record is gone: only a later change brings the record back."""
        link = work.link
        if link is None or link.last_crm_modified_at is None or "unseen_at" in link.metadata:
            return False
        return departed.is_gone(link) and work.record.modified_at <= link.last_crm_modified_at

    def _load(self, works: Sequence[Work]) -> None:
        ids = [work.link.local_record_id for work in works if work.link and work.link.local_record_id]
        contacts = Contact.objects.select_for_update().in_bulk(ids)
        for work in works:
            if work.link and work.link.local_record_id:
                work.contact = contacts.get(work.link.local_record_id)

    def _match(self, works: Sequence[Work]) -> None:
        works = [work for work in works if work.to_import and not self.fills_only]
        known = {work.record.id: values.storable(work.mapped.values) for work in works}
        index = Index(candidates.exact(self.connection, known))
        found: dict[UUID, Work] = {}
        for work in works:
            work.match = index.match(work.mapped.values, work.record.id)
            if work.match.id:
                found[work.match.id] = work
            else:
                work.contact = Contact(tenant_id=self.connection.tenant_id)
                work.is_new = True
        for contact in Contact.objects.select_for_update().filter(pk__in=list(found)):
            found[contact.pk].contact = contact

    def _note_doubts(self, links: Sequence[tuple[Work, SyncRecord]]) -> None:
        """Who may be somebody we know gets a review; who has nobody in common is compared by name and company."""
        new = [(work, link) for work, link in links if work.is_new and work.match]
        strangers = [(work, link) for work, link in new if work.match and not work.match.suspects]
        alike = candidates.alike(
            self.connection,
            [values.storable(work.mapped.values) for work, _link in strangers],
            threshold_of(self.connection.settings),
            besides=[work.contact.pk for work, _link in new if work.contact],
        )
        doubts = [(work, link, work.match.suspects) for work, link in new if work.match]
        doubts += [(*strangers[at], fuzzy_suspects(found)) for at, found in alike.items()]
        reviews.note(
            self.connection,
            [reviews.Doubt(work.contact.pk, link, suspects) for work, link, suspects in doubts if work.contact],
        )

    # --- deciding ---------------------------------------------------------------------------------------------------

    def _look_around(self, works: Sequence[Work]) -> None:
        """What deciding needs to know of the page as a whole: which fields are quarantined, and when a field was changed."""
        known = [work for work in works if work.contact is not None]
        quarantined = loops.quarantined(work.link.pk for work in known if work.link)
        times = FieldTimes(
            self.connection,
            self.object_type,
            [work.record.id for work in known],
            [work.contact.pk for work in known if work.contact and not work.is_new],
        )
        for work in known:
            work.quarantined = quarantined.get(work.link.pk, set()) if work.link else set()
            work.ours_at = partial(times.ours, cast("Contact", work.contact), work.link)
            work.theirs_at = partial(times.theirs, work.record)

    def _strategy(self, work: Work, name: str) -> str:
        """What the CRM makes of a quarantined field is taken over: else both sides would go on in turn."""
        return Strategy.CRM_WINS.value if name in work.quarantined else self.strategy(name)

    def _merge(self, work: Work, now: datetime) -> None:
        contact = work.contact
        if contact is None or not work.newer:
            return
        theirs = values.storable(work.mapped.values)
        base = work.link.base if work.link else {}
        sides = blanks.inbound(self.session.mapping.blank_rules, base, values.read(contact, theirs), theirs)
        merged = merge(
            base,
            sides.ours,
            sides.theirs,
            strategy=partial(self._strategy, work),
            ours_at=work.ours_at,
            theirs_at=work.theirs_at,
        )
        said = do_not_call.said_at(work.link.metadata) if work.link else None
        work.decisions = [do_not_call.keep(one, said, work.record.modified_at) for one in merged] + sides.decided
        changes = {one.field: one.value for one in work.decisions if one.changed}
        if changes and not work.is_new:
            contact.version += 1
        if changes or work.is_new:
            values.write(contact, changes)
            contact.updated_at = now

    # --- writing ----------------------------------------------------------------------------------------------------

    def _write(self, works: Sequence[Work], now: datetime) -> None:
        touched = [work for work in works if work.contact is not None and (work.is_new or work.changed)]
        Contact.objects.bulk_create([work.contact for work in touched if work.is_new])
        upsert(Contact, [work.contact for work in touched if not work.is_new], WRITTEN_FIELDS)
        links = [(work, link) for work in works if (link := self._linked(work, now)) is not None]
        found = {
            work.contact.pk: departed.identity_of(link)
            for work, link in links
            if work.match and work.match.id and work.contact
        }
        departed.take_over(self.connection, found, now)
        upsert(SyncRecord, [link for _work, link in links], LINK_FIELDS)
        if found:
            contacts_linked.send(sender=SyncRecord, connection=self.connection, contact_ids=list(found))
        self._note_doubts(links)
        FieldChange.objects.bulk_create([row for work in touched for row in self._history(work, now)])
        holding.keep(self._merged(works, links), now)
        self._push([work for work in works if work.decisions and not work.is_new], now)

    def _push(self, works: Sequence[Work], now: datetime) -> None:
        """What changed here goes to the other CRMs that know the contact, and what our side kept goes back to this one."""
        changed = [work for work in works if any(one.changed for one in work.decisions)]
        if self.has_siblings and changed:
            self._note_elsewhere(changed, now)
        for lane in (Lane.DO_NOT_CALL, Lane.BACKFILL if self.run else Lane.EDITS):
            if self.has_siblings:
                pushes.enqueue(self._of_lane(changed, lane), lane=lane, except_for=self.connection.pk)
            if self.pushes_back:
                kept = [work for work in works if self._ahead(work)]
                pushes.enqueue(self._of_lane(kept, lane), lane=lane, only_for=self.connection.pk)

    def _note_elsewhere(self, changed: Sequence[Work], now: datetime) -> None:
        """For the other CRMs it is our side that moved."""
        pushes.mark_changed([work.contact for work in changed if work.contact], now=now, except_for=self.connection.pk)
        barred = [work.contact for work in changed if work.contact and work.forbids_calls]
        pushes.mark_do_not_call(barred, now=now, except_for=self.connection.pk)

    def _of_lane(self, works: Sequence[Work], lane: Lane) -> list[Contact]:
        return [work.contact for work in works if work.contact and self._lane(work) == lane]

    def _lane(self, work: Work) -> Lane:
        if any(one.changed or not same(one.value, one.agreed) for one in work.decisions if one.field == DO_NOT_CALL):
            return Lane.DO_NOT_CALL
        return Lane.BACKFILL if self.run else Lane.EDITS

    def _ahead(self, work: Work) -> bool:
        """Whether our side holds something that the CRM has to get."""
        rules = self.session.mapping.blank_rules
        return any(
            one.field in self.outbound
            and not one.is_open
            and one.field not in work.quarantined
            and not same(one.value, one.agreed)
            and may_replace(rules.get(one.field, CLEAR), one.value, one.agreed)
            for one in work.decisions
        )

    def _linked(self, work: Work, now: datetime) -> SyncRecord | None:
        """The link as it has to be written; None when it stands as it is."""
        contact, record = work.contact, work.record
        if contact is None or not (work.newer or work.was_gone):
            return None
        base = {**(work.link.base if work.link else {}), **{one.field: one.agreed for one in work.decisions}}
        link = work.link or SyncRecord(
            tenant_id=self.connection.tenant_id,
            crm_provider=self.connection.provider,
            crm_object_type=record.object_type,
            crm_record_id=record.id,
            sync_direction="inbound",
        )
        before = (
            link.sync_status == SyncRecord.Status.CONFLICT,
            link.base,
            link.last_crm_modified_at,
            link.error_message or "",
            link.url,
            link.metadata,
            link.local_record_id,
        )
        metadata = _without(link.metadata, "inactive", *departed.MARKS)
        if record.inactive:
            metadata["inactive"] = True
        if work.match and work.match.suspects:
            metadata["may_be"] = [str(one.id) for one in work.match.suspects]
        stamp = max(filter(None, (link.last_crm_modified_at, record.modified_at)))
        is_open = any(one.is_open for one in work.decisions)
        problem = work.problem or (link.error_message or "" if self.fills_only else "")
        after = (base, stamp, problem, record.url, metadata, contact.pk)
        if work.link and before == (is_open, *after):
            return None
        link.base, link.last_crm_modified_at, link.error_message, link.url, link.metadata, link.local_record_id = after
        link.connection = self.connection
        link.local_table = CONTACTS
        link.last_synced_at = now
        link.updated_at = now
        link.sync_status = self._status(work)
        return link

    def _status(self, work: Work) -> str:
        if work.mapped.problems:
            return SyncRecord.Status.ERROR
        if any(one.is_open for one in work.decisions):
            return SyncRecord.Status.CONFLICT
        return SyncRecord.Status.PENDING if not work.is_new and self._ahead(work) else SyncRecord.Status.SYNCED

    def _history(self, work: Work, now: datetime) -> list[FieldChange]:
        contact = work.contact
        if work.is_new:
            new = {one.field: one.value for one in work.decisions if one.value is not None}
            return [self._change(contact, "*", None, new, now)]
        return [
            self._change(contact, one.field, one.ours, one.value, now, rule=one.strategy, lost=one.lost)
            for one in work.decisions
            if one.changed or (one.conflict and not one.is_open)
        ]

    def _change(self, contact: Any, name: str, old: Any, new: Any, now: datetime, **more: Any) -> FieldChange:
        return FieldChange(
            tenant_id=self.connection.tenant_id,
            contact=contact,
            field=name,
            old=old,
            new=new,
            source="crm",
            actor=self.connection.get_provider_display(),
            connection=self.connection,
            run=self.run,
            mapping_version=self.mapping_version,
            at=now,
            **more,
        )

    def _merged(self, works: Sequence[Work], links: Sequence[tuple[Work, SyncRecord]]) -> list[holding.Merged]:
        written = {work.record.id: link for work, link in links}
        return [
            holding.Merged(link, work.contact, work.decisions, partial(at, work.ours_at), partial(at, work.theirs_at))
            for work in works
            if work.contact and work.decisions and (link := written.get(work.record.id, work.link)) is not None
        ]

    def _count(self, run: SyncRun, works: Sequence[Work], page: ChangePage) -> None:
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


def _without(metadata: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if name not in keys}
