"""Works a window of the inbox again, as a job: whatever the CRM told then is looked up now and applied like any page.

Events only say what to look up, so old ones are harmless: a record that stands as we hold it changes nothing. What would change
is worked out beforehand by `sync.replay_diff`. A window never reaches back to another account that the connection once had.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from integrations import errors
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.records.events import Change
from integrations.registry import provider_class
from sync import queue
from sync.fetching import Desk
from sync.handlers import Result
from sync.models import InboxEvent, Lane, SyncJob
from sync.queue import Claim, Outcome
from sync.replacing import ACCOUNT_SINCE

KIND = "replay"
EVENTS_AT_ONCE = 200
"""Worked in one go of the job, which has to end before its lease does."""


@dataclass(frozen=True, slots=True)
class Window:
    """What a connection was told from `since` until before `until`; of one object type, or of all that are kept here."""

    connection: CrmConnection
    since: datetime
    until: datetime
    object_type: str = ""

    @property
    def object_types(self) -> Sequence[str]:
        kept = provider_class(self.connection.provider).person_types
        return [one for one in kept if self.object_type in ("", one)]

    @property
    def start(self) -> datetime:
        """Ids of an earlier account mean other records in this one."""
        since = self.connection.metadata.get(ACCOUNT_SINCE)
        return max(self.since, datetime.fromisoformat(since)) if since else self.since

    def events(self) -> QuerySet[InboxEvent]:
        """Without those that name no record."""
        rows: QuerySet[InboxEvent] = InboxEvent.objects.filter(
            tenant_id=self.connection.tenant_id,
            connection=self.connection,
            object_type__in=self.object_types,
            received_at__gte=self.start,
            received_at__lt=self.until,
        ).exclude(change=Change.RESYNC)
        return rows


def start(window: Window) -> SyncJob | None:
    """Has the window worked again in the background, behind all that is new. None when it holds nothing, and nothing waits then.

    The same window twice is one job while it waits.
    """
    until = min(window.until, timezone.now())
    window = Window(window.connection, window.since, until, window.object_type)
    total = window.events().count()
    if not total:
        return None
    payload = {
        "since": window.start.isoformat(), "until": until.isoformat(), "object_type": window.object_type,
        "after": 0, "done": 0, "total": total, "failed": 0,
    }  # fmt: skip
    connection = window.connection
    key = f"{window.object_type}:{window.since:%Y-%m-%dT%H:%M:%S}:{window.until:%Y-%m-%dT%H:%M:%S}"
    job = {"tenant_id": connection.tenant_id, "connection": connection, "kind": KIND, "key": key}
    queue.enqueue([SyncJob(**job, payload=payload, lane=Lane.BACKFILL)])
    found: SyncJob | None = SyncJob.objects.filter(**job, state=SyncJob.State.READY).order_by("-pk").first()
    return found


class ReplayHandler:
    """Some events of a window; the job then goes to the end of its lane with how far it came."""

    def batch_size(self, provider: type[CrmProvider]) -> int:
        return 1

    def work(self, provider: CrmProvider, claimed: Claim) -> Result:
        job = claimed.jobs[0]
        connection = CrmConnection.objects.select_related("tenant").get(pk=job.connection_id)
        rows = window_of(connection, job.payload).events().filter(pk__gt=job.payload["after"])
        events = list(rows.defer("body", "headers", "values").order_by("pk")[:EVENTS_AT_ONCE])
        failed = _work(connection, provider, events)
        progress = _moved_on(job.payload, events, failed)
        if len(events) == EVENTS_AT_ONCE:
            return Result([Outcome(job, "ready", counts=False, payload=progress)])
        return Result([_partly_failed(job, progress) if progress["failed"] else Outcome(job, "done", payload=progress)])


def window_of(connection: CrmConnection, payload: Mapping[str, Any]) -> Window:
    """The window of a job, as it was when the job was made."""
    since, until = (datetime.fromisoformat(payload[name]) for name in ("since", "until"))
    return Window(connection, since, until, payload["object_type"])


def _work(connection: CrmConnection, provider: CrmProvider, events: Sequence[InboxEvent]) -> int:
    """Returns how many records could not be taken over; their events say why."""
    by_type: dict[str, list[InboxEvent]] = defaultdict(list)
    for event in events:
        by_type[event.object_type].append(event)
    failed = 0
    for object_type, told in by_type.items():
        desk = Desk(connection, provider, object_type)
        desk.work(told, seconds=None)
        failed += len(desk.faults)
    return failed


def _moved_on(payload: Mapping[str, Any], events: Sequence[InboxEvent], failed: int) -> dict[str, Any]:
    after = events[-1].pk if events else payload["after"]
    return {**payload, "after": after, "done": payload["done"] + len(events), "failed": payload["failed"] + failed}


def _partly_failed(job: SyncJob, progress: Mapping[str, Any]) -> Outcome:
    """Trying it again goes through the whole window once more."""
    problem = (
        f"{progress['failed']} records of this window could not be taken over. The failed events of the inbox say why."
    )
    again = {**progress, "after": 0, "done": 0, "failed": 0}
    return Outcome(job, "dead", cause=errors.FixData.cause, error=problem, payload=again)
