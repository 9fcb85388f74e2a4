"""The facts of a good deployment of two Regions, and how a test changes them."""

from dataclasses import replace
from typing import Any

from tests.unit.cli.situations import FAR, HOSTS, NEAR, ago, situation

from beacon_cli.doctor.checks.published import ALARMS
from beacon_cli.doctor.facts import (
    AlarmWiring,
    ApiPolicy,
    CheckConfig,
    Cluster,
    Drills,
    Facts,
    HealthCheckQuota,
    LambdaFacts,
    Record,
    RegionFacts,
    RoleLogin,
    Schedule,
    Store,
    Token,
)
from beacon_cli.schema import statements as sql
from beacon_cli.schema.found import Found, Intents, TableFound
from beacon_cli.schema.state import DatabaseState, compare
from beacon_cli.schema.wanted import Part, Wanted
from beacon_cli.situation.model import Alarm, Canary, Known, StackView

OTHER = {NEAR: FAR, FAR: NEAR}
TOKEN = Token.of("0123456789abcdef0123456789abcdef")
ARNS = {region: f"arn:aws:dsql:{region}:123456789012:cluster/{HOSTS[region][:26]}" for region in OTHER}
TOPIC = "arn:aws:sns:us-east-1:123456789012:beacon"
RANGES = frozenset({"15.177.0.0/18", "54.248.220.0/26"})
ROLES = {
    region: {
        name: f"arn:aws:iam::123456789012:role/shop-test-{name}-{region}" for name in ("health", "publisher")
    }
    for region in OTHER
}
ALICE = "arn:aws:iam::123456789012:role/alice"


def parameters(region: str) -> dict[str, str]:
    """What the stack of ``region`` has."""
    return {
        "App": "shop",
        "Env": "test",
        "DsqlClusterArns": ",".join(ARNS.values()),
        "DbUser": "probe",
        "DsqlEndpoint": HOSTS[region],
        "PeerEndpoints": f"{OTHER[region]}={HOSTS[OTHER[region]]}",
        "RoutingPolicy": "failover",
        "FailoverRole": "PRIMARY" if region == NEAR else "SECONDARY",
        "Weight": "100",
        "HostedZoneId": "Z1",
        "RecordName": "db.shop.test",
        "RecordTtl": "10",
        "RequestInterval": "10",
        "FailureThreshold": "3",
        "PublishEverySeconds": "60",
        "WriteCanary": "on",
        "HealthReservedConcurrency": "20",
        "PublisherReservedConcurrency": "1",
        "AlarmTopicArn": TOPIC,
        "Alarms": "true",
    }


def stack(region: str, status: str = "UPDATE_COMPLETE", **changes: str) -> Known[StackView]:
    """The stack of ``region``; a change replaces a parameter."""
    outputs = {"HealthCheckId": f"id-{region}", "DocumentParameter": "/shop/test/dsql/document"}
    given = parameters(region) | changes
    return Known(StackView("shop-test", status, ago(86400), "layer 7", given, outputs))


def config(region: str, **changes: Any) -> CheckConfig:  # noqa: ANN401 - any member
    """The health check of ``region``."""
    made = CheckConfig(f"id-{region}", region, TOKEN)
    return replace(made, **changes)


def record(region: str, **changes: Any) -> Record:  # noqa: ANN401 - any member
    """The record of ``region``."""
    role = parameters(region)["FailoverRole"]
    made = Record("CNAME", f"shop-test-{region}", HOSTS[region], f"id-{region}", 10, role)
    return replace(made, **changes)


def found(**changes: Any) -> Found:  # noqa: ANN401 - any member
    """What the database has."""
    grants = [("probe", grant) for grant in (*sql.LOGIN_GRANTS, sql.CANARY_GRANT)]
    grants += [("beacon_operator", grant) for grant in sql.OPERATOR_GRANTS]
    mapped = {("probe", arn) for arns in ROLES.values() for arn in arns.values()}
    whole = Found(
        through=NEAR,
        has_schema=True,
        tables={t.name: TableFound(t.columns, t.key, frozenset(t.checks)) for t in (*sql.TABLES, sql.CANARY)},
        privileges={(role, grant.object): frozenset(grant.privileges) for role, grant in grants},
        roles={"probe": True, "beacon_operator": True},
        mappings=frozenset(mapped | {("beacon_operator", ALICE)}),
        version=1,
        intents=Intents(frozenset(OTHER), (2, 2), 2),
    )
    return replace(whole, **changes)


def database(**changes: Any) -> Known[DatabaseState]:  # noqa: ANN401 - any member
    """The database beside what is wanted; a change replaces a member of what was found."""
    parts = tuple(Part(region, "probe", arns) for region, arns in ROLES.items())
    wanted = Wanted("shop-test", "dsql", parts, "beacon_operator", canary=True)
    return Known(compare(wanted, found(**changes)))


def wiring(**changes: Any) -> Known[AlarmWiring]:  # noqa: ANN401 - any member
    """The alarms of a Region."""
    made = AlarmWiring({f"shop-test-{name}": frozenset({TOPIC}) for name in ALARMS})
    return Known(replace(made, **changes))


def cluster(region: str, **changes: Any) -> Known[Cluster]:  # noqa: ANN401 - any member
    """The cluster of ``region``."""
    made = Cluster(ARNS[region], "ACTIVE", frozenset(ARNS.values()), "us-west-2", HOSTS[region])
    return Known(replace(made, **changes))


def region_facts(region: str, **changes: Any) -> RegionFacts:  # noqa: ANN401 - any member
    """One Region's own facts."""
    made = RegionFacts(
        region=region,
        file=parameters(region),
        file_token=TOKEN,
        template=Known("digest"),
        policy=Known(ApiPolicy(RANGES, TOKEN)),
        cluster=cluster(region),
        functions=Known(LambdaFacts(1000, 979, 20, 1)),
        schedule=Known(Schedule(enabled=True, expression="rate(1 minute)")),
        publisher_errors=Known(0),
        wiring=wiring(),
        store=Known(Store(0.3, 900)),
    )
    return replace(made, **changes)


def facts(near: dict[str, Any] | None = None, **changes: Any) -> Facts:  # noqa: ANN401 - any member
    """A good deployment, with changes to the near Region's own facts and to the whole."""
    made = Facts(
        situation=seen(),
        regions=(region_facts(NEAR, **near or {}), region_facts(FAR)),
        configs=Known((config(NEAR), config(FAR))),
        records=Known((record(NEAR), record(FAR))),
        checker_ranges=Known(RANGES),
        quota=Known(HealthCheckQuota(2, 200)),
        database=database(),
        logins=Known(tuple(RoleLogin(region, "beacon_operator") for region in OTHER)),
        drills=Known(Drills(ago(86400 * 10), passed=True, path="drills/one.json")),
    )
    return replace(made, **changes)


def seen(near: dict[str, Any] | None = None, far: dict[str, Any] | None = None, **changes: Any) -> Any:  # noqa: ANN401
    """The situation of a good deployment, with changes."""
    alarms = Known(tuple(Alarm(f"shop-test-{name}", "OK", ago(86400)) for name in ALARMS))
    own = {
        region: {"stack": stack(region), "alarms": alarms, "canary": Known(Canary(0, 15))} for region in OTHER
    }
    whole = {"global_alarms": Known((Alarm("shop-test-no-region-serves", "OK", ago(86400)),))}
    changes = whole | changes
    return situation(own[NEAR] | (near or {}), own[FAR] | (far or {}), **changes)
