"""What a link says of its record: there, hidden, gone, moved, or of somebody who asked to be forgotten."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from integrations.models import CrmConnection
from sync.models import Contact, SyncRecord

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
"""What of a link may change when its record goes, moves or comes back."""
FORGOTTEN = "forgotten_at"
"""Who asked to be forgotten here: their record is never taken in again, also where it lives on (see `sync.erasing`)."""


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


def close(link: SyncRecord, now: datetime) -> None:
    """Nothing has to be done for this link any more."""
    link.sync_status, link.error_message, link.updated_at = SyncRecord.Status.SYNCED, None, now


def locked(connection: CrmConnection, identities: Sequence[Identity]) -> list[SyncRecord]:
    """The links of these records that we have, for the length of the transaction nobody else's to change."""
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
