-- What the relay had published when, what a load had read, and what a rebuild found missing.

CREATE TABLE {schema}.relay_checkpoint_history (
    topic text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    generation bigint NOT NULL,
    hi bigint NOT NULL,
    unseen_at bigint NOT NULL,
    checkpoint bytea NOT NULL,
    PRIMARY KEY (topic, recorded_at)
);

COMMENT ON TABLE {schema}.relay_checkpoint_history IS
'The relay''s checkpoint about once a minute: what was published before a time, and so what was since.';

INSERT INTO {schema}.relay_checkpoint_history
SELECT topic, recorded_at, generation, hi, (convert_from(checkpoint, 'UTF8')::jsonb ->> 'unseen_at')::bigint,
       checkpoint
  FROM {schema}.relay_checkpoint_mirror;

ALTER TABLE {schema}.warehouse_load ADD COLUMN unseen_at jsonb NOT NULL DEFAULT '{}';

COMMENT ON COLUMN {schema}.warehouse_load.unseen_at IS
'Partition -> no message that was not read yet has an earlier header unseen-at, in microseconds since 1970.';

ALTER TABLE {schema}.day_rebuild ADD COLUMN missed bigint, ADD COLUMN missed_ids bigint[];

COMMENT ON COLUMN {schema}.day_rebuild.missed IS
'How many events the stream should have brought and had not, before the rebuild; missed_ids are the first.';
