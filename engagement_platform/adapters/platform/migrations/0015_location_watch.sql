-- What each code location remembers of what it has told: two of one platform's database no longer take each other's
-- conditions for gone. The row of alert_watch is that of processes of the version before.

DO $$BEGIN
IF '{schema}' = 'engagement_platform' THEN  -- once for all streams
CREATE TABLE {schema}.location_watch (
    location text PRIMARY KEY,
    looked_at double precision NOT NULL,
    memories jsonb NOT NULL
);

COMMENT ON TABLE {schema}.location_watch IS
'For each code location what is remembered of the conditions that it saw: since when, whether it was told, how often it came and went.';
END IF;
END$$;
