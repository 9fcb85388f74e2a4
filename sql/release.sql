-- Ends the drain of a Region: from the commit on, what is observed decides again. As the operator role, through
-- any Region's endpoint. Releasing a Region that is not drained is recorded and changes nothing else.
--
--   psql -v service=demo-prod -v target=dsql -v region=us-east-1 -v reason='done' -v actor=alice \
--        -f sql/release.sql
--
-- psql ends with 3, and nothing has changed, when
--   "region" is NULL: there is no such Region (sql/regions.sql names them);
--   40001: somebody changed an intent at the same moment. Look, then run it again.
\set ON_ERROR_STOP on

BEGIN;

UPDATE beacon.intent
   SET forced = NULL, reason = :'reason', actor = :'actor', changed_at = now(), until = NULL
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
    NULL, :'reason', :'actor', NULL
);

COMMIT;

SELECT region, forced, reason, actor, until
  FROM beacon.intent
 WHERE service = :'service' AND target = :'target'
 ORDER BY region;
