-- Drains a Region: from the commit on, every Region's health check and publisher sees it. As the operator role,
-- through any Region's endpoint.
--
--   psql -v service=demo-prod -v target=dsql -v region=us-east-1 -v reason='maintenance' -v actor=alice \
--        -v minutes=30 -f sql/drain.sql
--
-- minutes is how long the drain lasts; without it, or empty, until released. The end is judged by the database's
-- clock. psql ends with 3, and nothing has changed, when
--   "one_region_at_least_stays_undrained" is violated: this is the last Region that is not drained;
--   "region" is NULL: there is no such Region (sql/regions.sql names them);
--   40001: somebody changed an intent at the same moment. Look, then run it again.
\set ON_ERROR_STOP on
\if :{?minutes}
\else
\set minutes ''
\endif

BEGIN;

UPDATE beacon.intent
   SET forced = 'drain', reason = :'reason', actor = :'actor', changed_at = now(),
       until = now() + CAST(NULLIF(:'minutes', '') AS numeric) * INTERVAL '1 minute'
 WHERE service = :'service' AND target = :'target' AND region = :'region';

UPDATE beacon.guard
   SET undrained = (
           SELECT count(*) FROM beacon.intent
            WHERE service = :'service' AND target = :'target' AND (forced IS NULL OR until <= now())
       )
 WHERE service = :'service' AND target = :'target';

INSERT INTO beacon.change (id, service, target, region, forced, reason, actor, until)
VALUES (
    gen_random_uuid(), :'service', :'target',
    (SELECT region FROM beacon.intent
      WHERE service = :'service' AND target = :'target' AND region = :'region'),
    'drain', :'reason', :'actor',
    now() + CAST(NULLIF(:'minutes', '') AS numeric) * INTERVAL '1 minute'
);

COMMIT;

SELECT region, forced, reason, actor, until
  FROM beacon.intent
 WHERE service = :'service' AND target = :'target'
 ORDER BY region;
