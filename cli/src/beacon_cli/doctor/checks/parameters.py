"""Whether the Regions' parameters fit together, and whether the file and the stacks agree. Pure.

==========================  =============================================================================
parameters                  rule
==========================  =============================================================================
the deployment's            the same in every Region, or its Regions are several deployments: a failure
the timing's                the same in every Region, or they decide at different times: a warning
``DsqlEndpoint``            in its own Region, and another in each
``PeerEndpoints``           names every other Region with that Region's DsqlEndpoint
``FailoverRole``            one PRIMARY under failover; ``Weight`` above 0 in one Region under weighted
``PathToken``               the file's is no placeholder, 22 characters or more, the same in every Region
==========================  =============================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from beacon_cli.doctor.checks.reading import unread
from beacon_cli.doctor.facts import Facts, Token
from beacon_cli.doctor.result import Problem, fail, skipped, unknown, warn
from beacon_cli.situation.model import known

__all__ = [
    "differ_where_needed",
    "equal_where_needed",
    "file_and_stack",
    "least_token",
    "token_of_file",
    "token_of_paths",
]

DEPLOYMENT = (
    "App",
    "Env",
    "DsqlClusterArns",
    "DbUser",
    "RoutingPolicy",
    "HostedZoneId",
    "RecordName",
)
TIMING = (
    "RecordTtl",
    "RequestInterval",
    "FailureThreshold",
    "ProbeDeadlineMs",
    "Fall",
    "Rise",
    "FailbackHoldSeconds",
    "Ranking",
    "PublishEverySeconds",
    "WriteCanary",
)
#: The template's least length of a PathToken.
LEAST_TOKEN = 22


def equal_where_needed(facts: Facts) -> Iterator[Problem]:
    """The deployment's parameters and the timing's."""
    given = _given(facts)
    yield from _without(facts)
    if len(given) < 2:
        return
    for name in (*DEPLOYMENT, *TIMING):
        values = {region: _normal(name, own[name]) for region, own in given.items() if name in own}
        if len(set(values.values())) > 1:
            shown = "" if name == "DsqlClusterArns" else _shown(values)
            make = fail if name in DEPLOYMENT else warn
            yield make(f"{name} differs between the Regions{shown}", _deploy(facts))


def differ_where_needed(facts: Facts) -> Iterator[Problem]:
    """DsqlEndpoint, PeerEndpoints, FailoverRole and Weight."""
    given = _given(facts)
    yield from _without(facts)
    if len(given) < 2:
        return
    hosts = {region: own.get("DsqlEndpoint", "") for region, own in given.items()}
    for region, host in hosts.items():
        if host and f".{region}." not in host:
            yield fail(f"DsqlEndpoint of {region} is {host}, of another Region", _deploy(facts), region)
        peers = dict(
            pair.split("=", 1) for pair in given[region].get("PeerEndpoints", "").split(",") if "=" in pair
        )
        wanted = {other: name for other, name in hosts.items() if other != region and name}
        if wanted and any(peers.get(other) != name for other, name in wanted.items()):
            lacks = ", ".join(other for other, name in wanted.items() if peers.get(other) != name)
            yield fail(
                f"PeerEndpoints of {region} does not name the endpoint of {lacks}", _deploy(facts), region
            )
    policies = {own.get("RoutingPolicy", "none") for own in given.values()}
    whole = len(given) == len(facts.regions)
    primaries = [region for region, own in given.items() if own.get("FailoverRole") == "PRIMARY"]
    if whole and policies == {"failover"} and len(primaries) != 1:
        named = ", ".join(primaries) or "no Region"
        yield fail(f"one Region has to be PRIMARY, and {named} is", _deploy(facts))
    if whole and policies == {"weighted"} and all(own.get("Weight") == "0" for own in given.values()):
        yield warn("every Region has the Weight 0: Route 53 then treats them as equal", _deploy(facts))


def file_and_stack(facts: Facts) -> Iterator[Problem]:
    """What the next deployment would change."""
    if facts.is_lab:
        yield skipped("not in the lab: it has no samconfig.toml")
        return
    for one in facts.regions:
        stack = facts.stack(one.region)
        if stack is None:
            yield from unread(facts.situation.region(one.region).stack, one.region)
            continue
        changed = [
            name
            for name, value in one.file.items()
            if name in stack.parameters and _normal(name, stack.parameters[name]) != _normal(name, value)
        ]
        if changed:
            yield warn(
                f"the file and the stack of {one.region} differ in {', '.join(sorted(changed))}",
                f"beacon deploy {one.region}",
                one.region,
            )


def token_of_file(facts: Facts) -> Iterator[Problem]:
    """The file's PathToken: no placeholder, long enough, the same in every Region."""
    if facts.is_lab:
        yield skipped("not in the lab: it has no samconfig.toml")
        return
    tokens = {one.region: one.file_token for one in facts.regions if one.file_token is not None}
    if not tokens:
        yield skipped("the file holds no PathToken: deployments keep the stacks' own")
        return
    for region, token in tokens.items():
        yield from least_token(token, region, "PathToken in the file")
    if len({token.digest for token in tokens.values()}) > 1:
        yield fail("PathToken in the file differs between the Regions", "openssl rand -hex 16")


