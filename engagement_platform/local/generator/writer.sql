-- name: contents
SELECT id, content_type, length_seconds FROM content ORDER BY id

-- name: claim_catalogue
-- Two generators that start at once fill the table only once.
LOCK TABLE content IN SHARE ROW EXCLUSIVE MODE

-- name: add_content
INSERT INTO content (id, slug, title, content_type, length_seconds, publish_ts) VALUES (%s, %s, %s, %s, %s, %s)

-- name: insert
-- One parameter for all events: cheaper for both sides than one for each value.
INSERT INTO engagement_events (content_id, user_id, event_type, event_ts, duration_ms, device, raw_payload)
SELECT content_id, user_id, event_type, clock_timestamp() - age_ms * interval '1 millisecond', duration_ms, device,
       raw_payload
  FROM json_to_recordset(%s::json) AS event (content_id uuid, user_id uuid, event_type text, age_ms int,
                                             duration_ms int, device text, raw_payload jsonb)
RETURNING id

-- name: reserve
SELECT nextval(pg_get_serial_sequence('engagement_events', 'id')) FROM generate_series(1, %s)

-- name: insert_reserved
INSERT INTO engagement_events (id, content_id, user_id, event_type, event_ts, duration_ms, device, raw_payload)
SELECT reserved.id, content_id, user_id, event_type, clock_timestamp() - age_ms * interval '1 millisecond',
       duration_ms, device, raw_payload
  FROM ROWS FROM (json_to_recordset(%s::json) AS (content_id uuid, user_id uuid, event_type text, age_ms int,
                                                  duration_ms int, device text, raw_payload jsonb),
                  unnest(%s::bigint[])) AS reserved (content_id, user_id, event_type, age_ms, duration_ms, device,
                                                     raw_payload, id)
