"""A good deployment passes every check; each seeded fault is found by its own check, and by no other."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.cli.doctor.good import (
    ARNS,
    RANGES,
    ROLES,
    TOKEN,
    TOPIC,
    cluster,
    config,
    database,
    facts,
    found,
    parameters,
    record,
    seen,
    stack,
    wiring,
)
from tests.unit.cli.situations import FAR, HOSTS, NEAR, NOW, ago, check, forced, published, state

from beacon_cli.doctor.examine import CHECKS, examine, passes
from beacon_cli.doctor.facts import (
    Absent,
    ApiPolicy,
    Drills,
    Facts,
    HealthCheckQuota,
    LambdaFacts,
    RoleLogin,
    Schedule,
    Store,
    Token,
)
from beacon_cli.doctor.result import Level
from beacon_cli.schema.found import Intents
from beacon_cli.situation.model import Alarm, Canary, Known, RecordAnswer, Unknown

STRANGER = f"{'z' * 26}.dsql.{FAR}.on.aws"
FAIL, WARNING = Level.FAIL, Level.WARNING


def with_both(**changed: str) -> Facts:
    """A parameter of the near Region's stack, in the file as well: no drift."""
    return facts({"file": parameters(NEAR) | changed}, situation=seen({"stack": stack(NEAR, **changed)}))


def expired() -> Facts:
    rows = forced().value
    row = replace(rows.states[0], until=ago(600), actor="alice")
    return facts(situation=seen(forced=Known(replace(rows, states=(row, rows.states[1])))))


