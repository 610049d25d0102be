-- name: compared
-- Keep what the comparison of a day has found, in the place of the one before.
INSERT INTO {schema}.day_comparison (day, run_id, source_rows, table_rows, faults, warnings)
VALUES (%(day)s, %(run_id)s, %(source_rows)s, %(table_rows)s, %(faults)s, %(warnings)s)
    ON CONFLICT (day) DO UPDATE
   SET run_id = excluded.run_id, compared_at = now(), source_rows = excluded.source_rows,
       table_rows = excluded.table_rows, faults = excluded.faults, warnings = excluded.warnings;

-- name: comparisons
-- What the last comparison of each day has found, since there was anything of another table.
SELECT day, run_id, compared_at AS at, source_rows, table_rows, faults, warnings
  FROM {schema}.day_comparison
 WHERE day BETWEEN %(first)s AND %(last)s
   AND compared_at > coalesce(
       (SELECT max(opened_at)
          FROM (SELECT table_id, opened_at FROM {schema}.day_rebuild
                UNION ALL
                SELECT table_id, opened_at FROM {schema}.warehouse_load) AS noted
         WHERE table_id <> %(table_id)s),
       '-infinity');

-- name: rebuilds
-- The latest rebuild of each day that is done, and the one that is open.
SELECT DISTINCT ON (day, state) day, state, number, run_id, rows, opened_at, coalesce(closed_at, beat_at) AS at
  FROM {schema}.day_rebuild
 WHERE day BETWEEN %(first)s AND %(last)s AND state IN ('done', 'open')
   AND table_id = %(table_id)s
 ORDER BY day, state, number DESC;

-- name: loads
-- The loads of the stream that brought rows to each day, as far as they are still noted: how many, and the latest.
SELECT day, count(*) AS loads, max(closed_at) AS at, (array_agg(load_id ORDER BY closed_at DESC))[1] AS load_id
  FROM {schema}.warehouse_load, unnest(days) AS day
 WHERE table_id = %(table_id)s AND closed_at IS NOT NULL AND rows > 0 AND day BETWEEN %(first)s AND %(last)s
 GROUP BY day;

-- name: due
-- The days that have to be rebuilt, and why.
SELECT DISTINCT ON (day) day, reason, since
  FROM {schema}.day_due
 WHERE day BETWEEN %(first)s AND %(last)s
 ORDER BY day, since DESC;
