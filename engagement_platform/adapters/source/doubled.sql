-- name: doubled
-- A value by which a table is joined and that has several rows, with which the enrichment would return events several
-- times; no row where there is none. Nothing of the table is read where a unique index vouches for it, which a view has
-- not.
SELECT {by}::text AS value
  FROM {joined}
 WHERE NOT EXISTS (
       SELECT FROM pg_index
         JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
        WHERE indrelid = to_regclass({joined_name}) AND indisunique AND indisvalid AND indnkeyatts = 1
          AND attname = {by_name} AND indpred IS NULL)
   AND {by} IS NOT NULL
 GROUP BY {by}
HAVING count(*) > 1
 LIMIT 1
