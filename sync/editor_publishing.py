"""From a draft to the mapping in force: rehearsed first, or with a plain word of how much it may concern."""

from dataclasses import dataclass

from integrations.models import CrmConnection
from mapping.editor_rows import published
from mapping.models import MappingDraft
from sync import promoting, rehearsing, snapshots
from sync.models import Rehearsal

COUNTED_UP_TO = 10_000


@dataclass(frozen=True, slots=True)
class Concerned:
    records: int
    at_least: bool
    """More than were counted."""


def concerned(connection: CrmConnection) -> Concerned:
    """How many linked records a change of the mapping may move."""
    found = 0
    for kind in snapshots.kinds_of(connection):
        found += snapshots.linked(connection, kind).order_by()[: COUNTED_UP_TO - found].count()
    return Concerned(found, found >= COUNTED_UP_TO)


def rehearse(draft: MappingDraft, *, by: str) -> Rehearsal:
    """Begins to try the draft in the background. Raises Refused."""
    made = Rehearsal(
        tenant_id=draft.tenant_id, connection=draft.connection, rows=published(draft.rows), created_by=by[:200]
    )
    rehearsing.start(made)
    MappingDraft.objects.filter(pk=draft.pk).update(rehearsal=made.pk)
    draft.rehearsal = made.pk
    return made


def rehearsal_of(draft: MappingDraft | None) -> Rehearsal | None:
    """The rehearsal of exactly this draft."""
    if draft is None or draft.rehearsal is None:
        return None
    found: Rehearsal | None = Rehearsal.objects.filter(pk=draft.rehearsal).select_related("connection__tenant").first()
    gone = (Rehearsal.Status.DISCARDED, Rehearsal.Status.DRAFT)
    return found if found and found.status not in gone and found.rows == published(draft.rows) else None


def why_not(rehearsal: Rehearsal) -> str:
    """Why the rehearsal can't be put in force; empty when it can."""
    return promoting.why_not(rehearsal)
