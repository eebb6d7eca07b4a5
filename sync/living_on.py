"""Records that live on in another one after a merge or a conversion.

A contact whose record lives on elsewhere is linked to the record that is left, with the values that both sides agreed on; the old
link stays as a signpost (`metadata.moved_to`). Where both records had contacts of ours, the contacts become one (`folded` names
the other; see `sync.folding`), and two again when the CRM brings the record back; where that can't be, both stay and the signpost
names the one that is left (`same_as`).
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

from django.db import transaction

from integrations.models import CrmConnection
from mapping.publishing import compiled
from sync import folding
from sync.bulk import upsert
from sync.folding import Decider, NotMergeable
from sync.link_states import FIELDS, FORGOTTEN, NO_LONGER_THERE, Identity, close, identity_of, locked
from sync.models import Contact, SyncRecord

MOST_HOPS = 10


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
        close(old, now)
        olds.append(old)
    upsert(SyncRecord, olds, FIELDS)


def redirect(connection: CrmConnection, moves: Mapping[Identity, Identity], now: datetime) -> list[Identity]:
    """Follows records to those that they live on in: loser → winner. Returns the winners that have to be read afresh."""
    if not moves:
        return []
    held = {identity_of(link): link for link in locked(connection, [*moves, *moves.values()])}
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
    close(old, now)
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


def _end_of(moves: Mapping[Identity, Identity], start: Identity) -> Identity:
    for _ in range(MOST_HOPS):
        if start not in moves:
            break
        start = moves[start]
    return start


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
