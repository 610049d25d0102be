-- What operators have done with dead letters, and which loops they have paused.

CREATE TABLE {schema}.letter_action (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic_id text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    event_id bigint,
    kind text NOT NULL CHECK (kind IN ('redrive', 'discard')),
    who text NOT NULL,
    why text NOT NULL,
    begun_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    outcome text CHECK (outcome IN ('done', 'failed')),
    note text NOT NULL DEFAULT '',
    CHECK ((ended_at IS NULL) = (outcome IS NULL))
);

CREATE INDEX letter_action_letter
    ON {schema}.letter_action (topic_id, partition, "offset", number);

COMMENT ON TABLE {schema}.letter_action IS
'Who did what when with a dead letter. Its state is that of the last action; without one it is open.';

CREATE TABLE {schema}.pause (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    loop text NOT NULL,
    paused_at timestamptz NOT NULL DEFAULT now(),
    paused_by text NOT NULL,
    why text NOT NULL,
    resumed_at timestamptz,
    resumed_by text,
    CHECK ((resumed_at IS NULL) = (resumed_by IS NULL))
);

CREATE UNIQUE INDEX pause_present ON {schema}.pause (loop) WHERE resumed_at IS NULL;

COMMENT ON TABLE {schema}.pause IS
'Loops that an operator has paused: since when, by whom and why; and when they went on.';
