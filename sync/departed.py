"""Records that are gone from the CRM, and those that come back. What lives on in another record is told in `sync.living_on`.

The link remembers what became of its record (see `sync.link_states`), so all of it can be taken back.

What a deletion means for the contact is the connection's setting `on_delete`, by object type: mark the link, unlink the contact,
or delete it here too. A record that is merely not shown any more (`unseen_at`) may be hidden from our credential: its contact is
left alone.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import F

from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.registry import provider_class
from sync.bulk import upsert
from sync.link_states import (
    FIELDS,
    close,
    locked,
    still_there,
)
from sync.models import Contact, FieldChange, SyncRecord

MARK, UNLINK, DELETE = "mark", "unlink", "delete"


def policy(connection: CrmConnection, object_type: str) -> str:
    """What a deletion in the CRM does to our contact: mark, unlink or delete."""
    chosen = dict(connection.settings.get("on_delete") or {}).get(object_type, MARK)
    return chosen if chosen in (UNLINK, DELETE) else MARK


def set_policies(connection: CrmConnection, chosen: Mapping[str, str]) -> None:
    """Object type → mark, unlink or delete; other types keep theirs. Raises ValueError for another word."""
    if not {*chosen.values()} <= {MARK, UNLINK, DELETE}:
        raise ValueError(f"A deletion can only {MARK}, {UNLINK} or {DELETE}.")
    with transaction.atomic():
        held = CrmConnection.objects.select_for_update(of=("self",)).only("settings").get(pk=connection.pk)
        held.settings = {**held.settings, "on_delete": {**(held.settings.get("on_delete") or {}), **chosen}}
        held.save(update_fields=["settings"])
    connection.settings = held.settings


def absence_is_proof(connection: CrmConnection) -> bool:
    """A CRM that tells of no removals has no other word for them than that the record is missing."""
    return provider_class(connection.provider).removals is CrmProvider.removals


def mark_gone(
    connection: CrmConnection,
    object_type: str,
    ids: Collection[str],
    now: datetime,
    *,
    erased: Collection[str] = (),
    unsure: Collection[str] = (),
) -> int:
    """Notes on the links of these records that they are gone; `erased` ones for good, `unsure` ones only that they aren't shown.

    Returns how many were not noted before.
    """
    marks = {one: _marks(one, erased, unsure) for one in ids}
    links = [
        link
        for link in locked(connection, [(object_type, one) for one in ids])
        if not link.metadata.keys() >= marks[link.crm_record_id]
        and not (link.crm_record_id in unsure and "deleted_at" in link.metadata)
    ]
    for link in links:
        link.metadata = {**dict.fromkeys(marks[link.crm_record_id], now.isoformat()), **link.metadata}
        close(link, now)
    certain = [link for link in links if "deleted_at" in link.metadata]
    chosen = policy(connection, object_type)
    if chosen == DELETE:
        _delete_contacts(certain, now)
    elif chosen == UNLINK:
        _unlink(certain)
    upsert(SyncRecord, links, FIELDS)
    return len(links)


def _marks(record_id: str, erased: Collection[str], unsure: Collection[str]) -> set[str]:
    if record_id in erased:
        return {"deleted_at", "erased_at"}
    return {"unseen_at"} if record_id in unsure else {"deleted_at"}


def _unlink(links: Iterable[SyncRecord]) -> None:
    for link in links:
        if link.local_record_id:
            link.metadata = {**link.metadata, "contact": str(link.local_record_id)}
            link.local_record_id = None


def _delete_contacts(links: Sequence[SyncRecord], now: datetime) -> None:
    """Contacts that no other record stands for. They stay in the feed, as deleted."""
    concerned = {link.local_record_id: link for link in links if link.local_record_id}
    others = SyncRecord.objects.filter(local_record_id__in=list(concerned), local_table=Contact._meta.db_table).exclude(
        pk__in=[link.pk for link in links]
    )
    elsewhere = set(still_there(others).values_list("local_record_id", flat=True))
    ids = [pk for pk in concerned if pk not in elsewhere]
    live = list(Contact.objects.select_for_update().filter(pk__in=ids, deleted_at=None))
    _set_deleted(live, now, now, concerned)
    for contact in live:
        link = concerned[contact.pk]
        link.metadata = {**link.metadata, "contact_deleted": True}


def _set_deleted(
    contacts: Sequence[Contact], deleted_at: datetime | None, now: datetime, links: Mapping[UUID, SyncRecord]
) -> None:
    Contact.objects.filter(pk__in=[one.pk for one in contacts]).update(
        deleted_at=deleted_at, version=F("version") + 1, updated_at=now
    )
    FieldChange.objects.bulk_create(
        FieldChange(
            tenant_id=contact.tenant_id,
            contact=contact,
            field="deleted_at",
            old=contact.deleted_at.isoformat() if contact.deleted_at else None,
            new=deleted_at.isoformat() if deleted_at else None,
            source="crm",
            actor=links[contact.pk].get_crm_provider_display(),
            connection_id=links[contact.pk].connection_id,
            at=now,
        )
        for contact in contacts
    )


def revive(links: Sequence[SyncRecord], now: datetime) -> None:
    """Gives links whose records are there again their contacts back; a contact that was deleted with its record lives again.

    The caller writes the links. A contact that another record of the kind has taken over stays with that one.
    """
    lost = {UUID(link.metadata["contact"]): link for link in links if _let_go(link)}
    if lost:
        sample = next(iter(lost.values()))
        taken = set(
            SyncRecord.objects.filter(
                connection_id=sample.connection_id,
                crm_object_type=sample.crm_object_type,
                local_record_id__in=list(lost),
            ).values_list("local_record_id", flat=True)
        )
        for contact_id in Contact.objects.filter(pk__in=lost.keys() - taken).values_list("pk", flat=True):
            lost[contact_id].local_record_id = contact_id
    deleted = {
        link.local_record_id: link for link in links if link.local_record_id and link.metadata.get("contact_deleted")
    }
    if deleted:
        dead = Contact.objects.select_for_update().filter(pk__in=list(deleted)).exclude(deleted_at=None)
        _set_deleted(list(dead), None, now, deleted)


def _let_go(link: SyncRecord) -> bool:
    return link.local_record_id is None and bool(link.metadata.get("contact"))
