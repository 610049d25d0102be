-- name: begin
-- Note an erasure before it is carried out, or go on with the one of this user that is not at its end.
INSERT INTO {schema}.erasure AS erasure (user_mark, who)
VALUES (%(mark)s, %(who)s)
    ON CONFLICT (user_mark) WHERE ended_at IS NULL OR message IS NOT NULL DO UPDATE SET who = excluded.who
RETURNING number;

-- name: note
-- Note what it came to at some sinks; that nothing was left to do takes nothing back of what was done before.
UPDATE {schema}.erasure AS erasure
   SET outcomes = outcomes || (SELECT coalesce(jsonb_object_agg(key, value), '{}')
                                 FROM jsonb_each(%(outcomes)s) AS new
                                WHERE value->>'state' <> 'nothing' OR NOT jsonb_exists(erasure.outcomes, key))
 WHERE number = %(number)s;

-- name: end
-- Note that all sinks were seen to.
UPDATE {schema}.erasure SET ended_at = now() WHERE number = %(number)s;

-- name: wait
-- Keep what the partner is to be told, until it has taken it. What waits already stays as it is: it has been sent, perhaps.
UPDATE {schema}.erasure
   SET message = %(message)s, after = %(after)s, outcomes = outcomes || %(outcomes)s
 WHERE number = %(number)s AND message IS NULL;

-- name: waiting
-- What the partner is to be told now, the oldest first; that of one erasure also while it rests.
SELECT number, message_id, message, after, tries FROM {schema}.erasure
 WHERE message IS NOT NULL AND (next_try_at <= now() OR number = %(number)s)
 ORDER BY number;

-- name: told
-- Forget what the partner has taken, and note that it has.
UPDATE {schema}.erasure
   SET message = NULL, tries = tries + 1, answer = '', outcomes = outcomes || %(outcomes)s
 WHERE number = %(number)s;

-- name: again
-- Let what the partner has not taken rest.
UPDATE {schema}.erasure
   SET tries = tries + 1, answer = %(answer)s, next_try_at = now() + make_interval(secs => %(seconds)s),
       outcomes = outcomes || %(outcomes)s
 WHERE number = %(number)s;

-- name: latest
-- The newest erasures, or that of one user; the newest first.
SELECT number, user_mark, who, begun_at, ended_at, outcomes, message_id, tries, answer
  FROM {schema}.erasure
 WHERE %(mark)s::text IS NULL OR user_mark = %(mark)s
 ORDER BY number DESC
 LIMIT %(n)s;

-- name: requests
-- Between which numbers requests to the partner are kept.
SELECT coalesce(min(number), 0) AS first, coalesce(max(number), -1) AS last FROM {schema}.delivery;

-- name: bodies
-- Forget what requests to the partner, and its answers, said of a user: those from one number to before another.
UPDATE {schema}.delivery
   SET body = CASE WHEN erased.in_body THEN NULL ELSE body END,
       response = CASE WHEN erased.in_response THEN '' ELSE response END
  FROM (SELECT number AS erased_number,
               EXISTS (SELECT FROM unnest(%(texts)s::text[]) AS text WHERE strpos(body, text) > 0) AS in_body,
               EXISTS (SELECT FROM unnest(%(texts)s::text[]) AS text WHERE strpos(response, text) > 0) AS in_response
          FROM {schema}.delivery
         WHERE number >= %(begin)s AND number < %(end)s) AS erased
 WHERE number = erased_number AND (in_body OR in_response)
RETURNING number;
