-- What PostgreSQL's catalog says of the types of a statement's columns.

-- name: types
-- Certain types, with those below domains and in arrays, each once.
WITH RECURSIVE needed AS (
    SELECT pg_type.oid, pg_type.typbasetype AS base,
           coalesce((SELECT element.oid FROM pg_type AS element WHERE element.typarray = pg_type.oid), 0) AS element
      FROM pg_type
     WHERE pg_type.oid = ANY(%(oids)s::oid[])
    UNION
    SELECT pg_type.oid, pg_type.typbasetype,
           coalesce((SELECT element.oid FROM pg_type AS element WHERE element.typarray = pg_type.oid), 0)
      FROM needed
      JOIN pg_type ON pg_type.oid IN (needed.base, needed.element))
SELECT pg_type.oid::bigint AS oid,
       format_type(pg_type.oid, NULL) AS name,
       CASE WHEN pg_namespace.nspname = 'pg_catalog' THEN pg_type.typname::text ELSE '' END AS builtin,
       pg_type.typtype::text AS kind,
       pg_type.typcategory::text AS category,
       needed.base::bigint AS base,
       pg_type.typtypmod AS modifier,
       needed.element::bigint AS element
  FROM needed
  JOIN pg_type ON pg_type.oid = needed.oid
  JOIN pg_namespace ON pg_namespace.oid = pg_type.typnamespace;

-- name: have_binary_form
-- Whether each of certain types can be sent in PostgreSQL's binary form, which an extension's type need not have.
SELECT bool_and(typsend <> 0) AS have_binary_form FROM pg_type WHERE oid = ANY(%(oids)s::oid[])
