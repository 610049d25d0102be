-- What the platform's database keeps of a stream beside its loops, for metrics. Each statement is cheap whatever it keeps.

-- name: kept
-- The copy of the relay's checkpoint, the loads that are open, when the last one was done, and how many days are due. Tables
-- are looked for one after the other in the index: the list of loads is long.
WITH RECURSIVE loaded (table_id) AS (
    (SELECT table_id FROM {schema}.warehouse_load ORDER BY table_id LIMIT 1)
    UNION ALL
    SELECT (SELECT load.table_id FROM {schema}.warehouse_load AS load
             WHERE load.table_id > loaded.table_id ORDER BY load.table_id LIMIT 1)
      FROM loaded WHERE loaded.table_id IS NOT NULL)
SELECT mirror.checkpoint, extract(epoch FROM mirror.recorded_at)::float AS checkpoint_at,
       (SELECT count(*) FROM {schema}.warehouse_load WHERE closed_at IS NULL) AS open_loads,
       (SELECT count(*) FROM {schema}.day_due) AS due_days,
       (SELECT extract(epoch FROM max(last.closed_at))::float
          FROM loaded
          JOIN LATERAL (
               SELECT closed_at FROM {schema}.warehouse_load AS load
                WHERE load.table_id = loaded.table_id AND closed_at IS NOT NULL
                ORDER BY version DESC LIMIT 1) AS last ON true) AS last_load_at
  FROM (VALUES (1)) AS one
  LEFT JOIN {schema}.relay_checkpoint_mirror AS mirror ON mirror.topic = %(topic)s;

-- name: passed_at
-- When the first checkpoint was noted that had passed an id: about once a minute one is kept.
SELECT extract(epoch FROM min(recorded_at))::float AS passed_at
  FROM {schema}.relay_checkpoint_history
 WHERE topic = %(topic)s AND generation = %(generation)s AND hi >= %(id)s;
