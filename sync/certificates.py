"""Proves that what we hold of an object type is what the CRM holds, set against set, in the database.

A reconciliation notes the id and the time of change of every record that the CRM lists. What differs from our links is found
in one statement however many there are. What it comes to stands in a `Certificate`.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.db import connection as database

from integrations.models import CrmConnection
from integrations.records.remote import RemoteRecord
from sync.link_states import NO_LONGER_THERE
from sync.models import Certificate, Contact, SyncRun

MISSING, STALE, VANISHED = "missing", "stale", "vanished"
KINDS = (MISSING, STALE, VANISHED)
SETTLING = timedelta(seconds=10)
"""A record made so shortly before the list began may not stand in it yet."""
LONGEST_LIST = 1000
"""So many ids of each kind a certificate names; the run's counters hold how many there were."""

_NOTE = """
INSERT INTO listed_records (run_id, record_id, modified_at, wanted)
SELECT %(run)s, * FROM unnest(%(ids)s::text[], %(stamps)s::timestamptz[], %(wanted)s::boolean[])
ON CONFLICT (run_id, record_id) DO UPDATE SET modified_at = excluded.modified_at, wanted = excluded.wanted
"""
_OURS = """
link.tenant_id = %(tenant)s AND link.crm_provider = %(provider)s AND link.crm_object_type = %(kind)s
AND link.local_table = %(table)s
"""
_DIFFERENT = f"""
SELECT record_id FROM (
    (
        SELECT listed.record_id FROM listed_records listed
        LEFT JOIN crm_sync_records link ON link.crm_record_id = listed.record_id AND {_OURS}
        WHERE listed.run_id = %(run)s AND listed.record_id > %(after)s AND CASE
            WHEN link.id IS NULL OR (link.local_record_id IS NULL AND NOT link.metadata ?| %(gone)s) THEN listed.wanted
            ELSE link.metadata ?| %(gone)s OR link.last_crm_modified_at IS NULL
                OR listed.modified_at > link.last_crm_modified_at
        END
        ORDER BY 1 LIMIT %(limit)s
    ) UNION ALL (
        SELECT link.crm_record_id FROM crm_sync_records link
        WHERE {_OURS} AND link.crm_record_id > %(after)s
          AND NOT link.metadata ?| %(gone)s AND link.created_at < %(started)s
          AND NOT EXISTS (
            SELECT 1 FROM listed_records listed WHERE listed.run_id = %(run)s AND listed.record_id = link.crm_record_id
          )
        ORDER BY 1 LIMIT %(limit)s
    )
) AS different ORDER BY 1 LIMIT %(limit)s
"""  # noqa: S608 - made of constants
_COUNTS = f"""
SELECT
    (
        SELECT count(*) FROM listed_records listed WHERE listed.run_id = %(run)s AND (listed.wanted OR EXISTS (
            SELECT 1 FROM crm_sync_records link WHERE link.crm_record_id = listed.record_id AND {_OURS}
        ))
    ),
    (
        SELECT count(*) FROM crm_sync_records link
        WHERE {_OURS} AND link.local_record_id IS NOT NULL AND NOT link.metadata ?| %(gone)s
    )
"""  # noqa: S608 - made of constants


def note(run: SyncRun, records: Sequence[RemoteRecord]) -> None:
    """Notes what a page of the CRM's list shows. Records that it calls gone are as good as not listed."""
    rows = {one.id: one for one in records if not one.deleted and not one.moved_to}
    with database.cursor() as sql:
        sql.execute(
            _NOTE,
            {
                "run": run.pk,
                "ids": list(rows),
                "stamps": [one.modified_at for one in rows.values()],
                "wanted": [not one.inactive for one in rows.values()],
            },
        )


def differences(run: SyncRun, connection: CrmConnection, after: str, limit: int) -> list[str]:
    """Ids in the order of the database, behind `after`, that look different here and there; each has to be read to be sure."""
    with database.cursor() as sql:
        sql.execute(_DIFFERENT, {**_facts(run, connection), "after": after, "limit": limit, "started": run.started_at})
        return [row[0] for row in sql.fetchall()]


def issue(run: SyncRun, connection: CrmConnection, found: Mapping[str, Sequence[str]], repaired: int) -> Certificate:
    """Writes the certificate and forgets what was listed."""
    with database.cursor() as sql:
        sql.execute(_COUNTS, _facts(run, connection))
        remote, local = sql.fetchone()
        sql.execute("DELETE FROM listed_records WHERE run_id = %s", [run.pk])
    made: Certificate = Certificate.objects.create(
        tenant_id=connection.tenant_id,
        connection=connection,
        object_type=run.object_type,
        run=run,
        as_of=run.started_at - SETTLING,
        remote_count=remote,
        local_count=local,
        **{kind: list(found[kind])[:LONGEST_LIST] for kind in KINDS},
        repaired=repaired,
        complete=run.errored == 0,
    )
    return made


def forget_abandoned() -> None:
    """Forgets what was listed by runs that nobody goes on with."""
    with database.cursor() as sql:
        sql.execute(
            "DELETE FROM listed_records listed WHERE NOT EXISTS"
            " (SELECT 1 FROM sync_runs run WHERE run.id = listed.run_id AND run.status <> 'done')"
        )


def _facts(run: SyncRun, connection: CrmConnection) -> dict[str, Any]:
    return {
        "run": run.pk,
        "tenant": connection.tenant_id,
        "provider": connection.provider,
        "kind": run.object_type,
        "table": Contact._meta.db_table,
        "gone": list(NO_LONGER_THERE),
    }