SEEDED: list[tuple[str, Callable[[], Facts], str, Level]] = [
    ("the DbUser of one Region is another", lambda: with_both(DbUser="other"), "parameters-equal", FAIL),
    ("one Region ranks by priority", lambda: facts(
        situation=seen({"stack": stack(NEAR, Ranking="priority")}, {"stack": stack(FAR, Ranking="latency")})
    ), "parameters-equal", WARNING),
    ("two Regions are PRIMARY", lambda: facts(
        situation=seen(far={"stack": stack(FAR, FailoverRole="PRIMARY")}),
        regions=(facts().regions[0], replace(
            facts().regions[1], file=parameters(FAR) | {"FailoverRole": "PRIMARY"}
        )),
        records=Known((record(NEAR), record(FAR, failover="PRIMARY"))),
    ), "parameters-different", FAIL),
    ("PeerEndpoints names an old endpoint", lambda: with_both(
        PeerEndpoints=f"{FAR}={'z' * 26}.dsql.{FAR}.on.aws"
    ), "parameters-different", FAIL),
    ("the stack was changed beside the file", lambda: facts(
        {"file": parameters(NEAR) | {"LogRetentionDays": "7"}},
        situation=seen({"stack": stack(NEAR, LogRetentionDays="365")}),
    ), "file-and-stack", WARNING),
    ("the file's token is the example's", lambda: facts(
        regions=tuple(replace(one, file_token=Token.of("REPLACE_ME")) for one in facts().regions),
        configs=Unknown("it is not looked at"),
    ), "token-of-file", FAIL),
    ("one check sends another token", lambda: facts(
        {"file_token": None, "policy": Known(ApiPolicy(RANGES, Token.of("b" * 32)))},
        configs=Known((config(NEAR, token=Token.of("b" * 32)), config(FAR))),
    ), "token-of-paths", FAIL),
    ("the API admits an older token", lambda: facts(
        {"policy": Known(ApiPolicy(RANGES, Token.of("a" * 32)))}
    ), "token-of-paths", FAIL),
    ("the token is short", lambda: facts(
        regions=tuple(
            replace(one, file_token=None, policy=Known(ApiPolicy(RANGES, Token.of("short"))))
            for one in facts().regions
        ),
        configs=Known((config(NEAR, token=Token.of("short")), config(FAR, token=Token.of("short")))),
    ), "token-of-paths", FAIL),
    ("a check requests another path", lambda: facts(
        configs=Known((config(NEAR, token=None), config(FAR)))
    ), "token-of-paths", FAIL),
    ("a stack was rolled back at its creation", lambda: facts(
        situation=seen({"stack": stack(NEAR, "ROLLBACK_COMPLETE")})
    ), "stack-state", FAIL),
    ("one Region runs an older template", lambda: facts(
        {"template": Known("older")}
    ), "stack-version", WARNING),
    ("a cluster is being deleted", lambda: facts(
        {"cluster": cluster(NEAR, status="PENDING_DELETE")}
    ), "clusters-active", FAIL),
    ("the clusters are not linked", lambda: facts(
        {"cluster": cluster(NEAR, linked=frozenset({ARNS[NEAR]}))}
    ), "clusters-linked", FAIL),
    ("the schema is missing a table", lambda: facts(
        database=database(tables={k: v for k, v in found().tables.items() if k != "change"})
    ), "schema", FAIL),
    ("a grant is missing", lambda: facts(
        database=database(
            privileges={k: v for k, v in found().privileges.items() if k != ("probe", "intent")}
        )
    ), "grants", FAIL),
    ("a function's IAM role is not mapped", lambda: facts(
        database=database(mappings=found().mappings - {("probe", ROLES[NEAR]["health"])})  # type: ignore[operator]
    ), "mappings", FAIL),
    ("a Region has no row", lambda: facts(
        database=database(intents=Intents(frozenset({NEAR}), (1, 1), 1))
    ), "rows", FAIL),
    ("the operators' role cannot log in", lambda: facts(
        logins=Known((RoleLogin(NEAR, "beacon_operator", "access denied"),))
    ), "logins", FAIL),
    ("a drain is in force", lambda: facts(
        situation=seen({"check": check(NEAR, passed=0)}, forced=forced(NEAR))
    ), "drains", WARNING),
    ("a drain has expired and its row is left", expired, "drains", WARNING),
    ("a check is inverted", lambda: facts(
        configs=Known((config(NEAR, inverted=True), config(FAR)))
    ), "checks-on", FAIL),
    ("a check is disabled", lambda: facts(
        configs=Known((config(NEAR, disabled=True), config(FAR)))
    ), "checks-on", FAIL),
    ("a check has another interval than its stack", lambda: facts(
        configs=Known((config(NEAR, interval_s=30), config(FAR)))
    ), "check-of-stack", FAIL),
    ("a Region has two checks", lambda: facts(
        configs=Known((config(NEAR), config(NEAR, id="left"), config(FAR)))
    ), "check-of-stack", WARNING),
    ("most checkers fail", lambda: facts(situation=seen({"check": check(NEAR, passed=2)})), "checkers", FAIL),
    ("a record follows the other Region's check", lambda: facts(
        records=Known((record(NEAR, check_id=f"id-{FAR}"), record(FAR)))
    ), "records-paired", FAIL),
    ("a record has no check", lambda: facts(
        records=Known((record(NEAR, check_id=""), record(FAR)))
    ), "records-paired", FAIL),
    ("a record of a removed Region is left", lambda: facts(
        records=Known((record(NEAR), record(FAR), record(FAR, set_identifier="shop-test-eu-west-1")))
    ), "records-paired", WARNING),
    ("a record leads to the other Region", lambda: facts(
        records=Known((record(NEAR, target=HOSTS[FAR]), record(FAR)))
    ), "records-target", FAIL),
    ("a record's TTL was raised by hand", lambda: facts(
        records=Known((record(NEAR, ttl_s=300), record(FAR)))
    ), "ttl", FAIL),
    ("DNS answers a stranger", lambda: facts(
        situation=seen(authoritative=Known(RecordAnswer("db.old.test", "", 10, "192.0.2.53")))
    ), "dns", FAIL),
    ("AWS has a new range", lambda: facts(
        checker_ranges=Known(RANGES | {"198.51.100.0/24"})
    ), "checker-ranges", FAIL),
    ("health checks are nearly used up", lambda: facts(
        quota=Known(HealthCheckQuota(190, 200))
    ), "health-check-quota", WARNING),
    ("a reservation was removed", lambda: facts(
        {"functions": Known(LambdaFacts(1000, 999, 0, 1))}
    ), "concurrency", FAIL),
    ("the account's limit is too low", lambda: facts(
        {"functions": Known(LambdaFacts(120, 99, 20, 1))}
    ), "concurrency", FAIL),
    ("a document has nearly no room in SSM", lambda: facts(
        {"store": Known(Store(0.0, 3900))}
    ), "document-size", WARNING),
    ("the schedule is off", lambda: facts(
        {"schedule": Known(Schedule(enabled=False, expression="rate(1 minute)"))}
    ), "schedule", FAIL),
    ("runs of the publisher fail", lambda: facts({"publisher_errors": Known(3)}), "publisher-runs", WARNING),
    ("a document is stale", lambda: facts(
        situation=seen({"document": published(NEAR, as_of=ago(900), valid_until=ago(600))})
    ), "document-age", FAIL),
    ("a document names an endpoint that is not in the file", lambda: facts(
        situation=seen({"document": published(NEAR, state(NEAR), state(FAR, host=STRANGER))})
    ), "document-endpoints", FAIL),
    ("the endpoint parameter was changed by hand", lambda: facts(
        situation=seen({"document": Known(replace(published(NEAR).value, endpoint="db.old.test"))})
    ), "document-endpoints", FAIL),
    ("commits of the canary fail", lambda: facts(
        situation=seen({"canary": Known(Canary(4, 15))})
    ), "canary", FAIL),
    ("an alarm was deleted", lambda: facts(
        {"wiring": wiring(actions={k: v for k, v in wiring().value.actions.items() if "probes" not in k})}
    ), "alarms-there", FAIL),
    ("an alarm's topic is gone", lambda: facts(
        {"wiring": wiring(missing_topics=frozenset({TOPIC}))}
    ), "alarms-wired", FAIL),
    ("an alarm's actions are off", lambda: facts(
        {"wiring": wiring(disabled=frozenset({"shop-test-probes-fail"}))}
    ), "alarms-wired", FAIL),
    ("an alarm rings", lambda: facts(
        situation=seen({"alarms": Known((Alarm("shop-test-probes-fail", "ALARM", ago(60)),))})
    ), "alarms-quiet", WARNING),
    ("no stack of global.yaml is there", lambda: facts(
        situation=seen(global_alarms=None)
    ), "alarms-global", WARNING),
    ("the alarm on all Regions rings", lambda: facts(
        situation=seen(global_alarms=Known((Alarm("shop-test-no-region-serves", "ALARM", ago(60)),)))
    ), "alarms-global", WARNING),
    ("the alarm on all Regions was deleted", lambda: facts(
        situation=seen(global_alarms=Known(()))
    ), "alarms-global", FAIL),
    ("this machine's clock is ahead", lambda: facts(
        regions=tuple(replace(one, store=Known(Store(120.0, 900))) for one in facts().regions)
    ), "clock", FAIL),
    ("the last drill is old", lambda: facts(
        drills=Known(Drills(NOW - timedelta(days=200), passed=True, path="drills/one.json"))
    ), "drill", WARNING),
    ("the last drill did not pass", lambda: facts(
        drills=Known(Drills(ago(3600), passed=False, path="drills/one.json"))
    ), "drill", WARNING),
]  # fmt: skip


