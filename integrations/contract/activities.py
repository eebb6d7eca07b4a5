"""Writing what happened with a person, each once whatever happens: calls, and what was agreed or noted in them."""

from abc import abstractmethod
from collections.abc import Sequence

from integrations import errors
from integrations.contract.facts import Facts
from integrations.records.activities import Agreed, CallActivity, FollowUp, Meeting, Note
from integrations.records.remote import Written


class Activities(Facts):
    """Calls are every CRM's; the rest has defaults for a service that doesn't keep such things."""

    @classmethod
    def call_choice(cls, path: str, value: str, choices: Sequence[tuple[str, str]]) -> str | None:
        """Which of a call field's choices, as (value, label), this value of a disposition map is written as.

        Empty where this CRM keeps the word as text instead; None where it has no such choice (any more).
        """
        return value if value in {one for one, _label in choices} else None

    @abstractmethod
    def log_calls(self, calls: Sequence[CallActivity]) -> list[Written]:
        """Writes at most `call_batch_size` calls, each once whatever happens, and answers for each by its key.

        An error that concerns one call stands in its `Written`; one that concerns all of them is raised. A call with
        `first_attempt_at` may have been written by an earlier try and is looked up or upserted, never posted blindly.
        """

    def book_meetings(self, meetings: Sequence[Meeting]) -> list[Written]:
        """Writes at most `call_batch_size` meetings under the same promises as `log_calls`."""
        raise errors.Unsupported(f"{self.label} keeps no meetings that we could write.")

    def cancel_meetings(self, meetings: Sequence[Agreed]) -> list[Written]:
        """Takes back at most `call_batch_size` meetings, whatever became of them since; safe to repeat.

        One without `crm_record_id` is looked for by its key. The answer's id is that of a meeting which stays in the CRM, marked as
        cancelled; it is blank where nothing is left, also where there never was one.
        """
        raise errors.Unsupported(f"{self.label} keeps no meetings that we could cancel.")

    def set_follow_ups(self, follow_ups: Sequence[FollowUp]) -> list[Written]:
        """Writes at most `call_batch_size` follow-ups under the same promises as `log_calls`."""
        raise errors.Unsupported(f"{self.label} keeps no tasks that we could write.")

    def write_notes(self, notes: Sequence[Note]) -> list[Written]:
        """Writes at most `call_batch_size` notes beside their calls under the same promises as `log_calls`."""
        raise errors.Unsupported(f"{self.label} keeps no notes beside calls.")
