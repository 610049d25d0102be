-- name: daily_device_engagement
-- One row for each device with events on @day.
SELECT
  @day AS day,
  device,
  COUNT(*) AS events,
  COUNTIF(event_type = 'play') AS plays,
  COUNTIF(event_type = 'finish') AS finishes,
  COUNT(DISTINCT user_id) AS unique_users,
  SUM(engagement_seconds) AS engagement_seconds
FROM engagement_events
WHERE event_ts >= @begin AND event_ts < @end
GROUP BY device
