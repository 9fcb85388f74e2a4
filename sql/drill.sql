-- Optional, for `beacon drill`: the table in which a drill's consumer writes rows, and its grant. Run it once per
-- deployment, as admin, after roles.sql; a second run changes nothing. After 40001 (OC000, OC001), run it again.
--
--   psql -v operator_role=demo_prod_operator -f sql/drill.sql
--
-- A drill reads its rows again at its end, and then deletes them. Without the table a drill writes no rows and says so.
\set ON_ERROR_STOP on

CREATE TABLE IF NOT EXISTS beacon.drill (
    id      uuid NOT NULL PRIMARY KEY,
    service text NOT NULL,
    drill   text NOT NULL,
    region  text NOT NULL,
    at      timestamptz NOT NULL
);

GRANT SELECT, INSERT, DELETE ON beacon.drill TO :"operator_role";
