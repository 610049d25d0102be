-- What `stream check` asks of a stream's statement. Plans are not carried out; of the rows a bounded part is read.

-- name: prepare_session
-- As the relay plans its reads: by id. Hash and merge joins off, the event is the outer side wherever it can be.
SET jit = off;
SET enable_seqscan = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET lock_timeout = '5s';
SET statement_timeout = '10s'

-- name: plan_of_id
-- How one event is looked up when nothing but its id is asked for: what is left beside its table could double or hide it.
EXPLAIN (VERBOSE, FORMAT JSON) SELECT event.{id} FROM ({enriched}) AS event WHERE event.{id} = {probe}

-- name: plan_of_all
-- How all columns of one event are read: with the functions that compute them, those of views too.
EXPLAIN (VERBOSE, FORMAT JSON) SELECT event.* FROM ({enriched}) AS event WHERE event.{id} = {probe}

-- name: table
-- The source's table and all its parts, by schema and name, and the numbers of id and time in it.
SELECT relation.oid::bigint AS oid, space.nspname AS schema, relation.relname AS name,
       (SELECT attnum FROM pg_attribute WHERE attrelid = to_regclass({table_name}) AND attname = {id_name}) AS id,
       (SELECT attnum FROM pg_attribute WHERE attrelid = to_regclass({table_name}) AND attname = {time_name}) AS time,
       EXISTS (SELECT FROM pg_index
                 JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
                WHERE indrelid = to_regclass({table_name}) AND attname = {id_name} AND indisvalid AND indpred IS NULL)
           AS has_index
  FROM pg_class AS relation
  JOIN pg_namespace AS space ON space.oid = relation.relnamespace
 WHERE relation.oid = to_regclass({table_name}) OR relation.oid IN (SELECT relid FROM pg_partition_tree(to_regclass({table_name})))
 ORDER BY relation.oid <> to_regclass({table_name})

-- name: views
-- Which of certain relations are views.
SELECT oid::bigint AS oid FROM pg_class WHERE oid = ANY(%(oids)s::bigint[]::oid[]) AND relkind = 'v'

-- name: functions
-- Of functions by their names: whether one of that name may give another value each time, is PostgreSQL's own, gives rows.
SELECT proname AS name, bool_or(provolatile = 'v') AS is_volatile,
       bool_and(pronamespace = 'pg_catalog'::regnamespace) AS is_builtin, bool_or(proretset) AS gives_rows
  FROM pg_proc
 WHERE proname = ANY(%(names)s)
 GROUP BY proname

-- name: relations
-- Of relations by their names: whether the role may read them, and whether row level security hides rows.
SELECT DISTINCT named.name, (has_table_privilege(relation, 'SELECT') OR has_any_column_privilege(relation, 'SELECT')) AS readable,
       row_security_active(relation) AS filtered, relation::regclass::text AS written, quote_ident(current_user) AS role
  FROM unnest(%(names)s::text[]) AS named(name)
 CROSS JOIN LATERAL (SELECT to_regclass(named.name)::oid AS relation) AS one
 WHERE relation IS NOT NULL

-- name: sample
-- What becomes of the newest rows: how many the statement gives more than once, not at all, or with another time.
WITH chosen AS MATERIALIZED (SELECT {id} AS id, {time} AS at FROM {table} ORDER BY {id} DESC LIMIT 1000),
given AS (
    SELECT chosen.id, count(event.{id}) AS times, bool_and(event.{time} IS NOT DISTINCT FROM chosen.at) AS same_time
      FROM chosen
      LEFT JOIN ({enriched}) AS event ON event.{id} = chosen.id
     GROUP BY chosen.id)
SELECT count(*) AS rows,
       count(*) FILTER (WHERE times > 1) AS doubled, min(id) FILTER (WHERE times > 1) AS first_doubled,
       count(*) FILTER (WHERE times = 0) AS left_out, min(id) FILTER (WHERE times = 0) AS first_left_out,
       count(*) FILTER (WHERE times > 0 AND NOT same_time) AS moved
  FROM given
