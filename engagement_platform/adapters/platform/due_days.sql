-- name: forget
-- Forget what was noted of a day before a time, as before the begin of a rebuild that is done.
DELETE FROM {schema}.day_due WHERE table_id = %(table_id)s AND day = %(day)s AND since <= %(before)s::timestamptz;

-- name: note
-- Note that days have to be rebuilt, from now on again where that was noted before.
INSERT INTO {schema}.day_due (table_id, day, reason)
SELECT %(table_id)s, day, %(reason)s FROM unnest(%(days)s::date[]) AS day
    ON CONFLICT (table_id, day) DO UPDATE SET reason = excluded.reason, since = excluded.since;

-- name: all
-- The days that have to be rebuilt, and why, whatever the table.
SELECT DISTINCT ON (day) day, reason, since FROM {schema}.day_due ORDER BY day, since DESC;
