"""A person wants one contact in step now: its records are read afresh, and what waits is written.

A job for each CRM in the lane of people's edits. It is an ordinary push of few contacts, which always reads before it writes: what
changed in the CRM meanwhile is merged, and only what still differs is sent. New records are made by the jobs that were to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from django.db import models, transaction
from django.db.models.functions import Least, Now

from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from sync import link_states, pushes, queue
from sync.handlers import Result
from sync.models import Contact, Lane, SyncJob, SyncRecord
from sync.outgoing import READ_FIRST_UP_TO, Push
from sync.queue import Claim

KIND = "sync_now"


@dataclass(frozen=True, slots=True)
class Asked:
    """Which connections were asked for the contact, and which can't be asked at the moment."""

    asked: Sequence[CrmConnection]
    stopped: Sequence[CrmConnection]


class SyncNowHandler:
    """Few at once, so that each is read first."""

    def batch_size(self, provider: type[CrmProvider]) -> int:
        return min(READ_FIRST_UP_TO, provider.write_batch_size)

    def work(self, provider: CrmProvider, claimed: Claim) -> Result:
        connection = CrmConnection.objects.select_related("tenant").get(pk=claimed.jobs[0].connection_id)
        return Push(connection, provider, claimed).run()


def ask(contact: Contact) -> Asked:
    """Has the contact's records read and written as soon as a worker is free. Asking twice is asking once."""
    with transaction.atomic():
        waiting = SyncJob.objects.filter(local_record_id=contact.pk, kind=pushes.KIND)
        queue.replay(waiting.filter(state=SyncJob.State.DEAD))
        concerned = _concerned(contact, waiting.filter(state=SyncJob.State.READY))
        usable = [one for one in concerned if one.is_usable]
        waiting.filter(state=SyncJob.State.READY, connection__in=usable).update(
            not_before=Now(), lane=Least("lane", int(Lane.EDITS))
        )
        queue.enqueue(
            SyncJob(
                tenant_id=contact.tenant_id,
                connection_id=one.pk,
                kind=KIND,
                key=str(contact.pk),
                local_record_id=contact.pk,
                lane=Lane.EDITS,
            )
            for one in usable
        )
        for one in usable:
            transaction.on_commit(partial(queue.wake, one.pk))
    return Asked(usable, [one for one in concerned if not one.is_usable])


def _concerned(contact: Contact, waiting: models.QuerySet[SyncJob]) -> list[CrmConnection]:
    """The connections that have a record of the contact, or are to get one."""
    links = SyncRecord.objects.filter(
        local_record_id=contact.pk, local_table=pushes.CONTACTS, connection__isnull=False
    ).select_related("connection")
    held = [one for one in links if not link_states.is_gone(one) or link_states.is_hidden(one)]
    found = {one.connection_id: one.connection for one in held}
    found |= {one.connection_id: one.connection for one in waiting.select_related("connection")}
    return sorted((one for one in found.values() if one is not None), key=lambda one: one.provider)
