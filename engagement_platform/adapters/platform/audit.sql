-- name: begin
-- Note a change before it is made.
INSERT INTO {schema}.audit (who, action, subject, detail)
VALUES (%(who)s, %(action)s, %(subject)s, %(detail)s)
RETURNING number;

-- name: end
-- Note how a change ended.
UPDATE {schema}.audit SET ended_at = now(), outcome = %(outcome)s
 WHERE number = %(number)s;

-- name: latest
-- The newest changes of an action, or of all; the newest first.
SELECT number, begun_at, who, action, subject, detail, ended_at, outcome
  FROM {schema}.audit
 WHERE %(action)s::text IS NULL OR action = %(action)s
 ORDER BY number DESC
 LIMIT %(n)s;
