-- name: register
-- Enter a loop of a run. All loops of a run await the same epoch: the one after the highest of the shard at the run's start,
-- or 0 when another run waits for it already and lives, so that this one is surplus, or another assignment is in force. (A run that drains does not wait.)
-- Registering again, after the process died, changes nothing but the signs of life.
INSERT INTO {schema}.stream_loop (run_id, loop, shard, generation, awaits, heartbeat_at)
SELECT %(run_id)s, %(loop)s, %(shard)s, %(generation)s,
       coalesce(
           (SELECT awaits FROM {schema}.stream_loop WHERE run_id = %(run_id)s LIMIT 1),
           (SELECT epoch FROM {schema}.stream_lease WHERE run_id = %(run_id)s),
           CASE WHEN %(surplus)s THEN 0 END,
           (SELECT 0
              FROM {schema}.stream_loop AS other
              LEFT JOIN pg_stat_activity AS session ON session.pid = other.backend_pid
             WHERE NOT %(drains)s
               AND other.shard = %(shard)s AND other.generation = %(generation)s
               AND other.awaits > coalesce((SELECT max(epoch) FROM {schema}.stream_lease WHERE shard = %(shard)s), 0)
               AND other.ended_at IS NULL
               AND other.heartbeat_at BETWEEN now() - %(silent_after)s::interval AND now() + %(silent_after)s::interval
               AND (other.backend_pid IS NULL
                    OR coalesce(session.backend_start = other.backend_start, session.pid IS NOT NULL))
             LIMIT 1),
           (SELECT max(epoch) + 1 FROM {schema}.stream_lease WHERE shard = %(shard)s),
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

-- name: not_ready
-- Note that what a loop was connected to is so no more.
UPDATE {schema}.stream_loop SET ready_at = NULL
 WHERE run_id = %(run_id)s AND loop = %(loop)s;

-- name: beat
-- Give a sign of life with what the loop has done, and note the session, whose end tells that the process is gone. The
-- row comes back when somebody has emptied the table.
INSERT INTO {schema}.stream_loop AS beating
       (run_id, loop, shard, generation, awaits, ready_at, heartbeat_at, progress, backend_pid, backend_start)
SELECT %(run_id)s, %(loop)s, %(shard)s, %(generation)s, %(awaits)s, NULL, now(), %(progress)s, pid, backend_start
  FROM pg_stat_activity WHERE pid = pg_backend_pid()
    ON CONFLICT (run_id, loop) DO UPDATE
   SET heartbeat_at = excluded.heartbeat_at, progress = excluded.progress,
       backend_pid = excluded.backend_pid, backend_start = excluded.backend_start;

-- name: end
-- Note that a loop has ended as planned.
UPDATE {schema}.stream_loop SET ended_at = now(), progress = %(progress)s
 WHERE run_id = %(run_id)s AND loop = %(loop)s;

-- name: latest
-- The lease of a shard with the highest epoch, the time, and the latest assignment of which a run has claimed a lease.
SELECT now() AS now, (SELECT max(generation) FROM {schema}.stream_lease) AS claimed, lease.*
  FROM (VALUES (1)) AS one
  LEFT JOIN LATERAL (
       SELECT epoch, run_id, claimed_at, ends_at, released_at, loops, generation, shards
         FROM {schema}.stream_lease
        WHERE shard = %(shard)s
        ORDER BY epoch DESC LIMIT 1) AS lease ON true;

-- name: recent
-- The newest leases of a shard, the newest first: who streamed, and when one took over from another.
SELECT epoch, run_id, claimed_at, ends_at, released_at, loops, generation, shards
  FROM {schema}.stream_lease
 WHERE shard = %(shard)s
 ORDER BY epoch DESC
 LIMIT %(n)s;

-- name: snapshot
-- The lease of a shard with the highest epoch, perhaps of the assignments before one, and in each line one loop: of its run, of one other run, or one that has
-- beaten lately. A loop is `connected` while the session of its last beat stands. One statement, so it shows one moment. (That a
-- session has begun at another time than the noted one, and so is another session, cannot be seen without the right to.)
SELECT now() AS now, (SELECT max(generation) FROM {schema}.stream_lease) AS claimed,
       (SELECT max(generation) FROM {schema}.stream_assignment) AS declared,
       (SELECT shards FROM {schema}.stream_lease ORDER BY generation DESC LIMIT 1) AS divided,
       lease.epoch, lease.run_id, lease.claimed_at, lease.ends_at, lease.released_at, lease.loops, lease.generation,
       lease.shards, loop.run_id AS loop_run_id, loop.loop, loop.awaits, loop.ready_at, loop.heartbeat_at,
       loop.ended_at, loop.generation AS loop_generation,
       CASE WHEN loop.backend_pid IS NOT NULL
            THEN coalesce(session.backend_start = loop.backend_start, session.pid IS NOT NULL) END AS connected
  FROM (VALUES (1)) AS one
  LEFT JOIN LATERAL (
       SELECT epoch, run_id, claimed_at, ends_at, released_at, loops, generation, shards
         FROM {schema}.stream_lease
        WHERE shard = %(shard)s AND (%(before)s::bigint IS NULL OR generation < %(before)s)
        ORDER BY epoch DESC LIMIT 1) AS lease ON true
  LEFT JOIN {schema}.stream_loop AS loop
         ON loop.shard = %(shard)s
        AND (loop.run_id IN (lease.run_id, %(run_id)s) OR loop.heartbeat_at > now() - interval '10 minutes')
  LEFT JOIN pg_stat_activity AS session ON session.pid = loop.backend_pid;

-- name: assignment
-- The latest assignment: its generation, and among how many shards the partitions are divided.
SELECT generation, shards FROM {schema}.stream_assignment ORDER BY generation DESC LIMIT 1;

-- name: declare
-- Divide the partitions among another number of shards from now on, unless that is so already.
INSERT INTO {schema}.stream_assignment (generation, shards, declared_by)
SELECT coalesce(max(generation), 0) + 1, %(shards)s, %(declared_by)s FROM {schema}.stream_assignment
HAVING coalesce((array_agg(shards ORDER BY generation DESC))[1], 1) <> %(shards)s
    ON CONFLICT DO NOTHING;

-- name: lives_of
-- Whether any loop of an assignment, of whichever shard, has given a sign of life of late.
SELECT EXISTS (
       SELECT FROM {schema}.stream_loop
        WHERE generation = %(generation)s AND ended_at IS NULL AND run_id <> %(run_id)s
          AND heartbeat_at BETWEEN now() - %(silent_after)s::interval AND now() + %(silent_after)s::interval) AS lives;

-- name: generation_of
-- The assignment with which a run has begun.
SELECT generation FROM {schema}.stream_loop WHERE run_id = %(run_id)s
 UNION ALL
SELECT generation FROM {schema}.stream_lease WHERE run_id = %(run_id)s
 LIMIT 1;

-- name: highest_shard
-- The highest number that a shard has had.
SELECT coalesce(max(shards), 1) - 1 AS shard FROM {schema}.stream_assignment;

-- name: former_shards
-- The shards whose latest lease of the assignments before one was not released. Their runs may be at work still, also where
-- one of the assignment has claimed since.
SELECT shard
  FROM (SELECT DISTINCT ON (shard) shard, released_at
          FROM {schema}.stream_lease WHERE generation < %(generation)s ORDER BY shard, epoch DESC) AS latest
 WHERE released_at IS NULL
 ORDER BY shard;

-- name: ready_shards
-- The shards of an assignment of which a run has claimed its lease, or has so many loops that live and are ready.
SELECT shard FROM {schema}.stream_lease WHERE generation = %(generation)s
 UNION
SELECT shard
  FROM {schema}.stream_loop
 WHERE generation = %(generation)s AND awaits > 0 AND ready_at IS NOT NULL AND ended_at IS NULL
   AND heartbeat_at BETWEEN now() - %(silent_after)s::interval AND now() + %(silent_after)s::interval
 GROUP BY shard, run_id
HAVING count(*) >= %(loops)s;

-- name: claim
-- Raise the epoch of a shard, unless another run has, or another assignment was declared since the run began; who has the
-- lease is to be read afterwards.
INSERT INTO {schema}.stream_lease (shard, epoch, run_id, claimed_at, ends_at, loops, generation, shards)
SELECT %(shard)s, %(awaits)s, %(run_id)s, now(), now() + make_interval(secs => %(lease_seconds)s), %(loops)s,
       %(generation)s, %(shards)s
 WHERE NOT EXISTS (SELECT FROM {schema}.stream_lease WHERE shard = %(shard)s AND epoch >= %(awaits)s)
   AND NOT EXISTS (SELECT FROM {schema}.stream_assignment WHERE generation > %(generation)s)
    ON CONFLICT DO NOTHING;

-- name: release
-- Give the lease back once all its loops have ended, unless another run has taken it.
UPDATE {schema}.stream_lease AS lease SET released_at = now()
 WHERE run_id = %(run_id)s AND released_at IS NULL
   AND epoch = (SELECT max(epoch) FROM {schema}.stream_lease AS latest WHERE latest.shard = lease.shard)
   AND NOT EXISTS (
       SELECT FROM unnest(lease.loops) AS expected (loop)
         LEFT JOIN {schema}.stream_loop AS begun
                ON begun.run_id = lease.run_id AND begun.loop = expected.loop
        WHERE begun.ended_at IS NULL);

-- name: uncounted
-- What runs of a loop have told that is not in its total yet, of those that have come to an end: as planned, silent for
-- long, or begun anew as run_id, which comes first. A run that was counted and beats again is looked at again. Of more
-- than are read at a time, the oldest.
SELECT run_id, progress, counted FROM {schema}.stream_loop
 WHERE loop = %(loop)s
   AND (counted_at IS NULL OR counted_at < greatest(heartbeat_at, ended_at))
   AND (ended_at IS NOT NULL OR heartbeat_at < now() - interval '15 minutes' OR run_id = %(run_id)s)
 ORDER BY run_id = %(run_id)s DESC, heartbeat_at
 LIMIT 500
   FOR UPDATE;

-- name: counted
-- Note that what these runs of a loop have told is in its total.
UPDATE {schema}.stream_loop SET counted = progress - 'recent_latency' - 'state', counted_at = now()
 WHERE loop = %(loop)s AND run_id = ANY(%(run_ids)s);

-- name: begun_anew
-- Let a loop that begins anew in its run count from nothing.
UPDATE {schema}.stream_loop SET progress = '{}', counted = '{}'
 WHERE loop = %(loop)s AND run_id = %(run_id)s AND progress <> '{}';

-- name: total
-- What the runs of a loop that have come to an end have told together; nobody else adds to it meanwhile.
INSERT INTO {schema}.loop_total (loop) VALUES (%(loop)s) ON CONFLICT (loop) DO UPDATE SET loop = excluded.loop
RETURNING progress;

-- name: keep_total
-- Keep that total with what was added.
UPDATE {schema}.loop_total SET progress = %(progress)s WHERE loop = %(loop)s;

-- name: loop_names
-- The loops that runs have had.
SELECT DISTINCT loop FROM {schema}.stream_loop ORDER BY loop;

-- name: prune_loops
-- Forget the loops that have been silent for longer than a time; those of the latest lease stay, and for the next time
-- those of which the total lacks something.
DELETE FROM {schema}.stream_loop
 WHERE heartbeat_at < now() - make_interval(hours => %(hours)s)
   AND counted_at >= greatest(heartbeat_at, ended_at)
   AND run_id NOT IN (
       SELECT DISTINCT ON (shard) run_id FROM {schema}.stream_lease ORDER BY shard, epoch DESC);

-- name: prune_leases
-- Forget the leases that were claimed longer ago than a time; the latest of a shard stays, for epochs only rise.
DELETE FROM {schema}.stream_lease AS lease
 WHERE claimed_at < now() - make_interval(hours => %(hours)s)
   AND epoch < (SELECT max(epoch) FROM {schema}.stream_lease AS later WHERE later.shard = lease.shard);

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

-- name: totals
-- What each loop has done, in the order of time: the total of the runs that have come to an end, and of the others what is
-- not in there; the last run of a loop of each shard in any case, for it says how the loop stands there.
SELECT loop, 0 AS shard, progress, '{}'::jsonb AS counted, NULL::timestamptz AS at FROM {schema}.loop_total
 UNION ALL
SELECT loop, shard, progress, counted, heartbeat_at
  FROM {schema}.stream_loop AS one
 WHERE counted_at IS NULL
    OR counted_at < greatest(heartbeat_at, ended_at)
    OR (loop, shard, heartbeat_at) IN (
       SELECT loop, shard, max(heartbeat_at) FROM {schema}.stream_loop GROUP BY loop, shard)
 ORDER BY at NULLS FIRST;

-- name: lately
-- The latencies of the loops of all runs that have beaten within a time.
SELECT run_id, loop, progress -> 'latency' AS latency
  FROM {schema}.stream_loop
 WHERE heartbeat_at > now() - make_interval(secs => %(seconds)s);
