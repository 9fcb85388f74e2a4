-- Drains a Region: from the commit on, every Region's health check and publisher sees it. Run it as the operator role,
-- through the endpoint of a Region that works: the runbook's "Log in as an operator" has the block to copy.
--
--   psql -v service=demo-prod -v target=dsql -v region=us-east-1 -v reason='maintenance' -v actor=alice \
--        -v minutes=30 -f sql/drain.sql
--
-- minutes is how long the drain lasts. Without it, or if it is empty, the drain lasts until it is released. The
-- database's clock decides when it ends.
--
-- FIRST see that another Region serves. This transaction knows the intents of all Regions, and not their health.
-- If you drain the only healthy Region, Route 53 finds all of them unhealthy, answers as if all were healthy, and can
-- send clients to a broken Region:
--
--   aws route53 get-health-check-status --health-check-id THE_OTHER_REGIONS_ID \
--       --query 'HealthCheckObservations[].StatusReport.Status' --output text
--
-- You may run it again: a drained Region gets the new reason, actor and end. psql ends with 3, prints a sentence
-- that says why, and has changed nothing, when
--   the deployment or the Region is not known, or reason or actor is empty;
--   this is the last Region that is not drained;
--   three attempts in a row met a conflict (40001, which DSQL names OC000 or OC001).
-- When psql ends with 2, the connection was lost and the drain may have been committed: sql/show.sql shows it.
\set QUIET on
\set ON_ERROR_STOP off
\set VERBOSITY terse
\if :{?minutes}
\else
\set minutes ''
\endif
\if :{?attempt}
\else
\set attempt 1
\endif
\set in_transaction on

BEGIN;

SELECT refusal, refusal <> '' AS refused FROM (
    SELECT CASE
        WHEN NOT EXISTS (SELECT 1 FROM beacon.intent WHERE service = :'service' AND target = :'target')
        THEN 'There is no deployment ' || :'service' || ' with target ' || :'target' || '. Deployments here: '
            || coalesce((SELECT string_agg(DISTINCT service || ' with target ' || target, ', ')
                           FROM beacon.intent), 'none') || '.'
        WHEN NOT EXISTS (SELECT 1 FROM beacon.intent
                          WHERE service = :'service' AND target = :'target' AND region = :'region')
        THEN :'service' || ' has no Region ' || :'region' || '. Its Regions: '
            || (SELECT string_agg(region, ', ' ORDER BY region) FROM beacon.intent
                 WHERE service = :'service' AND target = :'target') || '.'
        WHEN :'reason' = ''
        THEN 'reason is empty: give it as -v reason=TEXT.'
        WHEN :'actor' = ''
        THEN 'actor is empty: give it as -v actor=NAME.'
        WHEN CAST(NULLIF(:'minutes', '') AS numeric) <= 0
        THEN 'A drain lasts more than 0 minutes, not ' || :'minutes' || '.'
        WHEN NOT EXISTS (SELECT 1 FROM beacon.intent
                          WHERE service = :'service' AND target = :'target' AND region <> :'region'
                            AND (forced IS NULL OR until <= now()))
        THEN :'region' || ' is the last Region of ' || :'service'
            || ' that is not drained, so it stays. Release another one first: sql/release.sql.'
        ELSE ''
    END AS refusal
) AS checked \gset
\if :ERROR
\elif :refused
\else

-- Drains that have expired are recorded now, with the time at which they ended: DSQL has no scheduler to do it then.
INSERT INTO beacon.change (id, at, service, target, region, forced, reason, actor, until)
SELECT gen_random_uuid(), until, service, target, region, NULL, 'expired: ' || reason, actor, until
  FROM beacon.intent
 WHERE service = :'service' AND target = :'target' AND until <= now()
 UNION ALL
SELECT gen_random_uuid(), now(), :'service', :'target', :'region', 'drain', :'reason', :'actor',
       now() + CAST(NULLIF(:'minutes', '') AS numeric) * INTERVAL '1 minute';
\if :ERROR
\else
UPDATE beacon.intent
   SET forced = NULL, reason = 'expired: ' || reason, changed_at = now(), until = NULL
 WHERE service = :'service' AND target = :'target' AND region <> :'region' AND until <= now();
\endif
\if :ERROR
\else
UPDATE beacon.intent
   SET forced = 'drain', reason = :'reason', actor = :'actor', changed_at = now(),
       until = now() + CAST(NULLIF(:'minutes', '') AS numeric) * INTERVAL '1 minute'
 WHERE service = :'service' AND target = :'target' AND region = :'region';
\endif
\if :ERROR
\else
UPDATE beacon.guard
   SET undrained = (
           SELECT count(*) FROM beacon.intent
            WHERE service = :'service' AND target = :'target' AND (forced IS NULL OR until <= now())
       )
 WHERE service = :'service' AND target = :'target';
\endif
\if :ERROR
\else
\set in_transaction off
COMMIT;
\endif
\endif

\if :ERROR
\set failure :SQLSTATE
\if :in_transaction
ROLLBACK;
\endif
SELECT :'failure' IN ('40001', 'OC000', 'OC001') AS conflict,
       :'failure' IN ('40001', 'OC000', 'OC001') AND CAST(:'attempt' AS integer) < 3 AS again,
       :'failure' = '42601' AS unset, CAST(:'attempt' AS integer) + 1 AS attempt \gset
\if :again
\warn 'A conflict with another change: trying again.'
-- psql reads this setting before the included file starts, and applies it after the file ends.
\set ON_ERROR_STOP on
\ir drain.sql
\else
\unset attempt
\if :conflict
\warn 'Nothing has changed: three attempts met a conflict with another change.'
\warn 'Look at the present state (sql/show.sql), then run this again.'
\elif :unset
\warn 'Nothing has changed. Is a variable missing? service, target, region, reason and actor are needed.'
\else
\warn 'Nothing has changed: the error above says why.'
\endif
-- psql has no command that ends a script with an error. A statement that fails does.
\set ON_ERROR_STOP on
\set VERBOSITY sqlstate
SELECT CAST('refused' AS boolean);
\endif
\elif :refused
ROLLBACK;
\unset attempt
\warn :refusal
\warn 'Nothing has changed.'
\set ON_ERROR_STOP on
\set VERBOSITY sqlstate
SELECT CAST('refused' AS boolean);
\else
\unset attempt
\set ON_ERROR_STOP on
SELECT region, CASE WHEN forced IS NULL THEN 'not drained' WHEN until <= now() THEN 'drain expired'
                    ELSE 'drained' END AS state, reason, actor, until
  FROM beacon.intent
 WHERE service = :'service' AND target = :'target'
 ORDER BY region;
\echo 'This was checked against intents, not health. If no other Region is healthy, release this one now.'
\endif
