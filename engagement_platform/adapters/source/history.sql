-- What a rebuild, a replay and `stream diff` read, each in one snapshot. The names in braces are replaced by the reader;
-- days and ids are its own values, never text from outside.

-- name: export
-- The snapshot's name, under which another session sees the same.
SELECT pg_export_snapshot() AS snapshot

-- name: visible_among
-- The ids within given ranges that the snapshot sees.
SELECT event.{id} AS id
  FROM unnest(ARRAY[{firsts}]::bigint[], ARRAY[{lasts}]::bigint[]) AS missing(first, last)
  JOIN {table} AS event ON event.{id} BETWEEN missing.first AND missing.last
 ORDER BY event.{id}

-- name: visible_above
-- The ids above one that the snapshot sees.
SELECT {id} AS id FROM {table} WHERE {id} > {hi} ORDER BY {id}

-- name: rows
-- The enriched events of the days from :begin to before :end, in the columns of the warehouse, as the lines of their
-- messages have them. Those of which no line can be made are dead letters of the stream, and left out. A rebuild orders
-- them by day where there is more than one, a comparison by id.
SELECT {columns}
  FROM ({enriched}) AS event
 WHERE event.{time} >= '{begin}' AND event.{time} < '{end}'{carried}
 {order}

-- name: figures
-- What a day is compared by: the ids of its events, what the views add up of them, and what the source's own table has.
-- Where nothing of a joined table is asked for, a unique key there lets PostgreSQL leave the join out.
SELECT event.{id} AS id,
       {figures}
  FROM ({enriched}) AS event
 WHERE event.{time} >= '{begin}' AND event.{time} < '{end}'
 ORDER BY event.{id}

-- name: unfit_among
-- Which of certain events have a value that no line can hold.
SELECT event.{id} AS id FROM ({enriched}) AS event WHERE event.{id} = ANY(%(ids)s) AND ({unfit})

-- name: lock
-- Nothing; but whatever the enrichment reads keeps its form until the transaction ends.
SELECT FROM ({enriched}) AS event WHERE false

-- name: days_of
-- In which days certain events lie now; no row for those that are gone.
SELECT {id} AS id, ({time} AT TIME ZONE 'UTC')::date AS day
  FROM {table}
 WHERE {id} = ANY(%(ids)s) AND {time} >= '0001-01-01' AND {time} < '10000-01-01'

-- name: days_published
-- The days of the chosen events.
SELECT DISTINCT ({time} AT TIME ZONE 'UTC')::date AS day
  FROM {table} AS event
 WHERE {chosen} AND {time} >= '0001-01-02' AND {time} < '9999-12-31'
 ORDER BY day

-- name: ids_published
-- The chosen events, and in which days they lie; none for a time that no day has.
SELECT event.{id} AS id,
       CASE WHEN {time} >= '0001-01-02' AND {time} < '9999-12-31' THEN ({time} AT TIME ZONE 'UTC')::date END AS day
  FROM {table} AS event
 WHERE {chosen}

-- name: events_of_user
-- How many events of a user the source has, by the column as the enrichment gives it.
SELECT count(*) AS events FROM ({enriched}) AS event WHERE {of_user}

-- name: happened
-- The events from :begin to before :end.
event.{time} >= %(begin)s AND event.{time} < %(end)s

-- name: numbered
-- Certain events.
event.{id} = ANY(%(ids)s)

-- name: published
-- The events above :hi, and those in ranges of ids that were missing below it; up to :top.
event.{id} IN (SELECT above.{id} FROM {table} AS above WHERE above.{id} > %(hi)s AND above.{id} <= %(top)s
               UNION ALL
               SELECT late.{id}
                 FROM unnest(%(firsts)s::bigint[], %(lasts)s::bigint[]) AS missing(first, last)
                 JOIN {table} AS late ON late.{id} BETWEEN missing.first AND missing.last)

-- name: either
-- The events from :begin to before :end, and the published ones.
({happened}) OR ({published})

-- name: replay
-- The messages of the chosen events, as the relay writes them: id, key and value in UTF-8, by id.
-- Those over :max_bytes, or whose time JSON cannot carry, were dead letters and are left out.
SELECT event.{id} AS id, convert_to(event.{key}::text, 'UTF8') AS key, message.json AS value
  FROM ({enriched}) AS event
 CROSS JOIN LATERAL (SELECT convert_to(row_to_json(event)::text, 'UTF8') AS json) AS message
 WHERE {chosen}
   AND event.{time} >= '0001-01-01' AND event.{time} < '10000-01-01'
   AND octet_length(message.json) <= %(max_bytes)s
 ORDER BY event.{id}

-- name: messages_of
-- Certain events as the relay would write them: key, value, its bytes, and the day; no row for those that are gone.
-- A value over :max_bytes is null, and so is a day that JSON cannot carry.
SELECT event.{id} AS id,
       convert_to(event.{key}::text, 'UTF8') AS key,
       CASE WHEN octet_length(message.json) <= %(max_bytes)s THEN message.json END AS value,
       octet_length(message.json) AS bytes,
       CASE WHEN event.{time} >= '0001-01-01' AND event.{time} < '10000-01-01'
            THEN (event.{time} AT TIME ZONE 'UTC')::date END AS day
  FROM ({enriched}) AS event
 CROSS JOIN LATERAL (SELECT convert_to(row_to_json(event)::text, 'UTF8') AS json) AS message
 WHERE event.{id} = ANY(%(ids)s)
