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
       settled_by = '{}', recorded_at = now();

-- name: write_part
-- Keep where one of several shards stands in a topic, beside the partitions of the others. Up to when all of the topic is
-- settled is known once it is known of each partition. What a run that read all had told holds for each.
INSERT INTO {schema}.forward_position AS kept (consumer_group, topic, topic_id, next_offsets, settled_by)
VALUES (%(group)s, %(topic)s, %(topic_id)s, %(offsets)s, %(settled_by)s)
    ON CONFLICT (consumer_group, topic) DO UPDATE
   SET (topic_id, next_offsets, settled_by, settled_to, recorded_at) = (
       SELECT excluded.topic_id,
              CASE WHEN kept.topic_id = excluded.topic_id THEN kept.next_offsets ELSE '{}' END || excluded.next_offsets,
              merged.settled_by,
              (SELECT CASE WHEN count(part.value) >= %(partitions)s THEN min(part.value::timestamptz) END
                 FROM jsonb_each_text(merged.settled_by) AS part),
              now()
         FROM (SELECT CASE WHEN kept.topic_id <> excluded.topic_id THEN '{}'
                           WHEN kept.settled_by <> '{}' THEN kept.settled_by
                           ELSE coalesce((SELECT jsonb_object_agg(before.partition, kept.settled_to)
                                            FROM jsonb_object_keys(kept.next_offsets) AS before (partition)), '{}')
                      END || excluded.settled_by AS settled_by) AS merged);
