"""What the connect wizard has done in the background: looking at the account, setting it up, and the first load.

Looking only reads from the CRM: its fields, what we may do; and it gives the tenant the CRM's default mapping. Setting up adds
our fields to the account and has it send its webhooks. Nothing is loaded of an account that somebody connected in the wizard
until they say so; what is connected by command is loaded by the clock.
"""

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from integrations import connecting, preflight
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.transport.client import WORKER
from mapping import discovery, publishing
from sync import pulling, queue
from sync.handlers import Result
from sync.models import FeedCursor, Lane, SyncJob
from sync.queue import Claim, Outcome

LOOK, PREPARE = "look", "prepare"
KEY = "all"
HELD = "load_held"
"""Metadata: the first load waits for a person."""
POLLS = "poll:"
"""How the feeds of loads and catch-ups begin."""


def begin(row: CrmConnection) -> bool:
    """What follows once somebody has stored a credential. True: this account was never loaded, so the wizard goes on from here."""
    if FeedCursor.objects.filter(connection=row, feed__startswith=POLLS, complete_at__isnull=False).exists():
        row.remember({HELD: False})
        set_up(row)
        pulling.enqueue_all([row])
        return False
    row.remember({HELD: True})
    look(row)
    return True


def look(row: CrmConnection) -> None:
    """Has the account looked at. One that was set up before is set up again, which ends in a look."""
    _ask(row, PREPARE if row.metadata.get(connecting.PREPARED) else LOOK)


def set_up(row: CrmConnection) -> None:
    _ask(row, PREPARE)


def start_load(row: CrmConnection) -> None:
    """Begins the first load, or has one that broke off go on where it stopped."""
    row.remember({HELD: False})
    with transaction.atomic():
        dead = SyncJob.objects.filter(connection=row, kind=pulling.KIND)
        queue.replay(dead)
        pulling.enqueue_all([row])


def add_mapping(row: CrmConnection) -> None:
    """Gives the tenant the CRM's default rows, and the version made from them."""
    publishing.add_defaults(row)


def loads_by_the_clock(rows: "QuerySet[CrmConnection]") -> "QuerySet[CrmConnection]":
    """Those whose first load waits for nobody, or has begun by some other way."""
    begun = Exists(FeedCursor.objects.filter(connection=OuterRef("pk"), feed__startswith=POLLS))
    return rows.filter(begun | ~Q(metadata__contains={HELD: True}))


def _ask(row: CrmConnection, kind: str) -> None:
    """A job that failed before is tried again instead of being doubled. Before events and loads: they need the mapping."""
    with transaction.atomic():
        if queue.replay(SyncJob.objects.filter(connection=row, kind=kind)):
            return
        job = SyncJob(tenant_id=row.tenant_id, connection=row, kind=kind, key=KEY, lane=Lane.EDITS)
        queue.enqueue([job])


class LookHandler:
    """Reads what the wizard shows; changes nothing in the CRM."""

    def batch_size(self, provider: type[CrmProvider]) -> int:
        return 1

    def work(self, provider: CrmProvider, claimed: Claim) -> Result:
        job = claimed.jobs[0]
        connection = CrmConnection.objects.select_related("tenant").get(pk=job.connection_id)
        discovery.refresh(connection, provider)
        publishing.add_defaults(connection)
        preflight.run(connection, WORKER)
        return Result([Outcome(job, "done")])


class PrepareHandler:
    """Adds our fields to the account, and looks at it again."""

    def batch_size(self, provider: type[CrmProvider]) -> int:
        return 1

    def work(self, provider: CrmProvider, claimed: Claim) -> Result:
        job = claimed.jobs[0]
        connection = CrmConnection.objects.select_related("tenant").get(pk=job.connection_id)
        connecting.prepare(connection)
        return Result([Outcome(job, "done")])
