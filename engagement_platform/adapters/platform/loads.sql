-- Statements of the warehouse's loads and rebuilds. Every time is the database's.

-- name: share_days
-- Keep rebuilds of these days from being opened until the transaction ends. `locks` are numbers of days.
SELECT pg_advisory_xact_lock_shared(hashtext(%(table_id)s), lock) FROM unnest(%(locks)s::int[]) AS lock ORDER BY lock;

-- name: own_day
-- Keep loads and rebuilds of this day from being opened until the transaction ends.
SELECT pg_advisory_xact_lock(hashtext(%(table_id)s), %(lock)s::int);

-- name: open_rebuilds
-- The rebuilds that are open: all of a table, or those of certain days.
SELECT number, day, run_id, state, rows, covered_hi, covered_missing,
       extract(epoch FROM now() - beat_at)::float AS silent_seconds, beat_at
  FROM engagement_platform.day_rebuild
 WHERE table_id = %(table_id)s AND state = 'open' AND (%(days)s::date[] IS NULL OR day = ANY(%(days)s::date[]))
 ORDER BY number;

-- name: rebuild
-- One rebuild, whatever its state.
SELECT number, day, run_id, state, rows, covered_hi, covered_missing,
       extract(epoch FROM now() - beat_at)::float AS silent_seconds, beat_at
  FROM engagement_platform.day_rebuild
 WHERE number = %(number)s;

-- name: coverages
-- What the latest rebuild of each of these days covers.
SELECT DISTINCT ON (day) day, covered_hi, covered_missing
  FROM engagement_platform.day_rebuild
 WHERE table_id = %(table_id)s AND state = 'done' AND day = ANY(%(days)s::date[])
 ORDER BY day, number DESC;

-- name: last_load
-- The latest load of a writer, open or not.
SELECT * FROM engagement_platform.warehouse_load
 WHERE table_id = %(table_id)s AND writer = %(writer)s
 ORDER BY version DESC LIMIT 1;

-- name: open_loads
-- The loads that are open: all of a table, or those that touch certain days.
SELECT * FROM engagement_platform.warehouse_load
 WHERE table_id = %(table_id)s AND closed_at IS NULL
   AND (%(days)s::date[] IS NULL OR days && %(days)s::date[])
 ORDER BY writer, version;

-- name: open_load
-- Enter a load before it is sent; one without rows is closed at once. No row where another process was faster.
INSERT INTO engagement_platform.warehouse_load
       (table_id, writer, version, load_id, topic_id, ranges, next_offsets, days, rows, covered, rejected,
        lowest_id, highest_id, unseen_at, closed_at)
VALUES (%(table_id)s, %(writer)s, %(version)s, %(load_id)s, %(topic_id)s, %(ranges)s, %(next_offsets)s,
        %(days)s::date[], %(rows)s, %(covered)s, %(rejected)s, %(lowest_id)s, %(highest_id)s,
        %(unseen_at)s,
        CASE WHEN %(rows)s = 0 THEN now() END)
    ON CONFLICT DO NOTHING
RETURNING version;

-- name: close_load
-- Note that a load has taken effect.
UPDATE engagement_platform.warehouse_load SET closed_at = coalesce(closed_at, now())
 WHERE table_id = %(table_id)s AND writer = %(writer)s AND version = %(version)s;

-- name: raise_load_attempt
-- Use up an attempt that the warehouse has tried and refused, unless somebody else has done so.
UPDATE engagement_platform.warehouse_load SET attempt = attempt + 1
 WHERE table_id = %(table_id)s AND writer = %(writer)s AND version = %(version)s AND attempt = %(attempt)s
   AND closed_at IS NULL;

-- name: open_rebuild
-- Enter a rebuild: from here on no load of the day starts. No row where one is open already.
INSERT INTO engagement_platform.day_rebuild (table_id, day, run_id)
VALUES (%(table_id)s, %(day)s, %(run_id)s)
    ON CONFLICT DO NOTHING
RETURNING number;

-- name: note_missed
-- Keep what an open rebuild has found missing in the table before it replaces the day.
UPDATE engagement_platform.day_rebuild SET missed = %(missed)s, missed_ids = %(first)s::bigint[]
 WHERE number = %(number)s AND state = 'open'
RETURNING number;

-- name: missed_before
-- What was missing before a run rebuilt days: by its first rebuild of each, whatever became of that.
SELECT DISTINCT ON (day) day, missed, missed_ids
  FROM engagement_platform.day_rebuild
 WHERE run_id = %(run_id)s AND day = ANY(%(days)s::date[]) AND missed IS NOT NULL
 ORDER BY day, missed DESC, number;

