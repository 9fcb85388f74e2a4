-- The database roles of one deployment. Run it as admin, after schema.sql. You may run it again: a role that exists
-- stays, and the script makes the grants again. After 40001 (OC000, OC001), another session has just changed the
-- catalogue: run it again.
--
--   psql -v login_role=demo_prod -v operator_role=demo_prod_operator -f sql/roles.sql
--
-- The functions log in as login_role (the template's DbUser), which reads the intents and nothing else.
-- operator_role may change the intents. sql/grants.sql names the IAM roles that may log in as each.
\set ON_ERROR_STOP on

-- PostgreSQL has no CREATE ROLE IF NOT EXISTS, and DSQL has no DO block, so psql decides.
SELECT NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = :'login_role') AS login_is_missing,
       NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = :'operator_role') AS operator_is_missing \gset

\if :login_is_missing
CREATE ROLE :"login_role" WITH LOGIN;
\endif
GRANT USAGE ON SCHEMA beacon TO :"login_role";
GRANT SELECT ON beacon.intent TO :"login_role";

\if :operator_is_missing
CREATE ROLE :"operator_role" WITH LOGIN;
\endif
GRANT USAGE ON SCHEMA beacon TO :"operator_role";
GRANT SELECT, UPDATE ON beacon.intent TO :"operator_role";
GRANT SELECT, UPDATE ON beacon.guard TO :"operator_role";
GRANT SELECT, INSERT ON beacon.change TO :"operator_role";
GRANT SELECT ON beacon.schema_version TO :"operator_role";
