"""A person whom a CRM deleted for privacy is forgotten here too, unless another CRM of the tenant still has them.

The contact stays as an empty row that the feed shows as deleted, so that programs that hold a copy learn of it. Values, their
history, agreed values, snapshots, requests to the CRMs and the bodies of stored events go. What other apps keep of the person goes
with the signal.

A person may also be forgotten here alone, because they asked for it (`forget_here`). Then their records in the CRMs live on, and
their links stay as tombstones: a record that has one is never taken in again, nor is what the CRM tells of it kept.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import F, Q
from django.dispatch import Signal

from integrations import exchanges
from integrations.models import CrmConnection
from sync import link_states, snapshots
from sync.folding import FOLDED
from sync.link_states import FORGOTTEN
from sync.models import Conflict, Contact, FieldChange, InboxEvent, MatchReview, Quarantine, SyncRecord
from sync.page import Work

BLANK: dict[str, Any] = {
    **dict.fromkeys(
        ["first_name", "last_name", "email", "phone", "mobile_phone", "company", "title", "lead_status", "owner_email"], ""
    ),
    "last_disposition": "", "last_called_at": None, "ai_score": None, "custom": {},
}  # fmt: skip
"""What a contact looks like afterwards. That somebody must not be called says nothing about who they are, and stays."""

LATE = timedelta(days=2)
contacts_erased = Signal()
"""Sent with `contact_ids`, in the transaction that erases them."""


def erase(connection: CrmConnection, object_type: str, record_ids: Collection[str], now: datetime) -> None:
    """Erases the contacts of these records, which are marked as gone already. Safe to repeat."""
    if not record_ids:
        return
    links = SyncRecord.objects.filter(
        tenant_id=connection.tenant_id, crm_provider=connection.provider, crm_object_type=object_type,
        crm_record_id__in=list(record_ids), local_table=Contact._meta.db_table,
    )  # fmt: skip
    contact_ids = {link.local_record_id or link.metadata.get("contact") for link in links} - {None}
    contact_ids |= joined_into(contact_ids)
    rows = SyncRecord.objects.filter(local_table=Contact._meta.db_table)
    held = link_states.still_there(rows.filter(local_record_id__in=contact_ids)).values("local_record_id")
    found = list(Contact.objects.select_for_update().filter(pk__in=contact_ids).exclude(pk__in=held))
    found = _not_erased_yet(found)
    ids = [contact.pk for contact in found]
    _forget_events(connection, object_type, record_ids)
    records = (exchanges.record_key(object_type, one) for one in record_ids)
    exchanges.forget(connection.tenant_id, [*records, *(link.pk for link in links), *contact_ids])
    snapshots.forget(link.pk for link in links)
    if ids:
        _forget(ids)
        Contact.objects.filter(pk__in=ids).update(deleted_at=now, updated_at=now, version=F("version") + 1, **BLANK)
        FieldChange.objects.bulk_create(_last_words(contact, connection, now) for contact in found)
        contacts_erased.send(sender=Contact, contact_ids=ids)


def forget_here(contact_ids: Collection[UUID], now: datetime, by: str) -> None:
    """Erases contacts of the current tenant whatever the CRMs hold of them. In the caller's transaction. Safe to repeat."""
    found = list(Contact.objects.select_for_update().filter(pk__in=contact_ids))
    ids = [one.pk for one in found]
    links = links_of(ids)
    for link in links:
        if link.connection is not None:
            _forget_events(link.connection, link.crm_object_type, [link.crm_record_id])
        records = [exchanges.record_key(link.crm_object_type, link.crm_record_id), link.pk]
        exchanges.forget(link.tenant_id, records)
        link.metadata = {FORGOTTEN: now.isoformat(), **link.metadata}
        link.base, link.error_message, link.sync_status = {}, None, SyncRecord.Status.SYNCED
        link.last_crm_modified_at = max(filter(None, (link.last_crm_modified_at, now)))
    for contact in found:
        exchanges.forget(contact.tenant_id, [contact.pk])
    fresh = _not_erased_yet(found)
    _forget(ids)
    SyncRecord.objects.bulk_update(
        links, ["metadata", "base", "error_message", "sync_status", "last_crm_modified_at"], batch_size=500
    )
    erased = Contact.objects.filter(pk__in=[one.pk for one in fresh])
    erased.update(deleted_at=now, updated_at=now, version=F("version") + 1, **BLANK)
    FieldChange.objects.bulk_create(
        FieldChange(tenant_id=one.tenant_id, contact=one, field="*", source="person", actor=by, rule="erased", at=now)
        for one in found
    )
    contacts_erased.send(sender=Contact, contact_ids=ids)


