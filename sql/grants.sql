-- Lets one IAM role (or user) log in as one database role. As admin, once for each: the health and the publisher
-- function's role of each Region as the login role, the operators' as the operator role.
--
--   psql -v role=demo_prod -v arn=arn:aws:iam::123456789012:role/demo-prod-health-us-east-1 -f sql/grants.sql
\set ON_ERROR_STOP on

AWS IAM GRANT :"role" TO :'arn';
