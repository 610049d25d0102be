-- name: prepare_session
-- Every read of the relay is a look-up by id. Without these a prepared statement may turn, at its sixth call, into a
-- plan that scans the table. Behind somebody's table lock the relay says so, and does not wait in silence.
SET enable_seqscan = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET lock_timeout = '5s';
SET statement_timeout = '20s'

-- name: identity
-- Which server this is. The timeline comes from the WAL's position: the control file learns of a promotion only with
-- the next checkpoint, which can be minutes later.
SELECT (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
       CASE WHEN pg_is_in_recovery() THEN 0
            ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END AS timeline,
       current_database()::text AS database,
       pg_is_in_recovery() AS is_replica

-- name: sequence
-- The sequence that numbers the events, and how it hands out numbers. No row where the column has none.
SELECT seq.seqrelid::bigint AS oid, seq.seqrelid::regclass::text AS name, seq.seqcache AS cache,
       seq.seqincrement AS increment, seq.seqcycle AS cycles
  FROM pg_sequence AS seq
 WHERE seq.seqrelid = pg_get_serial_sequence('engagement_events', 'id')::regclass

-- name: highest_id
-- The highest id in the table; null when it is empty.
SELECT max(id) AS id FROM engagement_events

-- name: last_given
-- The last id given out; null where there is none, or the role may not see the sequence.
SELECT (SELECT known.last_value
          FROM pg_class AS seq
          JOIN pg_namespace AS space ON space.oid = seq.relnamespace
          JOIN pg_sequences AS known ON known.schemaname = space.nspname AND known.sequencename = seq.relname
         WHERE seq.oid = %(sequence)s::oid) AS id

-- name: visible_ids
-- The visible ids among the last :ids, for a first start at the newest event.
SELECT id FROM engagement_events WHERE id > %(hi)s - %(ids)s AND id <= %(hi)s ORDER BY id

-- name: holders
-- The transactions that could still commit an id of the sequence; a prepared one has no pid.
SELECT virtualtransaction AS virtual, pid IS NULL AS prepared
  FROM pg_locks
 WHERE locktype = 'relation'
   AND relation = %(sequence)s::oid
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND mode = 'RowExclusiveLock'
   AND granted

-- name: wanted
-- The ids above :hi, and those within the given ranges of missing ids: at most :rows of each. Two index scans and a
-- union; `id > hi OR id = ANY(missing)` would scan the table.
    (SELECT probe.id
       FROM unnest(%(firsts)s::bigint[], %(lasts)s::bigint[]) AS missing(first, last)
      CROSS JOIN LATERAL (SELECT id FROM engagement_events
                           WHERE id BETWEEN missing.first AND missing.last ORDER BY id LIMIT %(rows)s) AS probe
      ORDER BY probe.id LIMIT %(rows)s)
    UNION ALL
    (SELECT id FROM engagement_events WHERE id > %(hi)s ORDER BY id LIMIT %(rows)s)

-- name: read
-- The wanted events as one snapshot sees them: at most :rows, ascending.
-- A message over :max_bytes is cut to an excerpt: it cannot be sent anyway. The form is found once, if there is a row.
WITH wanted AS MATERIALIZED ({wanted})
SELECT event.id,
       convert_to(event.content_id::text, 'UTF8') AS key,
       CASE WHEN octet_length(message.json) <= %(max_bytes)s THEN message.json
            ELSE substring(message.json FOR 2000) END AS value,
       octet_length(message.json) AS bytes,
       event.event_ts >= '0001-01-01' AND event.event_ts < '10000-01-01' AS has_timestamp,
       ({form}) AS form
  FROM (SELECT id FROM wanted ORDER BY id LIMIT %(rows)s) AS chosen
  JOIN ({enriched}) AS event USING (id)
 CROSS JOIN LATERAL (SELECT convert_to(row_to_json(event)::text, 'UTF8') AS json) AS message
 ORDER BY event.id

-- name: first_wanted
-- The id with which a read would begin.
SELECT min(id) AS id FROM ({wanted}) AS wanted
