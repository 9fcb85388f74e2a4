"""Values that the template refuses are all found before `sam deploy`, and no token is shown."""

from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
from scripts import constraints
from scripts.constraints import require_accepted
from scripts.stack import Stored
from tests.places import ROOT

from beacon_cli.configuration.samconfig import ConfigurationError, Deployment
from beacon_lab.stack.document import Json
from beacon_lab.stack.translate import read_template

CLUSTER = "a" * 26
GOOD = {
    "PathToken": "0123456789abcdef0123456789abcdef",
    "DsqlClusterArns": f"arn:aws:dsql:us-east-1:123456789012:cluster/{CLUSTER}",
    "DsqlEndpoint": f"{CLUSTER}.dsql.us-east-1.on.aws",
}


@pytest.fixture(autouse=True)
def _template_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The template does not change between these tests, and reading it takes a quarter of a second."""
    monkeypatch.setattr(constraints, "read_template", read_once)


@cache
def read_once(path: Path) -> dict[str, Json]:
    return read_template(path)


def problems(changes: dict[str, str], *, stored: Stored | None = None, without: str = "") -> str:
    """What is wrong with good values after ``changes``; empty when nothing is."""
    given = {name: value for name, value in {**GOOD, **changes}.items() if name != without}
    try:
        require_accepted(
            ROOT / "template.yaml", Deployment("one", "us-east-1", "s", None, None, given), stored
        )
    except ConfigurationError as error:
        return str(error)
    return ""


def stack(**parameters: str) -> Stored:
    """A stack that has these values."""
    return Stored("123456789012", "UPDATE_COMPLETE", datetime.now(UTC), parameters, frozenset())


def test_good_values_are_accepted() -> None:
    """Also a list of several values, and a number as text."""
    assert problems({}) == ""
    assert problems({"Fall": "20", "OperatorCidrs": "203.0.113.0/24,198.51.100.0/24"}) == ""


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("Fall", "abc", "Fall must be a number from 1 to 20; 'abc' is not"),
        ("Fall", "21", "Fall must be a number from 1 to 20"),
        ("Env", "Prod_1", "Env must be lower-case letters, digits and inner hyphens"),
        ("App", "a" * 21, "App must be lower-case letters"),
        ("RequestInterval", "20", "RequestInterval must be one of 10, 30"),
        ("WebAcl", "yes", "WebAcl must be one of true, false"),
        ("CheckerRegions", "us-east-1,", "CheckerRegions must be three to eight of us-east-1"),
        (
            "DsqlClusterArns",
            f"{GOOD['DsqlClusterArns']},arn:aws:dsql:x",
            "DsqlClusterArns must be cluster ARNs",
        ),
        ("DsqlEndpoint", "short.dsql.us-east-1.on.aws", "DsqlEndpoint must be a DSQL host name"),
        ("RoutingPolicy", "latency", "A routing policy other than none needs HostedZoneId"),
        ("RoutingPolicy", "latency", "A routing policy other than none needs RecordName"),
    ],
)
def test_each_constraint_of_the_template_is_checked(name: str, value: str, said: str) -> None:
    """With the parameter's name and what it wants, as CloudFormation would say after the upload."""
    assert said in problems({name: value})


def test_every_problem_is_listed_at_once_and_no_token_is_shown() -> None:
    """One run of the script shows all there is to repair."""
    said = problems(
        {"PathToken": "short-secret", "Fall": "abc", "Env": "Prod_1", "RoutingPolicy": "failover"}
    )
    assert "PathToken must be 22 to 64 letters" in said
    assert "short-secret" not in said
    for name in ("Fall", "Env", "HostedZoneId", "FailoverRole", "PeerEndpoints"):
        assert name in said


def test_a_value_that_is_missing_is_one_problem_and_one_that_the_stack_keeps_is_none() -> None:
    """CloudFormation shows a kept token as asterisks, which its pattern would refuse."""
    assert "PathToken is missing" in problems({}, without="PathToken")
    assert problems({}, without="PathToken", stored=stack(PathToken="****")) == ""
    assert "PathToken must be" in problems({"PathToken": "short"}, stored=stack(PathToken="****"))


def test_the_stack_for_all_regions_has_its_own_constraints() -> None:
    """Its rules as well: an id without its Region."""
    check = "01234567-89ab-cdef-0123-456789abcdef"
    given = {"FirstRegion": "us-east-1", "FirstHealthCheckId": "x", "SecondHealthCheckId": check}
    deployment = Deployment("global", "eu-west-1", "g", None, ROOT / "global.yaml", given)
    with pytest.raises(ConfigurationError) as refused:
        require_accepted(ROOT / "global.yaml", deployment, None)
    for said in (
        "FirstHealthCheckId must be a health check id",
        "SecondHealthCheckId needs SecondRegion",
        "Route 53's metrics exist in us-east-1 only",
    ):
        assert said in str(refused.value)
