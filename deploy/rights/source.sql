-- The source's database: what its owner gives to the role of ENGAGEMENT_SOURCE_DSN. Nothing is written there.
--
--   psql -v ON_ERROR_STOP=1 -v password='…' -f source.sql 'host=db.example dbname=media user=OWNER'
--
-- Another schema than public, or tables of a stream of your own: put their names in the place of these.

CREATE ROLE engagement_reader LOGIN PASSWORD :'password';
ALTER ROLE engagement_reader SET default_transaction_read_only = on;

SELECT format('GRANT CONNECT ON DATABASE %I TO engagement_reader', current_database()) \gexec
GRANT USAGE ON SCHEMA public TO engagement_reader;
-- The rows, and what enriches them.
GRANT SELECT ON content, engagement_events TO engagement_reader;
-- Which id was given out last: tells a row that was written by hand, and a table that was restored.
GRANT SELECT ON SEQUENCE engagement_events_id_seq TO engagement_reader;
