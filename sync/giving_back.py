"""Gives a CRM its own value back after a decision against it was taken back.

The decision had written ours over it. As a change of ours the CRM's value can't go out, since ours stays what it is: so a
job of its own writes it, if the CRM still holds what we had written. Afterwards both sides differ as they did before the decision,
and the conflict is open.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast
from uuid import UUID

from django.utils import timezone

from integrations import errors
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.records.remote import RecordWrite, RemoteRecord, Written
from mapping.compiled import MappingSession
from mapping.publishing import Published, compiled
from sync import holding, link_states, snapshots
from sync.bulk import upsert
from sync.handlers import Result
from sync.merge import same
from sync.models import Conflict, Lane, SyncJob, SyncRecord
from sync.queue import Claim, Outcome
from sync.work import judge

KIND = "give_back"
REOPENED = ["base", "ours", "theirs", "status", "winner", "value", "decided_at"]


def job(row: Conflict, link: SyncRecord) -> SyncJob:
    """For a conflict that is about to be opened again, while it still says what was decided."""
    return SyncJob(
        tenant_id=row.tenant_id,
        connection_id=cast("UUID", link.connection_id),
        kind=KIND,
        key=f"{link.pk}:{row.field}"[:200],
        local_record_id=row.contact_id,
        payload={
            "conflict": row.pk, "field": row.field, "base": row.base, "ours": row.ours, "theirs": row.theirs, "wrote": row.value,
        },
        lane=Lane.EDITS,
    )  # fmt: skip


@dataclass
class _Return:
    """One value on its way back into one record."""

    job: SyncJob
    link: SyncRecord
    write: RecordWrite | None = None
    written: Written | None = None

    def said(self, name: str) -> Any:
        return self.job.payload[name]


def forget_people(contact_ids: Collection[UUID], **_kwargs: Any) -> None:
    """Nothing of them stays in jobs."""
    SyncJob.objects.filter(kind=KIND, local_record_id__in=contact_ids).delete()


class GiveBackHandler:
    """One batch of a connection: what the records hold is read, and those that hold our value get theirs."""

    def batch_size(self, provider: type[CrmProvider]) -> int:
        return provider.write_batch_size

    def work(self, provider: CrmProvider, claimed: Claim) -> Result:
        connection = CrmConnection.objects.select_related("tenant").get(pk=claimed.jobs[0].connection_id)
        returns = _returns(claimed.jobs)
        by_kind: dict[str, list[_Return]] = defaultdict(list)
        for one in returns:
            by_kind[one.link.crm_object_type].append(one)
        for kind, group in by_kind.items():
            _write(connection, provider, kind, group)
        outcomes = {one.job.pk: _outcome(one) for one in returns}
        return Result(
            [outcomes.get(row.pk) or Outcome(row, "done") for row in claimed.jobs],
            after=partial(_keep, connection, [one for one in returns if one.written and one.written.error is None]),
        )


def _returns(jobs: Sequence[SyncJob]) -> list[_Return]:
    """Without records that are gone and conflicts that were decided anew meanwhile."""
    rows = Conflict.objects.select_related("record").in_bulk([row.payload["conflict"] for row in jobs])
    found = [(row, rows.get(row.payload["conflict"])) for row in jobs]
    return [
        _Return(row, conflict.record)
        for row, conflict in found
        if conflict is not None and conflict.decision_id is None and not link_states.is_gone(conflict.record)
    ]


def _write(connection: CrmConnection, provider: CrmProvider, kind: str, group: Sequence[_Return]) -> None:
    mapping = compiled(connection, kind)
    ids = list(dict.fromkeys(one.link.crm_record_id for one in group))
    held = {record.id: record for record in provider.fetch(kind, ids, _paths(mapping)).records}
    with mapping.engine.session() as session:
        for one in group:
            one.write = _prepared(one, held.get(one.link.crm_record_id), session)
    writes = [one.write for one in group if one.write]
    answers = {answer.key: answer for answer in provider.write(kind, writes)} if writes else {}
    for one in group:
        one.written = answers.get(one.write.key) if one.write else None


def _prepared(one: _Return, record: RemoteRecord | None, session: MappingSession) -> RecordWrite | None:
    """None where the CRM holds another value by now: somebody edited it there, and that is nobody's mistake."""
    field = one.said("field")
    if record is None or not same(session.inbound(record.fields).values.get(field), one.said("wrote")):
        return None
    mapped = session.outbound({field: one.said("theirs")}, existing=record.fields, partial=True)
    if not mapped.values:
        return None
    return RecordWrite(str(one.job.pk), mapped.values, one.link.crm_record_id, seen=record.fields)


def _outcome(one: _Return) -> Outcome | None:
    if one.write is None:
        return None
    error = (
        one.written.error if one.written else errors.OutcomeUnknown("The CRM did not say what became of this value.")
    )
    if error is None or isinstance(error, errors.Gone):
        return None
    return judge(one.job, cast("errors.CrmError", error))


def _keep(connection: CrmConnection, returned: Sequence[_Return]) -> None:
    """The conflict is as it was before the decision, also if a page in between took both sides for agreed."""
    if not returned:
        return
    holding.lock_tenant(connection.tenant_id)
    now = timezone.now()
    links = SyncRecord.objects.select_for_update().in_bulk([one.link.pk for one in returned])
    rows = Conflict.objects.select_for_update().in_bulk([one.said("conflict") for one in returned])
    taken = _open_in(links, rows)
    reopened = []
    for one in returned:
        link, row = links[one.link.pk], rows.get(one.said("conflict"))
        if row is None or row.decision_id is not None or (link.pk, row.field) in taken:
            continue
        link.base = {**link.base, row.field: one.said("base")}
        link.sync_status, link.updated_at = SyncRecord.Status.CONFLICT, now
        row.base, row.ours, row.theirs = one.said("base"), one.said("ours"), one.said("theirs")
        row.status, row.winner, row.value, row.decided_at = Conflict.Status.OPEN, "", None, None
        reopened.append(row)
    snapshots.forget(links)
    upsert(SyncRecord, list(links.values()), ["base", "sync_status", "updated_at"])
    upsert(Conflict, reopened, REOPENED)


def _open_in(links: Mapping[UUID, SyncRecord], rows: Mapping[int, Conflict]) -> set[tuple[UUID, str]]:
    """Where another conflict about the same waits already."""
    others = Conflict.objects.filter(record__in=list(links), status=Conflict.Status.OPEN).exclude(pk__in=list(rows))
    return set(others.values_list("record_id", "field"))


def _paths(mapping: Published) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*mapping.engine.crm_fields, *mapping.engine.list_fields]))
