-- name: last
-- The latest load of a writer, open or not.
SELECT * FROM {schema}.warehouse_load
 WHERE table_id = %(table_id)s AND writer = %(writer)s
 ORDER BY version DESC LIMIT 1;

-- name: all_open
-- The loads that are open: all of a table, or those that touch certain days.
SELECT * FROM {schema}.warehouse_load
 WHERE table_id = %(table_id)s AND closed_at IS NULL
   AND (%(days)s::date[] IS NULL OR days && %(days)s::date[])
 ORDER BY writer, version;

-- name: open
-- Enter a load before it is sent; one without rows is closed at once. No row where another process was faster.
INSERT INTO {schema}.warehouse_load
       (table_id, writer, version, load_id, topic_id, ranges, next_offsets, days, rows, covered, rejected,
        lowest_id, highest_id, unseen_at, closed_at)
VALUES (%(table_id)s, %(writer)s, %(version)s, %(load_id)s, %(topic_id)s, %(ranges)s, %(next_offsets)s,
        %(days)s::date[], %(rows)s, %(covered)s, %(rejected)s, %(lowest_id)s, %(highest_id)s,
        %(unseen_at)s,
        CASE WHEN %(rows)s = 0 THEN now() END)
    ON CONFLICT DO NOTHING
RETURNING version;

-- name: close
-- Note that a load has taken effect.
UPDATE {schema}.warehouse_load SET closed_at = coalesce(closed_at, now())
 WHERE table_id = %(table_id)s AND writer = %(writer)s AND version = %(version)s;

-- name: raise_attempt
-- Use up an attempt that the warehouse has tried and refused, unless somebody else has done so.
UPDATE {schema}.warehouse_load SET attempt = attempt + 1
 WHERE table_id = %(table_id)s AND writer = %(writer)s AND version = %(version)s AND attempt = %(attempt)s
   AND closed_at IS NULL;

-- name: days
-- The days before one for which loads of the last :hours brought rows.
SELECT DISTINCT day FROM {schema}.warehouse_load, unnest(days) AS day
 WHERE closed_at > now() - make_interval(hours => %(hours)s) AND rows > 0 AND day < %(before)s
 ORDER BY day;

-- name: first
-- When the oldest load that is still noted was entered.
SELECT min(opened_at) AS opened_at FROM {schema}.warehouse_load;

-- name: brought
-- For each day, how many loads that were closed since a time brought rows; and the time up to which that is, be there a
-- load or not: a second ago, so that a load whose note is being committed is not passed over.
SELECT span.until, brought.day, brought.loads
  FROM (SELECT now() - interval '1 second' AS until) AS span
  LEFT JOIN LATERAL (
       SELECT day, count(*) AS loads
         FROM {schema}.warehouse_load, unnest(days) AS day
        WHERE closed_at > %(since)s AND closed_at <= span.until AND rows > 0
        GROUP BY day) AS brought ON true
 ORDER BY brought.day;

-- name: prune
-- Forget closed loads older than :hours, except the latest of each writer, from which it goes on.
DELETE FROM {schema}.warehouse_load AS load
 WHERE closed_at < now() - make_interval(hours => %(hours)s)
   AND version < (SELECT max(version) FROM {schema}.warehouse_load AS later
                   WHERE later.table_id = load.table_id AND later.writer = load.writer);

-- name: offsets_of_stage
-- Where the stage goes on in a topic: behind the last batch that was entered, open or not.
SELECT next_offsets FROM {schema}.warehouse_load
 WHERE topic_id = %(topic_id)s
 ORDER BY opened_at DESC, version DESC LIMIT 1;
