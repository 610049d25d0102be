-- name: loops
-- The loops of one run: their last sign of life, and what they have done since they started.
SELECT loop, extract(epoch FROM now() - heartbeat_at)::float AS silent_seconds, ended_at IS NOT NULL AS ended, progress
  FROM {schema}.stream_loop
 WHERE run_id = %(run_id)s;

-- name: all_runs
-- What the loops of all runs that are still noted have done, in the order of time.
SELECT loop, progress FROM {schema}.stream_loop ORDER BY heartbeat_at;

-- name: offsets_of_stage
-- Where the stage goes on in a topic: behind the last batch that was entered, open or not.
SELECT next_offsets FROM {schema}.warehouse_load
 WHERE topic_id = %(topic_id)s
 ORDER BY opened_at DESC, version DESC LIMIT 1;
