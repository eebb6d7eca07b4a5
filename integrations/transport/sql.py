"""The database functions behind limits.py and breaker.py; a migration installs them."""

RESERVED = """
CREATE OR REPLACE FUNCTION dialbridge_reserved(quota int) RETURNS int LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN quota >= 20 THEN greatest(1, quota / 50) ELSE 0 END
$$
"""
"""How many requests of a quota are kept for what must not wait: one in fifty. A small quota is shared by all."""

TAKE_RESERVED = """
CREATE OR REPLACE FUNCTION dialbridge_take_reserved(
    bucket text, connection uuid, configured int, configured_seconds float8, max_wait float8
) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    main rate_windows%ROWTYPE;
    w rate_windows%ROWTYPE;
    share int;
    window_seconds float8;
    at float8;
    send float8;
    kept float8[];
BEGIN
    SELECT * INTO main FROM rate_windows WHERE key = bucket;
    share := dialbridge_reserved(coalesce(main.quota, configured));
    IF share = 0 THEN
        RETURN -1;
    END IF;
    window_seconds := coalesce(main.seconds, configured_seconds);
    INSERT INTO rate_windows (key, connection_id) VALUES (bucket || ':urgent', connection) ON CONFLICT (key) DO NOTHING;
    SELECT * INTO w FROM rate_windows WHERE key = bucket || ':urgent' FOR UPDATE;
    at := extract(epoch FROM clock_timestamp());
    SELECT coalesce(array_agg(s ORDER BY s), '{}') INTO kept FROM unnest(w.stamps) s WHERE s > at - window_seconds;
    send := greatest(at, coalesce(main.blocked_until, 0));
    IF cardinality(kept) >= share THEN
        send := greatest(send, kept[cardinality(kept) - share + 1] + window_seconds);
    END IF;
    IF send - at > max_wait THEN
        RETURN at - send;
    END IF;
    UPDATE rate_windows SET stamps = kept || send WHERE key = bucket || ':urgent';
    RETURN send - at;
END $$
"""

TAKE_SHARE = """
CREATE OR REPLACE FUNCTION dialbridge_take_share(
    bucket text, connection uuid, configured int, configured_seconds float8, max_wait float8, percent int
) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    w rate_windows%ROWTYPE;
    quota int;
    window_seconds float8;
    at float8 := extract(epoch FROM clock_timestamp());
    send float8;
    kept float8[];
BEGIN
    SELECT * INTO w FROM rate_windows WHERE key = bucket FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO rate_windows (key, connection_id) VALUES (bucket, connection) ON CONFLICT (key) DO NOTHING;
        SELECT * INTO w FROM rate_windows WHERE key = bucket FOR UPDATE;
    END IF;
    at := extract(epoch FROM clock_timestamp());
    quota := greatest(1, coalesce(w.quota, configured));
    quota := greatest(1, least(quota - dialbridge_reserved(quota), quota * percent / 100));
    window_seconds := coalesce(w.seconds, configured_seconds);
    SELECT coalesce(array_agg(s ORDER BY s), '{}') INTO kept FROM unnest(w.stamps) s WHERE s > at - window_seconds;
    send := greatest(at, w.blocked_until);
    IF cardinality(kept) >= quota THEN
        send := greatest(send, kept[cardinality(kept) - quota + 1] + window_seconds);
    END IF;
    IF send - at > max_wait THEN
        RETURN at - send;
    END IF;
    UPDATE rate_windows SET stamps = kept || send WHERE key = bucket;
    RETURN send - at;
END $$
"""
"""A request of work that may fill a window only up to `percent` of its quota, whoever filled it: the rest stays free for others."""

TAKE_SLOT = """
CREATE OR REPLACE FUNCTION dialbridge_take_slot(
    bucket text, connection uuid, configured int, configured_seconds float8, max_wait float8
) RETURNS float8 LANGUAGE plpgsql AS $$
BEGIN
    RETURN dialbridge_take_share(bucket, connection, configured, configured_seconds, max_wait, 100);
END $$
"""
"""As processes call it that still run the version before shares."""

