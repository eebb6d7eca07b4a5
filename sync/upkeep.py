"""Looking after a connection: what fields the CRM has now, what its credential may do. As jobs, so that they wait their turn.

And after the inbox and the job table, which forget what was worked long ago.
"""

import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection as database
from django.db import transaction
from django.utils import timezone

from integrations import errors, exchanges, preflight
from integrations.connecting import can_be_reached, webhook_url
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.records.connections import Finding, Severity
from integrations.transport.client import WORKER
from mapping import discovery
from sync import inbox, queue
from sync.handlers import LASTING, Result
from sync.models import InboxEvent, Lane, SyncJob
from sync.queue import Claim, Outcome

FIELDS, RIGHTS = "fields", "rights"
DISMISSED_KEEP_DAYS = 90
LONG_AGO = inbox.LONG_AGO
HOOKS_REMEDY = (
    "See that PUBLIC_URL can be reached from the internet, then subscribe again: manage.py subscribe_webhooks."
)


def enqueue(kind: str, connections: Iterable[CrmConnection], *, full: bool = False) -> None:
    """One job of this kind for each connection; one that waits already is enough."""
    jobs = [
        SyncJob(
            tenant_id=connection.tenant_id,
            connection=connection,
            kind=kind,
            key="all",
            payload={"full": full},
            lane=Lane.BACKFILL,
        )
        for connection in connections
    ]
    with transaction.atomic():
        queue.enqueue(jobs)


class FieldsHandler:
    """Reads the CRM's fields and notes what changed."""

    def batch_size(self, provider: type[CrmProvider]) -> int:
        return 1

    def work(self, provider: CrmProvider, claimed: Claim) -> Result:
        job = claimed.jobs[0]
        connection = CrmConnection.objects.select_related("tenant").get(pk=job.connection_id)
        discovery.refresh(connection, provider, full=bool(job.payload.get("full")))
        return Result([Outcome(job, "done")])


class RightsHandler:
    """Checks what the credential may do and keeps the findings on the connection, whose webhooks are put in order first."""

    def batch_size(self, provider: type[CrmProvider]) -> int:
        return 1

    def work(self, provider: CrmProvider, claimed: Claim) -> Result:
        job = claimed.jobs[0]
        connection = CrmConnection.objects.select_related("tenant").get(pk=job.connection_id)
        preflight.run(connection, WORKER, hooks=_subscribe(connection, provider))
        return Result([Outcome(job, "done")])


def _subscribe(connection: CrmConnection, provider: CrmProvider) -> list[Finding]:
    """CRMs switch off webhooks whose deliveries fail for a while. Whatever is wrong with them stops no other check."""
    if type(provider).subscribe is CrmProvider.subscribe or not can_be_reached():
        return []
    try:
        problems = provider.subscribe(webhook_url(connection))
    except errors.Throttled:
        raise  # the job waits; nothing is wrong
    except errors.CrmError as error:
        problems = [f"The webhooks could not be set up, so changes are only found by asking. {error.message}"]
    return [
        Finding(preflight.HOOKS, f"webhooks {number}", one, HOOKS_REMEDY, Severity.WARNING)
        for number, one in enumerate(problems, 1)
    ]


def forget_events() -> int:
    """Deletes stored events that nobody will ask about any more. Failed ones wait longer for somebody. Returns how many."""
    now = timezone.now()
    kept = {
        InboxEvent.State.WORKED: settings.INBOX_KEEP_DAYS,
        InboxEvent.State.FAILED: settings.INBOX_KEEP_FAILED_DAYS,
    }
    return sum(inbox.forget(now - timedelta(days=days), state) for state, days in kept.items())


_FORGET_JOBS = """
WITH old AS MATERIALIZED (
    SELECT id FROM sync_jobs job
    WHERE finished_at >= %(after)s AND finished_at < %(before)s AND state = %(state)s AND kind <> ALL (%(lasting)s)
      AND (local_record_id IS NULL OR NOT EXISTS (
        SELECT 1 FROM sync_jobs failed WHERE failed.local_record_id = job.local_record_id AND failed.state = 'dead'
      ))
    ORDER BY finished_at LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), deleted AS (
    DELETE FROM sync_jobs USING old WHERE sync_jobs.id = old.id RETURNING finished_at
)
SELECT count(*), max(finished_at) FROM deleted
"""
"""A success after which an older failure no longer counts stays as long as that failure. Nobody who claims looks at these rows."""


def forget_jobs(*, seconds: float = 15.0, at_once: int = 2000) -> bool:
    """Deletes jobs that ended long ago, in short transactions. True when time was up before the end. Dead ones stay."""
    until = time.monotonic() + seconds
    kept = {SyncJob.State.DONE: settings.JOB_KEEP_DAYS, SyncJob.State.DISMISSED: DISMISSED_KEEP_DAYS}
    for state, days in kept.items():
        before = timezone.now() - timedelta(days=days)
        terms: dict[str, Any] = {"after": LONG_AGO, "before": before, "state": state, "lasting": list(LASTING)}
        deleted = at_once
        while deleted == at_once:
            if time.monotonic() > until:
                return True
            with database.cursor() as cursor:
                cursor.execute(_FORGET_JOBS, terms | {"limit": at_once})
                deleted, terms["after"] = cursor.fetchone()
    return False


def forget_exchanges() -> int:
    """Deletes requests to the CRMs that are older than they are kept. Returns how many."""
    return exchanges.forget_old()


def forget_sessions() -> int:
    """Deletes the sessions of people that are over. Returns how many."""
    return int(Session.objects.filter(expire_date__lt=timezone.now()).delete()[0])
