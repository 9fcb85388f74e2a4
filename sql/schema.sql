-- Beacon's schema on Aurora DSQL. Run it once per cluster, as admin; a second run changes nothing.
--
--   psql -f sql/schema.sql
--
-- Each statement is its own transaction: DSQL accepts one DDL statement in a transaction. After an error, run it
-- again: it continues where it stopped. After 40001 (OC000, OC001), another session has just changed the
-- catalogue: run it again.
\set ON_ERROR_STOP on

CREATE SCHEMA IF NOT EXISTS beacon;

-- The operators' intents, a row per Region of a deployment. forced is NULL (nothing forced) or 'drain'. until is the
-- end of the drain; NULL means until it is released. The health check reads this row with its SELECT.
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

-- Every change of an intent. Rows are only added, and ordered by at. The next drain or release of a deployment records
-- a drain that has expired: forced is NULL, the reason begins with 'expired: ', and at is when it ended.
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

-- One row per deployment: how many Regions are undrained after the last change. Every change of an intent updates it.
-- If two operators drain two Regions at the same moment, both update the row, so one of them gets a conflict (40001).
-- The constraint refuses a change that would leave no Region undrained.
CREATE TABLE IF NOT EXISTS beacon.guard (
    service   text NOT NULL,
    target    text NOT NULL,
    undrained integer NOT NULL,
    PRIMARY KEY (service, target),
    CONSTRAINT one_region_at_least_stays_undrained CHECK (undrained >= 1)
);

-- The version of this file that made the tables: a row for each applied version, of which the highest counts. A
-- cluster without this table has version 1 and gets its row here. docs/adr/0014-schema-version.md describes the next
-- version.
CREATE TABLE IF NOT EXISTS beacon.schema_version (
    version integer NOT NULL PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT now()
);

INSERT INTO beacon.schema_version (version) VALUES (1) ON CONFLICT (version) DO NOTHING;
