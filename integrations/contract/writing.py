"""Writing records of people: in batches, in bulk, deleting and merging."""

from collections.abc import Iterable, Iterator, Sequence

from integrations import errors
from integrations.contract.facts import Facts
from integrations.records.remote import RecordWrite, Ticket, Written


class Writing(Facts):
    """Has defaults for a service that nothing can be written to."""

    def write(self, object_type: str, writes: Sequence[RecordWrite]) -> list[Written]:
        """Creates and updates at most `write_batch_size` records and answers for each by its key.

        A creation that meets its own earlier try, or a record that the CRM takes for the same person, ends at that record
        (`created` false) and updates it. An error that concerns one record stands in its `Written`; one that concerns all of
        them is raised.
        """
        raise errors.Unsupported(f"{self.label}: {object_type} records can't be written.")

    def delete(self, object_type: str, ids: Sequence[str]) -> list[Written]:
        """Deletes, by the CRM's own kind of deletion. One that is gone already is a success. Keys of the answers are the ids."""
        raise errors.Unsupported(f"{self.label}: {object_type} records can't be deleted.")

    def merge(self, object_type: str, winner: str, loser: str) -> str:
        """Merges two records in the CRM and returns the id of the one that is left."""
        raise errors.Unsupported(
            f"{self.label} lets no program merge records. Merge them in {self.label} itself; we follow by the next sync."
        )

    def start_bulk(self, object_type: str, writes: Iterable[RecordWrite]) -> Ticket:
        """Hands any number of records over as one job, read one by one and never all held. Returns what finds the job again."""
        raise errors.Unsupported(f"{self.label} has no bulk jobs.")

    def bulk_results(self, ticket: Ticket) -> Iterator[Written]:
        """What became of each record of a bulk job, in any order. Raises NotReady while the job runs."""
        raise errors.Unsupported(f"{self.label} has no bulk jobs.")
