-- The platform's own database: a role that owns and migrates the tables, and one that runs the platform and may not.
--
--   psql -v ON_ERROR_STOP=1 -v owner_password='…' -v password='…' -f platform.sql 'host=db.example dbname=postgres'
--
-- Then, at the first start and with each new version, before the platform starts:
--
--   ENGAGEMENT_PLATFORM_DSN=postgresql://engagement_owner:…@db.example/engagement_platform engagement-platform migrate
--
-- A further stream has a schema of its own: put its name beside engagement_platform, as in engagement_platform_orders.

CREATE ROLE engagement_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE engagement_platform LOGIN PASSWORD :'password';
CREATE DATABASE engagement_platform OWNER engagement_owner;
REVOKE ALL ON DATABASE engagement_platform FROM PUBLIC;
GRANT CONNECT ON DATABASE engagement_platform TO engagement_platform;

-- Dagster keeps its tables in the first schema that it sees.
ALTER ROLE engagement_owner IN DATABASE engagement_platform SET search_path = dagster;
ALTER ROLE engagement_platform IN DATABASE engagement_platform SET search_path = dagster;

\connect engagement_platform

CREATE SCHEMA engagement_platform AUTHORIZATION engagement_owner;
CREATE SCHEMA dagster AUTHORIZATION engagement_owner;
GRANT USAGE ON SCHEMA engagement_platform, dagster TO engagement_platform;
-- Of what the owner will make.
ALTER DEFAULT PRIVILEGES FOR ROLE engagement_owner IN SCHEMA engagement_platform, dagster
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO engagement_platform;
ALTER DEFAULT PRIVILEGES FOR ROLE engagement_owner IN SCHEMA engagement_platform, dagster
    GRANT USAGE ON SEQUENCES TO engagement_platform;
