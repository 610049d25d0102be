-- name: share_days
-- Keep rebuilds of these days from being opened until the transaction ends. `locks` are numbers of days.
SELECT pg_advisory_xact_lock_shared(hashtext(%(table_id)s), lock) FROM unnest(%(locks)s::int[]) AS lock ORDER BY lock;

-- name: own_day
-- Keep loads and rebuilds of this day from being opened until the transaction ends.
SELECT pg_advisory_xact_lock(hashtext(%(table_id)s), %(lock)s::int);

-- name: rebuilds
-- One rebuild by its number, whatever its state; or those that are open: all of a table, or those of certain days.
SELECT number, day, run_id, state, rows, covered_hi, covered_missing,
       extract(epoch FROM now() - beat_at)::float AS silent_seconds, beat_at
  FROM {schema}.day_rebuild
 WHERE number = %(number)s
    OR (table_id = %(table_id)s AND state = 'open' AND (%(days)s::date[] IS NULL OR day = ANY(%(days)s::date[])))
 ORDER BY number;

-- name: coverages
-- What the latest rebuild of each of these days covers.
SELECT DISTINCT ON (day) day, covered_hi, covered_missing
  FROM {schema}.day_rebuild
 WHERE table_id = %(table_id)s AND state = 'done' AND day = ANY(%(days)s::date[])
 ORDER BY day, number DESC;

-- name: open
-- Enter a rebuild: from here on no load of the day starts. No row where one is open already.
INSERT INTO {schema}.day_rebuild (table_id, day, run_id)
VALUES (%(table_id)s, %(day)s, %(run_id)s)
    ON CONFLICT DO NOTHING
RETURNING number;

-- name: note_missed
-- Keep what an open rebuild has found missing in the table before it replaces the day.
UPDATE {schema}.day_rebuild SET missed = %(missed)s, missed_ids = %(first)s::bigint[]
 WHERE number = %(number)s AND state = 'open'
RETURNING number;

-- name: missed_before
-- What was missing before a run rebuilt days: by its first rebuild of each, whatever became of that.
SELECT DISTINCT ON (day) day, missed, missed_ids
  FROM {schema}.day_rebuild
 WHERE run_id = %(run_id)s AND day = ANY(%(days)s::date[]) AND missed IS NOT NULL
 ORDER BY day, missed DESC, number;

-- name: beat
-- Give a sign of life.
UPDATE {schema}.day_rebuild SET beat_at = now() WHERE number = ANY(%(numbers)s) AND state = 'open';

-- name: cover
-- Keep what the snapshot has seen; it counts once the rebuild is done.
UPDATE {schema}.day_rebuild SET covered_hi = %(hi)s, covered_missing = %(missing)s, beat_at = now()
 WHERE number = %(number)s AND state = 'open'
RETURNING number;

-- name: uncover
-- Take back that rebuilds have seen ids above one: of a source that was restored they stand for other events now.
UPDATE {schema}.day_rebuild SET covered_hi = %(highest)s WHERE covered_hi > %(highest)s;

-- name: close
-- Close an open rebuild; when done, its coverage is in force from here on.
UPDATE {schema}.day_rebuild SET state = %(state)s, rows = %(rows)s, closed_at = now()
 WHERE number = %(number)s AND state = 'open'
RETURNING table_id, day, opened_at;

-- name: days_settled
-- The days from one on that were rebuilt after they had ended, in UTC.
SELECT DISTINCT day FROM {schema}.day_rebuild
 WHERE state = 'done' AND day >= %(since)s AND opened_at >= (day + 1)::timestamp AT TIME ZONE 'UTC'
 ORDER BY day;

-- name: next_number
-- A number for the replacement of a day of a table that is made from others.
SELECT nextval('{schema}.replacement_number');

-- name: prune
-- Forget closed rebuilds older than :hours, except the one of each day whose coverage is in force.
DELETE FROM {schema}.day_rebuild AS rebuild
 WHERE closed_at < now() - make_interval(hours => %(hours)s)
   AND (state = 'abandoned'
        OR number < (SELECT max(number) FROM {schema}.day_rebuild AS later
                      WHERE later.table_id = rebuild.table_id AND later.day = rebuild.day AND later.state = 'done'));

-- name: due_forget
-- Forget what was noted of a day before a time, as before the begin of a rebuild that is done.
DELETE FROM {schema}.day_due WHERE table_id = %(table_id)s AND day = %(day)s AND since <= %(before)s::timestamptz;

-- name: due_note
-- Note that days have to be rebuilt, from now on again where that was noted before.
INSERT INTO {schema}.day_due (table_id, day, reason)
SELECT %(table_id)s, day, %(reason)s FROM unnest(%(days)s::date[]) AS day
    ON CONFLICT (table_id, day) DO UPDATE SET reason = excluded.reason, since = excluded.since;

-- name: due_all
-- The days that have to be rebuilt, and why, whatever the table.
SELECT DISTINCT ON (day) day, reason, since FROM {schema}.day_due ORDER BY day, since DESC;
