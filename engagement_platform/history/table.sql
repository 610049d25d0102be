-- What is asked of the warehouse's table of a stream, in BigQuery's dialect. The names in braces are the stream's.

-- name: figures_of_day
-- What a day is compared by: ids, what the views add up, and what the source's own table has: a digest, and the values
-- that have no text which both sides would write alike. And whether the row of a joined table was missing.
SELECT {id} AS id, {figures}
  FROM {table}
 WHERE {time} >= @begin AND {time} < @end
 ORDER BY {id}

-- name: ids_of_day
-- The ids of a day.
SELECT {id} AS id FROM {table} WHERE {time} >= @begin AND {time} < @end

-- name: ids_between
-- The ids of some days that lie within two, doubled ones twice.
SELECT {id} AS id FROM {table}
 WHERE {time} >= @begin AND {time} < @end AND {id} BETWEEN {lowest} AND {highest}

-- name: ids_anywhere
-- Which of certain ids the table has, on whatever day.
SELECT DISTINCT {id} AS id FROM {table} WHERE {time} >= TIMESTAMP '0001-01-01 00:00:00+00' AND {id} IN ({ids})

-- name: values_of
-- The values of a column since a time, the most frequent first.
SELECT CAST({column} AS STRING) AS value, COUNT(*) AS events, MIN({time}) AS first, MAX({time}) AS last
  FROM {table}
 WHERE {time} >= @begin AND {column} IS NOT NULL
 GROUP BY value
 ORDER BY events DESC, value
 LIMIT {most}

-- name: outside
-- How many events lie before or after certain times.
SELECT COUNT(*) AS events, MIN({time}) AS first, MAX({time}) AS last
  FROM {table}
 WHERE {time} < @begin OR {time} >= @end

-- name: days_of_user
-- The days that hold events of a user.
SELECT DISTINCT DATE({time}) AS day
  FROM {table}
 WHERE {of_user} AND {time} >= TIMESTAMP '0001-01-01 00:00:00+00'
 ORDER BY day

-- name: rows_by_day
-- How many events each day of a time has.
SELECT DATE({time}) AS day, COUNT(*) AS events
  FROM {table}
 WHERE {time} >= @begin AND {time} < @end
 GROUP BY day
 ORDER BY day
