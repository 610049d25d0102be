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

-- name: decide
-- Let so many refused events become dead letters.
INSERT INTO {schema}.forward_decision (consumer_group, events, who) VALUES (%(group)s, %(events)s, %(who)s);

-- name: take_decisions
-- What was decided within the last hour and not begun with: later, other events would be meant by it.
UPDATE {schema}.forward_decision SET taken_at = now()
 WHERE consumer_group = %(group)s AND taken_at IS NULL AND decided_at > now() - interval '1 hour'
RETURNING events;

-- name: give_back
-- Leave to the next run what is not used up of the last decision. Its hour goes on.
INSERT INTO {schema}.forward_decision (consumer_group, events, who, decided_at)
SELECT consumer_group, %(events)s, who, decided_at FROM {schema}.forward_decision
 WHERE consumer_group = %(group)s AND taken_at IS NOT NULL ORDER BY decided_at DESC LIMIT 1;
