"""What calls leave on their person: how many, when and with what result the last one was, and its score.

Absolute numbers, in the transaction that stores the call or its later stage, for all people of a request in one statement. They are
no edit: the contact keeps its version and its history, so a person who is editing it is never told that somebody else was faster.
The outbox carries them to the CRMs as any other field, but a little later, so that a row of calls to one person is one write.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.utils import timezone

from activities.models import Call
from activities.targets import Placed
from integrations import prepared
from sync import pushes
from sync.models import Lane
from sync.queue import NewJob

GATHERED_FOR = timedelta(seconds=10)
"""So long the numbers of a person are gathered before they are carried to the CRMs."""
SCORE = "ai_score"

# The people are locked in one order, so that two requests about the same people never wait for each other in a circle.
_COUNT = """
WITH told AS (SELECT * FROM unnest(%(ids)s::uuid[], %(added)s::int[]) AS t(id, added)),
held AS (SELECT id FROM contacts WHERE tenant_id = %(tenant)s AND id = ANY(%(ids)s::uuid[]) ORDER BY id FOR NO KEY UPDATE)
UPDATE contacts SET
    call_count = call_count + told.added,
    last_called_at = greatest(last_called_at, newest.started_at),
    last_disposition = CASE
        WHEN newest.disposition <> '' AND (last_called_at IS NULL OR newest.started_at >= last_called_at) THEN newest.disposition
        ELSE last_disposition END,
    ai_score = coalesce(scored.score, ai_score),
    updated_at = clock_timestamp()
FROM held JOIN told USING (id)
CROSS JOIN LATERAL (
    SELECT started_at, disposition FROM call_activities WHERE contact_id = held.id
    ORDER BY started_at DESC, created_at DESC LIMIT 1
) AS newest
LEFT JOIN LATERAL (
    SELECT round((metadata ->> 'ai_score')::numeric)::int AS score FROM call_activities
    WHERE contact_id = held.id
        AND CASE jsonb_typeof(metadata -> 'ai_score') WHEN 'number'
            THEN (metadata ->> 'ai_score')::numeric BETWEEN 0 AND 100 ELSE false END
    ORDER BY started_at DESC, created_at DESC LIMIT 1
) AS scored ON held.id = ANY(%(scored)s::uuid[])
WHERE contacts.id = held.id
"""


def count(calls: Collection[Call], *, new: Collection[Call]) -> None:
    """Brings the people of these stored calls up to date; those of the `new` ones have been called that much more often."""
    ids = sorted({call.contact_id for call in calls if call.contact_id is not None})
    if not ids:
        return
    added = Counter(call.contact_id for call in new)
    scored = {call.contact_id for call in calls if call.contact_id is not None and SCORE in call.metadata}
    tenant_id = next(iter(calls)).tenant_id
    terms = {"tenant": tenant_id, "ids": ids, "added": [added[one] for one in ids], "scored": sorted(scored)}
    prepared.run(_COUNT, terms)


def jobs(calls: Iterable[Call], placed: Placed) -> list[NewJob]:
    """What carries the numbers to the CRMs: one job for each person and CRM, whatever the number of calls."""
    due = timezone.now() + GATHERED_FOR
    pairs: dict[tuple[UUID, UUID], Call] = {}
    for call in calls:
        if call.contact_id is not None:
            pairs.update({(target.connection_id, call.contact_id): call for target in placed.get(call.pk, ())})
    return [_job(call, connection_id, contact_id, due) for (connection_id, contact_id), call in pairs.items()]


def _job(call: Call, connection_id: UUID, contact_id: UUID, due: datetime) -> NewJob:
    return NewJob(
        tenant_id=call.tenant_id,
        connection_id=connection_id,
        kind=pushes.KIND,
        key=str(contact_id),
        local_record_id=contact_id,
        lane=Lane.EDITS,
        not_before=due,
    )


def told(changed: Collection[str]) -> bool:
    """Whether a later stage that changed these fields changes a number of the person."""
    return not {"contact_id", "disposition", f"metadata.{SCORE}"}.isdisjoint(changed)
