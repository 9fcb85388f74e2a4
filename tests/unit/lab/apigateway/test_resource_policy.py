"""The gateway's policy evaluation gives IAM's verdicts, and refuses what it cannot evaluate."""

from collections.abc import Mapping

import pytest

from beacon_lab.apigateway.resource_policy import PolicyDecision, PolicyError, ResourcePolicy, method_arn

API = "arn:aws:execute-api:us-east-1:123456789012:abc123"
HEALTH = method_arn(API, stage="live", method="GET", path="/token/health")
ALLOW_ALL = {
    "Effect": "Allow",
    "Principal": "*",
    "Action": "execute-api:Invoke",
    "Resource": "execute-api:/*",
}


def verdict(
    *statements: Mapping[str, object], source: str = "198.51.100.10", arn: str = HEALTH
) -> PolicyDecision:
    """What a policy of these statements says."""
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    return ResourcePolicy.read(document, api_arn=API).evaluate(source=source, arn=arn)


def only_from(*networks: str, effect: str = "Allow", operator: str = "IpAddress") -> dict[str, object]:
    """A statement about callers in, or outside of, these networks."""
    return {**ALLOW_ALL, "Effect": effect, "Condition": {operator: {"aws:SourceIp": list(networks)}}}


def test_the_arn_names_stage_method_and_path() -> None:
    """It is what API Gateway writes into its refusals."""
    assert f"{API}/live/GET/token/health" == HEALTH


def test_no_policy_allows_and_no_matching_statement_denies() -> None:
    """An API without a policy is public; with one, what no statement allows is denied."""
    assert (
        ResourcePolicy.read({}, api_arn=API).evaluate(source="203.0.113.1", arn=HEALTH)
        is PolicyDecision.ALLOWED
    )
    assert verdict(only_from("15.177.0.0/18")) is PolicyDecision.DENIED


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("15.177.0.0", PolicyDecision.ALLOWED),
        ("15.177.63.255", PolicyDecision.ALLOWED),
        ("15.177.64.0", PolicyDecision.DENIED),
        ("15.176.255.255", PolicyDecision.DENIED),
        ("198.51.100.7", PolicyDecision.ALLOWED),
        ("198.51.100.8", PolicyDecision.DENIED),
    ],
)
def test_an_allow_holds_to_the_edges_of_its_networks(source: str, expected: PolicyDecision) -> None:
    """CIDR ranges and single addresses admit exactly themselves."""
    assert verdict(only_from("15.177.0.0/18", "198.51.100.7"), source=source) is expected


def test_an_explicit_deny_wins_in_any_order() -> None:
    """The allow-all, deny-outside shape that SAM writes works, whatever comes first."""
    deny = only_from("198.51.100.0/24", effect="Deny", operator="NotIpAddress")
    for statements in ((ALLOW_ALL, deny), (deny, ALLOW_ALL)):
        assert verdict(*statements, source="198.51.100.10") is PolicyDecision.ALLOWED
        assert verdict(*statements, source="203.0.113.1") is PolicyDecision.EXPLICITLY_DENIED


def test_all_conditions_of_a_statement_must_hold() -> None:
    """IpAddress and NotIpAddress in one statement carve a hole into a range."""
    statement = {
        **ALLOW_ALL,
        "Condition": {
            "IpAddress": {"AWS:SourceIP": "198.51.100.0/24"},
            "NotIpAddress": {"aws:SourceIp": ["198.51.100.10/32"]},
        },
    }
    assert verdict(statement, source="198.51.100.11") is PolicyDecision.ALLOWED
    assert verdict(statement, source="198.51.100.10") is PolicyDecision.DENIED


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ("execute-api:/live/GET/token/health", PolicyDecision.ALLOWED),
        (f"{API}/live/GET/token/health", PolicyDecision.ALLOWED),
        (f"{API}/*", PolicyDecision.ALLOWED),
        ("execute-api:/*/GET/*", PolicyDecision.ALLOWED),
        ("execute-api:/live/GET/t?ken/health", PolicyDecision.ALLOWED),
        ("*", PolicyDecision.ALLOWED),
        ("execute-api:/live/HEAD/token/health", PolicyDecision.DENIED),
        ("execute-api:/live/GET/Token/health", PolicyDecision.DENIED),
        ("execute-api:/live/GET/token", PolicyDecision.DENIED),
        ("execute-api:/test/GET/token/health", PolicyDecision.DENIED),
        ("arn:aws:execute-api:us-east-1:123456789012:another/*", PolicyDecision.DENIED),
        ("execute-api:/live/GET/[t]oken/health", PolicyDecision.DENIED),
    ],
)
def test_resources_match_with_wildcards_only(resource: str, expected: PolicyDecision) -> None:
    """`*` crosses slashes, `?` is one character, anything else is literal and minds case."""
    assert verdict({**ALLOW_ALL, "Resource": resource}) is expected


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("execute-api:*", PolicyDecision.ALLOWED),
        ("EXECUTE-API:invoke", PolicyDecision.ALLOWED),
        ("s3:*", PolicyDecision.DENIED),
    ],
)
def test_actions_match_without_case(action: str, expected: PolicyDecision) -> None:
    """Only statements about execute-api:Invoke count."""
    assert verdict({**ALLOW_ALL, "Action": ["sts:AssumeRole", action]}) is expected


@pytest.mark.parametrize(
    ("principal", "expected"),
    [
        ("*", PolicyDecision.ALLOWED),
        ({"AWS": "*"}, PolicyDecision.ALLOWED),
        ({"AWS": ["arn:aws:iam::123456789012:root", "*"]}, PolicyDecision.ALLOWED),
        ({"AWS": "arn:aws:iam::123456789012:root"}, PolicyDecision.DENIED),
        ({"Service": "*"}, PolicyDecision.DENIED),
    ],
)
def test_a_caller_without_identity_needs_a_statement_for_all(
    principal: object, expected: PolicyDecision
) -> None:
    """Checkers do not sign their requests."""
    assert verdict({**ALLOW_ALL, "Principal": principal}) is expected


@pytest.mark.parametrize(
    "statement",
    [
        {**ALLOW_ALL, "Effect": "allow"},
        {**ALLOW_ALL, "Condition": {"StringEquals": {"aws:SourceVpc": "vpc-1"}}},
        {**ALLOW_ALL, "Condition": {"IpAddress": {"aws:VpcSourceIp": "10.0.0.0/8"}}},
        {**ALLOW_ALL, "Condition": {"IpAddress": {"aws:SourceIp": "300.0.0.0/8"}}},
        {**ALLOW_ALL, "Condition": ["IpAddress"]},
        {**ALLOW_ALL, "NotResource": "x"},
        {**ALLOW_ALL, "Resource": {"Ref": "Api"}},
        {key: value for key, value in ALLOW_ALL.items() if key != "Action"},
        "Allow",
    ],
)
def test_what_cannot_be_evaluated_is_refused_when_read(statement: object) -> None:
    """A verdict is never guessed."""
    with pytest.raises(PolicyError):
        ResourcePolicy.read({"Statement": [statement]}, api_arn=API)


def test_a_policy_without_statements_is_refused() -> None:
    """It would deny every caller; API Gateway does not accept it either."""
    with pytest.raises(PolicyError):
        ResourcePolicy.read({"Version": "2012-10-17"}, api_arn=API)
