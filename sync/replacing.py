"""What becomes of the sync when a connection gets another account: nothing that was about the former one may reach the new.

Ids mean other records there, often with the same numbers. Links and cursors go, waiting work is laid aside; contacts and
calls stay, and so do worked events, which are never worked again. It happens in the transaction that stores the new account.
"""

from typing import Any

from django.db.models.functions import Now
from django.utils import timezone

from integrations.models import CrmConnection
from sync.models import FeedCursor, InboxEvent, SyncJob, SyncRecord
from sync.queue import FOR_GOOD

ACCOUNT_SINCE = "account_since"
"""In a connection's metadata: when its account took another one's place."""


def forget(connection: CrmConnection, before: str, **_: Any) -> None:
    """Receiver of `integrations.storing.account_replaced`."""
    SyncJob.objects.filter(connection=connection).exclude(
        state__in=[SyncJob.State.DONE, SyncJob.State.DISMISSED]
    ).update(
        state=SyncJob.State.DEAD,
        lease_token=None,
        lease_until=None,
        cause=FOR_GOOD,
        fingerprint="",
        error=f"This was meant for account {before}. Another one has taken its place, so it can't be done any more.",
        finished_at=Now(),
    )
    SyncRecord.objects.filter(connection=connection).delete()
    FeedCursor.objects.filter(connection=connection).delete()
    InboxEvent.objects.filter(connection=connection).exclude(state=InboxEvent.State.WORKED).delete()
    connection.remember({ACCOUNT_SINCE: timezone.now().isoformat()})
