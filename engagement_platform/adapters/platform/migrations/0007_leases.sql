-- The database session of a loop's heartbeats, whose end tells that the loop's process is gone.

ALTER TABLE {schema}.stream_loop
    ADD COLUMN backend_pid integer,
    ADD COLUMN backend_start timestamptz;

COMMENT ON COLUMN {schema}.stream_loop.backend_pid IS
'With backend_start: the session of pg_stat_activity that sent the last heartbeat.';
