-- Forgets a Region of one deployment. As admin, after its record and its stack are gone: a row that stays behind
-- counts as an undrained Region, and would let the last one that really serves be drained.
--
--   psql -v service=demo-prod -v target=dsql -v region=us-east-1 -f sql/remove-region.sql
--
-- psql ends with 3, and nothing has changed, when "one_region_at_least_stays_undrained" is violated: every other
-- Region is drained; release one first. Or with 40001 (OC000, OC001): another session changed an intent or the
-- catalogue at the same moment; run it again. A Region that is not there is no error, so it may be run again. The audit
-- in beacon.change stays.
\set ON_ERROR_STOP on

BEGIN;

DELETE FROM beacon.intent
 WHERE service = :'service' AND target = :'target' AND region = :'region';

UPDATE beacon.guard
   SET undrained = (
           SELECT count(*) FROM beacon.intent
            WHERE service = :'service' AND target = :'target' AND (forced IS NULL OR until <= now())
       )
 WHERE service = :'service' AND target = :'target';

COMMIT;

SELECT region, forced, reason, actor, until
  FROM beacon.intent
 WHERE service = :'service' AND target = :'target'
 ORDER BY region;
