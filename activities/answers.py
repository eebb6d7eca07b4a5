"""What a CRM's answer means for the job that asked."""

from integrations import errors
from integrations.records.remote import Written
from sync.models import SyncJob
from sync.queue import Outcome
from sync.work import judge

UNANSWERED = "The CRM did not say what became of this."


def outcome_of(job: SyncJob, result: Written | None, pause: float) -> Outcome:
    """What one answer of a batch means for its job."""
    if result is None:
        # The provider broke its promise to answer for each; treat it as possibly written.
        return judge(job, errors.OutcomeUnknown(UNANSWERED), pause)
    if isinstance(result.error, errors.CrmError):
        return judge(job, result.error, pause)
    return Outcome(job, "done")
