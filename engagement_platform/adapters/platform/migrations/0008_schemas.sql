-- The forms that a stream's messages have had, by number.

CREATE TABLE {schema}.stream_schema (
    number integer PRIMARY KEY CHECK (number > 0),
    hash text NOT NULL UNIQUE,
    form text NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE {schema}.stream_schema IS
'The columns that messages have: their header schema-version is a number of this table.';

-- What the messages of an `engagement` that has streamed before had: their header says 1.
INSERT INTO {schema}.stream_schema (number, hash, form)
SELECT 1, left(encode(sha256(convert_to(form, 'UTF8')), 'hex'), 16), form
  FROM (VALUES (
       '{"columns": [["id", "integer"], ["content_id", "uuid"], ["user_id", "uuid"], ["event_type", "text"], '
       '["event_ts", "timestamp"], ["duration_ms", "integer"], ["device", "text"], ["raw_payload", "jsonb"], '
       '["slug", "text"], ["title", "text"], ["content_type", "text"], ["length_seconds", "integer"], '
       '["engagement_seconds", "numeric(18,2)"], ["engagement_pct", "numeric(18,2)"]], '
       '"id": "id", "time": "event_ts", "key": "content_id"}')) AS first (form)
 WHERE '{schema}' = 'engagement_platform' AND EXISTS (SELECT FROM {schema}.relay_checkpoint_mirror);
