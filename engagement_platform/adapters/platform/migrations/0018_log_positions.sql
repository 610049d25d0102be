-- A publisher that may publish twice, as Debezium, says where each change stands in its log: what comes again is left out.

ALTER TABLE {schema}.warehouse_load
    ADD COLUMN log_begins jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN log_ends jsonb NOT NULL DEFAULT '{}';

COMMENT ON COLUMN {schema}.warehouse_load.log_begins IS
'Partition -> where the latest message before the load stands in its publisher''s log; empty for the relay''s.';
COMMENT ON COLUMN {schema}.warehouse_load.log_ends IS
'Partition -> the same behind the load, for all partitions that were loaded from.';
