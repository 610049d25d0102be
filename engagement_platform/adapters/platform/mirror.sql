-- name: write
-- Keep a copy of the checkpoint; a relay that was overtaken does not put the clock back.
INSERT INTO engagement_platform.relay_checkpoint_mirror AS mirror (topic, generation, hi, checkpoint, recorded_at)
VALUES (%(topic)s, %(generation)s, %(hi)s, %(checkpoint)s, now())
    ON CONFLICT (topic) DO UPDATE
   SET generation = excluded.generation, hi = excluded.hi, checkpoint = excluded.checkpoint, recorded_at = excluded.recorded_at
 WHERE (mirror.generation, mirror.hi) <= (excluded.generation, excluded.hi)

-- name: replace
-- Put the copy where an operator has set the checkpoint.
INSERT INTO engagement_platform.relay_checkpoint_mirror (topic, generation, hi, checkpoint, recorded_at)
VALUES (%(topic)s, %(generation)s, %(hi)s, %(checkpoint)s, now())
    ON CONFLICT (topic) DO UPDATE
   SET generation = excluded.generation, hi = excluded.hi, checkpoint = excluded.checkpoint, recorded_at = excluded.recorded_at

-- name: topics
-- The topics to which a relay has published.
SELECT topic FROM engagement_platform.relay_checkpoint_mirror ORDER BY topic

-- name: read
-- The copy of the checkpoint of the relay that writes to a topic.
SELECT checkpoint FROM engagement_platform.relay_checkpoint_mirror WHERE topic = %(topic)s
