"""The database functions behind limits.py and breaker.py; a migration installs them."""

RESERVED = """
CREATE OR REPLACE FUNCTION dialbridge_reserved(quota int) RETURNS int LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN quota >= 20 THEN greatest(1, quota / 50) ELSE 0 END
$$
"""
"""How many requests of a quota are kept for what must not wait: one in fifty. A small quota is shared by all."""

WINDOW = """
CREATE OR REPLACE FUNCTION dialbridge_window(seconds float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS $$
    SELECT seconds * 1.02 + 0.02
$$
"""
"""How long a request fills a window of so many seconds: two may be closer together on arrival than on departure. The margin in it
is that of `limits.margin`."""

BOOKED = """
CREATE OR REPLACE FUNCTION dialbridge_booked(stamps float8[], since float8, at float8, times int)
RETURNS float8[] LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    kept float8[] := stamps[width_bucket(since, stamps) + 1:];
    place int := width_bucket(at, kept);
BEGIN
    RETURN kept[:place] || array_fill(at, ARRAY[times]) || kept[place + 1:];
END $$
"""
"""The stamps after `since`, with so many more at one moment. They are always in order."""

FREE_AT = """
CREATE OR REPLACE FUNCTION dialbridge_free_at(stamps float8[], quota int, lasts float8, at float8)
RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    free float8 := at;
BEGIN
    FOR place IN (width_bucket(at - lasts, stamps) + 1) .. (cardinality(stamps) - quota + 1) LOOP
        IF free > stamps[place + quota - 1] - lasts AND free < stamps[place] + lasts THEN
            free := stamps[place] + lasts;
        END IF;
    END LOOP;
    RETURN free;
END $$
"""
"""The first moment from `at` on that no window holds more than the quota with. Any `quota` stamps forbid what is less than a window
from both their ends; a moment between others that were planned further ahead may be free."""

TAKE_SLOTS = """
CREATE OR REPLACE FUNCTION dialbridge_take_slots(
    keys text[], owners uuid[], quotas int[], windows float8[], max_wait float8, urgent bool, percent int, planned float8,
    OUT wait float8, OUT send float8, OUT queued float8, OUT fullest text
) LANGUAGE plpgsql AS $$
DECLARE
    came float8 := extract(epoch FROM clock_timestamp());
    at float8;
    before float8;
    open float8;
    free float8;
    spare_free float8;
    held rate_windows[];
    spares rate_windows[];
    w rate_windows%ROWTYPE;
    quota int;
    spare int;
    place int;
    lasts float8[] := windows;
    chosen text[] := keys;
    spare_keys text[] := ARRAY(SELECT key || ':urgent' FROM unnest(keys) AS key);
BEGIN
    IF planned IS NOT NULL THEN
        PERFORM dialbridge_give_back(keys || spare_keys, planned);
    END IF;
    held := dialbridge_held(keys, owners);
    IF urgent THEN
        spares := dialbridge_held(spare_keys, owners);
    END IF;
    at := extract(epoch FROM clock_timestamp());
    queued := at - came;
    send := at;
    LOOP
        before := send;
        FOR place IN 1..cardinality(keys) LOOP
            w := held[place];
            quota := greatest(1, coalesce(w.quota, quotas[place]));
            spare := dialbridge_reserved(quota);
            lasts[place] := dialbridge_window(coalesce(w.seconds, windows[place]));
            IF planned IS NOT NULL AND coalesce(w.seconds, windows[place]) <= 2 THEN
                w.stamps := w.stamps[:width_bucket(at, w.stamps)];
            END IF;
            open := greatest(send, w.blocked_until);
            free := dialbridge_free_at(w.stamps, greatest(1, least(quota - spare, quota * percent / 100)), lasts[place], open);
            chosen[place] := keys[place];
            IF urgent AND spare > 0 AND free > open THEN
                spare_free := dialbridge_free_at(spares[place].stamps, spare, lasts[place], open);
                IF spare_free < free THEN
                    free := spare_free;
                    chosen[place] := keys[place] || ':urgent';
                END IF;
            END IF;
            IF free > send THEN
                fullest := keys[place];
            END IF;
            send := free;
        END LOOP;
        EXIT WHEN send = before;
    END LOOP;
    wait := send - at;
    IF wait > max_wait THEN
        wait := -wait;
        RETURN;
    END IF;
    UPDATE rate_windows r SET stamps = dialbridge_booked(r.stamps, at - one.lasts, send, 1)
        FROM unnest(chosen, lasts) AS one (key, lasts) WHERE r.key = one.key;
END $$
"""
"""One moment for a request in all of its buckets: the first at which each has room. With a moment in each it would be counted later
than planned in all but one. An urgent one fills what is kept for it only where it had to wait otherwise.

`queued` is how long the rows were waited for. `percent` is how much of a quota this work may fill, whoever filled it. `planned` is
the moment that this request had before, which it gives back. Then, in a window so short that others may have been planned on top
of it, only those count that have left: the others ask again before they leave, too (`limits.SHORT`)."""

