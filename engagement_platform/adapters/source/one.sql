-- What a trace asks of the source.

-- name: one
-- One event as the relay would write it: key, value, its bytes and the time; no row where it is gone. A value over
-- :max_bytes is null, and so is a time that JSON cannot carry.
SELECT convert_to(event.{key}::text, 'UTF8') AS key,
       CASE WHEN octet_length(message.json) <= %(max_bytes)s THEN message.json END AS value,
       octet_length(message.json) AS bytes,
       CASE WHEN event.{time} >= '0001-01-02' AND event.{time} < '9999-12-31' THEN event.{time} END AS time
  FROM ({enriched}) AS event
 CROSS JOIN LATERAL (SELECT convert_to(row_to_json(event)::text, 'UTF8') AS json) AS message
 WHERE event.{id} = %(id)s
