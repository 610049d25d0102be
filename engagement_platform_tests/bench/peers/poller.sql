-- name: above
-- The events above the highest id that was seen: at most :rows, ascending.
SELECT event.{id} AS id,
       convert_to(event.{key}::text, 'UTF8') AS key,
       convert_to(row_to_json(event)::text, 'UTF8') AS value
  FROM ({enriched}) AS event
 WHERE event.{id} > %(cursor)s
 ORDER BY event.{id}
 LIMIT %(rows)s
