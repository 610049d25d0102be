-- What people are told of: one watch over all streams, and the messages that wait for their receiver.

DO $$BEGIN
IF '{schema}' = 'engagement_platform' THEN  -- once for all streams
CREATE TABLE {schema}.alert_watch (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    looked_at double precision NOT NULL,
    memories jsonb NOT NULL
);

COMMENT ON TABLE {schema}.alert_watch IS
'What is remembered of the conditions that were seen: since when, whether it was told, how often it came and went.';

CREATE TABLE {schema}.alert (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text NOT NULL UNIQUE,
    message jsonb NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    tries integer NOT NULL DEFAULT 0,
    next_try_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    outcome text CHECK (outcome IN ('delivered', 'refused', 'expired', 'dropped')),
    answer text NOT NULL DEFAULT '',
    CHECK ((ended_at IS NULL) = (outcome IS NULL))
);

CREATE INDEX alert_waits ON {schema}.alert (number) WHERE ended_at IS NULL;

COMMENT ON TABLE {schema}.alert IS
'Messages to people, in their order; one without an end waits for its receiver.';

COMMENT ON COLUMN {schema}.alert.answer IS
'What the receiver answered last, or why there was no answer.';
END IF;
END$$;
