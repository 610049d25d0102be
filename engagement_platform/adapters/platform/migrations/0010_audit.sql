-- What people changed through the page and the API: who, when, what, and how it ended.

CREATE TABLE {schema}.audit (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    begun_at timestamptz NOT NULL DEFAULT now(),
    who text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}',
    ended_at timestamptz,
    outcome text
);

COMMENT ON TABLE {schema}.audit IS
'Changes made through the page and the API, written before each is made. Kept until somebody deletes rows.';
COMMENT ON COLUMN {schema}.audit.who IS 'The name given at the login or with the request, and the address it came from.';
COMMENT ON COLUMN {schema}.audit.outcome IS 'How it ended; null while it runs, and where its process was ended meanwhile.';
