-- What the catalogs say of a table for which a stream's folder is to be written. Every role can read them.

-- name: relation
-- The relation of a name, as SQL writes it; no row where there is none in sight.
SELECT relation.oid::bigint AS oid, relation.relkind::text AS kind, relation.relpersistence::text AS persistence,
       quote_ident(relation.relname) AS name,
       CASE WHEN space.nspname = 'public' AND pg_table_is_visible(relation.oid) THEN quote_ident(relation.relname)
            ELSE quote_ident(space.nspname) || '.' || quote_ident(relation.relname) END AS written,
       quote_ident(space.nspname) AS schema, has_schema_privilege(space.oid, 'USAGE') AS usable,
       has_table_privilege(relation.oid, 'SELECT') AS readable,
       row_security_active(relation.oid) AS filtered,
       coalesce(obj_description(relation.oid, 'pg_class'), '') AS comment,
       quote_ident(current_user) AS role
  FROM pg_class AS relation
  JOIN pg_namespace AS space ON space.oid = relation.relnamespace
 WHERE relation.oid = coalesce(%(oid)s::bigint::oid, to_regclass(%(name)s)::oid)

-- name: alike
-- Tables of that name in whatever schema, as SQL writes them.
SELECT quote_ident(space.nspname) || '.' || quote_ident(relation.relname) AS written
  FROM pg_class AS relation
  JOIN pg_namespace AS space ON space.oid = relation.relnamespace
 WHERE lower(relation.relname) = lower(%(name)s) AND relation.relkind = ANY('{r,p,v,m,f}')
   AND space.nspname <> 'information_schema' AND space.nspname NOT LIKE 'pg\_%%'
 ORDER BY 1

-- name: columns
-- Its columns, in order: as SQL writes them, with type, default, comment, and how often values differ as far as known.
SELECT attribute.attnum AS number, attribute.attname AS name, quote_ident(attribute.attname) AS written,
       attribute.atttypid::bigint AS type, attribute.atttypmod AS modifier, attribute.attnotnull AS not_null,
       format_type(attribute.atttypid, attribute.atttypmod) AS type_name,
       (SELECT base.typtype FROM pg_type AS base WHERE base.oid = attribute.atttypid)::text AS kind,
       coalesce(pg_get_expr(pg_attrdef.adbin, pg_attrdef.adrelid), '') AS default,
       coalesce(col_description(attribute.attrelid, attribute.attnum), '') AS comment,
       has_column_privilege(attribute.attrelid, attribute.attnum, 'SELECT') AS readable
  FROM pg_attribute AS attribute
  LEFT JOIN pg_attrdef ON pg_attrdef.adrelid = attribute.attrelid AND pg_attrdef.adnum = attribute.attnum
 WHERE attribute.attrelid = %(oid)s::oid AND attribute.attnum > 0 AND NOT attribute.attisdropped
 ORDER BY attribute.attnum

-- name: numbered
-- The columns that take their values from a sequence.
SELECT DISTINCT number
  FROM (SELECT pg_attrdef.adnum AS number
          FROM pg_attrdef
          JOIN pg_depend ON classid = 'pg_attrdef'::regclass AND objid = pg_attrdef.oid
                        AND refclassid = 'pg_class'::regclass
          JOIN pg_sequence ON seqrelid = refobjid
         WHERE pg_attrdef.adrelid = %(oid)s::oid
         UNION ALL
        SELECT refobjsubid
          FROM pg_depend
          JOIN pg_sequence ON seqrelid = objid
         WHERE refclassid = 'pg_class'::regclass AND refobjid = %(oid)s::oid AND refobjsubid > 0
           AND classid = 'pg_class'::regclass AND deptype IN ('a', 'i')) AS both_ways

-- name: keys
-- The columns of each index that keeps them unique, for every row.
SELECT indkey::int2[]::int[] AS numbers, indisprimary AS is_primary
  FROM pg_index
 WHERE indrelid = %(oid)s::oid AND indisunique AND indisvalid AND indpred IS NULL AND indexprs IS NULL
 ORDER BY indisprimary DESC, indexrelid

-- name: leading
-- The columns with which an index begins.
SELECT DISTINCT indkey[0]::int AS number
  FROM pg_index
 WHERE indrelid = %(oid)s::oid AND indisvalid AND indpred IS NULL AND indkey[0] > 0

-- name: foreign_keys
-- Its foreign keys: what they lead to is unique, or PostgreSQL would have refused them.
SELECT conkey::int[] AS columns, confkey::int[] AS leads_to, confrelid::bigint AS target
  FROM pg_constraint
 WHERE conrelid = %(oid)s::oid AND contype = 'f' AND confrelid <> conrelid AND conparentid = 0
 ORDER BY conkey, oid

-- name: changed
-- How many rows were updated and deleted since the statistics began; of all parts of a partitioned table.
SELECT coalesce(sum(n_tup_upd), 0)::bigint AS updated, coalesce(sum(n_tup_del), 0)::bigint AS deleted
  FROM pg_stat_all_tables
 WHERE relid = %(oid)s::oid OR relid IN (SELECT relid FROM pg_partition_tree(%(oid)s::oid::regclass))

-- name: sample
-- How many values columns have in a part of the rows, and how many rows that is.
SELECT count(*) AS rows{counts}
  FROM (SELECT {columns} FROM {table}{order} LIMIT 10000) AS part
