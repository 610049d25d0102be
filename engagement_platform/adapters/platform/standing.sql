-- name: loops
-- The loops of one run: their last sign of life, and what they have done since they started.
SELECT loop, extract(epoch FROM now() - heartbeat_at)::float AS silent_seconds, ended_at IS NOT NULL AS ended, progress
  FROM engagement_platform.stream_loop
 WHERE run_id = %(run_id)s;
