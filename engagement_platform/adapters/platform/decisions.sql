-- name: decide
-- Let a loop give up so many messages. `consumer_group` is that of forward, or the name of another loop.
INSERT INTO {schema}.forward_decision (consumer_group, events, who) VALUES (%(subject)s, %(events)s, %(who)s);

-- name: take
-- What was decided within the last hour and not begun with: later, other messages would be meant by it.
UPDATE {schema}.forward_decision SET taken_at = now()
 WHERE consumer_group = %(subject)s AND taken_at IS NULL AND decided_at > now() - interval '1 hour'
RETURNING events;

-- name: give_back
-- Leave to the next run what is not used up of the last decision. Its hour goes on.
INSERT INTO {schema}.forward_decision (consumer_group, events, who, decided_at)
SELECT consumer_group, %(events)s, who, decided_at FROM {schema}.forward_decision
 WHERE consumer_group = %(subject)s AND taken_at IS NOT NULL ORDER BY decided_at DESC LIMIT 1;

-- name: left
-- What a loop has left; no row where it has never given anything up.
SELECT credit FROM {schema}.rejection_credit WHERE loop = %(loop)s;

-- name: change
-- Add to what a loop has left, or take from it; :first is what one has that has never given anything up.
INSERT INTO {schema}.rejection_credit AS kept (loop, credit)
VALUES (%(loop)s, least(%(most)s, greatest(0, %(first)s + %(change)s)))
    ON CONFLICT (loop) DO UPDATE
   SET credit = least(%(most)s, greatest(0, kept.credit + %(change)s)), changed_at = now();
