-- name: ids
SELECT id FROM engagement_events

-- name: lowest_id
SELECT coalesce(min(id), 0) FROM engagement_events

-- name: recount
-- What the views should hold: events and milliseconds by content, content type and device, of the events with
-- :begin <= event_ts < :end (milliseconds since 1970, edges of buckets), without the dead letters.
WITH counted AS (
    SELECT coalesce(event.content_id::text, %(none)s) AS content,
           coalesce(content.content_type, %(none)s) AS content_type,
           coalesce(event.device, %(none)s) AS device,
           coalesce(event.duration_ms, 0) AS ms
      FROM engagement_events AS event
      LEFT JOIN content ON content.id = event.content_id
     WHERE event.event_ts >= timestamptz 'epoch' + %(begin)s::bigint * interval '1 millisecond'
       AND event.event_ts < timestamptz 'epoch' + %(end)s::bigint * interval '1 millisecond'
       AND NOT event.id = ANY(%(dead)s::bigint[])
)
SELECT 'content', content, count(*), sum(ms) FROM counted GROUP BY content
UNION ALL
SELECT 'content_type', content_type, count(*), sum(ms) FROM counted GROUP BY content_type
UNION ALL
SELECT 'device', device, count(*), sum(ms) FROM counted GROUP BY device
