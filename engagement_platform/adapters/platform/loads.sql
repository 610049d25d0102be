-- name: last
-- The latest load of a table, open or not, whichever shard has entered it.
SELECT load.*, coalesce(wal.begins, '{}') AS wal_begins, coalesce(wal.ends, '{}') AS wal_ends
  FROM {schema}.warehouse_load AS load LEFT JOIN {schema}.warehouse_load_wal AS wal USING (table_id, version)
 WHERE table_id = %(table_id)s
 ORDER BY version DESC LIMIT 1;

-- name: in_turn
-- Let shards enter their loads one after the other, until the transaction ends. A day's locks have a positive number.
SELECT pg_advisory_xact_lock(hashtext(%(table_id)s), -1);

-- name: all_open
-- The loads that are open: all of a table, or those that touch certain days.
SELECT load.*, coalesce(wal.begins, '{}') AS wal_begins, coalesce(wal.ends, '{}') AS wal_ends
  FROM {schema}.warehouse_load AS load LEFT JOIN {schema}.warehouse_load_wal AS wal USING (table_id, version)
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

-- name: note_wal
-- Note where the messages of a load stand in the log of a publisher that may publish twice.
INSERT INTO {schema}.warehouse_load_wal (table_id, version, begins, ends)
VALUES (%(table_id)s, %(version)s, %(begins)s, %(ends)s);

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

-- name: present_table
-- The table of the latest rebuild or load. One that was made anew has nothing of what the one before it had.
SELECT table_id FROM (
       (SELECT table_id, opened_at FROM {schema}.day_rebuild ORDER BY number DESC LIMIT 1)
       UNION ALL
       (SELECT table_id, opened_at FROM {schema}.warehouse_load ORDER BY opened_at DESC LIMIT 1)) AS latest
 ORDER BY opened_at DESC LIMIT 1;

-- name: offsets_of_stage
-- Where the stage goes on in a topic: behind the last batch that was entered, open or not, by whichever shard.
SELECT next_offsets FROM {schema}.warehouse_load
 WHERE table_id = %(table_id)s AND topic_id = %(topic_id)s
 ORDER BY version DESC LIMIT 1;

-- name: with_offset
-- The first load since a time whose ranges have an offset.
SELECT load_id, opened_at, closed_at, rows, covered
  FROM {schema}.warehouse_load
 WHERE table_id = %(table_id)s AND topic_id = %(topic_id)s AND opened_at >= %(since)s
   AND (ranges -> %(partition)s::text ->> 0)::bigint <= %(offset)s
   AND (ranges -> %(partition)s::text ->> 1)::bigint > %(offset)s
 ORDER BY opened_at LIMIT 1;

-- name: rebuild_of_day
-- The latest rebuild of a day that is done, and whether one is open.
SELECT last.number, last.run_id, last.closed_at, last.covered_hi, last.covered_missing,
       EXISTS (SELECT FROM {schema}.day_rebuild
                WHERE table_id = %(table_id)s AND day = %(day)s AND state = 'open') AS is_open
  FROM (SELECT) AS one
  LEFT JOIN LATERAL (SELECT number, run_id, closed_at, covered_hi, covered_missing
                       FROM {schema}.day_rebuild
                      WHERE table_id = %(table_id)s AND day = %(day)s AND state = 'done'
                      ORDER BY number DESC LIMIT 1) AS last ON true;
