-- name: settings
-- What every session on the source has, whatever the role, the database or the DSN sets. Row security off: a query that
-- a policy would filter is an error, not fewer rows. Zone and style make PostgreSQL's JSON carry RFC 3339 in UTC, and
-- floats and bytes have one text, of which nothing is lost. The isolation is that of a statement: one that the role may
-- have set could see an older state, or wait.
SET row_security = off;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET extra_float_digits = 1;
SET bytea_output = 'hex';
SET standard_conforming_strings = on;
SET client_encoding = 'UTF8';
SET quote_all_identifiers = off;
SET default_transaction_read_only = on;
SET default_transaction_isolation = 'read committed'

-- name: snapshot
-- One snapshot for everything that follows in the transaction; it is taken by the first read.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY

-- name: patience_of_lookups
-- Let no look at the source take long.
SET lock_timeout = '5s';
SET statement_timeout = '10s'

-- name: sight
-- Who the session is, and where it looks for tables.
SELECT quote_ident(current_user) AS role,
       (SELECT coalesce(string_agg(quote_ident(schema), ', ' ORDER BY at), '')
          FROM unnest(current_schemas(false)) WITH ORDINALITY AS one(schema, at)) AS search_path

-- name: tables
-- The tables in sight: name as a statement writes it, whether a policy would hide rows, whether they are the role's own.
SELECT named.name,
       CASE WHEN space.nspname = 'public' THEN quote_ident(relation.relname)
            ELSE quote_ident(space.nspname) || '.' || quote_ident(relation.relname) END AS written,
       row_security_active(relation.oid) AS filtered,
       pg_has_role(relation.relowner, 'USAGE') AS owned
  FROM unnest(%(names)s::text[]) AS named(name)
  JOIN pg_class AS relation ON relation.oid = to_regclass(named.name)
  JOIN pg_namespace AS space ON space.oid = relation.relnamespace

-- name: columns
-- Their columns: the base type of each, its category, and whether the role may read it.
SELECT named.name AS table, attribute.attname AS column, format_type(base.oid, NULL) AS type_name,
       base.typcategory AS category, has_column_privilege(attribute.attrelid, attribute.attnum, 'SELECT') AS readable
  FROM unnest(%(names)s::text[]) AS named(name)
  JOIN pg_attribute AS attribute ON attribute.attrelid = to_regclass(named.name)
 CROSS JOIN LATERAL (
       WITH RECURSIVE chain AS (
            SELECT attribute.atttypid AS oid
             UNION ALL
            SELECT type.typbasetype FROM chain JOIN pg_type AS type USING (oid) WHERE type.typtype = 'd')
       SELECT type.oid, type.typcategory FROM chain JOIN pg_type AS type USING (oid) WHERE type.typtype <> 'd') AS base
 WHERE attribute.attnum > 0 AND NOT attribute.attisdropped

-- name: elsewhere
-- Tables of the names in other schemas.
SELECT relation.relname AS name, quote_ident(space.nspname) AS schema,
       has_schema_privilege(space.oid, 'USAGE') AS usable
  FROM pg_class AS relation
  JOIN pg_namespace AS space ON space.oid = relation.relnamespace
 WHERE relation.relname = ANY(%(names)s) AND relation.relkind = ANY('{r,p,v,m,f}')
   AND space.nspname <> 'information_schema' AND space.nspname NOT LIKE 'pg\_%%'
 ORDER BY space.nspname

-- name: form
-- Which tables and types a statement of this moment is planned for, as one number. It needs no row, and locks the two
-- tables like every read.
SELECT hashtextextended(concat_ws(' ', {parts}), 0) AS form
  FROM (SELECT) AS one
  {joins}

-- name: form_of_table
-- A row of nulls with the types of a table's columns; the condition leaves nothing to scan.
LEFT JOIN LATERAL (SELECT {columns} FROM {table} WHERE false) AS {alias} ON true
