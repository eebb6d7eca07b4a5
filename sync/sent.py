"""Remembers what was sent to a CRM, in the transaction that settles the jobs: the base moves, new records get their link.

The tenant's pages are held off meanwhile, since one of them may bring the record that was just created.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db.models import Q
from django.utils import timezone

from integrations import errors
from integrations.models import CrmConnection
from sync import departed, do_not_call, snapshots
from sync.bulk import upsert
from sync.holding import lock_tenant
from sync.linked import contacts_linked
from sync.merge import DO_NOT_CALL
from sync.models import MatchReview, SyncRecord
from sync.pushes import CONTACTS
from sync.undoing import overwritten

if TYPE_CHECKING:
    from sync.outgoing import Change

WARNINGS = "warnings"
LINK_FIELDS = [
    "connection", "local_record_id", "local_table", "sync_status", "last_synced_at", "error_message", "metadata", "base", "url",
    "updated_at",
]  # fmt: skip


def keep(connection: CrmConnection, changes: Sequence["Change"]) -> None:
    now = timezone.now()
    told = [change for change in changes if change.written is not None or change.problem]
    if not told:
        return
    lock_tenant(connection.tenant_id)
    ids = [change.link.pk for change in told if change.link]
    held = SyncRecord.objects.select_for_update().in_bulk(ids)
    for change in told:
        change.link = held.get(change.link.pk) if change.link else None
    _link_created(connection, [change for change in told if change.link is None and _record_of(change)])
    rows = {change.link.pk: change.link for change in told if change.link}
    overwritten.remember(connection, [change for change in told if change.link and change.link.pk in held])
    for change in told:
        if change.link is not None:
            _note(change.link, change, now)
    snapshots.forget(rows)
    upsert(SyncRecord, list(rows.values()), LINK_FIELDS)
    new = [change.contact.pk for change in told if change.link is not None and change.link.pk not in held]
    if new:
        contacts_linked.send(sender=SyncRecord, connection=connection, contact_ids=new)
    _mark_gone(connection, told, now)


def _record_of(change: "Change") -> str:
    written = change.written
    known = written is not None and (written.error is None or isinstance(written.error, errors.AlreadyThere))
    return written.id if written is not None and known else ""


def _link_created(connection: CrmConnection, created: Sequence["Change"]) -> None:
    """Gives each its link. A record that stands for another contact of ours already is left to it, and somebody is asked whether
    the two are one person."""
    if not created:
        return
    rows = SyncRecord.objects.select_for_update().filter(
        Q(crm_record_id__in=[_record_of(one) for one in created]) | Q(local_record_id__in=[one.contact.pk for one in created]),
        tenant_id=connection.tenant_id, crm_provider=connection.provider, crm_object_type=created[0].kind,
    )  # fmt: skip
    by_record = {row.crm_record_id: row for row in rows}
    linked = {row.local_record_id for row in rows if row.connection_id == connection.pk and row.local_record_id}
    reviews = []
    for change in created:
        link = by_record.get(_record_of(change))
        if link is not None and link.local_record_id not in (None, change.contact.pk):
            reviews.append(_review(change, link))
        elif link is not None or change.contact.pk not in linked:
            change.link = by_record[_record_of(change)] = link or _new_link(connection, change)
            change.link.local_record_id = change.contact.pk
    MatchReview.objects.bulk_create(reviews, ignore_conflicts=True)


def _new_link(connection: CrmConnection, change: "Change") -> SyncRecord:
    return SyncRecord(
        tenant_id=connection.tenant_id,
        connection=connection,
        crm_provider=connection.provider,
        crm_object_type=change.kind,
        crm_record_id=_record_of(change),
        local_table=CONTACTS,
        sync_direction="outbound",
    )


def _review(change: "Change", link: SyncRecord) -> MatchReview:
    reason = f"{link.get_crm_provider_display()} keeps both as one record."
    return MatchReview(
        tenant_id=change.contact.tenant_id,
        contact=change.contact,
        candidate_id=str(link.local_record_id),
        record_id=link.pk if not link._state.adding else None,
        by="crm_id",
        score=1.0,
        reasons=[reason],
    )


def _note(link: SyncRecord, change: "Change", now: datetime) -> None:
    error = change.written.error if change.written else None
    link.updated_at = now
    if change.written is not None and error is None:
        link.base = {**link.base, **change.fields}
        link.last_synced_at = now
        link.url = change.written.url or link.url
        link.metadata = _with_warnings(link.metadata, change.written.warnings)
        if change.fields.get(DO_NOT_CALL):
            link.metadata = do_not_call.stamped(link.metadata, now)
    if isinstance(error, errors.AlreadyThere):
        link.url = change.written.url if change.written else link.url
    if isinstance(error, errors.Retry | errors.Stale):
        return  # nothing is decided yet
    if error is not None or change.problem:
        link.sync_status = SyncRecord.Status.ERROR
        link.error_message = change.problem or getattr(error, "message", str(error))
    elif link.sync_status != SyncRecord.Status.CONFLICT:
        link.sync_status, link.error_message = SyncRecord.Status.SYNCED, None


def _with_warnings(metadata: dict[str, Any], warnings: Sequence[str]) -> dict[str, Any]:
    """What the latest write had to leave out is shown beside the link, which is in sync all the same."""
    others = {name: value for name, value in metadata.items() if name != WARNINGS}
    return {**others, WARNINGS: list(warnings)} if warnings else others


def _mark_gone(connection: CrmConnection, changes: Sequence["Change"], now: datetime) -> None:
    gone: dict[str, list[str]] = defaultdict(list)
    for change in changes:
        if change.link is not None and change.written and isinstance(change.written.error, errors.Gone):
            gone[change.kind].append(change.link.crm_record_id)
    for kind, ids in gone.items():
        unsure = () if departed.absence_is_proof(connection) else ids
        departed.mark_gone(connection, kind, ids, now, unsure=unsure)
