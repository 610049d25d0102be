-- name: register
-- Enter a loop of a run. All loops of a run await the same epoch: the one after the highest at the run's start, or 0 when
-- another run waits for it already and lives, so that this one is surplus. (A run that drains does not wait.)
-- Registering again, after the process died, changes nothing but the signs of life.
INSERT INTO {schema}.stream_loop (run_id, loop, awaits, heartbeat_at)
SELECT %(run_id)s, %(loop)s,
       coalesce(
           (SELECT awaits FROM {schema}.stream_loop WHERE run_id = %(run_id)s LIMIT 1),
           (SELECT epoch FROM {schema}.stream_lease WHERE run_id = %(run_id)s),
           (SELECT 0
              FROM {schema}.stream_loop AS other
              LEFT JOIN pg_stat_activity AS session ON session.pid = other.backend_pid
             WHERE NOT %(drains)s
               AND other.awaits > coalesce((SELECT max(epoch) FROM {schema}.stream_lease), 0)
               AND other.ended_at IS NULL
               AND other.heartbeat_at BETWEEN now() - %(silent_after)s::interval AND now() + %(silent_after)s::interval
               AND (other.backend_pid IS NULL
                    OR coalesce(session.backend_start = other.backend_start, session.pid IS NOT NULL))
             LIMIT 1),
           (SELECT max(epoch) + 1 FROM {schema}.stream_lease),
           1),
       now()
    ON CONFLICT (run_id, loop) DO UPDATE SET heartbeat_at = excluded.heartbeat_at, ready_at = NULL, ended_at = NULL
RETURNING awaits;

-- name: registering
-- Let the loops of a run register one after the other, so that they agree on the epoch.
SELECT pg_advisory_xact_lock(hashtextextended('{schema}.register', 0));

-- name: ready
-- Note that a loop is connected and wants the lease.
UPDATE {schema}.stream_loop SET ready_at = coalesce(ready_at, now()), heartbeat_at = now()
 WHERE run_id = %(run_id)s AND loop = %(loop)s;

-- name: beat
-- Give a sign of life with what the loop has done, and note the session, whose end tells that the process is gone. The
-- row comes back when somebody has emptied the table.
INSERT INTO {schema}.stream_loop AS beating
       (run_id, loop, awaits, ready_at, heartbeat_at, progress, backend_pid, backend_start)
SELECT %(run_id)s, %(loop)s, %(awaits)s, NULL, now(), %(progress)s, pid, backend_start
  FROM pg_stat_activity WHERE pid = pg_backend_pid()
    ON CONFLICT (run_id, loop) DO UPDATE
   SET heartbeat_at = excluded.heartbeat_at, progress = excluded.progress,
       backend_pid = excluded.backend_pid, backend_start = excluded.backend_start;

-- name: end
-- Note that a loop has ended as planned.
UPDATE {schema}.stream_loop SET ended_at = now(), progress = %(progress)s
 WHERE run_id = %(run_id)s AND loop = %(loop)s;

-- name: latest
-- The lease with the highest epoch, and the time.
SELECT now() AS now, lease.*
  FROM (VALUES (1)) AS one
  LEFT JOIN LATERAL (
       SELECT epoch, run_id, claimed_at, ends_at, released_at, loops
         FROM {schema}.stream_lease
        ORDER BY epoch DESC LIMIT 1) AS lease ON true;

-- name: snapshot
-- The lease with the highest epoch, and in each line one loop: of its run, of one other run, or one that has beaten
-- lately. A loop is `connected` while the session of its last beat stands. One statement, so it shows one moment. (That a
-- session has begun at another time than the noted one, and so is another session, cannot be seen without the right to.)
SELECT now() AS now, lease.epoch, lease.run_id, lease.claimed_at, lease.ends_at, lease.released_at, lease.loops,
       loop.run_id AS loop_run_id, loop.loop, loop.awaits, loop.ready_at, loop.heartbeat_at, loop.ended_at,
       CASE WHEN loop.backend_pid IS NOT NULL
            THEN coalesce(session.backend_start = loop.backend_start, session.pid IS NOT NULL) END AS connected
  FROM (VALUES (1)) AS one
  LEFT JOIN LATERAL (
       SELECT epoch, run_id, claimed_at, ends_at, released_at, loops
         FROM {schema}.stream_lease
        ORDER BY epoch DESC LIMIT 1) AS lease ON true
  LEFT JOIN {schema}.stream_loop AS loop
         ON loop.run_id IN (lease.run_id, %(run_id)s) OR loop.heartbeat_at > now() - interval '10 minutes'
  LEFT JOIN pg_stat_activity AS session ON session.pid = loop.backend_pid;

-- name: claim
-- Raise the epoch, unless another run has; who has it is to be read afterwards.
INSERT INTO {schema}.stream_lease (epoch, run_id, claimed_at, ends_at, loops)
SELECT %(awaits)s, %(run_id)s, now(), now() + make_interval(secs => %(lease_seconds)s), %(loops)s
 WHERE NOT EXISTS (SELECT FROM {schema}.stream_lease WHERE epoch >= %(awaits)s)
    ON CONFLICT DO NOTHING;

-- name: release
-- Give the lease back once all its loops have ended, unless another run has taken it.
UPDATE {schema}.stream_lease AS lease SET released_at = now()
 WHERE run_id = %(run_id)s AND released_at IS NULL
   AND epoch = (SELECT max(epoch) FROM {schema}.stream_lease)
   AND NOT EXISTS (
       SELECT FROM unnest(lease.loops) AS expected (loop)
         LEFT JOIN {schema}.stream_loop AS begun
                ON begun.run_id = lease.run_id AND begun.loop = expected.loop
        WHERE begun.ended_at IS NULL);

-- name: prune_loops
-- Forget the loops that have been silent for longer than a time; those of the latest lease stay.
DELETE FROM {schema}.stream_loop
 WHERE heartbeat_at < now() - make_interval(hours => %(hours)s)
   AND run_id IS DISTINCT FROM (SELECT run_id FROM {schema}.stream_lease ORDER BY epoch DESC LIMIT 1);

-- name: prune_leases
-- Forget the leases that were claimed longer ago than a time; the latest stays, for epochs only rise.
DELETE FROM {schema}.stream_lease
 WHERE claimed_at < now() - make_interval(hours => %(hours)s)
   AND epoch < (SELECT max(epoch) FROM {schema}.stream_lease);

-- name: loops
-- The loops of one run: their last sign of life, and what they have done since they started.
SELECT loop, extract(epoch FROM now() - heartbeat_at)::float AS silent_seconds, ended_at IS NOT NULL AS ended, progress
  FROM {schema}.stream_loop
 WHERE run_id = %(run_id)s;

-- name: one_loop
-- One loop of a run; what it told without the latencies.
SELECT loop, extract(epoch FROM now() - heartbeat_at)::float AS silent_seconds, ended_at IS NOT NULL AS ended,
       progress - 'latency' - 'recent_latency' AS progress
  FROM {schema}.stream_loop
 WHERE run_id = %(run_id)s AND loop = %(loop)s;

-- name: all_runs
-- What the loops of all runs that are still noted have done, in the order of time.
SELECT loop, progress FROM {schema}.stream_loop ORDER BY heartbeat_at;
