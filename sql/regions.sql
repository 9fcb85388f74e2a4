-- Names the Regions of one deployment. As admin, after schema.sql; again whenever a Region is added. It leaves
-- the intents that exist as they are.
--
--   psql -v service=demo-prod -v target=dsql -v regions=us-east-1,us-east-2 -f sql/regions.sql
\set ON_ERROR_STOP on

BEGIN;

INSERT INTO beacon.intent (service, target, region)
SELECT :'service', :'target', btrim(named.region)
  FROM unnest(string_to_array(:'regions', ',')) AS named (region)
ON CONFLICT (service, target, region) DO NOTHING;

INSERT INTO beacon.guard (service, target, undrained)
SELECT :'service', :'target', count(*)
  FROM beacon.intent
 WHERE service = :'service' AND target = :'target'
   AND (forced IS NULL OR until <= now())
ON CONFLICT (service, target) DO UPDATE SET undrained = EXCLUDED.undrained;

COMMIT;
