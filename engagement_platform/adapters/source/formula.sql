-- What `stream diff` reads of the source, all in one snapshot.

-- name: begin
-- One snapshot for everything that follows; it is taken by the first read.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY

-- name: export
-- The snapshot's name, under which another session sees the same.
SELECT pg_export_snapshot() AS snapshot

-- name: rows_by_id
-- The enriched events from :begin to before :end, ascending by id, as the lines of their messages have them; without those
-- of which no line can be made.
SELECT {columns}
  FROM ({enriched}) AS event
 WHERE event.{time} >= '{begin}' AND event.{time} < '{end}'{carried}
 ORDER BY event.{id}
