-- Alerts are of all streams, and of Dagster: they are in one schema, whatever the stream. Every time is the database's.

-- name: now
-- The time, in seconds since 1970.
SELECT extract(epoch FROM clock_timestamp())::float AS now;

-- name: begin
-- Make the row of a code location where there is none, from what was remembered before each had one.
INSERT INTO engagement_platform.location_watch (location, looked_at, memories)
SELECT %(location)s, coalesce(max(looked_at), 0), coalesce(max(memories::text), '[]')::jsonb
  FROM engagement_platform.alert_watch
 WHERE looked_at > extract(epoch FROM now()) - 86400
    ON CONFLICT DO NOTHING;

-- name: watch
-- What a code location remembers; others who look for it wait meanwhile.
SELECT looked_at, memories FROM engagement_platform.location_watch WHERE location = %(location)s FOR UPDATE;

-- name: remember
-- Keep what is remembered now.
UPDATE engagement_platform.location_watch SET looked_at = %(looked_at)s, memories = %(memories)s
 WHERE location = %(location)s;

-- name: given_up
-- Which of these messages nobody has taken, and for so long none of them is tried any more.
SELECT id FROM engagement_platform.alert
 WHERE id = ANY(%(ids)s) AND outcome <> 'delivered' AND ended_at < now() - make_interval(secs => %(rest)s);

-- name: add
-- Let a message wait for its receiver, once; again, behind all others, where it was given up.
INSERT INTO engagement_platform.alert AS waiting (id, message) VALUES (%(id)s, %(message)s)
    ON CONFLICT (id) DO UPDATE
   SET number = DEFAULT, message = excluded.message, made_at = now(), tries = 0, next_try_at = now(),
       ended_at = NULL, outcome = NULL, answer = ''
 WHERE waiting.outcome <> 'delivered';

-- name: alone
-- Take the right to deliver, for as long as the session lasts. False where another session has it.
SELECT pg_try_advisory_lock(hashtextextended('engagement_platform.alerts', 0)) AS is_alone;

-- name: bound
-- Drop what has waited for too long, and the oldest of too many.
UPDATE engagement_platform.alert AS waiting
   SET ended_at = now(), outcome = CASE WHEN made_at < now() - make_interval(secs => %(longest)s) THEN 'expired'
                                        ELSE 'dropped' END
 WHERE ended_at IS NULL
   AND (made_at < now() - make_interval(secs => %(longest)s)
        OR number <= (SELECT number FROM engagement_platform.alert WHERE ended_at IS NULL
                       ORDER BY number DESC OFFSET %(most)s LIMIT 1));

-- name: first
-- The message whose turn it is, the oldest that waits; and for how long it is still to rest.
SELECT number, id, message, tries, greatest(0, extract(epoch FROM next_try_at - now()))::float AS rest_seconds
  FROM engagement_platform.alert
 WHERE ended_at IS NULL
 ORDER BY number LIMIT 1;

-- name: end
-- Note what became of a message.
UPDATE engagement_platform.alert
   SET ended_at = now(), outcome = %(outcome)s, tries = tries + 1, answer = %(answer)s
 WHERE number = %(number)s AND ended_at IS NULL;

-- name: again
-- Let a message rest, after a try in vain.
UPDATE engagement_platform.alert
   SET tries = tries + 1, answer = %(answer)s, next_try_at = now() + make_interval(secs => %(seconds)s)
 WHERE number = %(number)s AND ended_at IS NULL;

-- name: wake
-- Let what waits be tried at once.
UPDATE engagement_platform.alert SET next_try_at = now() WHERE ended_at IS NULL AND next_try_at > now();

-- name: standing
-- How many messages wait, since when, and what the receiver answered last to the first of them; how many of the last day
-- nobody has taken.
SELECT count(*) FILTER (WHERE ended_at IS NULL) AS waiting,
       extract(epoch FROM min(made_at) FILTER (WHERE ended_at IS NULL))::float AS since,
       coalesce((SELECT answer FROM engagement_platform.alert WHERE ended_at IS NULL ORDER BY number LIMIT 1), '')
           AS answer,
       count(*) FILTER (WHERE outcome <> 'delivered' AND ended_at > now() - interval '1 day') AS given_up
  FROM engagement_platform.alert
 WHERE ended_at IS NULL OR ended_at > now() - interval '1 day';

-- name: prune
-- Forget the messages that have ended so long ago.
DELETE FROM engagement_platform.alert WHERE ended_at < now() - make_interval(hours => %(hours)s);

-- name: prune_watches
-- Forget the code locations that have not looked for so long.
DELETE FROM engagement_platform.location_watch WHERE looked_at < extract(epoch FROM now()) - 3600.0 * %(hours)s;