def forget_late(now: datetime) -> int:
    """Deletes requests that were under way when somebody was forgotten, and were noted after it. Returns how many."""
    since = (now - LATE).isoformat()
    done = 0
    for link in SyncRecord.objects.filter(**{f"metadata__{FORGOTTEN}__gt": since}):
        done += exchanges.forget(link.tenant_id, [exchanges.record_key(link.crm_object_type, link.crm_record_id)])
    return done


def links_of(contact_ids: Collection[UUID]) -> list[SyncRecord]:
    """Of contacts, also those that let go of them."""
    names = [str(one) for one in contact_ids]
    # The key is asked for besides, since only links that have it are in the index.
    told = Q(local_record_id__in=contact_ids) | Q(metadata__has_key="contact", metadata__contact__in=names)
    return list(SyncRecord.objects.filter(told, local_table=Contact._meta.db_table).select_related("connection"))


def forgotten(connection: CrmConnection, object_type: str, record_ids: Collection[str]) -> set[str]:
    """Which of these records have a tombstone."""
    rows = SyncRecord.objects.filter(
        tenant_id=connection.tenant_id, crm_provider=connection.provider, crm_object_type=object_type,
        crm_record_id__in=list(record_ids), metadata__has_key=FORGOTTEN,
    )  # fmt: skip
    return set(rows.values_list("crm_record_id", flat=True))


def forget_told(event_ids: Collection[int]) -> None:
    """What events said of people who were forgotten."""
    InboxEvent.objects.filter(pk__in=event_ids).update(body=b"", values={})


def leave_out(works: Sequence[Work]) -> list[Work]:
    """Those that may be taken in. Of the others it is only noted that they were seen, so that they don't look out of date."""
    held = [work for work in works if work.link is not None and FORGOTTEN in work.link.metadata]
    for work in held:
        if work.link and work.newer:
            work.link.last_crm_modified_at = work.record.modified_at
    SyncRecord.objects.bulk_update([work.link for work in held if work.link], ["last_crm_modified_at"])
    return [work for work in works if work not in held]


def joined_into(contact_ids: Collection[UUID]) -> set[UUID]:
    """Contacts that became one with these: what they held is kept, to be able to part them."""
    entries = FieldChange.objects.filter(field=FOLDED, new__in=[str(one) for one in contact_ids])
    found = set(MatchReview.objects.filter(candidate__in=contact_ids).values_list("contact_id", flat=True))
    found |= set(MatchReview.objects.filter(contact__in=contact_ids).values_list("candidate_id", flat=True))
    return set(
        entries.filter(contact__in=found, contact__deleted_at__isnull=False).values_list("contact_id", flat=True)
    )


def _not_erased_yet(contacts: Collection[Contact]) -> list[Contact]:
    """A deletion that is told again leaves no second trace."""
    blank = [one.pk for one in contacts if one.deleted_at and all(getattr(one, key) == BLANK[key] for key in BLANK)]
    erased = set(FieldChange.objects.filter(contact__in=blank, rule="erased").values_list("contact_id", flat=True))
    return [one for one in contacts if one.pk not in erased]


def _forget(contact_ids: Collection[UUID]) -> None:
    for model in (FieldChange, Conflict, Quarantine, MatchReview):
        model._default_manager.filter(contact__in=contact_ids).delete()
    MatchReview.objects.filter(candidate__in=contact_ids).delete()
    links = SyncRecord.objects.filter(local_record_id__in=contact_ids, local_table=Contact._meta.db_table)
    snapshots.forget(links.values_list("pk", flat=True))
    links.update(base={})


def _forget_events(connection: CrmConnection, object_type: str, record_ids: Collection[str]) -> None:
    for record_id in record_ids:
        told = InboxEvent.objects.filter(connection=connection, object_type=object_type)
        told.filter(record_ids__contains=[record_id]).update(body=b"", values={})


def _last_words(contact: Contact, connection: CrmConnection, now: datetime) -> FieldChange:
    return FieldChange(
        tenant_id=contact.tenant_id,
        contact=contact,
        field="*",
        source="crm",
        actor=connection.get_provider_display(),
        rule="erased",
        connection=connection,
        at=now,
    )
