-- name: write
-- Keep a copy of the checkpoint; a relay that was overtaken does not put the clock back, and an operator may: `chosen`.
INSERT INTO {schema}.relay_checkpoint_mirror AS mirror (topic, generation, hi, checkpoint, recorded_at)
VALUES (%(topic)s, %(generation)s, %(hi)s, %(checkpoint)s, now())
    ON CONFLICT (topic) DO UPDATE
   SET generation = excluded.generation, hi = excluded.hi, checkpoint = excluded.checkpoint, recorded_at = excluded.recorded_at
 WHERE %(chosen)s OR (mirror.generation, mirror.hi) <= (excluded.generation, excluded.hi)

-- name: topics
-- The topics to which a relay has published.
SELECT topic FROM {schema}.relay_checkpoint_mirror ORDER BY topic

-- name: read
-- The copy of the checkpoint of the relay that writes to a topic.
SELECT checkpoint FROM {schema}.relay_checkpoint_mirror WHERE topic = %(topic)s

-- name: keep
-- Keep a checkpoint in the history: about one a minute, and the first of each generation.
INSERT INTO {schema}.relay_checkpoint_history (topic, generation, hi, unseen_at, checkpoint)
SELECT %(topic)s, %(generation)s, %(hi)s, %(unseen_at)s, %(checkpoint)s
 WHERE NOT EXISTS (SELECT FROM {schema}.relay_checkpoint_history AS kept
                    WHERE kept.topic = %(topic)s AND kept.generation >= %(generation)s
                      AND kept.recorded_at > clock_timestamp() - interval '1 minute')
    ON CONFLICT DO NOTHING

-- name: kept_before
-- The last checkpoint that was in Kafka before a time, or before every message with a header unseen-at or a later one.
SELECT checkpoint FROM {schema}.relay_checkpoint_history
 WHERE topic = %(topic)s AND (recorded_at <= %(moment)s OR unseen_at < %(unseen_at)s)
 ORDER BY recorded_at DESC LIMIT 1

-- name: kept_after
-- The first checkpoint that was noted at a time or later.
SELECT checkpoint FROM {schema}.relay_checkpoint_history
 WHERE topic = %(topic)s AND recorded_at >= %(moment)s
 ORDER BY recorded_at LIMIT 1

-- name: kept_since_hi
-- The times of the checkpoints that had come to an id, or beyond, in their order.
SELECT recorded_at FROM {schema}.relay_checkpoint_history
 WHERE topic = %(topic)s AND hi >= %(hi)s
 ORDER BY recorded_at

-- name: time_before
-- When the last checkpoint before a time was noted, or the last of all.
SELECT recorded_at FROM {schema}.relay_checkpoint_history
 WHERE topic = %(topic)s AND (%(moment)s::timestamptz IS NULL OR recorded_at < %(moment)s)
 ORDER BY recorded_at DESC LIMIT 1

-- name: generations
-- The first checkpoint of each generation, in their order.
SELECT checkpoint, recorded_at
  FROM (SELECT DISTINCT ON (generation) checkpoint, recorded_at
          FROM {schema}.relay_checkpoint_history
         WHERE topic = %(topic)s
         ORDER BY generation, recorded_at) AS first
 ORDER BY recorded_at

-- name: thin
-- Of the history older than two days keep one checkpoint an hour, of that older than :hours only the first of each
-- generation.
DELETE FROM {schema}.relay_checkpoint_history AS old
 WHERE recorded_at < now() - interval '2 days'
   AND EXISTS (SELECT FROM {schema}.relay_checkpoint_history AS earlier
                WHERE earlier.topic = old.topic AND earlier.generation = old.generation
                  AND earlier.recorded_at < old.recorded_at
                  AND (old.recorded_at < now() - make_interval(hours => %(hours)s)
                       OR date_trunc('hour', earlier.recorded_at) = date_trunc('hour', old.recorded_at)))
