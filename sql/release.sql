-- Ends the drain of a Region: from the commit on, the observed state decides again. Run it as the operator role, through
-- the endpoint of any Region that works.
--
--   psql -v service=demo-prod -v target=dsql -v region=us-east-1 -v reason='done' -v actor=alice \
--        -f sql/release.sql
--
-- If the drain has already expired, the script only records its end. psql ends with 3, prints a sentence that says
-- why, and has changed nothing, when
--   the deployment or the Region is not known, or actor is empty;
--   the Region is not drained;
--   three attempts in a row met a conflict (40001, which DSQL names OC000 or OC001).
-- When psql ends with 2, the connection was lost and the release may have been committed: sql/show.sql shows it.
\set QUIET on
\set ON_ERROR_STOP off
\set VERBOSITY terse
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
        WHEN :'actor' = ''
        THEN 'actor is empty: give it as -v actor=NAME.'
        WHEN NOT EXISTS (SELECT 1 FROM beacon.intent
                          WHERE service = :'service' AND target = :'target' AND region = :'region'
                            AND forced IS NOT NULL)
        THEN :'region' || ' of ' || :'service' || ' is not drained, so there is nothing to release.'
            || ' Drained: ' || coalesce((SELECT string_agg(region, ', ' ORDER BY region) FROM beacon.intent
                                          WHERE service = :'service' AND target = :'target'
                                            AND forced IS NOT NULL AND (until IS NULL OR until > now())),
                                        'none') || '.'
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
SELECT gen_random_uuid(), now(), service, target, region, NULL, :'reason', :'actor', NULL
  FROM beacon.intent
 WHERE service = :'service' AND target = :'target' AND region = :'region' AND (until IS NULL OR until > now());
\if :ERROR
\else
UPDATE beacon.intent
   SET forced = NULL, changed_at = now(), until = NULL,
       reason = CASE WHEN until <= now() THEN 'expired: ' || reason ELSE :'reason' END,
       actor = CASE WHEN until <= now() THEN actor ELSE :'actor' END
 WHERE service = :'service' AND target = :'target' AND (region = :'region' OR until <= now());
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
\ir release.sql
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
\endif