-- name: beat_rebuilds
-- Give a sign of life.
UPDATE engagement_platform.day_rebuild SET beat_at = now() WHERE number = ANY(%(numbers)s) AND state = 'open';

-- name: cover
-- Keep what the snapshot has seen; it counts once the rebuild is done.
UPDATE engagement_platform.day_rebuild SET covered_hi = %(hi)s, covered_missing = %(missing)s, beat_at = now()
 WHERE number = %(number)s AND state = 'open'
RETURNING number;

-- name: uncover
-- Take back that rebuilds have seen ids above one: of a source that was restored they stand for other events now.
UPDATE engagement_platform.day_rebuild SET covered_hi = %(highest)s WHERE covered_hi > %(highest)s;

-- name: close_rebuild
-- Close an open rebuild; when done, its coverage is in force from here on.
UPDATE engagement_platform.day_rebuild SET state = %(state)s, rows = %(rows)s, closed_at = now()
 WHERE number = %(number)s AND state = 'open'
RETURNING table_id, day, opened_at;

-- name: not_due
-- The day has been rebuilt, which does for what was noted before the rebuild began.
DELETE FROM engagement_platform.day_due WHERE table_id = %(table_id)s AND day = %(day)s AND since <= %(opened_at)s::timestamptz;

-- name: due
-- Note that days have to be rebuilt, from now on again where that was noted before.
INSERT INTO engagement_platform.day_due (table_id, day, reason)
SELECT %(table_id)s, day, %(reason)s FROM unnest(%(days)s::date[]) AS day
    ON CONFLICT (table_id, day) DO UPDATE SET reason = excluded.reason, since = excluded.since;

-- name: days_loaded
-- The days before one for which loads of the last :hours brought rows.
SELECT DISTINCT day FROM engagement_platform.warehouse_load, unnest(days) AS day
 WHERE closed_at > now() - make_interval(hours => %(hours)s) AND rows > 0 AND day < %(before)s
 ORDER BY day;

-- name: days_due
-- The days that have to be rebuilt, and why, whatever the table.
SELECT DISTINCT ON (day) day, reason, since FROM engagement_platform.day_due ORDER BY day, since DESC;

-- name: first_load
-- When the oldest load that is still noted was entered.
SELECT min(opened_at) AS opened_at FROM engagement_platform.warehouse_load;

-- name: days_settled
-- The days from one on that were rebuilt after they had ended, in UTC.
SELECT DISTINCT day FROM engagement_platform.day_rebuild
 WHERE state = 'done' AND day >= %(since)s AND opened_at >= (day + 1)::timestamp AT TIME ZONE 'UTC'
 ORDER BY day;

-- name: brought
-- For each day, how many loads that were closed since a time brought rows; and the time up to which that is, be there a
-- load or not: a second ago, so that a load whose note is being committed is not passed over.
SELECT span.until, brought.day, brought.loads
  FROM (SELECT now() - interval '1 second' AS until) AS span
  LEFT JOIN LATERAL (
       SELECT day, count(*) AS loads
         FROM engagement_platform.warehouse_load, unnest(days) AS day
        WHERE closed_at > %(since)s AND closed_at <= span.until AND rows > 0
        GROUP BY day) AS brought ON true
 ORDER BY brought.day;

-- name: next_number
-- A number for the replacement of a day of a table that is made from others.
SELECT nextval('engagement_platform.replacement_number');

-- name: prune_loads
-- Forget closed loads older than :hours, except the latest of each writer, from which it goes on.
DELETE FROM engagement_platform.warehouse_load AS load
 WHERE closed_at < now() - make_interval(hours => %(hours)s)
   AND version < (SELECT max(version) FROM engagement_platform.warehouse_load AS later
                   WHERE later.table_id = load.table_id AND later.writer = load.writer);

-- name: prune_rebuilds
-- Forget closed rebuilds older than :hours, except the one of each day whose coverage is in force.
DELETE FROM engagement_platform.day_rebuild AS rebuild
 WHERE closed_at < now() - make_interval(hours => %(hours)s)
   AND (state = 'abandoned'
        OR number < (SELECT max(number) FROM engagement_platform.day_rebuild AS later
                      WHERE later.table_id = rebuild.table_id AND later.day = rebuild.day AND later.state = 'done'));
