-- Users whose copies were erased on request: for whom by a mark, by whom, when, and what came of it at each sink.

CREATE TABLE {schema}.erasure (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_mark text NOT NULL,
    who text NOT NULL,
    begun_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    outcomes jsonb NOT NULL DEFAULT '{}',
    message_id text NOT NULL DEFAULT 'msg_' || replace(gen_random_uuid()::text, '-', ''),
    message text,
    after jsonb NOT NULL DEFAULT '{}',
    tries integer NOT NULL DEFAULT 0,
    next_try_at timestamptz NOT NULL DEFAULT now(),
    answer text NOT NULL DEFAULT ''
);

-- One at a time for a user: whoever asks again goes on with the one that is not at its end.
CREATE UNIQUE INDEX erasure_open ON {schema}.erasure (user_mark) WHERE ended_at IS NULL OR message IS NOT NULL;

COMMENT ON TABLE {schema}.erasure IS
'Erasures of users, by engagement-platform erase-user. Kept until somebody deletes rows: they are the evidence.';
COMMENT ON COLUMN {schema}.erasure.user_mark IS 'SHA-256 of stream and user id: finds the record of an id, and is none.';
COMMENT ON COLUMN {schema}.erasure.message IS 'What the partner is told, with the id by which it knows the user; null once it has taken it.';
COMMENT ON COLUMN {schema}.erasure.after IS
'Topic -> partition -> offset: the partner is told once all that was published before these is delivered or a dead letter.';