HELD = """
CREATE OR REPLACE FUNCTION dialbridge_held(keys text[], owners uuid[]) RETURNS rate_windows[] LANGUAGE plpgsql AS $$
DECLARE
    held rate_windows[];
BEGIN
    FOR tries IN 1..2 LOOP
        SELECT array_agg(one ORDER BY array_position(keys, one.key::text)) INTO held
            FROM (SELECT * FROM rate_windows WHERE key = ANY (keys) ORDER BY key FOR UPDATE) one;
        EXIT WHEN cardinality(held) = cardinality(keys);
        INSERT INTO rate_windows (key, connection_id) SELECT * FROM unnest(keys, owners) AS one (key, owner) ORDER BY key
            ON CONFLICT (key) DO NOTHING;
    END LOOP;
    RETURN held;
END $$
"""
"""The rows, locked, always in the same order, so that nobody waits in a circle."""

GIVE_BACK = """
CREATE OR REPLACE FUNCTION dialbridge_give_back(keys text[], planned float8) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    w rate_windows%ROWTYPE;
    place int;
BEGIN
    FOR w IN SELECT * FROM rate_windows WHERE key = ANY (keys) ORDER BY key FOR UPDATE LOOP
        place := array_position(w.stamps, planned);
        IF place IS NOT NULL THEN
            UPDATE rate_windows SET stamps = w.stamps[:place - 1] || w.stamps[place + 1:] WHERE key = w.key;
        END IF;
    END LOOP;
END $$
"""
"""Takes a request out of the plan: one of those at this very moment."""

TAKE_RESERVED = """
CREATE OR REPLACE FUNCTION dialbridge_take_reserved(
    bucket text, connection uuid, configured int, configured_seconds float8, max_wait float8
) RETURNS float8 LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT wait FROM dialbridge_take_slots(
        ARRAY[bucket], ARRAY[connection], ARRAY[configured], ARRAY[configured_seconds], max_wait, true, 100, NULL));
END $$
"""

TAKE_SHARE = """
CREATE OR REPLACE FUNCTION dialbridge_take_share(
    bucket text, connection uuid, configured int, configured_seconds float8, max_wait float8, percent int
) RETURNS float8 LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT wait FROM dialbridge_take_slots(
        ARRAY[bucket], ARRAY[connection], ARRAY[configured], ARRAY[configured_seconds], max_wait, false, percent, NULL));
END $$
"""

TAKE_SLOT = """
CREATE OR REPLACE FUNCTION dialbridge_take_slot(
    bucket text, connection uuid, configured int, configured_seconds float8, max_wait float8
) RETURNS float8 LANGUAGE plpgsql AS $$
BEGIN
    RETURN dialbridge_take_share(bucket, connection, configured, configured_seconds, max_wait, 100);
END $$
"""
"""These three as processes call them that still run the version before, which takes each bucket by itself."""

LEARN_LIMIT = """
CREATE OR REPLACE FUNCTION dialbridge_learn_limit(
    bucket text, connection uuid, told_quota int, told_seconds float8, told_remaining int, gauge bool
) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    w rate_windows%ROWTYPE;
    at float8 := extract(epoch FROM clock_timestamp());
    since float8;
    used_by_others int;
BEGIN
    SELECT * INTO w FROM rate_windows WHERE key = bucket;
    since := at - dialbridge_window(w.seconds);
    IF NOT gauge AND w.quota = coalesce(told_quota, w.quota) AND w.seconds = coalesce(told_seconds, w.seconds)
        AND w.seen_at > clock_timestamp() - interval '1 second'
        AND w.quota - told_remaining <= cardinality(w.stamps) - width_bucket(since, w.stamps)
    THEN
        RETURN 0;
    END IF;
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
    since := at - dialbridge_window(w.seconds);
    used_by_others := w.quota - told_remaining - (cardinality(w.stamps) - width_bucket(since, w.stamps));
    IF used_by_others > 0 THEN
        UPDATE rate_windows SET stamps = dialbridge_booked(w.stamps, since, at, used_by_others) WHERE key = bucket;
    END IF;
    RETURN greatest(used_by_others, 0);
END $$
"""
"""What says nothing new within the same second is not written: most answers do not."""

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

FUNCTIONS = (
    RESERVED, WINDOW, BOOKED, FREE_AT, HELD, GIVE_BACK, TAKE_SLOTS, TAKE_RESERVED, TAKE_SHARE, TAKE_SLOT, LEARN_LIMIT, CLOSE_BUCKET,
    BREAKER_ENTER, BREAKER_LEAVE,
)  # fmt: skip
