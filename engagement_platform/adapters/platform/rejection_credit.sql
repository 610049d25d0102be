-- Statements of what loops may still give up. `loop` is a loop's name, or the group of forward.

-- name: left
-- What a loop has left; no row where it has never given anything up.
SELECT credit FROM {schema}.rejection_credit WHERE loop = %(loop)s;

-- name: change
-- Add to what a loop has left, or take from it; :first is what one has that has never given anything up.
INSERT INTO {schema}.rejection_credit AS kept (loop, credit)
VALUES (%(loop)s, least(%(most)s, greatest(0, %(first)s + %(change)s)))
    ON CONFLICT (loop) DO UPDATE
   SET credit = least(%(most)s, greatest(0, kept.credit + %(change)s)), changed_at = now();
