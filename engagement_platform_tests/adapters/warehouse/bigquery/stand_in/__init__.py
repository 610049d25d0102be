"""A strict stand-in of BigQuery's REST API, for Google's own client over loopback.

It keeps to what Google documents where the platform depends on it, and refuses what it does not know. Every rule names
its page. Storage and SQL are DuckDB's, in memory; queries are translated by the platform's own translator, so this
tests how jobs behave, not BigQuery's SQL.

What it does not have: jobs that are cancelled, copied or exported; streaming inserts; transactions; tables that a job
creates; wildcard tables; views; several datasets in one query; the cache of results; who may see which job.
"""
