-- Lets one IAM role (or user) log in as one database role. Run it as admin, once for each role: the health and the
-- publisher function's role of each Region as the login role, the operators' as the operator role. You may run it again.
-- AWS does not say whether DSQL accepts the same grant twice. If it answers with an error, the grant is still there:
-- SELECT arn, pg_role_name FROM sys.iam_pg_role_mappings shows it. After 40001 (OC000, OC001), run it again.
--
--   psql -v role=demo_prod -v arn=arn:aws:iam::123456789012:role/demo-prod-health-us-east-1 -f sql/grants.sql
\set ON_ERROR_STOP on

AWS IAM GRANT :"role" TO :'arn';
