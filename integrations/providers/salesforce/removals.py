"""Tells of deletions and merges: the recycle bin names the winner of a merge, the log of deletions knows what left the bin."""

from collections.abc import Iterator
from datetime import UTC, datetime

from integrations.providers.salesforce import soql
from integrations.providers.salesforce.ids import to_18
from integrations.providers.salesforce.reading import OVERLAP, Reader
from integrations.providers.salesforce.replication import Replication
from integrations.providers.salesforce.schema import Schemas
from integrations.records.events import Change, RemoteEvent

FIELDS = ("Id", "SystemModstamp", "MasterRecordId")


def removals(
    reader: Reader, replication: Replication, schemas: Schemas, object_type: str, since: datetime
) -> Iterator[RemoteEvent]:
    """A record that went by both ways is told once. The same deletion has the same key in each run, a later one another."""
    schema = schemas.get(object_type, fresh=True)
    told: set[str] = set()
    where = ["IsDeleted = TRUE", f"SystemModstamp >= {soql.moment(since - OVERLAP)}"]
    if "IsDeleted" in schema.paths:
        for row in reader.query_all(soql.select(schema.known(FIELDS), object_type, where)):
            winner = str(row.get("MasterRecordId") or "")
            told.add(to_18(str(row["Id"])))
            yield _event(object_type, str(row["Id"]), str(row["SystemModstamp"]), to_18(winner) if winner else "")
    for span in replication.deleted(object_type, since - OVERLAP, schemas.now()):
        for record_id, at in span.ids:
            if record_id not in told:
                yield _event(object_type, record_id, at.isoformat() if at else "", "")


def _event(object_type: str, record_id: str, at: str, winner: str) -> RemoteEvent:
    record_id = to_18(record_id)
    moment = datetime.fromisoformat(at).astimezone(UTC) if at else None
    return RemoteEvent(
        dedupe_key=f"removed:{object_type}:{record_id}:{moment.isoformat() if moment else ''}",
        change=Change.MERGED if winner else Change.DELETED,
        object_type=object_type,
        record_ids=(record_id,),
        occurred_at=moment,
        moved_to=winner,
    )
