-- name: ids
SELECT {id} FROM {table}

-- name: counted
-- What the views should count: the events with :begin <= time < :end (milliseconds since 1970, edges of buckets),
-- without the dead letters. Before one SELECT for each dimension.
WITH counted AS (
    SELECT {columns}
      FROM ({enriched}) AS event
     WHERE event.{time} >= timestamptz 'epoch' + %(begin)s::bigint * interval '1 millisecond'
       AND event.{time} < timestamptz 'epoch' + %(end)s::bigint * interval '1 millisecond'
       AND NOT event.{id} = ANY(%(dead)s::bigint[])
)

-- name: by
-- Events and sums by one dimension; a member is the column's value as JSON has it, a text without its quotes.
SELECT {dimension}, coalesce(to_json({column}) #>> ARRAY[]::text[], %(none)s), count(*){sums}
  FROM counted
 GROUP BY 2
