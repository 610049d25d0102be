-- name: present
-- The loops that are paused now.
SELECT loop, paused_at AS since, paused_by AS who, why
  FROM {schema}.pause
 WHERE resumed_at IS NULL
 ORDER BY loop;

-- name: pause
-- Pause a loop; no row where it is paused already.
INSERT INTO {schema}.pause (loop, paused_by, why)
VALUES (%(loop)s, %(who)s, %(why)s)
    ON CONFLICT (loop) WHERE resumed_at IS NULL DO NOTHING
RETURNING number;

-- name: resume
-- End a loop's pause; no row where it is not paused.
UPDATE {schema}.pause SET resumed_at = now(), resumed_by = %(who)s
 WHERE loop = %(loop)s AND resumed_at IS NULL
RETURNING number;