LEARN_LIMIT = """
CREATE OR REPLACE FUNCTION dialbridge_learn_limit(
    bucket text, connection uuid, told_quota int, told_seconds float8, told_remaining int, gauge bool
) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    w rate_windows%ROWTYPE;
    at float8;
    used_by_others int;
BEGIN
    INSERT INTO rate_windows (key, connection_id, quota, seconds, remaining, seen_at)
    VALUES (bucket, connection, told_quota, told_seconds, told_remaining, clock_timestamp())
    ON CONFLICT (key) DO UPDATE SET
        quota = coalesce(told_quota, rate_windows.quota),
        seconds = coalesce(told_seconds, rate_windows.seconds),
        remaining = told_remaining,
        seen_at = clock_timestamp()
    RETURNING * INTO w;
    IF gauge OR told_remaining IS NULL OR w.quota IS NULL OR w.seconds IS NULL THEN
        RETURN 0;
    END IF;
    at := extract(epoch FROM clock_timestamp());
    SELECT w.quota - told_remaining - count(*) INTO used_by_others
        FROM unnest(w.stamps) s WHERE s > at - w.seconds;
    IF used_by_others > 0 THEN
        UPDATE rate_windows SET stamps = w.stamps || array_fill(at, ARRAY[used_by_others]) WHERE key = bucket;
    END IF;
    RETURN greatest(used_by_others, 0);
END $$
"""

CLOSE_BUCKET = """
CREATE OR REPLACE FUNCTION dialbridge_close_bucket(bucket text, connection uuid, closed_seconds float8)
RETURNS float8 LANGUAGE sql AS $$
    INSERT INTO rate_windows (key, connection_id, blocked_until)
    VALUES (bucket, connection, extract(epoch FROM clock_timestamp()) + closed_seconds)
    ON CONFLICT (key) DO UPDATE SET blocked_until = greatest(rate_windows.blocked_until, excluded.blocked_until)
    RETURNING blocked_until
$$
"""

DAY_USED = """
CREATE OR REPLACE FUNCTION dialbridge_day_used(
    connection uuid, day_began timestamptz, longest_window float8, believed interval, OUT calls bigint, OUT percent bigint
) LANGUAGE sql STABLE AS $$
    SELECT
        (SELECT coalesce(sum(u.calls), 0) FROM api_usage u WHERE u.connection_id = connection AND u.hour >= day_began),
        (SELECT coalesce(max((w.quota - w.remaining)::bigint * 100 / w.quota), 0) FROM rate_windows w
         WHERE w.connection_id = connection AND w.quota > 0 AND w.remaining IS NOT NULL
           AND w.seconds > longest_window AND w.seen_at > clock_timestamp() - believed)
$$
"""
"""Requests since the day began, and how much of the CRM's own daily quota is used as far as it told lately."""

BREAKER_ENTER = """
CREATE OR REPLACE FUNCTION dialbridge_breaker_enter(of_connection uuid, seconds_open float8, probe_seconds float8)
RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    b circuit_breakers%ROWTYPE;
    opens timestamptz;
BEGIN
    SELECT * INTO b FROM circuit_breakers WHERE connection_id = of_connection;
    IF NOT FOUND OR b.opened_at IS NULL THEN
        RETURN 0;
    END IF;
    SELECT * INTO b FROM circuit_breakers WHERE connection_id = of_connection FOR UPDATE;
    IF b.opened_at IS NULL THEN
        RETURN 0;
    END IF;
    opens := greatest(b.opened_at + make_interval(secs => seconds_open), coalesce(b.probe_until, '-infinity'));
    IF clock_timestamp() < opens THEN
        RETURN extract(epoch FROM opens - clock_timestamp());
    END IF;
    UPDATE circuit_breakers SET probe_until = clock_timestamp() + make_interval(secs => probe_seconds),
        changed_at = clock_timestamp() WHERE connection_id = of_connection;
    RETURN 0;
END $$
"""

BREAKER_LEAVE = """
CREATE OR REPLACE FUNCTION dialbridge_breaker_leave(of_connection uuid, healthy bool, to_open int, error text)
RETURNS float8 LANGUAGE plpgsql AS $$
BEGIN
    IF healthy THEN
        UPDATE circuit_breakers SET failures = 0, opened_at = NULL, probe_until = NULL, changed_at = clock_timestamp()
        WHERE connection_id = of_connection AND (failures > 0 OR opened_at IS NOT NULL);
        RETURN 0;
    END IF;
    INSERT INTO circuit_breakers (connection_id, failures, last_error) VALUES (of_connection, 1, error)
    ON CONFLICT (connection_id) DO UPDATE SET
        failures = circuit_breakers.failures + 1,
        last_error = error,
        opened_at = CASE
            WHEN circuit_breakers.probe_until IS NOT NULL THEN clock_timestamp()
            WHEN circuit_breakers.opened_at IS NOT NULL THEN circuit_breakers.opened_at
            WHEN circuit_breakers.failures + 1 >= to_open THEN clock_timestamp()
        END,
        probe_until = NULL,
        changed_at = clock_timestamp();
    RETURN 0;
END $$
"""

FUNCTIONS = (RESERVED, TAKE_RESERVED, TAKE_SHARE, TAKE_SLOT, LEARN_LIMIT, CLOSE_BUCKET, BREAKER_ENTER, BREAKER_LEAVE)
