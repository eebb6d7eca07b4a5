"""What has to be put right once the database was brought back from a backup.

Between the moment of the backup and its return other workers wrote to the CRMs, and nothing here knows of it. So what was open then
counts as perhaps written: it is looked up in the CRM by its key before it is written again. The same goes for a call that was made
before the restore and is posted (again) after it: its id comes from the dialer's, so the CRM may hold it under the very same key.

Positions in the change feed are transaction numbers, and another server counts them from its own beginning. They go on far above
whatever was given out before, and all contacts come once more, since programs may hold values of the time that is lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection as database
from django.db import transaction
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from integrations import tenancy
from integrations.models import CrmConnection
from sync.models import Contact, Restore, SyncJob

FEED_LEAP = 2**40
"""More transactions than any server got through between two backups."""
CONTACTS_AT_ONCE = 5000
FIRST = UUID(int=0)


def put_right(since: datetime) -> dict[str, Any]:
    """After a restore of the state of `since`, before web and workers start. Safe to repeat."""
    with tenancy.everyone():
        with transaction.atomic():
            Restore.objects.create(since=since, restored_at=timezone.now())
            doubtful = _doubt(since)
            CrmConnection.objects.update(wake_requested_at=None)
            _leap()
        return {"since": since.isoformat(), "doubtful_jobs": doubtful, "contacts_told_again": _tell_again()}


def _doubt(since: datetime) -> int:
    """Everything that was open may be written by now. What was being done is put back to work."""
    open_ = SyncJob.objects.filter(state__in=(SyncJob.State.READY, SyncJob.State.LEASED, SyncJob.State.DEAD))
    open_.filter(state=SyncJob.State.LEASED).update(lease_until=Now())
    return open_.update(first_attempt_at=Coalesce("first_attempt_at", since))


def _leap() -> None:
    """Later positions of the feed are above all earlier ones, also above those that were given out and are lost here."""
    with database.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(change_xid), 0), dialbridge_feed_offset() FROM contacts")
        highest, offset = cursor.fetchone()
        later = max(highest, offset) + FEED_LEAP
        cursor.execute(
            "CREATE OR REPLACE FUNCTION dialbridge_feed_offset() RETURNS bigint LANGUAGE sql STABLE "
            f"AS 'SELECT {int(later)}::bigint'"
        )


def _tell_again() -> int:
    """Every contact moves to the end of the feed; in slices, so that nobody waits long for a row."""
    done, last = 0, FIRST
    while True:
        ids = list(Contact.objects.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:CONTACTS_AT_ONCE])
        if not ids:
            return done
        with database.cursor() as cursor:
            cursor.execute("UPDATE contacts SET change_xid = change_xid WHERE id = ANY(%s)", [ids])
        done, last = done + len(ids), ids[-1]


@dataclass(frozen=True, slots=True)
class LostTime:
    """The times that nothing is known of here."""

    spans: Sequence[tuple[datetime, datetime]]
    """State of, and restored at."""

    def maybe_written(self, happened_at: datetime, stored_at: datetime) -> datetime | None:
        """From when on something may have been written by those whose memory is lost; None if it can't have been."""
        return min((since for since, until in self.spans if happened_at < until <= stored_at), default=None)


def lost_time() -> LostTime:
    return LostTime(list(Restore.objects.values_list("since", "restored_at")))
