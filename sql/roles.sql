-- The database roles of one deployment. Once per deployment, as admin, after schema.sql; a second run stops at
-- the role that exists.
--
--   psql -v login_role=demo_prod -v operator_role=demo_prod_operator -f sql/roles.sql
--
-- login_role (the template's DbUser) is what the functions log in as: it reads the intents and nothing else.
-- operator_role may change them. sql/grants.sql says which IAM roles may log in as either.
\set ON_ERROR_STOP on

CREATE ROLE :"login_role" WITH LOGIN;
GRANT USAGE ON SCHEMA beacon TO :"login_role";
GRANT SELECT ON beacon.intent TO :"login_role";

CREATE ROLE :"operator_role" WITH LOGIN;
GRANT USAGE ON SCHEMA beacon TO :"operator_role";
GRANT SELECT, UPDATE ON beacon.intent TO :"operator_role";
GRANT SELECT, UPDATE ON beacon.guard TO :"operator_role";
GRANT SELECT, INSERT ON beacon.change TO :"operator_role";
