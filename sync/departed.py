"""Records that are gone from the CRM, and records that live on in another one after a merge or a conversion.

The link remembers what became of its record, so all of it can be taken back. A contact whose record lives on elsewhere is linked
to the record that is left, with the values that both sides agreed on; the old link stays as a signpost (`metadata.moved_to`).
Where both records had contacts of ours, the contacts become one (`folded` names the other; see `sync.folding`), and two again
when the CRM brings the record back; where that can't be, both stay and the signpost names the one that is left (`same_as`).

What a deletion means for the contact is the connection's setting `on_delete`, by object type: mark the link, unlink the contact,
or delete it here too. A record that is merely not shown any more (`unseen_at`) may be hidden from our credential: its contact is
left alone.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q, QuerySet

from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.registry import provider_class
from mapping.publishing import compiled
from sync import folding
from sync.bulk import upsert
from sync.folding import Decider, NotMergeable
from sync.models import Contact, FieldChange, SyncRecord

Identity = tuple[str, str]
"""Object type and id of a record in the CRM."""

MARKS = (
    "deleted_at",
    "erased_at",
    "unseen_at",
    "moved_to",
    "moved_at",
    "same_as",
    "folded",
    "contact",
    "contact_deleted",
)
"""What is noted on a link here, and taken off again when the record turns up alive."""
NO_LONGER_THERE = ("deleted_at", "erased_at", "unseen_at", "moved_to")
"""Any of these says that the link's record is not there."""
FIELDS = ["local_record_id", "sync_status", "error_message", "metadata", "base", "updated_at"]
FORGOTTEN = "forgotten_at"
"""Who asked to be forgotten here: their record is never taken in again, also where it lives on (see `sync.erasing`)."""
MOST_HOPS = 10
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
        for link in _links(connection, [(object_type, one) for one in ids])
        if not link.metadata.keys() >= marks[link.crm_record_id]
        and not (link.crm_record_id in unsure and "deleted_at" in link.metadata)
    ]
    for link in links:
        link.metadata = {**dict.fromkeys(marks[link.crm_record_id], now.isoformat()), **link.metadata}
        _close(link, now)
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


def part_again(connection: CrmConnection, links: Iterable[SyncRecord]) -> bool:
    """Makes two contacts again of those that became one when these records were merged away. False: there were none."""
    folded = [link.metadata["folded"] for link in links if link.metadata.get("folded")]
    by = Decider(connection.get_provider_display(), connection)
    parted = [_parted(UUID(pk), by) for pk in folded]
    return any(parted)


def _parted(loser_id: UUID, by: Decider) -> bool:
    try:
        return folding.unfold(loser_id, by, even_if_edited=True)
    except NotMergeable:
        return False


def _let_go(link: SyncRecord) -> bool:
    return link.local_record_id is None and bool(link.metadata.get("contact"))


def take_over(connection: CrmConnection, heirs: Mapping[UUID, Identity], now: datetime) -> None:
    """Records that were made anew and matched the contact of one that is gone: the old link becomes a signpost to the new one.

    `heirs`: contact → the new record. To be called before the new links are written.
    """
    if not heirs:
        return
    rows = SyncRecord.objects.select_for_update().filter(
        connection=connection, local_record_id__in=list(heirs), local_table=Contact._meta.db_table
    )
    olds = []
    for old in rows.filter(metadata__has_any_keys=list(NO_LONGER_THERE)):
        contact_id = old.local_record_id
        if contact_id is None or identity_of(old) == heirs[contact_id]:
            continue
        signpost = {"moved_to": list(heirs[contact_id]), "moved_at": now.isoformat(), "contact": str(contact_id)}
        old.metadata, old.local_record_id = {**old.metadata, **signpost}, None
        _close(old, now)
        olds.append(old)
    upsert(SyncRecord, olds, FIELDS)


def still_there(links: QuerySet[SyncRecord, Any]) -> QuerySet[SyncRecord, Any]:
    return links.exclude(metadata__has_any_keys=list(NO_LONGER_THERE))


def is_gone(link: SyncRecord) -> bool:
    return not link.metadata.keys().isdisjoint(NO_LONGER_THERE)


def is_hidden(link: SyncRecord) -> bool:
    """Merely not shown any more: it may exist, and be shown again at any time."""
    return "unseen_at" in link.metadata and link.metadata.keys().isdisjoint(("deleted_at", "erased_at", "moved_to"))


def is_deleted(link: SyncRecord) -> bool:
    """Gone for certain, and not merely moved or hidden."""
    return "deleted_at" in link.metadata and "moved_to" not in link.metadata


def end_of_signposts(connection_id: UUID, start: SyncRecord) -> SyncRecord:
    """The link of the record that this one lives on in; itself when it lives, or when the signposts lead nowhere."""
    link = start
    for _ in range(MOST_HOPS):
        moved_to = link.metadata.get("moved_to")
        if not moved_to:
            break
        following = SyncRecord.objects.filter(
            connection_id=connection_id, crm_object_type=moved_to[0], crm_record_id=moved_to[1]
        ).first()
        if following is None or following.pk == start.pk:
            break
        link = following
    return link


