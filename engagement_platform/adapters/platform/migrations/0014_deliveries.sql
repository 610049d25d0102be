-- The last requests to the partner, each beside its answer.

CREATE TABLE {schema}.delivery (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    total bigint NOT NULL,
    begun_at timestamptz NOT NULL,
    seconds real NOT NULL,
    request_id text NOT NULL,
    ids bigint[] NOT NULL,
    lowest bigint NOT NULL,
    highest bigint NOT NULL,
    contents integer[] NOT NULL,
    tries integer NOT NULL,
    is_probe boolean NOT NULL,
    became text NOT NULL,
    status integer,
    reason text NOT NULL,
    response text NOT NULL,
    body text,
    body_bytes integer NOT NULL,
    by text NOT NULL,
    UNIQUE (begun_at, request_id)
);

-- An array of 200 ids in an index would be 200 entries a request. This is one, and a request holds ids near each other.
CREATE INDEX delivery_ids ON {schema}.delivery USING gist (int8range(lowest, highest, '[]'));

CREATE INDEX delivery_total ON {schema}.delivery (total);

COMMENT ON TABLE {schema}.delivery IS
'The last requests to the partner, written by forward about once a second. No promise rests on it.';
COMMENT ON COLUMN {schema}.delivery.total IS 'Bytes of all rows up to this one: what is older than a bound is forgotten by it.';
COMMENT ON COLUMN {schema}.delivery.contents IS 'CRC-32 of the keys of the events, each once.';
COMMENT ON COLUMN {schema}.delivery.body IS 'The beginning of what was sent; null where it was not kept.';

-- A trace asks which load has an event, by the time at which the event was there.
CREATE INDEX IF NOT EXISTS warehouse_load_opened ON {schema}.warehouse_load (opened_at);
