"""A full installation in a few statements: tenants with connections, contacts by the million, and all that hangs on them.

Everything is made inside the database. The indexes of the large tables are taken away meanwhile and made again as they were.
The first tenant has seven of eight contacts, the others share the rest. It may grow: what is there stays.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import connection as database

LARGE = (
    "contacts", "crm_sync_records", "record_snapshots", "field_changes", "call_activities", "sync_jobs", "inbox_events",
    "api_exchanges", "conflicts", "match_reviews", "audit_entries", "connection_hours", "api_usage", "sync_runs",
)  # fmt: skip
CAUSES = 20
SLICE = 100_000

_OWNERS = """
CREATE TABLE IF NOT EXISTS bench_owners (
    k int PRIMARY KEY, tenant_id uuid NOT NULL DEFAULT gen_random_uuid(), connection_id uuid NOT NULL DEFAULT gen_random_uuid()
)
"""
_TENANTS = """
WITH made AS (
    INSERT INTO bench_owners (k) SELECT generate_series(%(a)s, %(b)s - 1) RETURNING k, tenant_id, connection_id
), tenants AS (
    INSERT INTO tenants (id, slug, name, region, timezone, is_active)
    SELECT tenant_id, 'bench-' || k, 'Bench ' || lpad(k::text, 5, '0'), 'US', 'UTC', true FROM made
)
INSERT INTO crm_credentials (id, tenant_id, provider, auth, access_token, account_id, account_name, metadata, status_since)
SELECT connection_id, tenant_id, 'hubspot', 'private_app', %(token)s, 'account-' || k, 'Account ' || k, '{}', now() FROM made
"""
_OF_CONNECTION = (
    """INSERT INTO connection_hours (tenant_id, connection_id, hour, synced, done, latency_ms, latency_count,
        latency_max_ms, queue_max,
        requests, quota_percent)
    SELECT tenant_id, connection_id, date_trunc('hour', now()) - make_interval(hours => h), 40, 30, 9000, 30, 900, 12, 50, 20
    FROM owners, generate_series(0, 167) AS h""",
    """INSERT INTO api_usage (connection_id, hour, calls, failures, throttled, milliseconds)
    SELECT connection_id, date_trunc('hour', now()) - make_interval(hours => h), 50, 1, 0, 9000
    FROM owners, generate_series(0, 167) AS h""",
    """INSERT INTO sync_runs (tenant_id, connection_id, kind, object_type, status, created, updated, unchanged, skipped,
        conflicts,
        errored, api_calls, error, started_at, finished_at)
    SELECT tenant_id, connection_id, CASE WHEN h = 0 THEN 'initial' ELSE 'catch_up' END, 'contacts', 'done', 1, 2, 3, 0,
    0, 0, 4, '',
        now() - make_interval(mins => 5 * h), now() - make_interval(mins => 5 * h) FROM owners, generate_series(0, 99) AS h""",
    """INSERT INTO certificates (tenant_id, connection_id, object_type, as_of, remote_count, local_count, missing, stale,
        vanished,
        repaired, complete)
    SELECT tenant_id, connection_id, 'contacts', now() - make_interval(days => h), 9, 9, '[]', '[]', '[]', 0, true
    FROM owners, generate_series(0, 6) AS h""",
    """INSERT INTO feed_cursors (tenant_id, connection_id, feed, value, moved_at, complete_at)
    SELECT tenant_id, connection_id, 'poll:contacts', '{}', now(), now() FROM owners""",
    """INSERT INTO rate_windows (key, connection_id, quota, seconds, remaining, seen_at)
    SELECT connection_id || ':' || bucket, connection_id, 100, 10, 60, now() FROM owners, unnest(ARRAY['default',
    'search']) AS bucket""",
    "INSERT INTO circuit_breakers (connection_id) SELECT connection_id FROM owners",
    """INSERT INTO alerts (tenant_id, connection_id, kind, severity, facts, seen_since, last_seen_at, opened_at)
    SELECT tenant_id, connection_id, 'queue', 'warning', '{"waiting": 1200, "limit": 1000}', now(), now(), now() FROM owners
    WHERE k % 10 = 0""",
    """INSERT INTO failure_causes (tenant_id, fingerprint, provider, kind, cause, code, fields, words, first_seen,
        last_seen, total)
    SELECT tenant_id, lpad(c::text, 24, '0'), 'hubspot', 'log_call', 'invalid_data', 'CODE_' || c, '[]', 'Cause ' || c,
        now() - interval '2 days', now() - make_interval(secs => 7 * (k + 1000 * c)), 9
    FROM owners, generate_series(0, %(causes)s - 1) AS c""",
    """INSERT INTO failure_hours (tenant_id, fingerprint, hour, failures)
    SELECT tenant_id, lpad(c::text, 24, '0'), date_trunc('hour', now()) - make_interval(hours => h), 3
    FROM owners, generate_series(0, %(causes)s - 1) AS c, generate_series(0, 5) AS h""",
    """INSERT INTO crm_objects (tenant_id, connection_id, object_type, stamp, checked_at, read_at)
    SELECT tenant_id, connection_id, 'contacts', '1', now(), now() FROM owners""",
    """INSERT INTO crm_fields (tenant_id, connection_id, object_type, path, label, kind, writable, custom, required,
        options, seen_at)
    SELECT tenant_id, connection_id, 'contacts', 'field_' || f, 'Field ' || f, 'string', true, false, false, '[]', now()
    FROM owners, generate_series(1, 40) AS f""",
)
# Names as large countries have them: some hundreds of first names, some thousands of last ones. %% is for the driver.
_PEOPLE = """
    SELECT n, o.*, md5('person' || n)::uuid AS id, md5('link' || n)::uuid AS link_id, md5('call' || n)::uuid AS call_id,



        (ARRAY['Ann','Bob','Carla','Dmitri','Eva','Frank','Grace','Henry','Ines','Jack','Karen','Leo','Mia','Nina','Oscar','Paula'])
            [1 + (hashint4(n) & 15)] || (ARRAY['','a','e','ia','o','us','ie','el'])[1 + (hashint4(n) >> 4 & 7)] AS first_name,



        (ARRAY['Lee','Smith','Jones','Garcia','Miller','Davis','Lopez','Wilson','Moore','Taylor','White','Harris','Martin','Clark',
            'Lewis','Walker'])[1 + (hashint4(n + 7) & 15)] || (ARRAY['','s','son','man','berg','field','ton','wood'])
            [1 + (hashint4(n + 7) >> 4 & 7)] || (ARRAY['','er','ez','ov','ini','sen','ian','ski'])[1 + (hashint4(n + 7) >> 7 & 7)]
            AS last_name,
        (ARRAY['Blue','Prime','Metro','Alpha','River','Summit','Pioneer','Harbor'])[1 + (hashint4(n + 3) & 7)] || ' ' ||
            (ARRAY['Foods','Steel','Media','Energy'])[1 + (hashint4(n + 3) >> 4 & 3)] || ' ' || (hashint4(n + 3) >> 7 &
            255) || ' Ltd'
            AS company
    FROM generate_series(%(a)s::int, %(b)s::int - 1) AS n
    JOIN bench_owners o ON o.k = CASE WHEN %(tenants)s = 1 OR hashint4(n + 11) & 7 > 0 THEN 0 ELSE 1 + n %% (%(tenants)s - 1) END
