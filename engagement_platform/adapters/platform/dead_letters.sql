-- name: actions
-- What was done with the letters of a topic, those of one address after each other.
SELECT partition, "offset", kind, who, why, begun_at, ended_at, outcome, note
  FROM {schema}.letter_action
 WHERE topic_id = %(topic_id)s
 ORDER BY partition, "offset", number;

-- name: version
-- What grows with each action that begins or ends.
SELECT coalesce(max(number), 0) AS newest, count(ended_at) AS ended
  FROM {schema}.letter_action
 WHERE topic_id = %(topic_id)s;

-- name: begin
-- Note that letters are to be redriven or discarded, before it is done. What was left open for them ends by this.
WITH letter AS (
    SELECT * FROM unnest(%(partitions)s::int[], %(offsets)s::bigint[], %(event_ids)s::bigint[])
                  AS letter (partition, "offset", event_id)
), left_open AS (
    UPDATE {schema}.letter_action AS earlier
       SET ended_at = now(), outcome = 'failed', note = 'interrupted; done again'
      FROM letter
     WHERE earlier.topic_id = %(topic_id)s AND earlier.partition = letter.partition
       AND earlier."offset" = letter."offset" AND earlier.ended_at IS NULL
)
INSERT INTO {schema}.letter_action (topic_id, partition, "offset", event_id, kind, who, why)
SELECT %(topic_id)s, partition, "offset", event_id, %(kind)s, %(who)s, %(why)s FROM letter;

-- name: end
-- Note what came of it.
UPDATE {schema}.letter_action AS action
   SET ended_at = now(), outcome = ended.outcome, note = ended.note
  FROM unnest(%(partitions)s::int[], %(offsets)s::bigint[], %(outcomes)s::text[], %(notes)s::text[])
       AS ended (partition, "offset", outcome, note)
 WHERE action.topic_id = %(topic_id)s AND action.partition = ended.partition AND action."offset" = ended."offset"
   AND action.ended_at IS NULL;

-- name: alone
-- Take the right to act on letters, for as long as the session lasts. False where another session has it.
SELECT pg_try_advisory_lock(hashtextextended('{schema}.letters', 0)) AS is_alone;
