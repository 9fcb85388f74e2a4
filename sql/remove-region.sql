-- Removes a Region of one deployment from the intents. Run it as admin, after its record and its stack are gone. A row
-- that stays counts as an undrained Region, so an operator could then drain the last Region that serves.
--
--   psql -v service=demo-prod -v target=dsql -v region=us-east-1 -f sql/remove-region.sql
--
-- psql ends with 3, and nothing has changed, in two cases. "one_region_at_least_stays_undrained" is violated: every
-- other Region is drained; release one first. 40001 (OC000, OC001): another session changed an intent or the catalogue
-- at the same moment; run it again. An unknown Region is no error, so you may run the script again. The rows in
-- beacon.change stay.
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
