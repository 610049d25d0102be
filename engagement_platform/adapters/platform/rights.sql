-- name: rights
-- What the role may do in a schema of this database, the names as SQL writes them. Of its tables and sequences those are
-- `foreign_ones` whose owner the role is not, so that it cannot change them, and `closed_ones` that it may not use.
SELECT quote_ident(current_user) AS role, quote_ident(current_database()) AS database,
       schema.oid IS NOT NULL AS is_there,
       has_database_privilege(current_database(), 'CREATE') AS may_create_schema,
       coalesce(has_schema_privilege(schema.oid, 'USAGE'), false) AS may_use,
       coalesce(has_schema_privilege(schema.oid, 'USAGE') AND has_schema_privilege(schema.oid, 'CREATE'), false)
           AS may_create_tables,
       coalesce(array_agg(relation.name ORDER BY relation.name) FILTER (WHERE relation.is_foreign), '{}') AS foreign_ones,
       coalesce(array_agg(relation.name ORDER BY relation.name) FILTER (WHERE relation.is_closed), '{}') AS closed_ones
  FROM (VALUES (1)) AS one
  LEFT JOIN pg_namespace AS schema ON schema.nspname = %(schema)s
  LEFT JOIN LATERAL (
       SELECT quote_ident(relname) AS name, NOT pg_has_role(relowner, 'USAGE') AS is_foreign,
              CASE relkind
              WHEN 'S' THEN NOT has_sequence_privilege(oid, 'USAGE')
              ELSE NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
                        AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))
               END AS is_closed
         FROM pg_class
        WHERE relnamespace = schema.oid AND relkind IN ('r', 'S')
          -- The sequence of an identity column goes with its table.
          AND NOT EXISTS (SELECT FROM pg_depend
                           WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'i')
       ) AS relation ON true
 GROUP BY schema.oid;

-- name: version
-- Which migration a schema has.
SELECT version_num FROM {schema}.schema_version;
