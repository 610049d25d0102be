-- What was loaded into the warehouse, which days were rebuilt, and which wait for it.

CREATE TABLE {schema}.warehouse_load (
    table_id text NOT NULL,
    writer text NOT NULL,
    version bigint NOT NULL,
    load_id text NOT NULL,
    attempt integer NOT NULL DEFAULT 0,
    topic_id text NOT NULL,
    ranges jsonb NOT NULL,
    next_offsets jsonb NOT NULL,
    days date[] NOT NULL,
    rows integer NOT NULL,
    covered integer NOT NULL,
    rejected integer NOT NULL,
    lowest_id bigint,
    highest_id bigint,
    opened_at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz,
    PRIMARY KEY (table_id, writer, version)
);

COMMENT ON TABLE {schema}.warehouse_load IS 'One batch of the stream; open until loaded.';

CREATE INDEX warehouse_load_open ON {schema}.warehouse_load (table_id) WHERE closed_at IS NULL;

CREATE SEQUENCE {schema}.replacement_number;

CREATE TABLE {schema}.day_rebuild (
    number bigint PRIMARY KEY DEFAULT nextval('{schema}.replacement_number'),
    table_id text NOT NULL,
    day date NOT NULL,
    run_id text NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'done', 'abandoned')),
    opened_at timestamptz NOT NULL DEFAULT now(),
    beat_at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz,
    covered_hi bigint,
    covered_missing jsonb,
    rows bigint
);

COMMENT ON TABLE {schema}.day_rebuild IS
'One rebuild of a day. The coverage of the latest one that is done says which ids the stream must not add.';

CREATE UNIQUE INDEX day_rebuild_open ON {schema}.day_rebuild (table_id, day) WHERE state = 'open';

CREATE INDEX day_rebuild_done ON {schema}.day_rebuild (table_id, day, number)
 WHERE state = 'done';

CREATE TABLE {schema}.day_due (
    table_id text NOT NULL,
    day date NOT NULL,
    reason text NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (table_id, day)
);

COMMENT ON TABLE {schema}.day_due IS 'Days that have to be rebuilt, and why.';
