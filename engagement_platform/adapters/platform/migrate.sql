-- name: lock
-- Let one process after the other bring a schema up to date: another one may be at it for long.
SET LOCAL statement_timeout = 0;
SELECT pg_advisory_xact_lock(hashtextextended('{schema}.migrations', 0));

-- name: prepare
-- Make what notes the schema's version. It had the name at first under which Dagster keeps its own in the same database:
-- where the role has the name of this schema, a search for the one would find the other. The right to create a schema is
-- asked for even where it is there, so it is looked for first.
DO $$BEGIN
    -- Not by to_regnamespace: the session may remember from before the lock that there was none.
    IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = '{schema}') THEN
        CREATE SCHEMA {schema};
    END IF;
    IF to_regclass('{schema}.schema_version') IS NULL AND to_regclass('{schema}.alembic_version') IS NOT NULL THEN
        ALTER TABLE {schema}.alembic_version RENAME TO schema_version;
    ELSIF to_regclass('{schema}.schema_version') IS NULL THEN
        CREATE TABLE {schema}.schema_version (version_num varchar(32) PRIMARY KEY);
    END IF;
END$$;

-- name: version
-- The newest migration that the schema has; no row where it has none.
SELECT version_num FROM {schema}.schema_version;

-- name: note
-- Note which one it has.
DELETE FROM {schema}.schema_version;
INSERT INTO {schema}.schema_version VALUES ('{version}');
