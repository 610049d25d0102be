-- The enrichment: one event with the columns of its content. Stream, rebuild and checks all read this text, so a
-- value cannot differ between them. A cast to NUMERIC with a scale rounds half away from zero; numeric division keeps at least
-- 16 significant digits, more than enough for two decimals of a quotient of 32-bit integers. Texts may be enums, varchar
-- or char in the source: read as text, they have one form.
SELECT event.id,
       event.content_id,
       event.user_id,
       event.event_type::text AS event_type,
       event.event_ts,
       event.duration_ms,
       event.device::text AS device,
       event.raw_payload,
       content.slug::text AS slug,
       content.title::text AS title,
       content.content_type::text AS content_type,
       content.length_seconds,
       (event.duration_ms::numeric / 1000)::numeric(18,2) AS engagement_seconds,
       (event.duration_ms::numeric / 1000 / nullif(content.length_seconds, 0))::numeric(18,2) AS engagement_pct
  FROM engagement_events AS event
  LEFT JOIN content ON content.id = event.content_id
