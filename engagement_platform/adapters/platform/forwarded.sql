-- name: read
-- Where forward stood in a topic.
SELECT topic_id, next_offsets, settled_to, recorded_at FROM {schema}.forward_position
 WHERE consumer_group = %(group)s AND topic = %(topic)s;

-- name: write
-- Keep where forward stands in a topic.
INSERT INTO {schema}.forward_position (consumer_group, topic, topic_id, next_offsets, settled_to)
VALUES (%(group)s, %(topic)s, %(topic_id)s, %(offsets)s, %(settled_to)s)
    ON CONFLICT (consumer_group, topic) DO UPDATE
   SET topic_id = excluded.topic_id, next_offsets = excluded.next_offsets, settled_to = excluded.settled_to,
       recorded_at = now();