def redirect(connection: CrmConnection, moves: Mapping[Identity, Identity], now: datetime) -> list[Identity]:
    """Follows records to those that they live on in: loser → winner. Returns the winners that have to be read afresh."""
    if not moves:
        return []
    held = {identity_of(link): link for link in _links(connection, [*moves, *moves.values()])}
    losers, winners, both = [], {}, []
    for loser in moves:
        winner, old = _end_of(moves, loser), held.get(loser)
        if old is None or winner == loser or old.metadata.get("moved_to") == list(winner):
            continue
        winners[winner] = held.setdefault(winner, _new_link(connection, winner, now))
        if _hand_over(old, winners[winner], now):
            both.append((old, winners[winner]))
        losers.append(old)
    # The losers first: they let go of the contacts that the winners' links take.
    upsert(SyncRecord, losers, FIELDS)
    upsert(SyncRecord, [link for link in winners.values() if link.local_record_id], FIELDS)
    for old, new in both:
        _make_one(connection, old, new)
    return list(winners)


def _hand_over(old: SyncRecord, new: SyncRecord, now: datetime) -> bool:
    """True when each has a contact of its own."""
    both = bool(old.local_record_id and new.local_record_id and old.local_record_id != new.local_record_id)
    if FORGOTTEN in old.metadata and not new.local_record_id:
        new.metadata = {**new.metadata, FORGOTTEN: old.metadata[FORGOTTEN]}
    signpost = {**old.metadata, "moved_to": list(identity_of(new)), "moved_at": now.isoformat()}
    if old.local_record_id and not new.local_record_id:
        signpost["contact"] = str(old.local_record_id)
        new.local_record_id, new.base, old.local_record_id = old.local_record_id, old.base, None
    elif old.local_record_id:
        signpost["same_as"] = str(new.local_record_id)
    old.metadata = signpost
    new.updated_at = now
    _close(old, now)
    return both


def _make_one(connection: CrmConnection, old: SyncRecord, new: SyncRecord) -> None:
    """The CRM says that both are one person: so are our contacts, with the values of the record that is left.

    Where one of them is gone, or another CRM has a record for each, both stay as they are.
    """
    own, left = str(old.local_record_id), str(new.local_record_id)
    by = Decider(connection.get_provider_display(), connection)
    mapped = compiled(connection, new.crm_object_type).engine.dialer_fields("inbound")
    decided = [name for name in mapped if name in folding.FILLED or name.startswith(folding.CUSTOM)]
    try:
        with transaction.atomic():
            SyncRecord.objects.filter(pk=old.pk).update(local_record_id=None)
            pair = folding.in_order([UUID(own), UUID(left)])
            leading = next(one for one in pair if str(one.pk) == left)
            folding.fold(*pair, by, leading=leading, decided=decided)
    except NotMergeable:
        return
    survivor, loser = pair
    old.metadata = {**old.metadata, "contact": own, "same_as": str(survivor.pk), "folded": str(loser.pk)}
    SyncRecord.objects.filter(pk=old.pk).update(metadata=old.metadata)
    folding.note(survivor, loser, new, by)


def _close(link: SyncRecord, now: datetime) -> None:
    """Nothing has to be done for this link any more."""
    link.sync_status, link.error_message, link.updated_at = SyncRecord.Status.SYNCED, None, now


def _end_of(moves: Mapping[Identity, Identity], start: Identity) -> Identity:
    for _ in range(MOST_HOPS):
        if start not in moves:
            break
        start = moves[start]
    return start


def _links(connection: CrmConnection, identities: Sequence[Identity]) -> list[SyncRecord]:
    by_type: dict[str, set[str]] = {}
    for object_type, record_id in identities:
        by_type.setdefault(object_type, set()).add(record_id)
    if not by_type:
        return []
    wanted = Q()
    for object_type, ids in by_type.items():
        wanted |= Q(crm_object_type=object_type, crm_record_id__in=ids)
    rows = SyncRecord.objects.select_for_update().filter(
        wanted, tenant_id=connection.tenant_id, crm_provider=connection.provider, local_table=Contact._meta.db_table
    )
    return list(rows)


def identity_of(link: SyncRecord) -> Identity:
    return link.crm_object_type, link.crm_record_id


def _new_link(connection: CrmConnection, identity: Identity, now: datetime) -> SyncRecord:
    return SyncRecord(
        tenant_id=connection.tenant_id,
        connection=connection,
        crm_provider=connection.provider,
        crm_object_type=identity[0],
        crm_record_id=identity[1],
        local_table=Contact._meta.db_table,
        sync_direction="inbound",
        sync_status=SyncRecord.Status.PENDING,
        updated_at=now,
    )
