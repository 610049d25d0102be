-- Heartbeats of the processes that work on runs of the warehouse. Every time is the database's. Runs belong to Dagster and
-- not to a stream: their heartbeats are in one schema, whatever the stream.

-- name: beat
-- Give a sign of life; tell whether the run was given up meanwhile.
INSERT INTO engagement_platform.run_beat AS beating (run_id, job, subject, host, pid, beat_at)
VALUES (%(run_id)s, %(job)s, %(subject)s, %(host)s, %(pid)s, now())
    ON CONFLICT (run_id) DO UPDATE
       SET beat_at = now(), job = excluded.job, subject = excluded.subject, host = excluded.host, pid = excluded.pid
RETURNING given_up_at IS NOT NULL AS given_up;

-- name: end
-- Note that the process has finished its work.
UPDATE engagement_platform.run_beat SET ended_at = now(), beat_at = now() WHERE run_id = %(run_id)s;

-- name: beats
-- The last heartbeat of each of these runs, of the process of a warehouse run.
SELECT run_id, beat_at FROM engagement_platform.run_beat WHERE run_id = ANY(%(run_ids)s);

-- name: streams
-- The schemas of the streams of this database, whichever have started, so far as the role may read them.
SELECT schema.nspname AS stream
  FROM pg_class AS loop
  JOIN pg_namespace AS schema ON schema.oid = loop.relnamespace
 WHERE loop.relname = 'stream_loop' AND loop.relkind = 'r'
   AND (schema.nspname = 'engagement_platform' OR starts_with(schema.nspname, 'engagement_platform_'))
   AND has_schema_privilege(schema.oid, 'USAGE') AND has_table_privilege(loop.oid, 'SELECT');

-- name: beats_of_loops
-- The last heartbeat of each of these runs, of the loops of a streaming run of one stream.
SELECT run_id, max(heartbeat_at) AS beat_at FROM {stream}.stream_loop WHERE run_id = ANY(%(run_ids)s) GROUP BY run_id;

-- name: now
-- The time.
SELECT now() AS now;

-- name: give_up
-- Give a run up, unless its heartbeat has moved. No row when it has.
INSERT INTO engagement_platform.run_beat AS silent (run_id, job, subject, host, pid, given_up_at)
VALUES (%(run_id)s, %(job)s, '', '', 0, now())
    ON CONFLICT (run_id) DO UPDATE SET given_up_at = now() WHERE silent.beat_at IS NOT DISTINCT FROM %(beat_at)s
RETURNING run_id;

-- name: at_work
-- The runs that have neither ended nor been given up, the longest at work first.
SELECT run_id, job, subject, host, pid, begun_at, extract(epoch FROM now() - beat_at)::float AS silent_seconds
  FROM engagement_platform.run_beat
 WHERE ended_at IS NULL AND given_up_at IS NULL
 ORDER BY begun_at;

-- name: close_others
-- Note the end of silent runs that are none of those at work: Dagster learned of their end in another way.
UPDATE engagement_platform.run_beat SET ended_at = now()
 WHERE ended_at IS NULL AND given_up_at IS NULL AND beat_at < now() - make_interval(secs => %(silent_seconds)s)
   AND run_id <> ALL(%(run_ids)s::text[]);

-- name: prune
-- Forget runs whose last sign of life is older than :hours.
DELETE FROM engagement_platform.run_beat
 WHERE coalesce(beat_at, given_up_at) < now() - make_interval(hours => %(hours)s);
