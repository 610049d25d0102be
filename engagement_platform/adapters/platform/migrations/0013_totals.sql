-- What each loop has done in all its runs, so that it only ever grows, also when old runs are forgotten.

CREATE TABLE IF NOT EXISTS {schema}.loop_total (
    loop text PRIMARY KEY,
    progress jsonb NOT NULL DEFAULT '{}'
);

COMMENT ON TABLE {schema}.loop_total IS
'What the runs of a loop that have come to an end have done together: counters and latencies.';

ALTER TABLE {schema}.stream_loop
    ADD COLUMN IF NOT EXISTS counted jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN IF NOT EXISTS counted_at timestamptz;

COMMENT ON COLUMN {schema}.stream_loop.counted IS 'What of this run is in the total of its loop.';
COMMENT ON COLUMN {schema}.stream_loop.counted_at IS 'When that was added; what beats later is to be added again.';
