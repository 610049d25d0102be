-- The heartbeats of the processes that work on runs of the warehouse. They are of Dagster, not of a stream.

DO $$BEGIN
IF '{schema}' = 'engagement_platform' THEN  -- once for all streams
CREATE TABLE {schema}.run_beat (
    run_id text PRIMARY KEY,
    job text NOT NULL,
    subject text NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    begun_at timestamptz NOT NULL DEFAULT now(),
    beat_at timestamptz,
    ended_at timestamptz,
    given_up_at timestamptz
);

COMMENT ON TABLE {schema}.run_beat IS
'The process of each run of a warehouse job: its last heartbeat, whether it ended, whether it was given up.';
END IF;
END$$;
