-- What the source's owner makes where Debezium is to publish the events of `engagement`: an outbox that is always empty.
-- Each event is written there as the relay would write it, in the application's own transaction, and taken out again: the
-- log has it, and Debezium reads the log. See docs/debezium.md. To take it away again: DROP TABLE engagement_outbox CASCADE;
-- DROP FUNCTION engagement_outbox CASCADE. One row in each statement: rows of one COPY share an LSN, by which messages
-- are told that come again.

CREATE TABLE engagement_outbox (
    id BIGINT PRIMARY KEY,
    topic TEXT NOT NULL,
    key TEXT,
    partition INTEGER,
    value TEXT NOT NULL,
    unseen_at BIGINT NOT NULL
);

-- Zone and style make PostgreSQL's JSON carry RFC 3339 in UTC; floats and bytes have one text.
CREATE FUNCTION engagement_outbox() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public SET timezone = 'UTC' SET datestyle = 'ISO' SET extra_float_digits = 1 SET bytea_output = 'hex'
AS $$
BEGIN
    INSERT INTO engagement_outbox (id, topic, key, partition, value, unseen_at)
    SELECT event.id, 'engagement-events', event.content_id::text,
           -- Without a key: always the same one of the topic's four, so that what comes again comes where it was.
           CASE WHEN event.content_id IS NULL THEN abs(event.id % 4)::integer END,
           row_to_json(event)::text,
           (extract(epoch FROM now()) * 1000000)::bigint
      FROM (
SELECT event.id,
       event.content_id,
       event.user_id,
       event.event_type::text AS event_type,
       event.event_ts,
       event.duration_ms,
       event.device::text AS device,
       event.raw_payload,
       content.slug::text AS slug,
       content.title::text AS title,
       content.content_type::text AS content_type,
       content.length_seconds,
       (event.duration_ms::numeric / 1000)::numeric(18,2) AS engagement_seconds,
       (event.duration_ms::numeric / 1000 / nullif(content.length_seconds, 0))::numeric(18,2) AS engagement_pct
  FROM engagement_events AS event
  LEFT JOIN content ON content.id = event.content_id
           ) AS event
     WHERE event.id = NEW.id;
    DELETE FROM engagement_outbox WHERE id = NEW.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER engagement_outbox AFTER INSERT ON engagement_events
    FOR EACH ROW EXECUTE FUNCTION engagement_outbox();

CREATE PUBLICATION engagement_outbox FOR TABLE engagement_outbox WITH (publish = 'insert');
