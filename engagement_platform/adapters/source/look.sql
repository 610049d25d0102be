-- name: look
-- Which server, table and sequence the ids come from, and how the sequence hands them out. One row. The timeline comes
-- from the WAL's position: the control file learns of a promotion only with the next checkpoint, which can be minutes
-- later. The sequence is the one that the column's default names, wherever it belongs; else the one that belongs to the
-- column, which is also that of an identity column. No table, no column, no sequence: null.
WITH id_column AS (
    SELECT attrelid, attnum FROM pg_attribute
     WHERE attrelid = to_regclass({table_name}) AND attname = {id_name} AND NOT attisdropped),
id_default AS (
    SELECT pg_attrdef.oid FROM pg_attrdef JOIN id_column ON adrelid = attrelid AND adnum = attnum),
named AS (
    SELECT DISTINCT refobjid AS oid
      FROM id_default
      JOIN pg_depend ON classid = 'pg_attrdef'::regclass AND objid = id_default.oid AND refclassid = 'pg_class'::regclass
      JOIN pg_sequence ON seqrelid = refobjid),
owned AS (
    SELECT objid AS oid
      FROM id_column
      JOIN pg_depend ON refclassid = 'pg_class'::regclass AND refobjid = attrelid AND refobjsubid = attnum
      JOIN pg_sequence ON seqrelid = objid
     WHERE classid = 'pg_class'::regclass AND deptype IN ('a', 'i')),
numbering AS (
    SELECT oid FROM named UNION ALL SELECT oid FROM owned WHERE NOT EXISTS (SELECT FROM named))
SELECT (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
       CASE WHEN pg_is_in_recovery() THEN 0
            ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END AS timeline,
       current_database()::text AS database,
       pg_is_in_recovery() AS is_replica,
       (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint AS started,
       to_regclass({table_name})::oid::bigint AS "table",
       coalesce(pg_relation_filenode(to_regclass({table_name})), 0)::bigint AS table_storage,
       (SELECT attnum FROM id_column) AS id_column,
       (SELECT oid::bigint FROM id_default) AS id_default,
       (SELECT count(*) FROM numbering) AS sequences,
       seq.seqrelid::bigint AS sequence,
       seq.seqrelid::regclass::text AS sequence_name,
       pg_relation_filenode(seq.seqrelid)::bigint AS sequence_storage,
       has_sequence_privilege(seq.seqrelid, 'SELECT')
       AND has_schema_privilege((SELECT relnamespace FROM pg_class WHERE oid = seq.seqrelid), 'USAGE') AS sees_sequence,
       seq.seqcache AS cache,
       seq.seqincrement AS increment,
       seq.seqcycle AS cycles
  FROM (SELECT) AS one
  LEFT JOIN pg_sequence AS seq ON seq.seqrelid = (SELECT min(oid) FROM numbering)

-- name: unchanged
-- Whether table, default and sequence are those of the last look: not replaced, not restarted, not altered. Asked
-- together with whatever is concluded from a read.
(to_regclass({table_name}) = %(table)s::oid
 AND pg_relation_filenode(%(sequence)s::oid) = %(sequence_storage)s::oid
 AND (SELECT oid FROM pg_attrdef WHERE adrelid = %(table)s::oid AND adnum = %(id_column)s)
     IS NOT DISTINCT FROM %(id_default)s::oid)

-- name: last_given
-- The id that the sequence gave last; the number before its first where it gave none.
(SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM {sequence})

-- name: ids_between
-- The visible ids above :low up to :high, at most :rows where that is not null.
SELECT {id} AS id FROM {table} WHERE {id} > %(low)s AND {id} <= %(high)s ORDER BY {id} LIMIT %(rows)s

-- name: newest_ids
-- The highest visible ids up to :hi, at most :rows, descending.
SELECT {id} AS id FROM {table} WHERE {id} <= %(hi)s ORDER BY {id} DESC LIMIT %(rows)s

-- name: rows_of
-- How many rows the table has for an id.
SELECT count(*) AS rows FROM {table} WHERE {id} = %(id)s

-- name: sees_locks
-- Whether the role sees locks: its own transaction always holds one.
SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'virtualxid' AND virtualtransaction IS NOT NULL)

-- name: has_index
-- Whether a day can be read without a scan of the table: by an index that begins with the time column.
SELECT EXISTS (
    SELECT FROM pg_index
      JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
     WHERE indrelid = {table_name}::regclass AND attname = {time_name} AND indisvalid AND indpred IS NULL)
