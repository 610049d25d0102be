-- name: prepare_session
-- Every read of the relay is a look-up by id. Without these a prepared statement may turn into a plan that scans the
-- table, or is planned anew with each use, which takes longer than the read. Behind somebody's table lock the relay says so, and does not wait in silence. A
-- sequence can only be scanned: before PostgreSQL 18 that counts as so costly a plan that each read would be compiled.
SET jit = off;
SET enable_seqscan = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET plan_cache_mode = force_generic_plan;
SET lock_timeout = '5s';
SET statement_timeout = '20s'

-- name: highest_id
-- The highest id in the table; null when it is empty.
SELECT max({id}) AS id FROM {table}

-- name: lowest_id
-- The lowest id in the table; null when it is empty.
SELECT min({id}) AS id FROM {table}

-- name: holders
-- The transactions that could still commit an id of the sequence; a prepared one has no pid. Each row says whether table
-- and sequence are still those of the last look; there is always one.
SELECT {unchanged} AS unchanged, lock.virtualtransaction AS virtual, lock.pid IS NULL AS prepared
  FROM (SELECT) AS one
  LEFT JOIN pg_locks AS lock
    ON locktype = 'relation'
   AND relation = %(sequence)s::oid
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND mode = 'RowExclusiveLock'
   AND granted

-- name: wanted
-- The ids above :hi, and those within the given ranges of missing ids: at most :rows of each. Two index scans and a
-- union; `id > hi OR id = ANY(missing)` would scan the table.
    (SELECT probe.id
       FROM unnest(%(firsts)s::bigint[], %(lasts)s::bigint[]) AS missing(first, last)
      CROSS JOIN LATERAL (SELECT {id} AS id FROM {table}
                           WHERE {id} BETWEEN missing.first AND missing.last ORDER BY {id} LIMIT %(rows)s) AS probe
      ORDER BY probe.id LIMIT %(rows)s)
    UNION ALL
    (SELECT {id} AS id FROM {table} WHERE {id} > %(hi)s::bigint ORDER BY {id} LIMIT %(rows)s)

-- name: read
-- The wanted events as one snapshot sees them: at most :rows, ascending.
-- A message over :max_bytes is cut to an excerpt: it cannot be sent anyway. The form is found once, if there is a row,
-- and so is which id the sequence had given last, asked after the snapshot was taken, and whether table and sequence are
-- still those of the last look. Behind these come the event's columns, always null: their names and types, which
-- PostgreSQL tells with each answer, are those of the message. (OFFSET 0: else they would be planned with the rest, and
-- the message written once for each time that it stands here.)
WITH wanted AS MATERIALIZED ({wanted})
SELECT chosen.id,
       convert_to(event.{key}::text, 'UTF8') AS key,
       CASE WHEN octet_length(message.json) <= %(max_bytes)s THEN message.json
            ELSE substring(message.json FOR 2000) END AS value,
       octet_length(message.json) AS bytes,
       event.{time} >= '0001-01-01' AND event.{time} < '10000-01-01' AS has_timestamp,
       ({form}) AS form,
       {last_given} AS last_given,
       (SELECT {unchanged}) AS unchanged,
       typed.*
  FROM (SELECT id FROM wanted ORDER BY id LIMIT %(rows)s) AS chosen
  JOIN ({enriched}) AS event ON event.{id} = chosen.id
 CROSS JOIN LATERAL (SELECT convert_to(row_to_json(event)::text, 'UTF8') AS json OFFSET 0) AS message
  LEFT JOIN (SELECT * FROM ({enriched}) AS event WHERE false OFFSET 0) AS typed ON true
 ORDER BY chosen.id

-- name: first_wanted
-- The id with which a read would begin.
SELECT min(id) AS id FROM ({wanted}) AS wanted
