-- Shows the drains in every deployment of the cluster, and the last twenty changes. Run it as the operator role or admin.
--
--   psql -f sql/show.sql
--
-- A drain that expired after the last change is shown as "drain expired". It has no effect, and the next drain or
-- release of its deployment records its end.
\set ON_ERROR_STOP on

SELECT service, target, region,
       CASE WHEN forced IS NULL THEN 'not drained' WHEN until <= now() THEN 'drain expired' ELSE 'drained' END AS state,
       reason, actor, until
  FROM beacon.intent
 ORDER BY service, target, region;

SELECT at, service, target, region, coalesce(forced, 'none') AS forced, reason, actor, until
  FROM beacon.change
 ORDER BY at DESC
 LIMIT 20;
