-- What the last comparison of each day with the source has found: the calendar of days shows it.

CREATE TABLE {schema}.day_comparison (
    day date PRIMARY KEY,
    run_id text NOT NULL,
    compared_at timestamptz NOT NULL DEFAULT now(),
    source_rows bigint NOT NULL,
    table_rows bigint NOT NULL,
    faults jsonb NOT NULL,
    warnings jsonb NOT NULL
);

COMMENT ON TABLE {schema}.day_comparison IS
'The last comparison of a day with the source: kind of difference -> number of events. No faults: the day is equal.';
