"""Records that are gone from the CRM, and records that live on in another one after a merge or a conversion.

Nothing of ours is deleted here: the link remembers what became of its record. A contact whose record lives on elsewhere is
linked to the record that is left, with the values that both sides agreed on; the old link stays as a signpost
(`metadata.moved_to`). Where both records had contacts of ours, both stay, and the signpost names the other (`same_as`).
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from django.db.models import Q

from integrations.models import CrmConnection
from sync.bulk import upsert
from sync.models import Contact, SyncRecord

Identity = tuple[str, str]
"""Object type and id of a record in the CRM."""

MARKS = ("deleted_at", "erased_at", "moved_to", "moved_at", "same_as", "contact")
"""What is noted on a link here, and taken off again when the record turns up alive."""
FIELDS = ["local_record_id", "sync_status", "error_message", "metadata", "base", "updated_at"]
MOST_HOPS = 10


def mark_gone(
    connection: CrmConnection, object_type: str, ids: Collection[str], now: datetime, *, erased: Collection[str] = ()
) -> int:
    """Notes on the links of these records that they are gone; `erased` ones for good. Returns how many were not noted before."""
    links = [
        link
        for link in _links(connection, [(object_type, one) for one in ids])
        if "deleted_at" not in link.metadata or (link.crm_record_id in erased and "erased_at" not in link.metadata)
    ]
    for link in links:
        link.metadata = {"deleted_at": now.isoformat(), **link.metadata}
        if link.crm_record_id in erased:
            link.metadata["erased_at"] = now.isoformat()
        _close(link, now)
    upsert(SyncRecord, links, FIELDS)
    return len(links)


def redirect(connection: CrmConnection, moves: Mapping[Identity, Identity], now: datetime) -> list[Identity]:
    """Follows records to those that they live on in: loser → winner. Returns the winners that have to be read afresh."""
    if not moves:
        return []
    held = {_identity(link): link for link in _links(connection, [*moves, *moves.values()])}
    losers, winners = [], {}
    for loser in moves:
        winner, old = _end_of(moves, loser), held.get(loser)
        if old is None or winner == loser or old.metadata.get("moved_to") == list(winner):
            continue
        winners[winner] = held.setdefault(winner, _new_link(connection, winner, now))
        _hand_over(old, winners[winner], now)
        losers.append(old)
    # The losers first: they let go of the contacts that the winners' links take.
    upsert(SyncRecord, losers, FIELDS)
    upsert(SyncRecord, [link for link in winners.values() if link.local_record_id], FIELDS)
    return list(winners)


def _hand_over(old: SyncRecord, new: SyncRecord, now: datetime) -> None:
    signpost = {**old.metadata, "moved_to": list(_identity(new)), "moved_at": now.isoformat()}
    if old.local_record_id and not new.local_record_id:
        signpost["contact"] = str(old.local_record_id)
        new.local_record_id, new.base, old.local_record_id = old.local_record_id, old.base, None
    elif old.local_record_id:
        signpost["same_as"] = str(new.local_record_id)
    old.metadata = signpost
    new.updated_at = now
    _close(old, now)


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


def _identity(link: SyncRecord) -> Identity:
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
