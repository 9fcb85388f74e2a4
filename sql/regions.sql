-- Names the Regions of one deployment. Run it as admin, after schema.sql, and again whenever you add a Region. It leaves
-- existing intents as they are, and you may run it again. psql ends with 3, and nothing has changed, in two cases.
-- "region_is_a_region" is violated: one of the names is not a Region; correct it. 40001 (OC000, OC001): another session
-- changed an intent or the catalogue at the same moment; run it again.
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
