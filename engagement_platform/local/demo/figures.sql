-- name: highest_id
SELECT coalesce(max(id), 0) FROM engagement_events

-- name: rows_between
SELECT count(*) FROM engagement_events WHERE id > %s AND id <= %s