"""
_VALUES = (
    "jsonb_build_object('first_name', first_name, 'last_name', last_name, 'email', 'p' || n || '@example.com', "
    "'company', company)"
)
_OF_PERSON = (
    """INSERT INTO contacts (id, tenant_id, first_name, last_name, email, phone, mobile_phone, company, title, lead_status,
        owner_email, do_not_call, last_disposition, call_count, custom, version, change_xid)
    SELECT id, tenant_id, first_name, last_name, 'p' || n || '@example.com', '+1' || 2025550000 + n, '', company, '', 'NEW', '',
        n %% 50 = 0, '', 0, '{}', 1, 1 + n / 1000 FROM people""",
    f"""INSERT INTO crm_sync_records (id, tenant_id, connection_id, crm_provider, crm_object_type, crm_record_id, local_record_id,
        local_table, sync_direction, sync_status, last_synced_at, last_crm_modified_at, base, error_message)
    SELECT link_id, tenant_id, connection_id, 'hubspot', 'contacts', n::text, id, 'contacts', 'inbound',
        CASE WHEN n %% 100 = 0 THEN 'error' ELSE 'synced' END, now() - make_interval(secs => 3 * (n %% 1000000)), now(),
        {_VALUES}, CASE WHEN n %% 100 = 0 THEN 'A value does not fit.' END FROM people""",
    f"INSERT INTO record_snapshots (record_id, tenant_id, fields) SELECT link_id, tenant_id, {_VALUES} FROM people",
    """INSERT INTO field_changes (tenant_id, contact_id, field, new, source, actor, rule, connection_id, at)
    SELECT tenant_id, id, 'company', to_jsonb(company), 'crm', '', 'only_one', connection_id, now() FROM people""",
    """INSERT INTO call_activities (id, tenant_id, external_id, fingerprint, contact_id, crm_provider, crm_record_id,
        phone, direction,
        duration_seconds, started_at, disposition, notes, summary, key_points, next_steps, recording_url, agent_email, metadata,
        review, created_at, updated_at)
    SELECT call_id, tenant_id, 'bench-' || n, '', id, '', '', '+1' || 2025550000 + n, 'outbound', 60, now(), 'Connected',
    'Notes', '',
        '[]', '[]', '', '', '{}', CASE WHEN n %% 200 = 0 THEN 'unknown_number' ELSE '' END,
        now() - make_interval(secs => n %% 2000000), now() FROM people WHERE n %% 5 = 0""",
    """INSERT INTO sync_jobs (tenant_id, connection_id, kind, key, local_record_id, payload, lane, state, attempts, cause, error,
        error_detail, fingerprint, created_at, finished_at)
    SELECT tenant_id, connection_id, 'log_call', call_id::text, call_id, '{}', 10,
    CASE WHEN n %% 10 = 0 THEN 'dead' ELSE 'done' END,
        1, CASE WHEN n %% 10 = 0 THEN 'invalid_data' ELSE '' END,
        CASE WHEN n %% 10 = 0 THEN 'The CRM refused it.' ELSE '' END, '',
        CASE WHEN n %% 10 = 0 THEN lpad((n / 10 %% %(causes)s)::text, 24, '0') ELSE '' END,
        now() - make_interval(secs => 2 * (n %% 1000000)), now() - make_interval(secs => 2 * (n %% 1000000))
    FROM people WHERE n %% 5 = 0 OR n %% 10 = 0""",
    """INSERT INTO sync_jobs (tenant_id, connection_id, kind, key, local_record_id, payload, lane, state, attempts, cause, error,
        error_detail)
    SELECT tenant_id, connection_id, 'push', 'contacts:' || id, id, '{}', 20, 'ready', 0, '', '',
    '' FROM people WHERE n %% 50 = 1""",
    """INSERT INTO inbox_events (tenant_id, connection_id, source, dedupe_key, object_type, record_ids, body, headers,
        signature_ok,
        received_at, state, error, worked_at)
    SELECT tenant_id, connection_id, 'webhook', 'bench-' || n, 'contacts', jsonb_build_array(n::text), '{}', '{}', true,
        now() - make_interval(secs => n %% 1000000), CASE WHEN n %% 100 = 0 THEN 'failed' ELSE 'worked' END, '', now()
    FROM people WHERE n %% 5 = 0""",
    """INSERT INTO api_exchanges (tenant_id, connection_id, at, work, method, path, status, milliseconds, failed,
        request, response,
        keys, size)
    SELECT tenant_id, connection_id, now(), 'calls', 'POST', '/crm/v3/objects/calls', 201, 80, n %% 100 = 0, '{}', '{}',
        ARRAY[id::text], 4 FROM people WHERE n %% 10 = 0""",
    """INSERT INTO conflicts (tenant_id, record_id, contact_id, field, base, ours, theirs, status, strategy, winner)
    SELECT tenant_id, link_id, id, 'company', '"old"', '"ours"', to_jsonb('theirs ' || n), CASE WHEN n %% 100 = 0 THEN 'open' ELSE
        'decided' END, '', '' FROM people WHERE n %% 50 = 0""",
    """INSERT INTO match_reviews (tenant_id, contact_id, candidate_id, by, score, reasons, status, decided_by)
    SELECT tenant_id, id, md5('person' || n - 1)::uuid, 'fuzzy', 0.9, '["name_company_alike"]', 'open', '' FROM people
    WHERE n %% 500 = 9""",
    """INSERT INTO audit_entries (tenant_id, who, action, kind, object_id, about)
    SELECT tenant_id, 'somebody', 'changed', 'sync.contact', id::text, last_name FROM people WHERE n %% 20 = 0""",
)  # fmt: skip


_have = (0, 0)


def grow(contacts: int, tenants: int) -> float:
    """Up to so many, from what this process has made before. Gives the seconds that it took."""
    global _have
    have, _have = _have, (max(contacts, _have[0]), max(tenants, _have[1]))
    from encrypted_model_fields.fields import encrypt_str

    started = time.perf_counter()
    with _bare(LARGE if contacts - have[0] >= SLICE else ()), database.cursor() as sql:
        sql.execute(_OWNERS)
        if tenants > have[1]:
            sql.execute(_TENANTS, {"a": have[1], "b": tenants, "token": encrypt_str("x").decode()})
            for order in _OF_CONNECTION:
                whole = f"WITH owners AS (SELECT * FROM bench_owners WHERE k >= %(a)s) {order.replace(' % ', ' %% ')}"
                sql.execute(whole, {"a": have[1], "causes": CAUSES})
        for start in range(have[0], contacts, SLICE):
            terms = {"a": start, "b": min(start + SLICE, contacts), "tenants": tenants, "causes": CAUSES}
            for order in _OF_PERSON:
                sql.execute(f"WITH people AS ({_PEOPLE}) {order}", terms)
    with database.cursor() as sql:
        sql.execute("VACUUM ANALYZE")
    return time.perf_counter() - started


@contextmanager
def _bare(tables: Sequence[str]) -> Iterator[None]:
    """Without checks and triggers, and without the tables' indexes for a while: millions of rows come one index after
    the other."""
    with database.cursor() as sql:
        sql.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename = ANY(%s) AND NOT EXISTS "
            "(SELECT 1 FROM pg_constraint WHERE conname = indexname)",
            [list(tables)],
        )
        indexes: list[Any] = sql.fetchall()
        sql.execute("SET session_replication_role = replica")
        for name, _made in indexes:
            sql.execute(f'DROP INDEX "{name}"')
    try:
        yield
    finally:
        with database.cursor() as sql:
            sql.execute("SET maintenance_work_mem = '512MB'")
            for _name, made in indexes:
                sql.execute(made)
            sql.execute("RESET maintenance_work_mem")
            sql.execute("SET session_replication_role = DEFAULT")
