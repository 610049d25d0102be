-- What each loop may still give up, over leases and drains.

CREATE TABLE {schema}.rejection_credit (
    loop text PRIMARY KEY,
    credit integer NOT NULL CHECK (credit >= 0),
    changed_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON COLUMN {schema}.rejection_credit.credit IS
'Accepted messages that were not used up for rejected ones. No row: nothing was ever rejected.';
