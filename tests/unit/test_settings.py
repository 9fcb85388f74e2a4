"""Settings: every wrong value is refused, all reasons stand in one error, and nothing is contacted."""

import re
import socket
from dataclasses import FrozenInstanceError

import pytest

from beacon.model import Policy
from beacon.names import host_problem, search_string
from beacon.settings import Settings, SettingsError

EAST = "a" * 26 + ".dsql.us-east-1.on.aws"
OHIO = "b" * 26 + ".dsql.us-east-2.on.aws"
WEST = "c" * 26 + ".dsql.us-west-2.on.aws"
GOOD = {
    "BEACON_APP": "orders",
    "BEACON_ENV": "prod",
    "AWS_REGION": "us-east-1",
    "BEACON_ENDPOINTS": f"us-east-1={EAST},us-east-2={OHIO}",
    "BEACON_DB_USER": "beacon_probe",
}


def refused(**changes: str | None) -> tuple[str, ...]:
    """The reasons against the good settings with ``changes`` made to them."""
    environment = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(environment)
    return caught.value.reasons


def test_the_documented_defaults_apply() -> None:
    """Only the required variables have to be set."""
    settings = Settings.from_environment(GOOD)
    assert settings.service == "orders-prod"
    assert [(endpoint.region, endpoint.host, endpoint.port) for endpoint in settings.endpoints] == [
        ("us-east-1", EAST, 5432),
        ("us-east-2", OHIO, 5432),
    ]
    assert settings.own_endpoint.host == EAST
    assert (settings.probe_deadline_s, settings.recheck_s, settings.publish_every_s) == (1.0, 0.75, 60)
    assert settings.policy == Policy(
        fall=5, rise=2, rise_apart_s=5.0, failback_hold_s=90.0, ranking="latency", rank_margin=0.3
    )
    assert (settings.publisher_function, settings.ca_file) == (None, None)
    assert (settings.write_canary, settings.speed) == (False, 1.0)
    assert settings.parameter_path == "/orders/prod/dsql"


def test_every_optional_value_is_read() -> None:
    """Each optional variable ends up where it belongs, in seconds and fractions."""
    settings = Settings.from_environment(
        GOOD
        | {
            "BEACON_ENDPOINTS": f" us-east-1={EAST}:5433 , us-east-2={OHIO},",
            "BEACON_PROBE_DEADLINE_MS": "1500",
            "BEACON_FALL": "3",
            "BEACON_RISE": "4",
            "BEACON_FAILBACK_HOLD_S": "0",
            "BEACON_RANKING": "priority",
            "BEACON_RANK_MARGIN_PCT": "0",
            "BEACON_RECHECK_MS": "50",
            "BEACON_PUBLISH_EVERY_S": "10",
            "BEACON_WRITE_CANARY": "on",
            "BEACON_SPEED_PCT": "250",
            "BEACON_PUBLISHER_FUNCTION": "orders-prod-publisher",
            "BEACON_DIAL": f"{EAST}=127.0.0.1:6000,{OHIO}=[::1]:6001",
            "BEACON_CA_FILE": "/größe/場所/ca.pem",
        }
    )
    assert [(endpoint.port, endpoint.dial) for endpoint in settings.endpoints] == [
        (5433, ("127.0.0.1", 6000)),
        (5432, ("::1", 6001)),
    ]
    assert (settings.probe_deadline_s, settings.recheck_s, settings.publish_every_s) == (1.5, 0.05, 10)
    assert settings.policy == Policy(fall=3, rise=4, failback_hold_s=0.0, ranking="priority", rank_margin=0.0)
    assert (settings.write_canary, settings.speed) == (True, 2.5)
    assert settings.publisher_function == "orders-prod-publisher"
    assert settings.ca_file == "/größe/場所/ca.pem"


