-- Beacon's schema on Aurora DSQL. Once per cluster, as admin; a second run changes nothing.
--
--   psql -f sql/schema.sql
--
-- Each statement is a transaction of its own: DSQL takes one DDL statement in a transaction. After an error, run it
-- again: it continues where it stopped. So too after 40001 (OC000, OC001): another session has just changed the
-- catalogue, and the next attempt sees it.
\set ON_ERROR_STOP on

CREATE SCHEMA IF NOT EXISTS beacon;

-- What the operators want, a row per Region of a deployment. forced is NULL (nothing forced) or 'drain';
-- until is NULL until released. The health check reads this row with its SELECT.
CREATE TABLE IF NOT EXISTS beacon.intent (
    service    text NOT NULL,
    target     text NOT NULL,
    region     text NOT NULL,
    forced     text,
    reason     text,
    actor      text,
    until      timestamptz,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (service, target, region),
    CONSTRAINT region_is_a_region CHECK (region ~ '^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}$'),
    CONSTRAINT forced_is_drain_or_nothing CHECK (forced = 'drain'),
    CONSTRAINT a_drain_has_a_reason_and_an_actor CHECK (
        forced IS NULL OR (reason IS NOT NULL AND reason <> '' AND actor IS NOT NULL AND actor <> '')
    ),
    CONSTRAINT a_drain_ends_after_it_begins CHECK (until IS NULL OR (forced IS NOT NULL AND until > changed_at))
);

-- Every change of an intent; rows are only added, and at is their order. A drain that expires is recorded by the
-- next drain or release of its deployment: forced is NULL, the reason begins with 'expired: ', at is when it ended.
CREATE TABLE IF NOT EXISTS beacon.change (
    id      uuid NOT NULL PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT now(),
    service text NOT NULL,
    target  text NOT NULL,
    region  text NOT NULL,
    forced  text,
    reason  text,
    actor   text NOT NULL,
    until   timestamptz
);

-- One row per deployment, which every change of an intent updates: how many Regions that change leaves
-- undrained. Two operators who drain two Regions at the same moment both update it, so one of them gets a
-- conflict (40001); and no change can leave none.
CREATE TABLE IF NOT EXISTS beacon.guard (
    service   text NOT NULL,
    target    text NOT NULL,
    undrained integer NOT NULL,
    PRIMARY KEY (service, target),
    CONSTRAINT one_region_at_least_stays_undrained CHECK (undrained >= 1)
);

-- Which version of this file the tables are of: a row for each version that was applied, the highest one holds. A
-- cluster without this table is of version 1 and gets its row here. How the next version comes:
-- docs/adr/0014-schema-version.md.
CREATE TABLE IF NOT EXISTS beacon.schema_version (
    version integer NOT NULL PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT now()
);

INSERT INTO beacon.schema_version (version) VALUES (1) ON CONFLICT (version) DO NOTHING;