def bad(given: Facts) -> dict[str, Level]:
    """The checks that are not ok."""
    return {one.name: one.level for one in examine(given) if one.level is not Level.OK}


def test_a_good_deployment_passes_every_check() -> None:
    """No fail, no warning, nothing unknown, nothing skipped."""
    assert bad(facts()) == {}
    assert passes(examine(facts()), strict=True)


@pytest.mark.parametrize(("seed", "given", "name", "level"), SEEDED, ids=[row[0] for row in SEEDED])
def test_a_seeded_fault_is_found_by_its_check_and_by_no_other(
    seed: str, given: Callable[[], Facts], name: str, level: Level
) -> None:
    """With its level, a sentence and a command."""
    outcomes = examine(given())
    levels = {one.name: one.level for one in outcomes if one.level in {FAIL, WARNING}}
    assert levels == {name: level}, seed
    assert passes(outcomes) is (level is WARNING)
    assert not passes(outcomes, strict=True)
    problem = next(one for outcome in outcomes for one in outcome.problems if one.level is level)
    assert problem.text
    assert problem.command


def test_every_check_has_a_seeded_fault() -> None:
    """A check that nothing can make fail would prove nothing."""
    assert {check.name for check in CHECKS} == {row[2] for row in SEEDED}


WHY = Unknown("SSM of us-east-1 does not answer")
UNREAD: list[tuple[str, Callable[[Unknown], Facts], set[str]]] = [
    ("the stack", lambda why: facts(
        situation=seen({"stack": why})
    ), {"file-and-stack", "stack-state", "check-of-stack"}),
    ("the document", lambda why: facts(
        situation=seen({"document": why})
    ), {"document-age", "document-endpoints"}),
    ("the check's reports", lambda why: facts(situation=seen({"check": why})), {"checkers"}),
    ("the alarms", lambda why: facts(situation=seen({"alarms": why})), {"alarms-quiet"}),
    ("the alarms of global.yaml", lambda why: facts(
        situation=seen(global_alarms=why)
    ), {"alarms-global"}),
    ("the canary", lambda why: facts(situation=seen({"canary": why})), {"canary"}),
    ("the intents", lambda why: facts(situation=seen(forced=why)), {"drains"}),
    ("the record's answer", lambda why: facts(situation=seen(authoritative=why)), {"dns"}),
    ("the template", lambda why: facts({"template": why}), {"stack-version"}),
    ("the policy", lambda why: facts({"policy": why}), {"checker-ranges"}),
    ("the cluster", lambda why: facts({"cluster": why}), {"clusters-active", "clusters-linked"}),
    ("the functions", lambda why: facts({"functions": why}), {"concurrency"}),
    ("the schedule", lambda why: facts({"schedule": why}), {"schedule"}),
    ("the publisher's errors", lambda why: facts({"publisher_errors": why}), {"publisher-runs"}),
    ("the wiring", lambda why: facts({"wiring": why}), {"alarms-there", "alarms-wired"}),
    ("the store", lambda why: facts({"store": why}), {"document-size", "clock"}),
    ("the checks", lambda why: facts(configs=why), {"token-of-paths", "checks-on", "check-of-stack"}),
    ("the records", lambda why: facts(records=why), {"records-paired", "records-target", "ttl"}),
    ("the ranges", lambda why: facts(checker_ranges=why), {"checker-ranges"}),
    ("the quota", lambda why: facts(quota=why), {"health-check-quota"}),
    ("the schema", lambda why: facts(database=why), {"schema", "grants", "mappings", "rows"}),
    ("the logins", lambda why: facts(logins=why), {"logins"}),
    ("the drills", lambda why: facts(drills=why), {"drill"}),
]  # fmt: skip