def test_all_reasons_stand_in_one_error() -> None:
    """An operator who repairs the settings sees everything at once, each under its variable's name."""
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(
            {
                "BEACON_APP": "Orders",
                "AWS_REGION": "here",
                "BEACON_ENDPOINTS": "us-east-1=localhost",
                "BEACON_DB_USER": "Robert'); --",
                "BEACON_PROBE_DEADLINE_MS": "1801",
                "BEACON_FALL": "0",
                "BEACON_RISE": "21",
                "BEACON_FAILBACK_HOLD_S": "3601",
                "BEACON_RANKING": "alphabet",
                "BEACON_RANK_MARGIN_PCT": "91",
                "BEACON_RECHECK_MS": "0.5",
                "BEACON_PUBLISH_EVERY_S": "9",
                "BEACON_WRITE_CANARY": "yes",
                "BEACON_SPEED_PCT": "50",
                "BEACON_PUBLISHER_FUNCTION": "a b",
                "BEACON_DIAL": "x=y",
                "BEACON_CA_FILE": "ca.pem",
            }
        )
    named = {re.split(r"[ :]", reason)[0] for reason in caught.value.reasons}
    assert named == {*GOOD, "BEACON_PROBE_DEADLINE_MS", "BEACON_FALL", "BEACON_RISE", "BEACON_RANKING"} | {
        "BEACON_FAILBACK_HOLD_S",
        "BEACON_RANK_MARGIN_PCT",
        "BEACON_RECHECK_MS",
        "BEACON_PUBLISH_EVERY_S",
        "BEACON_WRITE_CANARY",
        "BEACON_SPEED_PCT",
        "BEACON_PUBLISHER_FUNCTION",
        "BEACON_DIAL",
        "BEACON_CA_FILE",
    }
    assert all(reason in str(caught.value) for reason in caught.value.reasons)


@pytest.mark.parametrize("name", list(GOOD))
def test_a_missing_required_value_is_named(name: str) -> None:
    """Unset and empty are the same: missing."""
    for value in (None, ""):
        reasons = refused(**{name: value})
        assert any(reason.startswith(f"{name} is missing") for reason in reasons), reasons


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[
            ("BEACON_APP", value)
            for value in ("Orders", "1orders", "orders-", "a--b", "a" * 21, "or ders", "é", "awsome", "ssm")
        ],
        *[("BEACON_ENV", value) for value in ("Prod", "-prod", "a" * 13, "prod\n")],
        *[("AWS_REGION", value) for value in ("us-east", "US-EAST-1", "us-east-1a", "us-east-123", "x")],
        *[("BEACON_DB_USER", value) for value in ("admin", "Beacon", "a b", "a" * 64, "a;b", 'a"b')],
        *[
            ("BEACON_PROBE_DEADLINE_MS", value)
            for value in ("0", "99", "1501", "1800", "1801", "-1", "1e3", "1000.0", "٣٠٠", "", " ", "NaN")
            if value
        ],
        *[("BEACON_FALL", value) for value in ("0", "21", "two", "-1", "9" * 30)],
        *[("BEACON_RISE", value) for value in ("0", "21")],
        *[("BEACON_FAILBACK_HOLD_S", value) for value in ("-1", "3601", "1.5")],
        *[("BEACON_RANKING", value) for value in ("random", "Latency", "latency ")],
        *[("BEACON_RANK_MARGIN_PCT", value) for value in ("91", "-1", "30%")],
        *[("BEACON_RECHECK_MS", value) for value in ("49", "5001")],
        *[("BEACON_PUBLISH_EVERY_S", value) for value in ("0", "9", "301")],
        *[("BEACON_WRITE_CANARY", value) for value in ("On", "true", "1")],
        *[("BEACON_SPEED_PCT", value) for value in ("99", "10001", "1.5")],
        *[("BEACON_PUBLISHER_FUNCTION", value) for value in ("a b", "a" * 65, "arn:aws:lambda")],
        *[("BEACON_CA_FILE", value) for value in ("ca.pem", "/a\nb", "/a\udcffb", "/" + "a" * 1024)],
        *[
            ("BEACON_DIAL", value)
            for value in (
                EAST,
                f"{EAST}=127.0.0.1",
                f"{EAST}=localhost:5432",
                f"{EAST}=127.0.0.1:0",
                f"{EAST}=127.0.0.1:65536",
                f"{EAST}=127.0.0.1:1,{EAST}=127.0.0.1:2",
                "=127.0.0.1:1",
            )
        ],
    ],
)
def test_a_wrong_value_is_the_only_reason(name: str, value: str) -> None:
    """The reason names the variable and the value, and nothing else is complained about."""
    reasons = refused(**{name: value})
    others = [reason for reason in reasons if not reason.startswith(name)]
    # Another Region means other endpoints as well.
    assert not others or (name == "AWS_REGION" and all("this Region" in reason for reason in others))
    assert len(reasons) - len(others) == 1


