"""Brings changed records in: page by page, each in one transaction with its cursor, in a handful of statements.

A page is mapped, linked or matched to our contacts, merged field by field, and written together with the history of what
changed, the conflicts that were decided and the run's counters. Applying a page twice writes nothing the second time.
Pages come from a feed, with its cursor, or from a look-up of single records that an event told of.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.db import connection as database
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from integrations.errors import Retry
from integrations.models import CrmConnection
from integrations.records import Change, ChangePage, Cursor, Fetched, RemoteEvent, RemoteRecord
from mapping.compiled import Mapped, MappingSession
from mapping.policy import strategies_of
from sync import departed, inbox, values
from sync.bulk import upsert
from sync.matching import Candidate, Index, Match
from sync.merge import Decision, merge
from sync.models import Conflict, Contact, FeedCursor, FieldChange, SyncRecord, SyncRun

ALREADY_RUNNING = "already_running"
CONTACTS = Contact._meta.db_table
WRITTEN_FIELDS = [
    "first_name", "last_name", "email", "phone", "mobile_phone", "company", "title", "lead_status", "owner_email",
    "do_not_call", "last_called_at", "last_disposition", "call_count", "ai_score", "custom", "version", "updated_at",
]  # fmt: skip
LINK_FIELDS = [
    "connection", "local_record_id", "local_table", "sync_status", "last_synced_at", "last_crm_modified_at",
    "error_message", "metadata", "base", "url", "updated_at",
]  # fmt: skip


@dataclass
class _Work:
    """One record of the page on its way."""

    record: RemoteRecord
    mapped: Mapped
    link: SyncRecord | None = None
    contact: Contact | None = None
    match: Match | None = None
    is_new: bool = False
    decisions: list[Decision] = field(default_factory=list)

    @property
    def problem(self) -> str:
        return " ".join(f"{one.field}: {one.message}" for one in self.mapped.problems)


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
    ) -> None:
        self.connection = connection
        self.run = run
        self.session = session
        self.object_type = run.object_type if run else object_type
        self.mapping_version = run.mapping_version if run else mapping_version
        self.strategy = strategies_of(connection.tenant_id, connection.provider)

    def apply(self, page: ChangePage, feed: str, expected: Cursor | None) -> None:
        """Writes the page and moves the cursor. Raises Retry when another process moved the cursor meanwhile."""
        works = self._works(page.records)
        now = timezone.now()
        with transaction.atomic():
            self._lock_tenant()
            cursor = self._hold_cursor(feed, expected)
            self._depart(page.records, {}, (), (), now)
            self._settle(works, now)
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
    ) -> None:
        """Writes looked-up records and calls `along` in the same transaction.

        `moved` says for records that are missing which one they live on in; `erased` which ones are gone for good.
        """
        works = self._works(fetched.records)
        now = timezone.now()
        with transaction.atomic():
            self._lock_tenant()
            self._depart(fetched.records, moved, fetched.missing, erased, now)
            self._settle(works, now)
            along()

    def _works(self, records: Sequence[RemoteRecord]) -> list[_Work]:
        newest = {record.id: record for record in records if not record.deleted and not record.moved_to}
        return [_Work(record, self.session.inbound(record.fields)) for record in newest.values()]

    def _settle(self, works: Sequence[_Work], now: datetime) -> None:
        self._link(works)
        self._match([work for work in works if work.contact is None])
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
    ) -> None:
        """Follows merged and converted records before anybody is matched, and notes those that are gone."""
        moves = {(one.object_type, one.id): one.moved_to for one in records if one.moved_to}
        moves |= {(self.object_type, one): (self.object_type, moved[one]) for one in missing if one in moved}
        gone = {*missing, *(one.id for one in records if one.deleted)} - {record_id for _type, record_id in moves}
        for winner in departed.redirect(self.connection, moves, now):
            self._follow(winner)
        departed.mark_gone(self.connection, self.object_type, gone, now, erased=erased)

    def _follow(self, winner: departed.Identity) -> None:
        """Has the surviving record read afresh, by its own kind's job: it may never have changed since we read it."""
        event = RemoteEvent(f"followed:{uuid4()}", Change.UPDATED, winner[0], (winner[1],))
        inbox.store([inbox.Arrival(self.connection.tenant_id, self.connection.pk, event)], inbox.FOLLOWED)

    def _lock_tenant(self) -> None:
        """One page at a time per tenant: two feeds may bring the same person."""
        with database.cursor() as sql:
            sql.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"contacts:{self.connection.tenant_id}"]
            )

    def _hold_cursor(self, feed: str, expected: Cursor | None) -> FeedCursor:
        cursor, _created = FeedCursor.objects.select_for_update().get_or_create(
            connection=self.connection, feed=feed, defaults={"tenant_id": self.connection.tenant_id}
        )
        if (cursor.value or None) != (expected or None):
            raise Retry("Another run is reading the same records. This one stops.", cause=ALREADY_RUNNING)
        found: FeedCursor = cursor
        return found

    # --- finding ----------------------------------------------------------------------------------------------------

    def _link(self, works: Sequence[_Work]) -> None:
        by_id = {work.record.id: work for work in works}
        links = SyncRecord.objects.filter(
            tenant_id=self.connection.tenant_id,
            crm_provider=self.connection.provider,
            crm_object_type=self.object_type,
            crm_record_id__in=list(by_id),
        )
        for link in links:
            by_id[link.crm_record_id].link = link
        ids = [work.link.local_record_id for work in works if work.link and work.link.local_record_id]
        contacts = Contact.objects.select_for_update().in_bulk(ids)
        for work in works:
            if work.link and work.link.local_record_id:
                work.contact = contacts.get(work.link.local_record_id)

    def _match(self, works: Sequence[_Work]) -> None:
        works = [work for work in works if _to_import(work)]
        index = Index(self._candidates(works)) if works else Index([])
        found: dict[UUID, _Work] = {}
        for work in works:
            work.match = index.match(work.mapped.values)
            if work.match.id:
                found[work.match.id] = work
            else:
                work.contact = Contact(tenant_id=self.connection.tenant_id)
                work.is_new = True
        for contact in Contact.objects.select_for_update().filter(pk__in=list(found)):
            found[contact.pk].contact = contact

    def _candidates(self, works: Sequence[_Work]) -> list[Candidate]:
        emails = {str(work.mapped.values.get("email") or "") for work in works} - {""}
        phones = {str(work.mapped.values.get(name) or "") for work in works for name in ("phone", "mobile_phone")} - {
            ""
        }
        if not emails and not phones:
            return []
        taken = SyncRecord.objects.filter(connection=self.connection, local_table=CONTACTS).values("local_record_id")
        rows = (
            Contact.objects.filter(tenant_id=self.connection.tenant_id, deleted_at=None)
            .filter(Q(email__in=emails) | Q(phone__in=phones) | Q(mobile_phone__in=phones))
            .exclude(pk__in=taken.filter(local_record_id__isnull=False))
            .values_list("pk", "email", "phone", "mobile_phone", "last_name")
        )
        return [
            Candidate(pk, email, frozenset({phone, mobile} - {""}), last_name)
            for pk, email, phone, mobile, last_name in rows
        ]

    # --- deciding ---------------------------------------------------------------------------------------------------

    def _merge(self, work: _Work, now: datetime) -> None:
        contact = work.contact
        if contact is None or not _newer(work):
            return
        theirs = values.storable(work.mapped.values)
        base = work.link.base if work.link else {}
        work.decisions = merge(
            base,
            values.read(contact, theirs),
            theirs,
            strategy=self.strategy,
            ours_at=work.link.last_local_modified_at if work.link else contact.updated_at,
            theirs_at=work.record.modified_at,
        )
        changes = {one.field: one.value for one in work.decisions if one.changed}
        if changes and not work.is_new:
            contact.version += 1
        if changes or work.is_new:
            values.write(contact, changes)
            contact.updated_at = now

    # --- writing ----------------------------------------------------------------------------------------------------

    def _write(self, works: Sequence[_Work], now: datetime) -> None:
        touched = [work for work in works if work.contact is not None and (work.is_new or _changed(work))]
        Contact.objects.bulk_create([work.contact for work in touched if work.is_new])
        upsert(Contact, [work.contact for work in touched if not work.is_new], WRITTEN_FIELDS)
        links = [(work, link) for work in works if (link := self._linked(work, now)) is not None]
        upsert(SyncRecord, [link for _work, link in links], LINK_FIELDS)
        FieldChange.objects.bulk_create([row for work in touched for row in self._history(work, now)])
        Conflict.objects.bulk_create([row for work, link in links for row in self._conflicts(work, link, now)])

    def _linked(self, work: _Work, now: datetime) -> SyncRecord | None:
        """The link as it has to be written; None when it stands as it is."""
        contact, record = work.contact, work.record
        if contact is None or not (_newer(work) or _was_gone(work)):
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
        if work.match and work.match.rivals:
            metadata["may_be"] = [str(one) for one in work.match.rivals]
        stamp = max(filter(None, (link.last_crm_modified_at, record.modified_at)))
        after = (base, stamp, work.problem, record.url, metadata, contact.pk)
        if work.link and before == after:
            return None
        link.base, link.last_crm_modified_at, link.error_message, link.url, link.metadata, link.local_record_id = after
        link.connection = self.connection
        link.local_table = CONTACTS
        link.last_synced_at = now
        link.updated_at = now
        link.sync_status = _status(work, base)
        return link

    def _history(self, work: _Work, now: datetime) -> list[FieldChange]:
        contact = work.contact
        if work.is_new:
            new = {one.field: one.value for one in work.decisions if one.value is not None}
            return [self._change(contact, "*", None, new, now)]
        return [
            self._change(contact, one.field, one.ours, one.value, now, rule=one.strategy, lost=one.lost)
            for one in work.decisions
            if one.changed or one.conflict
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

    def _conflicts(self, work: _Work, link: SyncRecord, now: datetime) -> list[Conflict]:
        return [
            Conflict(
                tenant_id=self.connection.tenant_id,
                record=link,
                contact=work.contact,
                field=one.field,
                base=one.base,
                ours=one.ours,
                theirs=one.theirs,
                ours_at=link.last_local_modified_at,
                theirs_at=work.record.modified_at,
                status=Conflict.Status.DECIDED,
                strategy=one.strategy,
                winner=one.winner,
                created_at=now,
                decided_at=now,
            )
            for one in work.decisions
            if one.conflict
        ]

    def _count(self, run: SyncRun, works: Sequence[_Work], page: ChangePage) -> None:
        counts = Counter(_verdict(work) for work in works)
        run.created += counts["created"]
        run.updated += counts["updated"]
        run.unchanged += counts["unchanged"]
        run.skipped += counts["skipped"] + sum(1 for one in page.records if one.deleted or one.moved_to)
        run.errored += sum(1 for work in works if work.contact is not None and work.mapped.problems)
        run.conflicts += sum(1 for work in works if any(one.conflict for one in work.decisions))
        run.expected = page.total if page.total is not None else run.expected
        run.save()


def _to_import(work: _Work) -> bool:
    """A record that is not to be dialled, and that we don't hold, is not brought in."""
    return not (work.record.inactive or work.record.deleted)


def _newer(work: _Work) -> bool:
    held = work.link.last_crm_modified_at if work.link else None
    return held is None or work.record.modified_at >= held


def _was_gone(work: _Work) -> bool:
    return work.link is not None and not work.link.metadata.keys().isdisjoint(departed.MARKS)


def _changed(work: _Work) -> bool:
    return any(one.changed or one.conflict for one in work.decisions)


def _verdict(work: _Work) -> str:
    if work.contact is None:
        return "skipped"
    if work.is_new:
        return "created"
    return "updated" if any(one.changed for one in work.decisions) else "unchanged"


def _status(work: _Work, base: dict[str, Any]) -> str:
    if work.mapped.problems:
        return SyncRecord.Status.ERROR
    ours = {one.field: one.value for one in work.decisions}
    differs = any(base.get(name) != value for name, value in ours.items())
    return SyncRecord.Status.PENDING if differs else SyncRecord.Status.SYNCED


def _without(metadata: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if name not in keys}
