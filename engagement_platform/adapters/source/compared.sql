-- What is asked of the source so that a day of the warehouse can be compared with it.

-- name: nothing
-- The columns of the enrichment, and no row.
SELECT * FROM ({enriched}) AS event LIMIT 0

-- name: own_table
-- The number by which PostgreSQL says that a column is of the stream's own table.
SELECT {table_name}::regclass::oid::bigint