@pytest.mark.parametrize(
    ("endpoints", "reason"),
    [
        (f"us-east-2={OHIO}", "lacks this Region"),
        (f"us-east-2={OHIO},us-east-1={EAST}", "must name this Region, us-east-1, first"),
        (f"us-east-1={EAST},us-east-1={EAST}", "names us-east-1 twice"),
        (f"us-east-1={EAST},us-east-2={EAST}", "is an endpoint of us-east-1, not of 'us-east-2'"),
        (f"us-east-1={EAST},moon={OHIO}", "'moon' is not a Region"),
        (f"us-east-1={EAST},{OHIO}", "is not region=host[:port]"),
        (f"us-east-1={EAST}:0", "'0' is not a port"),
        (f"us-east-1={EAST}:", "'' is not a port"),
        (f"us-east-1={EAST}:65536", "'65536' is not a port"),
        (f"us-east-1={EAST}.", "is not a DSQL endpoint"),
        (f"us-east-1={EAST.upper()}", "is not a DSQL endpoint"),
        (f"us-east-1=user@{EAST}", "is not a DSQL endpoint"),
        (f"us-east-1=https://{EAST}", "is not a port"),
        ("us-east-1=127.0.0.1", "is not a DSQL endpoint"),
        ("us-east-1=169.254.169.254", "is not a DSQL endpoint"),
        ("us-east-1=[::1]", "is not a port"),
        ("us-east-1=localhost", "is not a DSQL endpoint"),
        (f"us-east-1={EAST}.example.com", "is not a DSQL endpoint"),
        (f"us-east-1={EAST[1:]}", "is not a DSQL endpoint"),
    ],
)
def test_a_malformed_endpoint_list_is_refused(endpoints: str, reason: str) -> None:
    """Only DSQL's own names, each in its Region, this Region first and each once."""
    reasons = refused(BEACON_ENDPOINTS=endpoints)
    assert any(reason in found for found in reasons), reasons


def test_more_endpoints_than_a_document_holds_are_refused() -> None:
    """A document has to fit a parameter of 4 KB."""
    numbers = range(1, 12)
    endpoints = ",".join(f"us-east-{n}={'abcdefghijk'[n - 1] * 26}.dsql.us-east-{n}.on.aws" for n in numbers)
    assert refused(BEACON_ENDPOINTS=endpoints) == (
        "BEACON_ENDPOINTS names 11 endpoints, and at most 10 are possible",
    )


def test_a_private_endpoint_is_an_endpoint() -> None:
    """PrivateLink adds a suffix to the second label."""
    assert host_problem("a" * 26 + ".dsql-fnh4.us-east-1.on.aws", "us-east-1") is None
    assert host_problem(EAST, "us-east-1") is None
    assert host_problem(WEST, "us-east-1") is not None


def test_settings_touch_nothing_but_the_mapping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither good nor bad settings open a socket or a file."""

    def forbidden(*_arguments: object, **_more: object) -> None:
        raise AssertionError("settings contacted something")

    monkeypatch.setattr(socket, "socket", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    monkeypatch.setattr("builtins.open", forbidden)
    Settings.from_environment({**GOOD, "BEACON_CA_FILE": "/does/not/exist"})
    with pytest.raises(SettingsError):
        Settings.from_environment({**GOOD, "BEACON_CA_FILE": "relative"})


def test_settings_cannot_be_changed_afterwards() -> None:
    """What was validated stays as it was."""
    settings = Settings.from_environment(GOOD)
    with pytest.raises(FrozenInstanceError):
        settings.region = "us-east-2"  # type: ignore[misc]


@pytest.mark.parametrize(
    "wrong",
    [
        *[{"rise_apart_s": value} for value in (-0.1, 10.1, float("nan"))],
        *[{"failback_hold_s": value} for value in (-1.0, 3601.0, float("nan"))],
        {"fall": 0},
        {"rise": 21},
        {"ranking": "x"},
        {"rank_margin": float("nan")},
        {"smoothing": 0.0},
    ],
)
def test_a_policy_validates_itself(wrong: dict[str, object]) -> None:
    """A policy that was not read from the environment is held to the same bounds."""
    with pytest.raises(ValueError, match="must be"):
        Policy(**wrong)  # type: ignore[arg-type]


def test_the_longest_names_fit_every_limit() -> None:
    """IAM allows 64 characters for a role, Lambda 64 for a function, Route 53 255 for a search string."""
    app, env, region = "a" * 20, "b" * 12, "ap-southeast-2"
    settings = Settings.from_environment(
        GOOD
        | {
            "BEACON_APP": app,
            "BEACON_ENV": env,
            "AWS_REGION": region,
            "BEACON_ENDPOINTS": f"{region}={'z' * 26}.dsql.{region}.on.aws",
        }
    )
    assert len(f"{settings.service}-publisher-{region}") <= 64
    assert len(search_string(settings.service, region)) <= 255
