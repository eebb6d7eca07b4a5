"""Reading a CRM: what there is, what changed, and what went."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from datetime import datetime

from integrations.contract.facts import Facts
from integrations.records.connections import CrmUser
from integrations.records.events import RemoteEvent
from integrations.records.fields import Description, FieldSpec
from integrations.records.remote import ChangePage, Cursor, Fetched


class Reading(Facts):
    """Each method asks the service for no more than it must; a record may come twice, none is left out."""

    @abstractmethod
    def describe(self, object_type: str) -> list[FieldSpec]:
        """Every field of the object type that this credential may see."""

    def describe_if_changed(self, object_type: str, stamp: str) -> Description:
        """`describe`, unless the CRM says that nothing changed since `stamp`. Rights alone may change without its saying so."""
        return Description(self.describe(object_type))

    def users(self) -> list[CrmUser]:
        """Everybody who works in the CRM and may own records."""
        return []

    @abstractmethod
    def changes(self, object_type: str, cursor: Cursor | None, paths: Sequence[str]) -> Iterator[ChangePage]:
        """Pages of records changed since the cursor, oldest id or change first; everything when the cursor is None.

        Each page's cursor resumes after that page, also in another process and days later. A record may come twice, none is
        left out. `paths` are the mapping's CRM fields; the provider asks the service for no more than these and its own.
        """

    @abstractmethod
    def fetch(self, object_type: str, ids: Sequence[str], paths: Sequence[str]) -> Fetched:
        """The records with these ids, in as few requests as the service allows."""

    def removals(self, object_type: str, since: datetime) -> Iterator[RemoteEvent]:
        """Deletions and merges since then that the CRM still tells of. Empty where it tells of none."""
        return iter(())

    def ids(self, object_type: str) -> Iterator[Sequence[str]]:
        """Pages of the ids of every record that this credential can see, at the lowest price the CRM offers."""
        for page in self.changes(object_type, None, ()):
            yield [record.id for record in page.records]

    @abstractmethod
    def record_url(self, object_type: str, record_id: str) -> str:
        """The page of a record in the CRM, for people."""