@pytest.mark.parametrize(("what", "given", "names"), UNREAD, ids=[row[0] for row in UNREAD])
def test_a_fact_that_cannot_be_read_is_unknown_and_not_passed(
    what: str, given: Callable[[Unknown], Facts], names: set[str]
) -> None:
    """Its checks alone say so, with the reason; where it cannot exist, they are skipped."""
    levels = bad(given(WHY))
    assert levels == dict.fromkeys(names, Level.UNKNOWN), what
    assert any(WHY.why in one.text for outcome in examine(given(WHY)) for one in outcome.problems)
    assert bad(given(Absent("not in the lab: it has none"))) == dict.fromkeys(names, Level.SKIPPED), what


def test_without_file_and_stack_nothing_about_parameters_passes() -> None:
    """As in a lab whose CloudFormation is silent: no check takes missing parameters for good ones."""
    given = facts({"file": {}}, situation=seen({"stack": WHY}), is_lab=True)
    levels = bad(given)
    for name in ("parameters-equal", "parameters-different", "records-paired", "records-target", "ttl"):
        assert levels[name] is Level.UNKNOWN, name


def test_a_deployment_without_records_skips_their_checks() -> None:
    """RoutingPolicy is none before every Region passes."""
    off = {"RoutingPolicy": "none"}
    given = facts(
        regions=tuple(replace(one, file={**one.file, **off}) for one in facts().regions),
        records=Known(()),
        situation=seen({"stack": stack(NEAR, **off)}, {"stack": stack(FAR, **off)}, authoritative=None),
    )
    wanted = dict.fromkeys(("records-paired", "records-target", "ttl", "dns"), Level.SKIPPED)
    assert bad(given) == wanted


def test_no_fact_holds_a_path_token() -> None:
    """Only its digest, which is left out of every text."""
    assert "0123456789abcdef0123456789abcdef" not in repr(facts())
    assert TOKEN.digest not in repr(facts())
