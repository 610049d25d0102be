-- name: keep
-- Keep a request to the partner; one that was kept before stays as it is. `bytes` is what its row takes, about.
INSERT INTO {schema}.delivery
       (total, begun_at, seconds, request_id, ids, lowest, highest, contents, tries, is_probe, became, status, reason,
        response, body, body_bytes, by)
SELECT coalesce((SELECT max(total) FROM {schema}.delivery), 0) + %(bytes)s,
       %(begun_at)s, %(seconds)s, %(request_id)s, %(ids)s::bigint[], %(lowest)s, %(highest)s, %(contents)s::int[],
       %(tries)s, %(is_probe)s, %(became)s, %(status)s, %(reason)s, %(response)s, %(body)s, %(body_bytes)s, %(by)s
    ON CONFLICT (begun_at, request_id) DO NOTHING;

-- name: prune
-- Forget the oldest requests, :rows at most: those before a time, and what is beyond a number of bytes.
DELETE FROM {schema}.delivery
 WHERE number IN (SELECT number FROM {schema}.delivery
                   WHERE begun_at < now() - make_interval(secs => %(hours)s::float8 * 3600)
                      OR total <= (SELECT max(total) FROM {schema}.delivery) - %(bytes)s
                   ORDER BY number LIMIT %(rows)s)
RETURNING number;

-- name: chosen
-- What is meant by a filter, for the statements below.
(%(before)s::bigint IS NULL OR number < %(before)s)
   AND (%(since)s::timestamptz IS NULL OR begun_at >= %(since)s)
   AND (%(until)s::timestamptz IS NULL OR begun_at < %(until)s)
   AND (%(became)s::text[] IS NULL OR became = ANY(%(became)s::text[]))
   AND (%(classes)s::int[] IS NULL OR coalesce(status / 100, 0) = ANY(%(classes)s::int[]))
   AND (%(event_id)s::bigint IS NULL
        OR (int8range(lowest, highest, '[]') @> least(%(event_id)s::bigint, 9223372036854775806) AND %(event_id)s = ANY(ids)))
   AND (%(content)s::int IS NULL OR %(content)s = ANY(contents))
   AND (%(numbers)s::bigint[] IS NULL OR number = ANY(%(numbers)s::bigint[]))

-- name: list
-- The newest of the chosen requests, the newest first.
SELECT number, begun_at, seconds, request_id, ids, tries, is_probe, became, status, reason, response,
       body, body_bytes, by
  FROM {schema}.delivery
 WHERE {chosen}
 ORDER BY number DESC
 LIMIT %(n)s;

-- name: counts
-- How many of the chosen requests there are, by what became of them and by the class of their status, and since when.
SELECT became, status / 100 AS class, count(*) AS requests, sum(cardinality(ids))::bigint AS events,
       min(begun_at) AS since
  FROM {schema}.delivery
 WHERE {chosen}
 GROUP BY became, status / 100
 ORDER BY became, class;

-- name: events
-- The events of the chosen requests, each once, :n at most, ascending; of one that is chosen, it alone.
SELECT DISTINCT id
  FROM {schema}.delivery, unnest(ids) AS id
 WHERE {chosen}
   AND (%(event_id)s::bigint IS NULL OR id = %(event_id)s)
 ORDER BY id
 LIMIT %(n)s;

-- name: next_number
-- The number behind that of the last request that is kept: what comes later has this one, or a higher one.
SELECT coalesce(max(number), 0) + 1 AS number FROM {schema}.delivery;

-- name: kept
-- Since when requests are kept, and how many bytes they take, about.
SELECT min(begun_at) AS since, coalesce(max(total) - min(total), 0) AS bytes, count(*) AS requests
  FROM {schema}.delivery;
