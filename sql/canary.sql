-- Optional, for the parameter WriteCanary: the table in which the publisher commits a row per minute, and its grant.
-- Run it once per deployment, as admin, after roles.sql; a second run changes nothing. After 40001 (OC000, OC001),
-- run it again.
--
--   psql -v login_role=demo_prod -f sql/canary.sql
--
-- One row per Region of a deployment, overwritten each time.
\set ON_ERROR_STOP on

CREATE TABLE IF NOT EXISTS beacon.canary (
    service    text NOT NULL,
    target     text NOT NULL,
    region     text NOT NULL,
    written_at timestamptz NOT NULL,
    PRIMARY KEY (service, target, region)
);

-- SELECT, because ON CONFLICT reads the key.
GRANT SELECT, INSERT, UPDATE ON beacon.canary TO :"login_role";