def token_of_paths(facts: Facts) -> Iterator[Problem]:
    """The token of each check's path: of the form of Beacon's, one for all Regions, and that of the file."""
    configs = known(facts.configs)
    if configs is None:
        yield from unread(facts.configs)
        return
    of_file = {one.region: one.file_token for one in facts.regions}
    digests = set()
    for config in configs:
        if config.token is None:
            yield fail(
                f"the check of {config.region} requests no path of Beacon (/live/TOKEN/health)",
                f"beacon deploy {config.region} --go",
                config.region,
            )
            continue
        digests.add(config.token.digest)
        yield from least_token(config.token, config.region, "the token in the check's path")
        wanted = of_file.get(config.region)
        if wanted is not None and wanted.digest != config.token.digest:
            yield fail(
                f"the check of {config.region} has another token than the file",
                f"beacon deploy {config.region} --go",
                config.region,
            )
        policy = next((known(one.policy) for one in facts.regions if one.region == config.region), None)
        if policy is not None and (policy.token is None or policy.token.digest != config.token.digest):
            yield fail(
                f"the API of {config.region} admits another token than its check sends",
                f"beacon deploy {config.region} --go",
                config.region,
            )
    if len(digests) > 1:
        yield fail("the checks' tokens differ between the Regions", _deploy(facts))
    if not configs:
        yield unknown("no health check of the deployment is there to look at")


def least_token(token: Token, region: str, what: str) -> Iterator[Problem]:
    """A token's own rules."""
    if token.is_placeholder:
        yield fail(f"{what} of {region} is still REPLACE_ME", "openssl rand -hex 16", region)
    elif token.length < LEAST_TOKEN:
        yield fail(
            f"{what} of {region} has {token.length} characters, and {LEAST_TOKEN} are the least",
            "openssl rand -hex 16",
            region,
        )


def _given(facts: Facts) -> dict[str, Mapping[str, str]]:
    return {one.region: own for one in facts.regions if (own := facts.parameters(one.region))}


def _without(facts: Facts) -> Iterator[Problem]:
    """The Regions whose parameters neither the file nor a stack tells."""
    if len(facts.regions) < 2:
        yield skipped("there is one Region, so there is nothing to compare")
    for one in facts.regions:
        if not facts.parameters(one.region):
            yield from unread(facts.situation.region(one.region).stack, one.region)


def _normal(name: str, value: str) -> str:
    if name == "DsqlClusterArns":
        return ",".join(sorted(part.strip() for part in value.split(",")))
    return value.rstrip(".") if name in {"RecordName", "RecordTarget"} else value


def _shown(values: Mapping[str, str]) -> str:
    return ": " + ", ".join(f"{value or 'empty'} in {region}" for region, value in values.items())


def _deploy(facts: Facts) -> str:
    return f"beacon deploy {facts.regions[0].region}"
