-- name: may_create
-- Whether the schema exists, or the role may create it.
SELECT has_database_privilege(current_database(), 'CREATE')
    OR EXISTS (SELECT FROM pg_namespace WHERE nspname = 'engagement_platform' AND pg_get_userbyid(nspowner) = current_user)
