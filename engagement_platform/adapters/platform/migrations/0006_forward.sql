-- Where forward stands, a second time beside Kafka's consumer group; and what operators decide of refused events.

CREATE TABLE {schema}.forward_position (
    consumer_group text NOT NULL,
    topic text NOT NULL,
    topic_id text NOT NULL,
    next_offsets jsonb NOT NULL,
    settled_to timestamptz,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer_group, topic)
);

COMMENT ON TABLE {schema}.forward_position IS
'A copy of the offsets in forward''s group: with a topic that is deleted, Kafka drops the group''s own.';

COMMENT ON COLUMN {schema}.forward_position.settled_to IS
'Every event that arrived in Kafka before is delivered or a dead letter.';

CREATE TABLE {schema}.forward_decision (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer_group text NOT NULL,
    events bigint NOT NULL CHECK (events > 0),
    who text NOT NULL,
    decided_at timestamptz NOT NULL DEFAULT now(),
    taken_at timestamptz
);

COMMENT ON TABLE {schema}.forward_decision IS
'Who let how many events that the partner refuses become dead letters, and when forward began with it.';
