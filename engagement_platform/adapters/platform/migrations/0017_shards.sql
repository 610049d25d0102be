-- Several lease runs may divide the partitions of the topic: each has leases of its own, in order of their epochs.

CREATE TABLE {schema}.stream_assignment (
    generation bigint PRIMARY KEY,
    shards integer NOT NULL CHECK (shards > 0),
    declared_by text NOT NULL,
    declared_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE {schema}.stream_assignment IS
'Among how many lease runs the partitions are divided: the latest generation counts; before the first it is one.';

ALTER TABLE {schema}.stream_lease
    ADD COLUMN shard integer NOT NULL DEFAULT 0,
    ADD COLUMN shards integer NOT NULL DEFAULT 1,
    ADD COLUMN generation bigint NOT NULL DEFAULT 0,
    DROP CONSTRAINT stream_lease_pkey,
    ADD PRIMARY KEY (shard, epoch);

CREATE INDEX stream_lease_generation ON {schema}.stream_lease (generation);

COMMENT ON COLUMN {schema}.stream_lease.generation IS
'Of the assignment: a run of an earlier one has lost its partitions as soon as a later one has a lease.';

ALTER TABLE {schema}.stream_loop
    ADD COLUMN shard integer NOT NULL DEFAULT 0,
    ADD COLUMN generation bigint NOT NULL DEFAULT 0;

COMMENT ON TABLE {schema}.stream_lease IS 'Who may stream: of each shard, the run with the highest epoch.';

-- The loads of a table have one order, whichever shard has made them: each says where all partitions stand behind it.
CREATE UNIQUE INDEX warehouse_load_version ON {schema}.warehouse_load (table_id, version);

-- Each shard tells for its own partitions up to when everything is settled.
ALTER TABLE {schema}.forward_position ADD COLUMN settled_by jsonb NOT NULL DEFAULT '{}';

COMMENT ON COLUMN {schema}.forward_position.settled_by IS
'Partition -> the same of that partition, where several shards share the topic; empty where one run reads all.';
