"""Parameter overrides are read as `sam deploy` reads them, and refused where it would lose something."""

import pytest
from samcli.cli.types import CfnParameterOverridesType

from beacon_cli.configuration.overrides import OverridesError, read_overrides


def as_sam_reads(value: str | list[str]) -> object:
    """What SAM itself makes of an override in samconfig.toml."""
    return CfnParameterOverridesType().convert(tuple(value) if isinstance(value, list) else value, None, None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["FailoverRole=''"], {"FailoverRole": ""}),
        (['FailoverRole=""'], {"FailoverRole": ""}),
        (['App="beacon"', "Env='prod'"], {"App": "beacon", "Env": "prod"}),
        ("App='beacon' Env=prod FailoverRole='' Fall=5", None),
        (["Peer=x=y,z=w", "Ranges=10.0.0.0/8, "], None),
        (["A='b c'", " D=e  F=g "], {"A": "b c", "D": "e", "F": "g"}),
        (['Policy=\'{"Version":"2012-10-17"}\''], {"Policy": '{"Version":"2012-10-17"}'}),
        ([], {}),
    ],
)
def test_each_form_that_is_taken_means_what_it_means_to_sam(
    value: str | list[str], expected: dict[str, str] | None
) -> None:
    """Two readers of one file must not differ."""
    assert read_overrides(value) == as_sam_reads(value)
    assert expected is None or read_overrides(value) == expected


@pytest.mark.parametrize(
    ("value", "repair"),
    [
        (["FailoverRole="], "Write FailoverRole='' for the empty value"),
        ("App=beacon FailoverRole=", "Write FailoverRole=''"),  # SAM loses it without a word
        ("App=beacon FailoverRole= Env=prod", "Write FailoverRole=''"),
        (["'App=beacon'"], "App: "),
        (['"App"=beacon'], "App: "),
        (["App=bea'con"], "App: "),
        (["App=bea\\ con"], "App: "),
        (["A=b c"], "NAME=VALUE"),
        (
            ["CheckerRegions=us-east-1, us-west-2"],
            "CheckerRegions: there is a space after a comma; `sam deploy`",
        ),
        ("Fall=5 CheckerRegions=us-east-1, us-west-2", "CheckerRegions: .* Write it without spaces"),
        (["PeerEndpoints=us-east-2=a, us-west-2=b"], "PeerEndpoints: there is a space after a comma"),
        (["CheckerRegions=us-east-1 ,us-west-2"], "CheckerRegions: there is a space before a comma"),
        (["App"], "NAME=VALUE"),
        (["My_App=x"], "NAME=VALUE"),
        (["ParameterKey=App,ParameterValue=shop"], "not as ParameterKey"),
        ([""], "empty entry"),
        ([1], "must be a string"),
        (5, "a string or a list"),
    ],
)
def test_what_sam_loses_or_reads_differently_is_refused_with_the_repair(value: object, repair: str) -> None:
    """The guard would ask about another deployment than the one that SAM changes."""
    with pytest.raises(OverridesError, match=repair.replace("(", r"\(")):
        read_overrides(value)


def test_sam_ends_a_list_at_a_space_without_a_word() -> None:
    """Why a space after a comma is refused: the deployment would have fewer checker Regions."""
    assert as_sam_reads(["CheckerRegions=us-east-1, us-west-2"]) == {"CheckerRegions": "us-east-1,"}


def test_a_refused_token_is_not_shown() -> None:
    """The sentence goes into logs."""
    with pytest.raises(OverridesError) as refused:
        read_overrides(["PathToken=half-a-secret'"])
    assert "half-a-secret" not in str(refused.value)
    assert "PathToken" in str(refused.value)
