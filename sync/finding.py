"""Finds for the records of a page the links and contacts we have of them, and whom the new ones may be.

Who shares an id, an e-mail or a phone is looked for while the tenant is locked, since that decides who is linked. Who is merely
alike by name and company is only a question for somebody: that search takes longest, and is made once the page is stored.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction

from integrations.models import CrmConnection
from sync import candidates, holding, link_states, reviews
from sync.bulk import maker
from sync.matching import Index, fuzzy_suspects, threshold_of
from sync.models import Contact, SyncRecord
from sync.page import Source, Work

Linked = Sequence[tuple[Work, SyncRecord]]


def links(source: Source, works: Sequence[Work]) -> None:
    by_id = {work.record.id: work for work in works}
    rows = SyncRecord.objects.filter(
        tenant_id=source.connection.tenant_id,
        crm_provider=source.connection.provider,
        crm_object_type=source.object_type,
        crm_record_id__in=list(by_id),
    )
    for link in rows:
        by_id[link.crm_record_id].link = link


def outlived(work: Work) -> bool:
    """A page may have been read before we heard that its record is gone: only a later change brings the record back."""
    link = work.link
    if link is None or link.last_crm_modified_at is None or "unseen_at" in link.metadata:
        return False
    return link_states.is_gone(link) and work.record.modified_at <= link.last_crm_modified_at


def contacts(works: Sequence[Work]) -> None:
    """Loads and locks the contacts of records that are linked."""
    ids = [work.link.local_record_id for work in works if work.link and work.link.local_record_id]
    held = Contact.objects.select_for_update().in_bulk(ids)
    for work in works:
        if work.link and work.link.local_record_id:
            work.contact = held.get(work.link.local_record_id)


def match(source: Source, works: Sequence[Work], now: datetime) -> None:
    """Gives records that have no contact the one they belong to, or a new one."""
    works = [work for work in works if work.to_import and not source.fills_only]
    index = Index(candidates.exact(source.connection, {work.record.id: work.theirs for work in works}))
    found: dict[UUID, Work] = {}
    make = maker(Contact, tenant_id=source.connection.tenant_id, created_at=now, updated_at=now)
    for work in works:
        work.match = index.match(work.mapped.values, work.record.id)
        if work.match.id:
            found[work.match.id] = work
        else:
            work.contact = make()
            work.is_new = True
    for contact in Contact.objects.select_for_update().filter(pk__in=list(found)):
        found[contact.pk].contact = contact


def note_doubts(source: Source, linked: Linked) -> None:
    """Who may be somebody we know, by what decides, gets a review."""
    doubts = [
        reviews.Doubt(work.contact.pk, link, work.match.suspects)
        for work, link in linked
        if work.is_new and work.contact and work.match and work.match.suspects
    ]
    reviews.note(source.connection, doubts)


def compare(source: Source, works: Sequence[Work]) -> None:
    """The same for new people who have nothing in common with anybody but name and company. To be called without the lock."""
    new = [
        (work.contact.pk, work.theirs)
        for work in works
        if work.is_new and work.contact and work.match and not work.match.suspects
    ]
    threshold = threshold_of(source.connection.settings)
    found = candidates.alike(source.connection, [theirs for _pk, theirs in new], threshold)
    if found:
        with transaction.atomic():
            _ask(source.connection, {new[at][0]: alike for at, alike in found.items()})


def _ask(connection: CrmConnection, found: dict[UUID, list[tuple[UUID, float]]]) -> None:
    """Asks about those who are still there."""
    holding.lock_tenant(connection.tenant_id)
    concerned = {*found, *(pk for alike in found.values() for pk, _likeness in alike)}
    there = set(
        Contact.objects.select_for_update(no_key=True)
        .filter(pk__in=concerned, deleted_at=None)
        .values_list("pk", flat=True)
    )
    records = SyncRecord.objects.filter(
        connection=connection, local_record_id__in=list(found), local_table=Contact._meta.db_table
    )
    by_contact = {record.local_record_id: record for record in records}
    doubts = [
        reviews.Doubt(pk, by_contact.get(pk), fuzzy_suspects([one for one in alike if one[0] in there]))
        for pk, alike in found.items()
        if pk in there
    ]
    reviews.note(connection, doubts)
