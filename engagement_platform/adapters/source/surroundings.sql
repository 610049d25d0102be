-- name: prepare_session
-- Let no look at the source take long.
SET statement_timeout = '10s'

-- name: sees_locks
-- Whether the role sees locks: its own transaction always holds one.
SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'virtualxid' AND virtualtransaction IS NOT NULL)

-- name: has_index_on_time
-- Whether an index begins with the time column.
SELECT EXISTS (
  SELECT FROM pg_index AS i
    JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
   WHERE i.indrelid = to_regclass({table_name}) AND a.attname = {time_name} AND i.indisvalid AND i.indpred IS NULL)
