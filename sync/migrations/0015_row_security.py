from typing import ClassVar

from django.db import migrations

ALLOWED = """
CREATE OR REPLACE FUNCTION dialbridge_allowed(asked uuid[]) RETURNS uuid[] LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN current_setting('role', true) = 'none' OR dialbridge_everyone() THEN asked
        ELSE ARRAY(SELECT unnest(asked) INTERSECT SELECT unnest(dialbridge_tenants())) END
$$
"""
NAMED = """
CREATE OR REPLACE FUNCTION dialbridge_contacts_named(tenants uuid[], first text, last text, whole boolean, most int)
RETURNS SETOF uuid LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
BEGIN
    RETURN QUERY EXECUTE 'SELECT id FROM contacts WHERE tenant_id = ANY ($1)'
        || CASE WHEN last = '' THEN '' WHEN whole THEN ' AND upper(last_name) = upper($2)'
           ELSE ' AND upper(last_name) LIKE upper($2)' END
        || CASE WHEN first = '' THEN '' WHEN whole THEN ' AND upper(first_name) = upper($3)'
           ELSE ' AND upper(first_name) LIKE upper($3)' END
        || ' LIMIT $4'
        USING dialbridge_allowed(tenants), last, first, CASE WHEN last = '' AND first = '' THEN 0 ELSE most END;
END $$
"""
WORDS = """
CREATE OR REPLACE FUNCTION dialbridge_contacts_with_words(tenants uuid[], words text, most int)
RETURNS SETOF uuid LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
BEGIN
    RETURN QUERY EXECUTE $q$SELECT id FROM contacts WHERE tenant_id = ANY ($1)
        AND (last_name LIKE '% %' OR last_name LIKE '%-%' OR first_name LIKE '% %' OR first_name LIKE '%-%')
        AND to_tsvector('simple'::regconfig, COALESCE(first_name, '') || ' ' || COALESCE(last_name, ''))
            @@ to_tsquery('simple'::regconfig, $2)
        LIMIT $3$q$
        USING dialbridge_allowed(tenants), words, most;
END $$
"""
# CASE keeps the order: a transaction that ends while we look is gone from the locks, and then known to have ended. Its rows
# are seen by the query that follows.
OLDEST = """
CREATE OR REPLACE FUNCTION dialbridge_oldest_running() RETURNS bigint LANGUAGE sql VOLATILE SECURITY DEFINER AS $$
WITH now AS (SELECT pg_current_snapshot() AS snapshot),
running AS (SELECT xid FROM now, pg_snapshot_xip(snapshot) AS xid)
SELECT coalesce(min(xid::text::bigint), (SELECT pg_snapshot_xmax(snapshot)::text::bigint FROM now))
FROM running
WHERE CASE
    WHEN EXISTS (
        SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock'
          AND (datname <> current_database() OR backend_type = 'autovacuum worker')
          AND transactionid::text::bigint = xid::text::bigint % 4294967296
    ) THEN false
    ELSE pg_xact_status(xid) = 'in progress'
END
$$
"""
FIXED_PATH = """
DO $$
DECLARE one regprocedure;
BEGIN
    FOREACH one IN ARRAY ARRAY[
        'dialbridge_contacts_named(uuid[],text,text,boolean,int)'::regprocedure,
        'dialbridge_contacts_with_words(uuid[],text,int)'::regprocedure, 'dialbridge_oldest_running()'::regprocedure
    ] LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', one, current_schema());
    END LOOP;
END $$
"""


class Migration(migrations.Migration):
    """What row-level security would make slow or impossible, as functions of the owner that heed the tenants in scope.

    A policy is checked before any condition that might tell of a row, and `upper` and `LIKE` might: behind a policy no index answers
    them. And what other sessions run is shown to nobody but their user.
    """

    dependencies: ClassVar = [("sync", "0014_search"), ("integrations", "0008_row_security")]
    operations: ClassVar = [
        migrations.RunSQL(ALLOWED, "DROP FUNCTION IF EXISTS dialbridge_allowed(uuid[])"),
        migrations.RunSQL(NAMED, "DROP FUNCTION IF EXISTS dialbridge_contacts_named(uuid[], text, text, boolean, int)"),
        migrations.RunSQL(WORDS, "DROP FUNCTION IF EXISTS dialbridge_contacts_with_words(uuid[], text, int)"),
        migrations.RunSQL(OLDEST, "DROP FUNCTION IF EXISTS dialbridge_oldest_running()"),
        migrations.RunSQL(FIXED_PATH, migrations.RunSQL.noop),
    ]
