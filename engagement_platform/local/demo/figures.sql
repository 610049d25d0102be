-- name: highest_id
SELECT coalesce(max({id}), 0) FROM {table}

-- name: rows_between
SELECT count(*) FROM {table} WHERE {id} > %s AND {id} <= %s

