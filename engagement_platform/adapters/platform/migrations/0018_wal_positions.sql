-- A publisher that may publish twice, as Debezium, says where each change stands in the database's log: what comes again is
-- left out. While the relay alone publishes, no load has such a row. A table of its own: the version before reads all columns
-- of warehouse_load, whatever they are.

CREATE TABLE {schema}.warehouse_load_wal (
    table_id text NOT NULL,
    version bigint NOT NULL,
    begins jsonb NOT NULL,
    ends jsonb NOT NULL,
    PRIMARY KEY (table_id, version),
    FOREIGN KEY (table_id, version) REFERENCES {schema}.warehouse_load (table_id, version)
        ON UPDATE CASCADE ON DELETE CASCADE
);

COMMENT ON TABLE {schema}.warehouse_load_wal IS
'Where the latest messages stand in the write-ahead log of their publisher, beside the offsets of a load.';
COMMENT ON COLUMN {schema}.warehouse_load_wal.begins IS 'Partition -> that of its latest message before the load.';
COMMENT ON COLUMN {schema}.warehouse_load_wal.ends IS
'Partition -> that of its latest message behind the load, for all partitions that were loaded from.';
