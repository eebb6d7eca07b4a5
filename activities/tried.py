"""Which calls may be in a CRM although nobody here knows their id there: they are looked up before they are written again."""

from datetime import datetime
from uuid import UUID

from activities.models import Call
from sync.models import SyncJob
from sync.queue import Claim
from sync.restoring import lost_time


class Tried:
    """When the first attempt that may have reached the CRM began, for the jobs of a claim.

    Besides the jobs' own attempts that is one of an earlier job which was given up without an answer before a later stage of the
    call made a new job, and one that a restore of the database made us forget.
    """

    def __init__(self, claimed: Claim) -> None:
        self._claimed = claimed
        self._lost = lost_time()
        self._given_up = _given_up(claimed)

    def before(self, job: SyncJob, call: Call) -> datetime | None:
        known = (self._claimed.tried_before(job), self._given_up.get(job.local_record_id))
        return min(filter(None, known), default=None) or self._lost.maybe_written(call.started_at, call.created_at)


def _given_up(claimed: Claim) -> dict[UUID | None, datetime]:
    first = claimed.jobs[0]
    rows = SyncJob.objects.filter(
        connection_id=first.connection_id, kind=first.kind,
        local_record_id__in=[job.local_record_id for job in claimed.jobs],
        state__in=(SyncJob.State.DEAD, SyncJob.State.DISMISSED), first_attempt_at__isnull=False,
    )  # fmt: skip
    newest_first = rows.order_by("-first_attempt_at").values_list("local_record_id", "first_attempt_at")
    return dict(newest_first)  # of several of one call the oldest is left
