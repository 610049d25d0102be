-- name: hourly_engagement
-- One row for each hour of @day, type of content and type of event.
SELECT
  @day AS day,
  TIMESTAMP_TRUNC(event_ts, HOUR) AS hour,
  content_type,
  event_type,
  COUNT(*) AS events,
  COUNT(DISTINCT user_id) AS unique_users,
  SUM(engagement_seconds) AS engagement_seconds
FROM engagement_events
WHERE event_ts >= @begin AND event_ts < @end
GROUP BY hour, content_type, event_type
