-- name: daily_content_engagement
-- One row for each content with events on @day. MAX_BY takes the last name where it changed within the day.
SELECT
  @day AS day,
  content_id,
  MAX_BY(slug, id) AS slug,
  MAX_BY(title, id) AS title,
  MAX_BY(content_type, id) AS content_type,
  COUNTIF(event_type = 'play') AS plays,
  COUNTIF(event_type = 'pause') AS pauses,
  COUNTIF(event_type = 'finish') AS finishes,
  COUNTIF(event_type = 'click') AS clicks,
  COUNT(DISTINCT user_id) AS unique_users,
  SUM(engagement_seconds) AS engagement_seconds,
  AVG(CAST(engagement_pct AS FLOAT64)) AS mean_engagement_pct,
  SAFE_DIVIDE(COUNTIF(event_type = 'finish'), COUNTIF(event_type = 'play')) AS completion_rate
FROM engagement_events
WHERE event_ts >= @begin AND event_ts < @end
GROUP BY content_id
