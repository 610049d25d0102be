-- name: all
-- Every form, in the order of the numbers.
SELECT number, form FROM {schema}.stream_schema ORDER BY number;

-- name: noting
-- Let one after the other note forms, until the transaction ends, so that each sees what was noted before.
SELECT pg_advisory_xact_lock(hashtextextended('{schema}.stream_schema', 0));

-- name: put_back
-- Enter forms under the numbers that they had, where neither the number nor the form is there; returns those numbers.
INSERT INTO {schema}.stream_schema (number, hash, form)
SELECT number, hash, form
  FROM unnest(%(numbers)s::integer[], %(hashes)s::text[], %(forms)s::text[]) AS lost(number, hash, form)
    ON CONFLICT DO NOTHING
RETURNING number;

-- name: note
-- The number of a form: the one that it has, or else the next; at least :at_least.
WITH noted AS (
    INSERT INTO {schema}.stream_schema (number, hash, form)
    SELECT greatest(coalesce(max(number), 0) + 1, %(at_least)s), %(hash)s, %(form)s FROM {schema}.stream_schema
        ON CONFLICT (hash) DO NOTHING
    RETURNING number)
SELECT number FROM noted
 UNION ALL
SELECT number FROM {schema}.stream_schema WHERE hash = %(hash)s;
